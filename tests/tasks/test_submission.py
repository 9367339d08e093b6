"""The challenges' file: its order, axes and unit, and everything that may be wrong with one."""

import json
import tracemalloc
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from configs import submission as recipes
from data.ho3d import layout
from peclr_jax.geometry import camera
from peclr_jax.networks import estimator as estimators
from peclr_jax.networks import inference
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.tasks import submission

HO3D = Path(layout.__file__).parent / "dummy_data"


def configure(checkpoint, recipe="default", **fields):
    config = recipes.get_config(recipe)
    fields = {"checkpoint": str(checkpoint), "batch_size": 3, **fields}
    config.update_from_flattened_dict(fields)
    return config


def read(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        return json.loads(archive.read("pred.json"))


def test_evaluation_images_without_labels(finetuned, records, shared, tmp_path, capsys):
    """Eight real images with intrinsics and scale, no box and no joints."""
    data = {
        "data.manual_dir": str(shared / "fixtures/freihand_mini"),
        "data.data_dir": str(records),
    }
    config = configure(finetuned, **data)
    submission.run(config, tmp_path)
    assert "8 images" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["pred.zip"]
    joints, vertices = map(np.asarray, read(tmp_path / "pred.zip"))
    assert joints.shape == (8, 21, 3)
    assert vertices.shape == (8, 778, 3)
    assert not vertices.any()

    network = estimators.load(finetuned)
    _, _, split = inference.open_data(config.data, "evaluation", network, "two_pass", 8)
    (batch,) = split.batches()
    inferred = inference.infer(network, batch, "two_pass", 16)
    expected = inferred.estimate.lift(inferred.intrinsics, jnp.asarray(batch["bone_length"]))
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


def test_without_scale_or_box_nothing_is_written(finetuned, records, shared, tmp_path):
    data = {
        "data.manual_dir": str(shared / "fixtures/freihand_mini"),
        "data.data_dir": str(records),
    }
    with pytest.raises(ValueError, match=r"image 0 has no intrinsics or scale.*_scale\.json"):
        submission.submit(configure(finetuned, split="train", **data), tmp_path)
    with pytest.raises(ValueError, match=r"no intrinsics, scale or box.*crop=two_pass"):
        submission.submit(configure(finetuned, crop="box", **data), tmp_path)
    assert not list(tmp_path.iterdir())


def ho3d(finetuned, records, **fields):
    data = {"data.manual_dir": str(HO3D), "data.data_dir": str(records)}
    return configure(finetuned, "ho3d", **data, **fields)


def test_ho3d_gives_the_wrist_and_wants_its_own_axes_and_order(finetuned, records, tmp_path):
    config = ho3d(finetuned, records, batch_size=2)
    submission.run(config, tmp_path)
    joints, vertices = map(np.asarray, read(tmp_path / "pred.zip"))
    assert joints.shape == (3, 21, 3)
    assert vertices.shape == (3, 778, 3)
    frames = layout.read_evaluation(HO3D / "HO3D_v2", "v2", HO3D)
    np.testing.assert_allclose(-joints[:, 0, 2], frames.keypoints_3d[:, 0, 2], atol=2e-6)

    network = estimators.load(finetuned)
    _, _, split = inference.open_data(config.data, "evaluation", network, "box", 3)
    (batch,) = split.batches()
    pose = inference.infer(network, batch, "box", 3).estimate.pose
    bone = network.bone_length
    depth = bone * pose[..., 2] + batch["keypoints_3d"][:, :1, 2]
    expected = camera.back_project(pose[..., :2], depth, jnp.asarray(batch["intrinsics"]))
    # Ours at the places of HO-3D: wrist, index, middle, little, ring, thumb, tips.
    fingers = [5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]
    expected = np.asarray(expected)[:, [0, *fingers, 4, 8, 12, 16, 20]] * [1, -1, -1]
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


def test_a_network_that_knows_everything_submits_the_ground_truth(network, records):
    """HO-3D's own file of it, in its axes and order."""
    data = ho3d("", records, **{"data.names": "ho3d/v3"}).data
    _, _, split = inference.open_data(data, "evaluation", network, "box", 1)
    challenge = submission.CHALLENGES["ho3d"]
    truth = json.loads((HO3D / "HO3D_v3/evaluation_xyz.json").read_text())
    for batch, expected in zip(split.batches(), truth, strict=True):
        intrinsics = jnp.asarray(batch["intrinsics"])
        pose, bone = camera.to_25d(jnp.asarray(batch["keypoints_3d"]), intrinsics)
        # The depth is not the network's to know.
        estimate = Estimate(pose, jnp.full(1, jnp.nan))
        matrix = jnp.zeros((1, 2, 3))
        inferred = inference.Inference(estimate, matrix, matrix, intrinsics)
        joints = np.asarray(challenge.lift(inferred, batch, float(bone[0])))
        submitted = (joints * challenge.axes)[0, challenge.order]
        np.testing.assert_allclose(submitted, expected, atol=1e-5)


def test_without_what_ho3d_gives_nothing_is_written(finetuned, records, shared, tmp_path):
    """Evaluation images of FreiHAND have no wrist."""
    data = {"names": "freihand", "manual_dir": str(shared / "fixtures/freihand_mini")}
    fields = {f"data.{name}": value for name, value in data.items()}
    config = configure(
        finetuned, "ho3d", **fields, crop="two_pass", **{"data.data_dir": str(records)}
    )
    with pytest.raises(ValueError, match=r"image 0 has no intrinsics or root.*evaluation/\*/meta"):
        submission.submit(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_metric_network_there_is_no_size(finetuned, records, tmp_path, monkeypatch):
    monkeypatch.setattr(Estimator, "bone_length", float("nan"))
    with pytest.raises(ValueError, match=r"does not tell the hands' size.*config\.checkpoint"):
        submission.submit(ho3d(finetuned, records), tmp_path)


def test_unknown_challenges_and_recipes_are_told(finetuned, tmp_path):
    with pytest.raises(
        ValueError, match=r"config\.challenge='h2o3d' is none of 'freihand', 'ho3d'"
    ):
        submission.submit(configure(finetuned, challenge="h2o3d"), tmp_path)
    with pytest.raises(ValueError, match="no recipe 'h2o3d'; leave it out, or choose 'ho3d'"):
        recipes.get_config("h2o3d")


def hands(count):
    return np.random.default_rng(0).normal(size=(count, 21, 3)) + np.array([0, 0, 5])


def test_what_is_written_is_accepted(tmp_path):
    path = tmp_path / "new" / "pred.zip"
    submission.write(path, iter(hands(3)))
    submission.check(path, 3)
    np.testing.assert_allclose(read(path)[0], hands(3), atol=1e-6)


def test_a_prediction_that_is_not_finite_leaves_no_file(tmp_path):
    broken = hands(2)
    broken[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        submission.write(tmp_path / "pred.zip", iter(broken))
    assert not list(tmp_path.iterdir())


def pack(path, content, name="pred.json"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content if isinstance(content, str) else json.dumps(content))


JOINTS, MESH = [[0.0, 0.0, 0.5]] * 21, [[0, 0, 0]] * 778


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[JOINTS]], "must be a list of two"),
        ([[JOINTS], [MESH], []], "must be a list of two"),
        ([[JOINTS], [MESH], [MESH]], "must be a list of two"),
        ({"joints": [JOINTS]}, "must be a list of two"),
        ([1, 2], "must be a list of two"),
        ("", "cannot be read"),
        ("[[", "cannot be read"),
        ("[[], []] []", "joints of 0 images, expected 1"),
        (json.dumps([[JOINTS], [MESH]]) + "]", "cannot be read"),
        ([[JOINTS] * 2, [MESH]], "joints of 2 images, expected 1"),
        ([[JOINTS], [MESH] * 2], "vertices of 2 images, expected 1"),
        ([[JOINTS[:20]], [MESH]], "joints of image 0 .* not 21 points"),
        ([[JOINTS], [[*MESH[:777], [0, 0]]]], "vertices of image 0 .* not 778 points"),
        ([[[*JOINTS[:20], [0, 0, float("nan")]]], [MESH]], "cannot be read"),
        ([[7], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[7] * 21], [MESH]], "joints of image 0 .* not 21 points of three finite numbers"),
        ([[[[[0.0]] * 3] * 21], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[[True] * 3] * 21], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[*JOINTS[:20], ["0", 0, 0]]], [MESH]], "joints of image 0"),
    ],
)
def test_what_the_challenge_would_refuse_is_refused(content, message, tmp_path):
    pack(tmp_path / "pred.zip", content)
    with pytest.raises(ValueError, match=message) as raised:
        submission.check(tmp_path / "pred.zip", 1)
    assert "\n" not in str(raised.value)


