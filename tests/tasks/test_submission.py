"""Submissions: order, axes and unit of the challenges, and what is told where something lacks."""

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import submission as recipes
from data import freihand
from data.ho3d import layout
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.networks.estimator import Estimate
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Inference, look_at_batch
from peclr_jax.tasks import submission

HO3D = Path(layout.__file__).parent / "dummy_data"
FREIHAND = Path(freihand.__file__).parent / "dummy_data"


def configure(checkpoint, folder, records, **fields):
    config = recipes.get_config()
    places = {"data.manual_dir": str(folder), "data.data_dir": str(records)}
    config.update_from_flattened_dict(
        {"checkpoint": str(checkpoint), "batch_size": 3, "trial": True, **places, **fields}
    )
    return specs.from_config(submission.SubmissionSpec, config)


def configure_ho3d(checkpoint, folder, records, **fields):
    return configure(checkpoint, folder, records, **{"data.names": "ho3d/v2", **fields})


@pytest.fixture
def three_images(monkeypatch):
    """Challenges that want three images, as many as our drawings of HO-3D are."""
    small = {name: rules._replace(images=3) for name, rules in submission.CHALLENGES.items()}
    monkeypatch.setattr(submission, "CHALLENGES", small)


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
    said = " ".join(capsys.readouterr().out.split())
    assert "8 images in the format of FreiHAND: a trial and no submission, which has 3,960" in said
    assert [path.name for path in tmp_path.iterdir()] == ["trial.zip"]
    joints, vertices = map(np.asarray, read(tmp_path / "trial.zip"))
    assert joints.shape == (8, 21, 3)
    assert vertices.shape == (8, 778, 3)
    assert not vertices.any()

    data = open_data(config.data, "evaluation", opened.description, "two_pass", 8)
    (batch,) = data.split.batches()
    inferred = look_at_batch(network, batch, "two_pass", 16)
    expected = inferred.estimate.lift(inferred.intrinsics, jnp.asarray(batch["bone_length"]))
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "folder", "wanted"),
    [
        ("freihand", FREIHAND, r"FreiHAND's challenge wants 3,960"),
        ("ho3d", HO3D, r"3 images, but HO-3D v2's challenge wants 11,524"),
        ("ho3d/v2", HO3D, r"3 images, but HO-3D v2's challenge wants 11,524"),
        ("ho3d/v3", HO3D, r"HO-3D v3's challenge wants 20,137"),
    ],
)
def test_a_part_of_the_images_is_no_submission(finetuned, records, tmp_path, names, folder, wanted):
    config = configure(finetuned, folder, records, **{"data.names": names, "trial": False})
    with pytest.raises(UserError, match=rf"{wanted}.*config\.trial"):
        submission.submit(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_challenge_of_ho3d_v2_has_as_many_images_as_its_list(shared):
    lines = (shared / "fixtures/ho3d_mini/evaluation.txt").read_text().split()
    assert len(lines) == submission.CHALLENGES["ho3d/v2"].images


@pytest.mark.parametrize(
    "names", ["dexter_object", "freihand,ho3d/v2", "ho3d/v1", "image_folder", "synthetic_hands", ""]
)
def test_data_without_a_challenge_are_refused(names):
    config = recipes.get_config()
    config.data.names = names
    with pytest.raises(UserError, match=r"config\.data\.names is .* name one of freihand, ho3d"):
        submission.run(config, Path("nowhere"))


@pytest.mark.parametrize(
    ("field", "value"), [("split", "train"), ("split", "test"), ("data.source", "rendered")]
)
def test_only_evaluation_images_are_submitted(field, value):
    config = recipes.get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=rf"config\.{field} is '{value}'"):
        submission.run(config, Path("nowhere"))


def test_records_in_another_order_are_refused():
    count = np.ones(3, bool)
    batch = {
        "intrinsics_valid": count,
        "bone_length_valid": count,
        "sample_id": np.array([4, 6, 5]),
    }
    with pytest.raises(UserError, match="image 5 of the records is number 6"):
        submission._check_given(submission.CHALLENGES["freihand"], batch, 4)
    batch["sample_id"] = np.array([4, 5, 6])
    submission._check_given(submission.CHALLENGES["freihand"], batch, 4)


