"""The HO-3D layout: listed frames alone, our axes and order, and a sentence for what is broken."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import pickles, schema
from data.ho3d import layout
from data.ho3d.ho3d_dataset_builder import Builder
from tests.data.breakages import cut, moved, removed, written
from tests.data.records import DATA, ENCODED, assert_projected, counts, read, write

NAME = "ho3d"
DUMMY = DATA / NAME / "dummy_data"
# HO-3D's order, finger by finger: index, middle, little, ring, thumb, then the tips.
INDEX, MIDDLE, LITTLE, RING, THUMB = ([3 * f + j for j in (1, 2, 3)] for f in range(5))
OURS = [0, *THUMB, 16, *INDEX, 17, *MIDDLE, 18, *RING, 19, *LITTLE, 20]


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return {version: write(f"ho3d/{version}", DUMMY, folder) for version in ("v2", "v3")}


@pytest.fixture(params=["v2", "v3"])
def version(request):
    return request.param


def listed(version, name):
    root = DUMMY / f"HO3D_{version}"
    for line in (root / f"{name}.txt").read_text().split():
        sequence, frame = line.split("/")
        folder = root / name / sequence
        image = folder / "rgb" / (frame + {"v2": ".png", "v3": ".jpg"}[version])
        meta = pickles.load(folder / "meta" / f"{frame}.pkl")
        labels = ("handJoints3D", "camMat", "handBoundingBox")
        yield image, {key: pickles.as_numbers(meta[key], 100) for key in labels if key in meta}


def test_v2_is_what_is_meant_without_a_configuration(tmp_path):
    assert Builder(data_dir=tmp_path).builder_config.name == "v2"


def training(builder, decoders=None):
    """All training frames, in the order of the list."""
    records = read(builder, "train+validation", decoders)
    return sorted(records, key=lambda record: record["sample_id"])


def test_training_labels_are_those_of_the_files_in_our_axes_and_order(dummy, version):
    records = training(dummy[version])
    assert [record["sample_id"] for record in records] == [0, 1, 2, 3]
    for record, (_, meta) in zip(records, listed(version, "train"), strict=True):
        expected = (np.asarray(meta["handJoints3D"]) * [1, -1, -1])[OURS]
        np.testing.assert_allclose(record["keypoints_3d"], expected, rtol=1e-6)
        np.testing.assert_allclose(record["intrinsics"], meta["camMat"], rtol=1e-6)
        assert_projected(record["keypoints_2d"], expected, meta["camMat"])
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
    stored, seen = training(dummy[version], ENCODED), training(dummy[version])
    for record, decoded, (path, _) in zip(stored, seen, listed(version, "train"), strict=True):
        assert record["image"].startswith(b"\xff\xd8")
        assert (record["image"] == path.read_bytes()) == (version == "v3")
        with Image.open(path) as image:
            assert np.abs(decoded["image"].astype(int) - np.asarray(image)).mean() < 2


def test_the_official_list_is_understood(shared, tmp_path):
    root = tmp_path / "HO3D_v2"
    (root / "evaluation").mkdir(parents=True)
    shutil.copy(shared / "fixtures/ho3d_mini/evaluation.txt", root)
    with pytest.raises(FileNotFoundError, match=r"SM1.rgb.0000\.png is missing, entry 0 of"):
        layout.read_evaluation(root, "v2", root)


def test_an_absent_part_is_said(raw, prepared):
    shutil.rmtree(raw / "HO3D_v2/train")
    (raw / "HO3D_v2/train.txt").unlink()
    builder = prepared(raw, "v2")
    assert counts(builder) == {"evaluation": 3}
    (text,) = builder.info.metadata["left_out"]
    assert text == f"the train frames: {raw / 'HO3D_v2/train'} is not there"


def test_a_byte_order_mark_is_no_name(raw):
    before = layout.read_train(raw / "HO3D_v2", "v2").images
    listed = raw / "HO3D_v2" / "train.txt"
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes())
    assert layout.read_train(raw / "HO3D_v2", "v2").images == before


def test_the_archive_itself_will_do(prepared, tmp_path):
    """With the ground truth, which is another download, beside it."""
    raw = tmp_path / "raw"
    raw.mkdir()
    with zipfile.ZipFile(raw / "HO3D_v3.zip", "w") as archive:
        for file in (DUMMY / "HO3D_v3").rglob("*"):
            archive.write(file, file.relative_to(DUMMY))
        archive.writestr("HO3D_v3/train/ABF11/depth/0000.png", b"x")
    shutil.copy(DUMMY / "HO3D_v3" / layout.GROUND_TRUTH, raw)
    builder = prepared(raw, "v3")
    assert counts(builder) == {"train": 2, "validation": 2, "evaluation": 3}
    assert read(builder, "evaluation")[0]["keypoints_3d_valid"].all()
    assert builder.info.metadata["manual_dir"] == str(raw)
    unpacked = tmp_path / "records/downloads/extracted"
    assert list(unpacked.glob("*/train/*/rgb"))
    assert not list(unpacked.rglob("depth"))


def whole_hands():
    """A hand at the wrist of each evaluation frame."""
    hand = next(listed("v2", "train"))[1]["handJoints3D"]
    return [hand - hand[0] + meta["handJoints3D"] for _, meta in listed("v2", "evaluation")]


def test_ground_truth_beside_the_version_folder_will_do(raw):
    truth = [hand.tolist() for hand in whole_hands()]
    (raw / layout.GROUND_TRUTH).write_text(json.dumps(truth))
    frames = layout.read_evaluation(raw / "HO3D_v2", "v2", raw)
    assert frames.valid.all()
    # The version's folder alone is named, and has neighbours.
    assert layout.read_evaluation(raw / "HO3D_v2", "v2", raw / "HO3D_v2").valid.all()
    (raw / layout.GROUND_TRUTH).unlink()
    assert layout.read_evaluation(raw / "HO3D_v2", "v2", raw / "HO3D_v2").valid.sum() == 1


def test_one_person_is_held_out():
    """Whole sequences with all cameras of a take; by takes and not at all where there are fewer."""

    def held(**frames):
        images = [
            Path(f"train/{sequence}/rgb/{n:04d}.png")
            for sequence, count in frames.items()
            for n in range(count)
        ]
        mask = layout.held_out(images)
        return {image.parts[1] for image, out in zip(images, mask, strict=True) if out}

    assert held(ABF10=5, ABF14=6, BB12=40, ShSu10=9, SMu1=30, SM2=20, SiBF11=3) == {
        "ABF10",
        "ABF14",
    }
    assert held(SM2=9, SMu41=2, SMu42=1, SS1=30) == {"SMu41", "SMu42"}
    assert held(SB10=9, SB12=9) == set()


def test_both_sides_share_no_sequence(dummy, version):
    sides = [
        {record["sample_id"] for record in read(dummy[version], split)}
        for split in ("train", "validation")
    ]
    sequences = [image.parents[1].name for image, _ in listed(version, "train")]
    first, second = ({sequences[number] for number in side} for side in sides)
    assert all((first, second))
    assert not first & second


def truth(change):
    def write(root):
        joints = whole_hands()
        change(joints)
        content = json.dumps([np.asarray(joint).tolist() for joint in joints])
        (root / layout.GROUND_TRUTH).write_text(content)

    return write


def nan_joint(joints):
    joints[1][5, 2] = np.nan


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


META, ROOT = "train/SM2/meta/0001.pkl", "evaluation/SM1/meta/0001.pkl"
IMAGE = "train/ABF10/rgb/0002.png"


def labels(name=META, **changes):
    content = pickle.loads((DUMMY / "HO3D_v2" / name).read_bytes())  # our own files
    return written(name, pickle.dumps(content | changes, 2))


NO_LABEL = "has no handJoints3D"
# In MANO's order the middle finger's MCP and PIP, which coincide here, are joints 4 and 5.
FOLDED = np.array([[0.004 * joint, 0.003 * (joint % 5), -0.5] for joint in range(21)])
FOLDED[5] = FOLDED[4]
BREAKAGES = [
    (labels(handJoints3D=None), rf"SM2/meta/0001\.pkl {NO_LABEL}, which every listed frame has"),
    (written("train.txt", "SM2/0003\n"), rf"SM2/meta/0003\.pkl {NO_LABEL}"),
    (written(ROOT, pickle.dumps({"camMat": np.eye(3)})), rf"SM1/meta/0001\.pkl {NO_LABEL}"),
    (written(META, pickle.dumps([1])), rf"0001\.pkl {NO_LABEL}"),
    (labels(camMat=np.eye(4)), r"camMat has shape \(4, 4\), expected \(3, 3\)"),
    (labels(handJoints3D=np.zeros(3)), r"handJoints3D has shape \(3,\), expected \(21, 3\)"),
    (labels(camMat="none"), "camMat does not hold numbers"),
    (labels(handJoints3D=np.full((21, 3), np.nan)), "handJoints3D holds NaN or infinity"),
    (
        labels(handJoints3D=np.ones((21, 3))),
        r"SM2/meta/0001\.pkl: handJoints3D: joint 0 lies behind the camera \(z = -1\.0 m",
    ),
    (
        labels(handJoints3D=FOLDED),
        r"SM2/meta/0001\.pkl: handJoints3D: joints 9 and 10 lie 0 m apart",
    ),
    (
        labels(ROOT, handBoundingBox=[5, 5, 5, 9]),
        r"handBoundingBox is \[5\.0, 5\.0, 5\.0, 9\.0\], expected x0, y0, x1, y1",
    ),
    (
        written(META, pickle.dumps({"camMat": Evil()})),
        r"SM2/meta/0001\.pkl refers to (posix|nt)\.system, .* nothing of it was run",
    ),
    (cut(META, 50), r"SM2/meta/0001\.pkl is not a pickle, corrupt or truncated"),
    (removed(META), r"SM2/meta/0001\.pkl is missing: fetch the file again from the HO-3D archive"),
    (
        lambda root: shutil.rmtree(root / "train"),
        r"train\.txt lists 4 frames, but .*HO3D_v2/train is not there: unpack .* remove the list",
    ),
    (removed(IMAGE), r"ABF10/rgb/0002\.png is missing, entry 2 of .*train\.txt.*: fetch"),
    (
        moved(IMAGE, "0002.jpg"),
        r"0002\.png is missing.*there is one of HO-3D v3, so choose ho3d/v3",
    ),
    (cut(IMAGE, 3000), r"ABF10/rgb/0002\.png is not an image, corrupt or truncated.*: fetch"),
    (removed("train.txt"), r"train\.txt is missing, which says which frames"),
    (written("train.txt", "\n"), r"train\.txt lists no frame"),
    (
        written("train.txt", "SM2/0001\nABF10/0002\nSM2/0001\n"),
        r"train\.txt: entries 0 and 2 are both SM2/0001: fetch",
    ),
    (
        written("train.txt", "SM2/0001\n../../etc/0000\n"),
        r"train\.txt: entry 1 is '\.\./\.\./etc/0000', expected SEQUENCE/FRAME",
    ),
    (
        truth(lambda joints: joints.pop()),
        r"evaluation_xyz\.json has 2 entries, but evaluation\.txt lists 3 frames",
    ),
    (
        truth(lambda joints: joints.reverse()),
        r"evaluation_xyz\.json: the wrist of entry \d lies [\d.]+ mm from the root",
    ),
    (truth(nan_joint), r"evaluation_xyz\.json: entry 1, joint 5 is nan"),
]


@pytest.mark.parametrize(("break_it", "message"), BREAKAGES)
def test_broken_files_are_named_and_nothing_stays(raw, refused, break_it, message):
    break_it(raw / "HO3D_v2")
    refused(raw, message)