def test_the_image_that_is_wrong_is_named(tmp_path):
    pack(tmp_path / "pred.zip", [[JOINTS] * 3, [MESH, MESH, [*MESH, [0, 0, 0]]]])
    with pytest.raises(ValueError, match=r"vertices of image 2 .* not 778 points"):
        submission.check(tmp_path / "pred.zip", 3)
    pack(tmp_path / "pred.zip", [[JOINTS, JOINTS[:3], JOINTS], [MESH] * 3])
    with pytest.raises(ValueError, match=r"joints of image 1 .* not 21 points"):
        submission.check(tmp_path / "pred.zip", 3)


def test_checking_needs_little_memory(tmp_path):
    """As lists, 40 meshes are more than 4 MB."""
    submission.write(tmp_path / "pred.zip", iter(hands(40)))
    tracemalloc.start()
    submission.check(tmp_path / "pred.zip", 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


def test_other_files_are_refused(tmp_path):
    pack(tmp_path / "pred.zip", [[JOINTS], [MESH]], name="folder/pred.json")
    with pytest.raises(ValueError, match=r"holds \['folder/pred.json'\], expected pred.json alone"):
        submission.check(tmp_path / "pred.zip", 1)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        submission.check(tmp_path / "text.zip", 1)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        submission.check(tmp_path / "none.zip", 1)
