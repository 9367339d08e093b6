"""The HO-3D layout: listed frames alone, our axes and order, and a sentence for what is broken."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data import build, pickles, schema
from data.ho3d import layout
from data.ho3d.ho3d_dataset_builder import Builder

DUMMY = Path(layout.__file__).parent / "dummy_data"
# HO-3D's order, finger by finger: index, middle, little, ring, thumb, then the tips.
INDEX, MIDDLE, LITTLE, RING, THUMB = ([3 * f + j for j in (1, 2, 3)] for f in range(5))
OURS = [0, *THUMB, 16, *INDEX, 17, *MIDDLE, 18, *RING, 19, *LITTLE, 20]


def prepared(manual_dir, data_dir, version="v2"):
    builder = Builder(data_dir=data_dir, config=version)
    build.prepare(builder, manual_dir)
    return builder


def read(builder, split):
    return list(builder.as_data_source(split))


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return {version: prepared(DUMMY, folder, version) for version in ("v2", "v3")}


@pytest.fixture(params=["v2", "v3"])
def version(request):
    return request.param


def listed(version, name):
    root = DUMMY / f"HO3D_{version}"
    for line in (root / f"{name}.txt").read_text().split():
        sequence, frame = line.split("/")
        folder = root / name / sequence
        image = folder / "rgb" / (frame + {"v2": ".png", "v3": ".jpg"}[version])
        yield image, pickles.load(folder / "meta" / f"{frame}.pkl")


def test_v2_is_what_is_meant_without_a_configuration(tmp_path):
    assert Builder(data_dir=tmp_path).builder_config.name == "v2"


def test_training_labels_are_those_of_the_files_in_our_axes_and_order(dummy, version):
    records = read(dummy[version], "train")
    assert [record["sample_id"] for record in records] == [0, 1, 2, 3]
    for record, (_, meta) in zip(records, listed(version, "train"), strict=True):
        expected = (np.asarray(meta["handJoints3D"]) * [1, -1, -1])[OURS]
        np.testing.assert_allclose(record["keypoints_3d"], expected, rtol=1e-6)
        np.testing.assert_allclose(record["intrinsics"], meta["camMat"], rtol=1e-6)
        projected = expected @ np.asarray(meta["camMat"]).T
        np.testing.assert_allclose(
            record["keypoints_2d"], projected[:, :2] / projected[:, 2:], rtol=1e-5
        )
        assert all(np.all(record[f"{name}_valid"]) for name in schema.LABELS)
        bone = np.linalg.norm(expected[9] - expected[10])
        np.testing.assert_allclose(record["bone_length"], bone, rtol=1e-5)
        derived = [*record["keypoints_2d"].min(0), *record["keypoints_2d"].max(0)]
        np.testing.assert_allclose(record["hand_box"], derived)
        assert schema.HANDEDNESS[record["handedness"]] == "right"
        assert (record["keypoints_3d"][:, 2] > 0).all()


def test_evaluation_frames_have_root_box_and_camera_alone(dummy):
    records = read(dummy["v2"], "evaluation")
    for record, (_, meta) in zip(records, listed("v2", "evaluation"), strict=True):
        for name in ("keypoints_2d", "keypoints_3d"):
            assert record[f"{name}_valid"].tolist() == [True] + [False] * 20
            assert not record[name][1:].any()
        root = np.asarray(meta["handJoints3D"]) * [1, -1, -1]
        np.testing.assert_allclose(record["keypoints_3d"][0], root, rtol=1e-6)
        np.testing.assert_allclose(record["hand_box"], meta["handBoundingBox"])
        assert record["intrinsics_valid"]
        assert not record["bone_length_valid"]


def test_published_ground_truth_completes_the_evaluation(dummy):
    truth = np.asarray(json.loads((DUMMY / "HO3D_v3" / layout.GROUND_TRUTH).read_text()))
    records = read(dummy["v3"], "evaluation")
    for record, joints, (_, meta) in zip(records, truth, listed("v3", "evaluation"), strict=True):
        np.testing.assert_allclose(record["keypoints_3d"], (joints * [1, -1, -1])[OURS], rtol=1e-6)
        assert all(np.all(record[f"{name}_valid"]) for name in schema.LABELS)
        np.testing.assert_allclose(record["hand_box"], meta["handBoundingBox"])


def test_pngs_become_jpegs_and_jpegs_stay(dummy, version):
    source = dummy[version].as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    for record, (path, _) in zip(source, listed(version, "train"), strict=True):
        assert record["image"].startswith(b"\xff\xd8")
        assert (record["image"] == path.read_bytes()) == (version == "v3")
    for record, (path, _) in zip(
        read(dummy[version], "train"), listed(version, "train"), strict=True
    ):
        with Image.open(path) as image:
            difference = np.abs(record["image"].astype(int) - np.asarray(image))
        assert difference.mean() < 2


def test_the_official_list_is_understood(shared, tmp_path):
    root = tmp_path / "HO3D_v2"
    (root / "evaluation").mkdir(parents=True)
    shutil.copy(shared / "fixtures/ho3d_mini/evaluation.txt", root)
    with pytest.raises(FileNotFoundError, match=r"SM1.rgb.0000\.png is missing, entry 0 of"):
        layout.read_evaluation(root, "v2", root)


def pack(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder.parent))


def test_the_archive_itself_will_do(tmp_path):
    """With the ground truth, which is another download, beside it."""
    (tmp_path / "raw").mkdir()
    pack(tmp_path / "raw/HO3D_v3.zip", DUMMY / "HO3D_v3")
    shutil.copy(DUMMY / "HO3D_v3" / layout.GROUND_TRUTH, tmp_path / "raw")
    builder = prepared(tmp_path / "raw", tmp_path / "records", "v3")
    assert builder.info.splits["train"].num_examples == 4
    assert read(builder, "evaluation")[0]["keypoints_3d_valid"].all()
    assert builder.info.metadata["manual_dir"] == str(tmp_path / "raw")


def test_ground_truth_beside_the_version_folder_will_do(raw, tmp_path):
    truth = [[meta["handJoints3D"].tolist()] * 21 for _, meta in listed("v2", "evaluation")]
    (raw.parent / layout.GROUND_TRUTH).write_text(json.dumps(truth))
    frames = layout.read_evaluation(raw, "v2", raw.parent)
    assert frames.valid.all()
    assert layout.read_evaluation(raw, "v2", raw).valid.sum() == 1


@pytest.fixture
def raw(raw_files):
    return raw_files("ho3d") / "HO3D_v2"


@pytest.mark.parametrize("missing", ["train", "evaluation"])
def test_a_whole_folder_may_be_absent(raw, tmp_path, missing):
    shutil.rmtree(raw / missing)
    splits = set(prepared(raw, tmp_path / "records").info.splits)
    assert splits == {"train", "evaluation"} - {missing}


def edit(path, **changes):
    content = pickle.loads(path.read_bytes())  # our own files
    path.write_bytes(pickle.dumps(content | changes, 2))


def truth(change):
    def write(root):
        joints = [np.zeros((21, 3)) + m["handJoints3D"] for _, m in listed("v2", "evaluation")]
        change(joints)
        content = json.dumps([np.asarray(joint).tolist() for joint in joints])
        (root / layout.GROUND_TRUTH).write_text(content)

    return write


def nan_joint(joints):
    joints[1][5, 2] = np.nan


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


FIRST, ROOT = "train/SM2/meta/0001.pkl", "evaluation/SM1/meta/0001.pkl"
BREAKAGES = {
    "labels of None": (
        lambda d: edit(d / FIRST, handJoints3D=None),
        r"SM2/meta/0001\.pkl has no handJoints3D, which every listed frame has",
    ),
    "a list of an unlabelled frame": (
        lambda d: (d / "train.txt").write_text("SM2/0003\n"),
        r"SM2/meta/0003\.pkl has no handJoints3D",
    ),
    "label absent": (
        lambda d: (d / ROOT).write_bytes(pickle.dumps({"camMat": np.eye(3)})),
        r"SM1/meta/0001\.pkl has no handJoints3D",
    ),
    "no dictionary": (
        lambda d: (d / FIRST).write_bytes(pickle.dumps([1])),
        r"0001\.pkl has no handJoints3D",
    ),
    "wrong shape": (
        lambda d: edit(d / FIRST, camMat=np.eye(4)),
        r"camMat has shape \(4, 4\), expected \(3, 3\)",
    ),
    "root instead of joints": (
        lambda d: edit(d / FIRST, handJoints3D=np.zeros(3)),
        r"handJoints3D has shape \(3,\), expected \(21, 3\)",
    ),
    "text": (
        lambda d: edit(d / FIRST, camMat="none"),
        r"camMat does not hold numbers",
    ),
    "NaN joint": (
        lambda d: edit(d / FIRST, handJoints3D=np.full((21, 3), np.nan)),
        r"handJoints3D holds NaN or infinity",
    ),
    "other axes": (
        lambda d: edit(d / FIRST, handJoints3D=np.ones((21, 3))),
        r"SM2/meta/0001\.pkl: joint 0 lies behind the camera \(z = -1\.0 m",
    ),
    "empty box": (
        lambda d: edit(d / ROOT, handBoundingBox=[5, 5, 5, 9]),
        r"handBoundingBox is \[5\.0, 5\.0, 5\.0, 9\.0\], expected x0, y0, x1, y1",
    ),
    "code in a pickle": (
        lambda d: (d / FIRST).write_bytes(pickle.dumps({"camMat": Evil()})),
        r"SM2/meta/0001\.pkl refers to (posix|nt)\.system, .* nothing of it was run",
    ),
    "truncated pickle": (
        lambda d: (d / FIRST).write_bytes((d / FIRST).read_bytes()[:50]),
        r"SM2/meta/0001\.pkl is not a pickle, corrupt or truncated",
    ),
    "missing pickle": (lambda d: (d / FIRST).unlink(), r"SM2/meta/0001\.pkl is missing"),
    "missing image": (
        lambda d: (d / "train/ABF10/rgb/0002.png").unlink(),
        r"ABF10/rgb/0002\.png is missing, entry 2 of .*train\.txt.*: fetch",
    ),
    "image of the other version": (
        lambda d: (d / "train/ABF10/rgb/0002.png").rename(d / "train/ABF10/rgb/0002.jpg"),
        r"0002\.png is missing.*there is one of HO-3D v3, so choose ho3d/v3",
    ),
    "truncated image": (
        lambda d: (d / "train/ABF10/rgb/0002.png").write_bytes(
            (d / "train/ABF10/rgb/0002.png").read_bytes()[:3000]
        ),
        r"ABF10/rgb/0002\.png is not an image, corrupt or truncated.*: fetch",
    ),
    "missing list": (
        lambda d: (d / "train.txt").unlink(),
        r"train\.txt is missing, which says which frames",
    ),
    "empty list": (lambda d: (d / "train.txt").write_text("\n"), r"train\.txt lists no frame"),
    "path in a list": (
        lambda d: (d / "train.txt").write_text("SM2/0001\n../../etc/0000\n"),
        r"train\.txt: entry 1 is '\.\./\.\./etc/0000', expected SEQUENCE/FRAME",
    ),
    "short ground truth": (
        truth(lambda joints: joints.pop()),
        r"evaluation_xyz\.json has 2 entries, but evaluation\.txt lists 3 frames",
    ),
    "ground truth of other frames": (
        truth(lambda joints: joints.reverse()),
        r"evaluation_xyz\.json: the wrist of entry \d lies [\d.]+ mm from the root",
    ),
    "NaN in the ground truth": (
        truth(nan_joint),
        r"evaluation_xyz\.json: entry 1, joint 5 is nan",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_files_are_named_and_nothing_stays(raw, refused, breakage):
    break_it, message = BREAKAGES[breakage]
    break_it(raw)
    refused("ho3d", raw, message)
