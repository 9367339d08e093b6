"""Networks that are asked about images, of PyTorch's files as of our own checkpoints."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.models import released, resnet, torch_weights, torch_writing
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluateSpec, EvaluationDataSpec, TorchFileSpec
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks import evaluate, predict
from peclr_jax.weights.file import NOTE


def test_checkpoints_may_be_named_from_home(home):
    with pytest.raises(UserError, match=f"no weights file {home}/nothing.safetensors"):
        open_network("~/nothing.safetensors")
    with pytest.raises(UserError, match=r"the checkpoint is '~nobody-here/x', but the user"):
        open_network("~nobody-here/x")
    with pytest.raises(UserError, match=f"{home}/nothing.pth"):
        open_network("", "~/nothing.pth")


@pytest.fixture(scope="module")
def weights(network):
    """The small fine-tuned network in the layout of the official ones."""
    variables = released.from_pose_network(network.variables, network.view_size)
    return {"state_dict": torch_weights.to_state_dict(jax.tree.map(np.asarray, variables))}


@pytest.fixture(scope="module")
def ours(opened, weights, tmp_path_factory):
    """A file of ours, with the run's config in it."""
    path = tmp_path_factory.mktemp("torch") / "ours.pth"
    torch_writing.write(path, weights | {NOTE: json.dumps(opened.description.to_json())})
    return path


@pytest.fixture(scope="module")
def official(weights, tmp_path_factory):
    """The same weights as if they were official: nothing but tensors, the 64th output not zero."""
    path = tmp_path_factory.mktemp("torch") / "official.pth"
    tensors = weights["state_dict"]
    last = tensors["backend_model.fc.weight"].copy()
    last[-1] = 1e-3
    torch_writing.write(path, {"state_dict": tensors | {"backend_model.fc.weight": last}})
    return path


def test_ours_without_its_description_is_not_taken_for_official(weights, tmp_path):
    torch_writing.write(tmp_path / "again.pth", weights)
    message = (
        r"again\.pth .* without its description, .*: keep the exported file's entry 'peclr_jax' by"
    )
    with pytest.raises(UserError, match=message):
        open_network("", tmp_path / "again.pth")


def test_what_was_trained_on_in_pytorch_is_read_back(weights, opened, tmp_path):
    path = tmp_path / "trained.pth"
    checkpoint = weights | {NOTE: json.dumps(opened.description.to_json())}
    tensors = weights["state_dict"]
    trained = {name: tensor * np.float32(1.5) for name, tensor in tensors.items()}
    torch_writing.write(path, {**checkpoint, "state_dict": trained})
    network = open_network("", path)
    assert network.description == opened.description
    expected = torch_weights.from_state_dict(trained)
    jax.tree.map(np.testing.assert_array_equal, network.variables, expected)


def test_what_we_wrote_for_pytorch_answers_as_before(network, hands, ours):
    read = open_estimator("", ours)
    expected = look_at_batch(network, hands, "box", 16).estimate
    estimate = look_at_batch(read, hands, "box", 16).estimate
    np.testing.assert_allclose(estimate.pose, expected.pose, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(estimate.root_depth, expected.root_depth, rtol=1e-4)
    assert read.statistics == network.statistics
    assert read.looking == network.looking


def test_official_networks_have_the_palm_for_a_root(network, hands, ours, official):
    read = open_estimator("", official)
    assert read.view_size == 224
    assert read.statistics == LabelStatistics()
    # The official test code's, whose numbers are to be had again.
    assert (read.looking.central_box, read.looking.widest) == (0.33, float("inf"))
    images = jnp.zeros((1, 224, 224, 3))
    intrinsics = jnp.array([[[400.0, 0, 112], [0, 400, 112], [0, 0, 1]]])
    palm = jax.jit(read.module.apply)(read.variables, images, intrinsics)
    other = open_estimator("", ours).module
    wrist = jax.jit(other.apply)(read.variables, images, intrinsics)
    np.testing.assert_allclose(palm.pose[:, 1:, :2], wrist.pose[:, 1:, :2], rtol=1e-6)
    assert abs(palm.pose[:, 0] - wrist.pose[:, 0]).max() > 1e-3


def test_evaluation_of_an_official_network(official, records, tmp_path):
    spec = EvaluateSpec(
        init=TorchFileSpec(str(official)),
        data=EvaluationDataSpec(names="freihand", data_dir=str(records)),
        split="evaluation",
        resamples=0,
        pictures=1,
        batch_size=2,
    )
    result = evaluate.evaluate(spec, tmp_path)
    assert result["checkpoint"] == str(official)
    assert result["prediction"]["pa"]["mean"]["value"] > 0
    assert result["mean_pose"]["2d"] is None
    assert result["mean_hand"]["pa"] is None
    spec = dataclasses.replace(spec, bone_length="mean")
    with pytest.raises(ValueError, match=r"official\.pth was trained without 3D labels, or does n"):
        evaluate.evaluate(spec, tmp_path)


def test_prediction_with_an_official_network_needs_a_size(official, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    spec = PredictSpec(init=TorchFileSpec(str(official)), images=str(tmp_path / "photo.jpg"))
    with pytest.raises(ValueError, match="does not tell the size of the hands"):
        predict.predict(spec, tmp_path / "out")


def test_weights_without_poses_are_refused(tmp_path):
    network = resnet.ResNet18(width=4, stem="small")
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    path = tmp_path / "encoder.pth"
    torch_writing.write(path, torch_weights.to_state_dict(variables))
    with pytest.raises(ValueError, match=r"no pose network but .*'torchvision': fine-tune them"):
        open_estimator("", path)
