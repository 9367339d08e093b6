"""Submissions: order, axes and unit of the challenges, and what is told where something lacks."""

import dataclasses
import json
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from configs import submission as recipes
from data.ho3d import layout
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.networks.estimator import Estimate
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Inference, look_at_batch
from peclr_jax.tasks import submission

HO3D = Path(layout.__file__).parent / "dummy_data"


def configure(checkpoint, folder, records, recipe="default", **fields):
    config = recipes.get_config(recipe)
    places = {"data.manual_dir": str(folder), "data.data_dir": str(records)}
    config.update_from_flattened_dict(
        {"checkpoint": str(checkpoint), "batch_size": 3, **places, **fields}
    )
    return specs.from_config(submission.SubmissionSpec, config)


def read(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        return json.loads(archive.read("pred.json"))


def test_evaluation_images_without_labels(
    finetuned, opened, network, records, shared, tmp_path, capsys
):
    """Eight real images with intrinsics and scale, no box and no joints."""
    config = configure(finetuned, shared / "fixtures/freihand_mini", records)
    submission.run(specs.to_config(config), tmp_path)
    assert "8 images" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["pred.zip"]
    joints, vertices = map(np.asarray, read(tmp_path / "pred.zip"))
    assert joints.shape == (8, 21, 3)
    assert vertices.shape == (8, 778, 3)
    assert not vertices.any()

    data = open_data(config.data, "evaluation", opened.description, "two_pass", 8)
    (batch,) = data.split.batches()
    inferred = look_at_batch(network, batch, "two_pass", 16)
    expected = inferred.estimate.lift(inferred.intrinsics, jnp.asarray(batch["bone_length"]))
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


def test_without_scale_or_box_nothing_is_written(finetuned, records, shared, tmp_path):
    given = finetuned, shared / "fixtures/freihand_mini", records
    with pytest.raises(ValueError, match=r"image 0 has no intrinsics or scale.*_scale\.json"):
        submission.submit(configure(*given, split="train"), tmp_path)
    with pytest.raises(ValueError, match=r"no intrinsics, scale or box.*crop=two_pass"):
        submission.submit(configure(*given, crop="box"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_ho3d_gives_the_wrist_and_wants_its_own_axes_and_order(
    finetuned, opened, network, records, tmp_path
):
    config = configure(finetuned, HO3D, records, "ho3d", batch_size=2)
    submission.run(specs.to_config(config), tmp_path)
    joints, vertices = map(np.asarray, read(tmp_path / "pred.zip"))
    assert joints.shape == (3, 21, 3)
    assert vertices.shape == (3, 778, 3)
    frames = layout.read_evaluation(HO3D / "HO3D_v2", "v2", HO3D)
    np.testing.assert_allclose(-joints[:, 0, 2], frames.keypoints_3d[:, 0, 2], atol=2e-6)

    data = open_data(config.data, "evaluation", opened.description, "box", 3)
    (batch,) = data.split.batches()
    pose = look_at_batch(network, batch, "box", 3).estimate.pose
    bone = network.statistics.bone_length
    depth = bone * pose[..., 2] + batch["keypoints_3d"][:, :1, 2]
    expected = camera.back_project(pose[..., :2], depth, jnp.asarray(batch["intrinsics"]))
    # Ours at the places of HO-3D: wrist, index, middle, little, ring, thumb, tips.
    fingers = [5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]
    expected = np.asarray(expected)[:, [0, *fingers, 4, 8, 12, 16, 20]] * [1, -1, -1]
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


def test_a_network_that_knows_everything_submits_the_ground_truth(opened, records):
    """HO-3D's own file of it, in its axes and order."""
    data = configure("", HO3D, records, "ho3d", **{"data.names": "ho3d/v3"}).data
    split = open_data(data, "evaluation", opened.description, "box", 1).split
    challenge = submission.CHALLENGES["ho3d"]
    truth = json.loads((HO3D / "HO3D_v3/evaluation_xyz.json").read_text())
    for batch, expected in zip(split.batches(), truth, strict=True):
        intrinsics = jnp.asarray(batch["intrinsics"])
        pose, bone = camera.to_25d(jnp.asarray(batch["keypoints_3d"]), intrinsics)
        # The depth is not the network's to know.
        estimate = Estimate(pose, jnp.full(1, jnp.nan))
        matrix = jnp.zeros((1, 2, 3))
        inferred = Inference(estimate, matrix, matrix, intrinsics)
        joints = np.asarray(challenge.lift(inferred, batch, float(bone[0])))
        submitted = (joints * challenge.axes)[0, challenge.order]
        np.testing.assert_allclose(submitted, expected, atol=1e-5)


def test_without_what_ho3d_gives_nothing_is_written(finetuned, records, shared, tmp_path):
    """Evaluation images of FreiHAND have no wrist."""
    folder = shared / "fixtures/freihand_mini"
    fields = {"data.names": "freihand", "crop": "two_pass"}
    config = configure(finetuned, folder, records, "ho3d", **fields)
    with pytest.raises(ValueError, match=r"image 0 has no intrinsics or root.*evaluation/\*/meta"):
        submission.submit(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_metric_network_there_is_no_size(
    finetuned, opened, records, tmp_path, monkeypatch
):
    description = dataclasses.replace(opened.description, statistics=None)
    unknown = dataclasses.replace(opened, description=description)
    monkeypatch.setattr(submission, "open_network", lambda *_: unknown)
    with pytest.raises(ValueError, match=r"does not tell the hands' size.*config\.checkpoint"):
        submission.submit(configure(finetuned, HO3D, records, "ho3d"), tmp_path)


def test_unknown_challenges_are_told(tmp_path):
    config = recipes.get_config()
    config.challenge = "h2o3d"
    with pytest.raises(UserError, match=r"config\.challenge is 'h2o3d'.*'freihand', 'ho3d'"):
        submission.run(config, tmp_path)