def test_without_a_scale_nothing_is_written(finetuned, records, tmp_path):
    root = tmp_path / "no scale"
    shutil.copytree(FREIHAND, root)
    for path in root.rglob("evaluation_*.json"):
        if path.stem != "evaluation_K":
            path.unlink()
    with pytest.raises(UserError, match=r"image 0 has no intrinsics, scale.*_scale\.json"):
        submission.submit(configure(finetuned, root, records), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_ho3d_gives_the_wrist_and_wants_its_own_axes_and_order(
    finetuned, opened, network, records, tmp_path, capsys, three_images
):
    config = configure_ho3d(finetuned, HO3D, records, batch_size=2, trial=False)
    submission.run(specs.to_config(config), tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "joints of 3 images in the format of HO-3D v2 and passed the format check" in said
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
    data = configure_ho3d("", HO3D, records, **{"data.names": "ho3d/v3"}).data
    split = open_data(data, "evaluation", opened.description, "box", 1).split
    challenge = submission.CHALLENGES["ho3d/v3"]
    truth = json.loads((HO3D / "HO3D_v3/evaluation_xyz.json").read_text())
    for batch, expected in zip(split.batches(), truth, strict=True):
        intrinsics = jnp.asarray(batch["intrinsics"])
        pose, bone = camera.to_25d(jnp.asarray(batch["keypoints_3d"]), intrinsics)
        # The depth is not the network's to know.
        estimate = Estimate(pose, jnp.full(1, jnp.nan))
        matrix = jnp.zeros((1, 2, 3))
        inferred = Inference(estimate, matrix, matrix, intrinsics, np.ones(1))
        joints = np.asarray(challenge.lift(inferred, batch, float(bone[0])))
        submitted = (joints * challenge.axes)[0, challenge.order]
        np.testing.assert_allclose(submitted, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_true_size_is_not_used_where_the_challenge_does_not_give_it(scale):
    """HO-3D's published labels have the size, and FreiHAND's the depth."""
    truth = np.random.default_rng(0).normal(size=(2, 21, 3)) * 0.1 + [0, 0, 0.6]
    intrinsics = jnp.tile(jnp.array([[500.0, 0, 100], [0, 500, 100], [0, 0, 1]]), (2, 1, 1))
    pose, bone = camera.to_25d(jnp.asarray(truth), intrinsics)
    matrix = jnp.zeros((2, 2, 3))
    estimate = Estimate(pose, jnp.full(2, 20.0))
    inferred = Inference(estimate, matrix, matrix, intrinsics, np.ones(2))
    batch = {"bone_length": np.asarray(bone), "keypoints_3d": truth}
    changed = {"freihand": "keypoints_3d", "ho3d/v2": "bone_length"}
    for name, field in changed.items():
        lift = submission.CHALLENGES[name].lift
        other = lift(inferred, batch | {field: scale * batch[field]}, 0.03)
        np.testing.assert_array_equal(lift(inferred, batch, 0.03), other)


def lay_out_ho3d(root, lines, drawing):
    """Writes HO-3D's layout with the frames of a list, each of a colour of its own."""
    for number, line in enumerate(lines):
        sequence, frame = line.split("/")
        image = root / f"evaluation/{sequence}/rgb/{frame}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        colour = (number * 7 % 256, number * 13 % 256, 255 - number % 256)
        Image.new("RGB", (640, 480), colour).save(image)
        meta = root / f"evaluation/{sequence}/meta/{frame}.pkl"
        meta.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawing, meta)
    (root / "evaluation.txt").write_text("\n".join(lines))
    return [
        (number * 7 % 256, number * 13 % 256, 255 - number % 256) for number in range(len(lines))
    ]


def test_images_come_in_the_order_of_the_official_list(opened, shared, tmp_path):
    """Which is not alphabetical, and not the order of the folders."""
    official = (shared / "fixtures/ho3d_mini/evaluation.txt").read_text().split()
    lines = official[::500]
    assert lines != sorted(lines)
    drawing = next((HO3D / "HO3D_v2/evaluation").glob("*/meta/*.pkl"))
    colours = lay_out_ho3d(tmp_path / "HO3D_v2", lines, drawing)
    given = configure_ho3d("", tmp_path, tmp_path / "records").data
    split = open_data(given, "evaluation", opened.description, "two_pass", 5).split
    batches = list(split.batches())
    numbers = np.concatenate([batch["sample_id"] for batch in batches])
    np.testing.assert_array_equal(numbers, range(len(lines)))
    images = np.concatenate([batch["image"] for batch in batches])
    seen = images[:, images.shape[1] // 2, images.shape[2] // 2].astype(int)
    np.testing.assert_allclose(seen, colours, atol=4)


def test_images_of_freihand_come_by_their_numbers(opened, records, shared):
    root = shared / "fixtures/freihand_mini"
    scales = json.loads((root / "evaluation_scale.json").read_text())
    given = configure("", root, records).data
    (batch,) = open_data(given, "evaluation", opened.description, "two_pass", 8).split.batches()
    np.testing.assert_array_equal(batch["sample_id"], range(8))
    np.testing.assert_allclose(batch["bone_length"], scales, rtol=1e-6)


def test_without_a_metric_network_there_is_no_size(
    finetuned, opened, records, tmp_path, monkeypatch
):
    description = dataclasses.replace(opened.description, statistics=None)
    unknown = dataclasses.replace(opened, description=description)
    monkeypatch.setattr(submission, "open_network", lambda *_: unknown)
    with pytest.raises(ValueError, match=r"does not tell the hands' size.*config\.checkpoint"):
        submission.submit(configure_ho3d(finetuned, HO3D, records), tmp_path)
