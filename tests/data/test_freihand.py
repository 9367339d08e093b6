"""The FreiHAND layout: splits, partial labels, and a clear sentence for each way to be broken."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from data.build import main
from tests.data.breakages import cut, edit_json, edited, moved, removed, written
from tests.data.records import DATA, assert_projected, counts, read

NAME = "freihand"
DUMMY = DATA / NAME / "dummy_data"


def test_versions_of_a_sample_stay_on_one_side(dummy):
    sides = {split: read(dummy, split) for split in ("train", "validation")}
    ids = {split: {r["sample_id"] for r in records} for split, records in sides.items()}
    assert ids["train"] | ids["validation"] == set(range(4))
    assert not ids["train"] & ids["validation"]
    for split, records in sides.items():
        pairs = [(r["version"], r["sample_id"]) for r in records]
        assert pairs == sorted(pairs)
        assert len(set(pairs)) == len(pairs) == 4 * len(ids[split])
    assert counts(dummy) == {"train": 12, "validation": 4, "evaluation": 2}


def test_labels_are_those_of_the_files(dummy):
    points = np.asarray(json.loads((DUMMY / "training_xyz.json").read_text()))
    intrinsics = np.asarray(json.loads((DUMMY / "training_K.json").read_text()))
    for record in read(dummy, "train"):
        sample = record["sample_id"]
        np.testing.assert_allclose(record["keypoints_3d"], points[sample], rtol=1e-6)
        assert_projected(record["keypoints_2d"], points[sample], intrinsics[sample])
        bone = np.linalg.norm(points[sample, 9] - points[sample, 10])
        np.testing.assert_allclose(record["bone_length"], bone, rtol=1e-5)
        assert record["hand_mask"]
        assert not record["visible_valid"].any()


def test_missing_labels_are_marked(raw, prepared):
    for name in ("training_xyz", "training_scale", "evaluation_xyz"):
        (raw / f"{name}.json").unlink()
    builder = prepared(raw)
    for split in ("train", "evaluation"):
        record = read(builder, split)[0]
        assert record["intrinsics_valid"]
        assert record["bone_length_valid"] == (split == "evaluation")
        for name in ("keypoints_2d", "keypoints_3d", "hand_box"):
            assert not np.any(record[f"{name}_valid"])


def test_a_shorter_set_is_told_by_its_versions(raw, capsys):
    """Label files cut to the same length are those of fewer hands in more versions."""
    build = ["--check", f"--manual_dir={raw}"]
    assert main([NAME, *build]) == 0
    assert "training: 4 hands in 4 versions each" in capsys.readouterr().out.splitlines()
    for name in ("K", "xyz", "scale"):
        edit_json(raw / f"training_{name}.json", lambda labels: labels[:2])
    assert main([NAME, *build]) == 0
    assert "training: 2 hands in 8 versions each" in capsys.readouterr().out.splitlines()


def test_images_that_were_resized_are_refused(shared, tmp_path, refused):
    raw = shutil.copytree(shared / "fixtures/freihand_mini", tmp_path / "raw")
    for path in (raw / "evaluation/rgb").glob("*.jpg"):
        with Image.open(path) as image:
            image.resize((256, 256)).save(path)
    refused(
        raw, r"the camera's centre is \(112\.4, 112\.4\), that of the images \(127\.5, 127\.5\)"
    )


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_that_are_stored_turned_are_refused(raw, refused, orientation):
    for name in ("training/rgb/00000005.jpg", "training/rgb/00000006.jpg"):
        with Image.open(raw / name) as image:
            exif = image.getexif()
            exif[ExifTags.Base.Orientation] = orientation
            image.save(raw / name, exif=exif)
    if orientation == 1:
        assert main([NAME, "--check", f"--manual_dir={raw}"]) == 0
        return
    refused(
        raw,
        rf"rgb/00000005\.jpg is stored turned \(EXIF orientation {orientation}\), and 1 other .*: "
        "store it upright, or fetch",
    )


def test_an_absent_part_is_said(raw, prepared):
    shutil.rmtree(raw / "evaluation")
    (text,) = prepared(raw).info.metadata["left_out"]
    assert text == "the evaluation images: there is no folder evaluation/rgb"


def nan_joint(content):
    content[2][5][1] = float("nan")


def short_joints(content):
    content[1].pop()


IMAGES = "training/rgb"
BREAKAGES = [
    (cut(f"{IMAGES}/00000006.jpg", -20), r"00000006\.jpg is corrupt or truncated.*: fetch"),
    (cut("evaluation/rgb/00000001.jpg", 400), r"evaluation/rgb/00000001\.jpg is corrupt"),
    (written(f"{IMAGES}/00000003.jpg"), r"00000003\.jpg is corrupt or truncated \(not a JPEG\)"),
    (cut("training/mask/00000002.jpg", -20), r"mask/00000002\.jpg is corrupt"),
    (moved(f"{IMAGES}/00000006.jpg", "00000016.jpg"), r"00000006\.jpg is missing.*index 6"),
    (
        removed(f"{IMAGES}/00000009.jpg"),
        r"training/rgb holds 15 images, expected a multiple of 4, .*; 00000009\.jpg is missing:",
    ),
    (
        moved(f"{IMAGES}/00000002.jpg", "00000002.JPG"),
        r"training/rgb holds 15 images, .*00000002\.jpg is missing; 1 files end in '\.JPG': fetch",
    ),
    (
        written(f"{IMAGES}/00000016.jpg"),
        r"training/rgb holds 17 images, .* label files; 00000016\.jpg is too many: fetch",
    ),
    (
        removed("evaluation/rgb/00000000.jpg"),
        r"evaluation/rgb holds 1 images, expected 2, .*; 00000000\.jpg is missing: fetch",
    ),
    (
        edited("training_scale.json", lambda labels: labels[:-1]),
        r"training_K\.json has 4, training_xyz\.json has 4, training_scale\.json has 3",
    ),
    (edited("training_xyz.json", nan_joint), r"training_xyz\.json: entry 2, joint 5 is nan"),
    (
        edited("training_xyz.json", short_joints),
        r"training_xyz\.json: entry 1 has shape \(20, 3\), expected \(21, 3\)",
    ),
    (cut("evaluation_K.json", 100), r"evaluation_K\.json is not JSON"),
    (removed("training_*.json"), r"has images in training/rgb but no training_K\.json"),
]


@pytest.mark.parametrize(("break_it", "message"), BREAKAGES)
def test_broken_files_are_named_before_anything_is_written(raw, refused, break_it, message):
    break_it(raw)
    refused(raw, message)


def test_a_folder_that_may_not_be_read_is_told(raw, refused, monkeypatch):
    def refuse(path):
        if os.fspath(path).endswith("training/rgb"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return listdir(path)

    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", refuse)
    refused(raw, r"training/rgb may not be opened \(EACCES\): see to its rights")


def test_real_images_with_partial_labels(shared, prepared):
    """One hand in four versions with 2-D labels; evaluation images with a camera but no joints."""
    builder = prepared(shared / "fixtures/freihand_mini")
    assert counts(builder) == {"train": 4, "evaluation": 8}
    for version, record in enumerate(read(builder, "train")):
        assert (record["sample_id"], record["version"]) == (0, version)
        assert record["keypoints_2d_valid"].all()
        assert record["hand_box_valid"]
        for name in ("keypoints_3d", "intrinsics", "bone_length"):
            assert not np.any(record[f"{name}_valid"])
    for record in read(builder, "evaluation"):
        assert record["intrinsics_valid"]
        assert record["bone_length_valid"]
        assert not record["keypoints_2d_valid"].any()
        assert not record["hand_box_valid"]


def test_real_images_with_all_labels(shared, prepared):
    builder = prepared(shared / "fixtures/ge_realworld_fhlayout_mini")
    assert counts(builder) == {"train": 29, "validation": 3, "evaluation": 16}
    for record in read(builder, "train+validation"):
        assert all(np.all(record[f"{n}_valid"]) for n in ("keypoints_2d", "keypoints_3d"))
        x0, y0, x1, y1 = record["hand_box"]
        height, width, _ = record["image"].shape
        assert -30 < x0 < x1 < width + 30
        assert -30 < y0 < y1 < height + 30
