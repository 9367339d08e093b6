"""The FreiHAND layout: splits, partial labels, and a clear sentence for each way to be broken."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data import build
from data.freihand import layout

DUMMY = Path(layout.__file__).parent / "dummy_data"


def prepared(manual_dir, data_dir):
    builder = build.make_builder("freihand", data_dir)
    build.prepare(builder, manual_dir)
    return builder


def read(builder, split):
    return list(builder.as_data_source(split))


@pytest.fixture
def raw(raw_files):
    return raw_files("freihand")


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    return prepared(DUMMY, tmp_path_factory.mktemp("records"))


def test_versions_of_a_sample_stay_on_one_side(dummy):
    sides = [{r["sample_id"] for r in read(dummy, s)} for s in ("train", "validation")]
    assert sides[0] | sides[1] == set(range(4))
    assert not sides[0] & sides[1]
    for split in ("train", "validation"):
        records = read(dummy, split)
        pairs = [(r["version"], r["sample_id"]) for r in records]
        assert pairs == sorted(pairs)
        assert len(set(pairs)) == len(pairs) == 4 * len({r["sample_id"] for r in records})
    assert dummy.info.splits["train+validation"].num_examples == 16
    assert dummy.info.splits["evaluation"].num_examples == 2


def test_labels_are_those_of_the_files(dummy):
    points = np.asarray(json.loads((DUMMY / "training_xyz.json").read_text()))
    intrinsics = np.asarray(json.loads((DUMMY / "training_K.json").read_text()))
    for record in read(dummy, "train"):
        sample = record["sample_id"]
        np.testing.assert_allclose(record["keypoints_3d"], points[sample], rtol=1e-6)
        projected = points[sample] @ intrinsics[sample].T
        np.testing.assert_allclose(
            record["keypoints_2d"], projected[:, :2] / projected[:, 2:], rtol=1e-5
        )
        bone = np.linalg.norm(points[sample, 9] - points[sample, 10])
        np.testing.assert_allclose(record["bone_length"], bone, rtol=1e-5)
        assert record["hand_mask"]
        assert not record["visible_valid"].any()


def test_records_can_be_read_in_any_order(dummy):
    assert dummy.info.file_format.value == "array_record"
    source = dummy.as_data_source("train")
    assert source[7]["version"] == 2


def test_missing_labels_are_marked(raw, tmp_path):
    for name in ("training_xyz", "training_scale", "evaluation_xyz"):
        (raw / f"{name}.json").unlink()
    builder = prepared(raw, tmp_path / "records")
    for split in ("train", "evaluation"):
        record = read(builder, split)[0]
        assert record["intrinsics_valid"]
        assert record["bone_length_valid"] == (split == "evaluation")
        for name in ("keypoints_2d", "keypoints_3d", "hand_box"):
            assert not np.any(record[f"{name}_valid"])


@pytest.mark.parametrize("missing", ["training", "evaluation"])
def test_a_whole_folder_may_be_absent(raw, tmp_path, missing):
    shutil.rmtree(raw / missing)
    splits = set(prepared(raw, tmp_path / "records").info.splits)
    assert splits == ({"evaluation"} if missing == "training" else {"train", "validation"})


def edit_json(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def set_joint(value):
    def change(content):
        content[2][5][1] = value
        return content

    return change


def truncate(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


BREAKAGES = {
    "truncated image": (
        lambda d: truncate(d / "training/rgb/00000006.jpg", -20),
        r"00000006\.jpg is corrupt or truncated.*: fetch",
    ),
    "half an image": (
        lambda d: truncate(d / "evaluation/rgb/00000001.jpg", 400),
        r"evaluation/rgb/00000001\.jpg is corrupt",
    ),
    "no image at all": (
        lambda d: (d / "training/rgb/00000003.jpg").write_text("<html>404</html>"),
        r"00000003\.jpg is corrupt or truncated \(not a JPEG\)",
    ),
    "truncated mask": (
        lambda d: truncate(d / "training/mask/00000002.jpg", -20),
        r"mask/00000002\.jpg is corrupt",
    ),
    "missing image": (
        lambda d: (d / "training/rgb/00000006.jpg").rename(d / "training/rgb/00000016.jpg"),
        r"00000006\.jpg is missing.*index 6",
    ),
    "image count": (
        lambda d: (d / "training/rgb/00000015.jpg").unlink(),
        r"training/rgb holds 15 images, expected a multiple of 4",
    ),
    "short labels": (
        lambda d: edit_json(d / "training_scale.json", lambda x: x[:-1]),
        r"training_K\.json has 4, training_xyz\.json has 4, training_scale\.json has 3",
    ),
    "NaN joint": (
        lambda d: edit_json(d / "training_xyz.json", set_joint(float("nan"))),
        r"training_xyz\.json: entry 2, joint 5 is nan",
    ),
    "infinite joint": (
        lambda d: edit_json(d / "training_xyz.json", set_joint(float("inf"))),
        r"training_xyz\.json: entry 2, joint 5 is inf",
    ),
    "joint missing": (
        lambda d: edit_json(d / "training_xyz.json", lambda x: [*x[:1], x[1][:20], *x[2:]]),
        r"training_xyz\.json: entry 1 has shape \(20, 3\), expected \(21, 3\)",
    ),
    "text for a number": (
        lambda d: edit_json(d / "training_xyz.json", set_joint("left")),
        r"training_xyz\.json: entry 2 has shape ragged or not numeric",
    ),
    "broken JSON": (
        lambda d: truncate(d / "evaluation_K.json", 100),
        r"evaluation_K\.json is not valid JSON",
    ),
    "no labels": (
        lambda d: [path.unlink() for path in d.glob("training_*.json")],
        r"has images in training/rgb but no training_K\.json",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_files_are_named_before_anything_is_written(raw, refused, breakage):
    break_it, message = BREAKAGES[breakage]
    break_it(raw)
    refused("freihand", raw, message)


def test_real_images_with_partial_labels(shared, tmp_path):
    """One hand in four versions with 2-D labels; evaluation images with a camera but no joints."""
    builder = prepared(shared / "fixtures/freihand_mini", tmp_path)
    assert {s: i.num_examples for s, i in builder.info.splits.items()} == {
        "train": 4,
        "evaluation": 8,
    }
    for version, record in enumerate(read(builder, "train")):
        assert (record["sample_id"], record["version"]) == (0, version)
        assert record["keypoints_2d_valid"].all()
        assert record["hand_box_valid"]
        assert not record["keypoints_3d_valid"].any()
        assert not record["intrinsics_valid"]
        assert not record["bone_length_valid"]
    for record in read(builder, "evaluation"):
        assert record["intrinsics_valid"]
        assert record["bone_length_valid"]
        assert not record["keypoints_2d_valid"].any()
        assert not record["hand_box_valid"]


def test_real_images_with_all_labels(shared, tmp_path):
    builder = prepared(shared / "fixtures/ge_realworld_fhlayout_mini", tmp_path)
    assert {s: i.num_examples for s, i in builder.info.splits.items()} == {
        "train": 29,
        "validation": 3,
        "evaluation": 16,
    }
    for record in read(builder, "train+validation"):
        assert all(np.all(record[f"{n}_valid"]) for n in ("keypoints_2d", "keypoints_3d"))
        x0, y0, x1, y1 = record["hand_box"]
        height, width, _ = record["image"].shape
        assert -30 < x0 < x1 < width + 30
        assert -30 < y0 < y1 < height + 30
