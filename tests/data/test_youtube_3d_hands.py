"""YouTube3DHands: joints or tips from vertices, missing frames, and each way to be broken."""

import json
import pickle
import shutil
import sys
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse

from data import build, schema
from data.youtube_3d_hands import layout, mano
from peclr_jax.hands import skeleton
from peclr_jax.models import torch_writing
from tests.data import records
from tests.data.breakages import cut, edit_json, edited, removed, written
from tests.data.records import DATA, counts

NAME = "youtube_3d_hands"
DUMMY = DATA / NAME / "dummy_data"
TRAIN = "youtube_train.json"
FIRST_FRAME = "youtube/dummy00/video/frames/1"
# Ours: in the dummy data, the first vertices are the joints. MANO's own has many small weights.
PICKING = np.eye(mano.NUM_REGRESSED, mano.NUM_VERTICES)


def read(builder, decoders=None):
    return records.read(builder, "train", decoders)


def vertices():
    content = json.loads((DUMMY / TRAIN).read_text())
    return np.asarray([entry["vertices"] for entry in content["annotations"]])[..., :2]


def origin(actual, expected):
    """The whole pixels by which points have moved, all alike."""
    moved = np.asarray(expected, np.float64) - actual
    first = np.round(moved[0])
    np.testing.assert_allclose(moved, np.tile(first, (len(moved), 1)), atol=1e-3)
    return first


def test_without_mano_the_tips_and_a_box_are_known(dummy):
    assert counts(dummy) == {"train": 5, "validation": 2, "test": 2}
    for record, pixels in zip(read(dummy), vertices(), strict=True):
        assert tuple(np.flatnonzero(record["keypoints_2d_valid"])) == skeleton.FINGERTIPS
        tips = record["keypoints_2d"][list(skeleton.FINGERTIPS)]
        start = origin(tips, pixels[[744, 320, 443, 555, 672]])
        box = [*(pixels.min(0) - start), *(pixels.max(0) - start)]
        np.testing.assert_allclose(record["hand_box"], box, rtol=1e-5)
        assert record["hand_box_valid"]
        for name in ("keypoints_3d", "intrinsics", "bone_length"):
            assert not np.any(record[f"{name}_valid"])
    sides = [schema.HANDEDNESS[record["handedness"]] for record in read(dummy)]
    assert sides == ["right", "left", "right", "left", "right"]
    assert dummy.info.metadata["missing_frames"] == {"train": 0, "validation": 0, "test": 0}


def test_crops_hold_what_the_pipeline_cuts_out(dummy):
    """The same pixels as in the frame, labels moved along, three hands wide as far as there are."""
    for record, pixels in zip(read(dummy), vertices(), strict=True):
        tips = list(skeleton.FINGERTIPS)
        start = origin(record["keypoints_2d"][tips], pixels[list(mano.TIP_VERTICES)])
        entry = json.loads((DUMMY / TRAIN).read_text())["annotations"][record["sample_id"]]
        frame = {100: "00/video/frames/1", 101: "00/video/frames/31"} | {
            102: "01/video/frames/61",
            103: "01/video/frames/91",
        }
        path = DUMMY / f"youtube/dummy{frame[entry['image_id']]}.jpg"
        with Image.open(path) as image:
            whole = np.asarray(image.convert("RGB"), int)
        (left, top), (height, width, _) = start.astype(int), record["image"].shape
        part = whole[top : top + height, left : left + width]
        assert np.abs(part - record["image"]).mean() < 1
        low, high = pixels.min(0), pixels.max(0)
        half = 1.5 * (high - low).max()
        wanted_low = np.maximum((low + high) / 2 - half, 0)
        wanted_high = np.minimum((low + high) / 2 + half, [whole.shape[1] - 1, whole.shape[0] - 1])
        assert (start <= wanted_low).all()
        assert (start + np.array([width, height]) - 1 >= wanted_high).all()
    assert dummy.info.metadata["crop_margin"] == 3


@pytest.mark.parametrize("size", [(240, 135), (960, 540), (428, 240)])
def test_labels_are_scaled_with_the_frames(raw, prepared, dummy, size):
    """427x240 would be the exact shape: encoders like even numbers."""
    for path in raw.glob("youtube/dummy00/video/frames/*.jpg"):
        with Image.open(path) as image:
            image.resize(size).save(path)
    factors = np.array(size) / (480, 270)
    builder = prepared(raw)
    for record, pixels in zip(read(builder)[:2], vertices(), strict=False):
        expected = (pixels[list(mano.TIP_VERTICES)] + 0.5) * factors - 0.5
        origin(record["keypoints_2d"][list(skeleton.FINGERTIPS)], expected)
    for ours, theirs in zip(read(builder)[2:], read(dummy)[2:], strict=True):
        np.testing.assert_array_equal(ours["keypoints_2d"], theirs["keypoints_2d"])
    assert "left_out" not in builder.info.metadata


@pytest.mark.parametrize("size", [(480, 360), (270, 480), (272, 270)])
def test_frames_of_another_shape_are_left_out_and_counted(raw, size, tmp_path, capsys):
    path = raw / f"{FIRST_FRAME}.jpg"
    with Image.open(path) as image:
        image.resize(size).save(path)
    where = tmp_path / "records"
    assert build.main([NAME, f"--manual_dir={raw}", f"--data_dir={where}"]) == 0
    said = capsys.readouterr().out
    assert "train: 4 images, 4 labelled (5 joints in 2D, box)" in said
    assert (
        "left out: train: 1 hand, whose frames are cut or stretched (1 of 4 frames; dummy00, "
        f"{size[0]}x{size[1]} px, not 480x270)" in said
    )


def test_the_usual_places(raw, prepared):
    """JSON files and videos in two folders, and either of them named."""
    around = raw.parent / "around"
    around.mkdir()
    (raw / "youtube").rename(around / "youtube")
    raw.rename(around / "youtube_3d_hands")
    for named in (around, around / "youtube_3d_hands", around / "youtube"):
        assert [root.name for root in layout.find_roots(named)].count("around") == 1
        assert len(layout.find_roots(named)) == 2
    assert counts(prepared(around / "youtube")) == {"train": 5, "validation": 2, "test": 2}


def test_with_a_regressor_all_joints_are_known(raw, prepared):
    np.save(raw / "J_regressor.npy", PICKING)
    for record, pixels in zip(read(prepared(raw)), vertices(), strict=True):
        assert record["keypoints_2d_valid"].all()
        expected = np.empty((21, 2))
        # MANO's fingers: index, middle, little, ring, thumb.
        for number, finger in enumerate(("index", "middle", "little", "ring", "thumb")):
            three = pixels[1 + 3 * number : 4 + 3 * number]
            expected[list(skeleton.FINGERS[finger][:3])] = three
        expected[0] = pixels[0]
        expected[list(skeleton.FINGERTIPS)] = pixels[[744, 320, 443, 555, 672]]
        start = origin(record["keypoints_2d"], expected)
        box = [*(expected.min(0) - start), *(expected.max(0) - start)]
        np.testing.assert_allclose(record["hand_box"], box, rtol=1e-5)


def test_joints_in_space_are_the_mesh_at_one_size(raw, prepared):
    """From the wrist on, without a place and a size: neither intrinsics nor a bone's length."""
    np.save(raw / "J_regressor.npy", PICKING)
    annotations = json.loads((raw / TRAIN).read_text())["annotations"]
    for record, entry in zip(read(prepared(raw)), annotations, strict=True):
        mesh = np.asarray(entry["vertices"])
        joints = mano.joints(mesh, PICKING)
        bone = np.linalg.norm(joints[9] - joints[10])
        np.testing.assert_allclose(
            record["keypoints_3d"], (joints - joints[0]) * (0.03 / bone), atol=1e-6
        )
        assert record["keypoints_3d_valid"].all()
        assert not record["intrinsics_valid"]
        assert not record["bone_length_valid"]
        # What the image shows of it, by weak perspective.
        pixel = 0.03 / bone
        flat = record["keypoints_2d"] - record["keypoints_2d"][0]
        np.testing.assert_allclose(record["keypoints_3d"][:, :2] / pixel, flat, atol=1e-3)


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-900, 900))
def test_size_and_place_of_a_mesh_do_not_matter(seed, size, shift):
    mesh = np.random.default_rng(seed).normal(size=(mano.NUM_VERTICES, 3))
    found = mano.joints_in_space(size * mesh + shift, PICKING)
    np.testing.assert_allclose(found, mano.joints_in_space(mesh, PICKING), atol=1e-6)
    assert np.linalg.norm(found[9] - found[10]) == pytest.approx(mano.BONE_LENGTH)


@pytest.mark.parametrize("spoil", [lambda v: v * [1, 1, 0], lambda v: v[[0] * len(v)]])
def test_flat_meshes_and_points_have_no_joints_in_space(spoil):
    mesh = np.random.default_rng(0).normal(size=(mano.NUM_VERTICES, 3))
    assert mano.joints_in_space(spoil(mesh), PICKING) is None
    assert mano.joints_in_space(mesh, None) is None
    assert mano.joints_in_space(mesh, np.full_like(PICKING, 1 / mano.NUM_VERTICES)) is None


def test_the_drawings_have_a_regressor_of_their_own():
    """Found by naming the folder that holds it; without it the drawings are as without MANO."""
    folder = DUMMY / "youtube"
    roots = layout.find_roots(folder)
    np.testing.assert_array_equal(mano.read_regressor([folder, *roots]), PICKING)
    assert mano.read_regressor([DUMMY, *layout.find_roots(DUMMY)]) is None


def weights():
    """A regressor of many weights, as MANO's."""
    draws = np.random.default_rng(0).random((mano.NUM_REGRESSED, mano.NUM_VERTICES))
    draws *= draws > 0.9
    return draws / draws.sum(1, keepdims=True)


def mano_pickle(monkeypatch, matrix, protocol):
    """Pickles what MANO's file holds: sparse weights, arrays, and objects of chumpy."""
    chumpy = types.ModuleType("chumpy")
    chumpy.Ch = type("Ch", (), {"__module__": "chumpy", "__qualname__": "Ch"})
    monkeypatch.setitem(sys.modules, "chumpy", chumpy)
    shapes = chumpy.Ch()
    shapes.x, shapes.parents = np.zeros((3, 2)), [shapes]
    model = {"J_regressor": matrix, "shapedirs": shapes, "f": np.arange(4), "bs_type": "lrotmin"}
    return pickle.dumps(model, protocol)


@pytest.mark.parametrize("name", ["MANO_RIGHT.pkl", "mano/MANO_RIGHT.pkl"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", [sparse.csc_matrix, np.asarray])
def test_regressor_of_manos_own_file(tmp_path, monkeypatch, name, protocol, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(mano_pickle(monkeypatch, kind(weights()), protocol))
    np.testing.assert_array_equal(mano.read_regressor([tmp_path]), weights())


def test_regressor_of_the_official_peclr_code(tmp_path):
    path = tmp_path / "mano_mesh_to_joints_mat.pth"
    torch_writing.write(path, {"matrix": weights().astype(np.float32)})
    np.testing.assert_allclose(mano.read_regressor([tmp_path]), weights(), atol=1e-7)
    torch = pytest.importorskip("torch")
    torch.save(torch.from_numpy(weights()), path)
    np.testing.assert_array_equal(mano.read_regressor([tmp_path]), weights())


def test_no_regressor(tmp_path):
    assert mano.read_regressor([tmp_path]) is None


def out_of_range():
    matrix = sparse.csc_matrix(weights())
    matrix.indices[3] = 1 << 20
    return matrix


MANO = "MANO_RIGHT.pkl"
REGRESSORS = [
    (MANO, pickle.dumps({"f": 1}), "holds no J_regressor"),
    (MANO, pickle.dumps([1]), "holds no J_regressor"),
    (MANO, pickle.dumps({"J_regressor": out_of_range()}), "holds no J_regressor as MANO has it"),
    (MANO, pickle.dumps(weights())[:99], "corrupt or truncated"),
    ("J_regressor.npy", b"<html>", "is not an array of NumPy"),
    ("mano_mesh_to_joints_mat.pth", b"<html>", "is not a weights file"),
]


@pytest.mark.parametrize(("name", "content", "message"), REGRESSORS)
def test_broken_regressors_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        mano.read_regressor([tmp_path])
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (weights().T, r"regressor of shape \(778, 16\).*expected \(16, 778\)"),
        (weights() > 0, "type bool"),
        (2 * weights(), "do not add up to 1"),
        (np.full_like(weights(), np.nan), "do not add up to 1"),
    ],
)
def test_other_matrices_are_refused(tmp_path, matrix, message):
    np.save(tmp_path / "J_regressor.npy", matrix)
    with pytest.raises(ValueError, match=message):
        mano.read_regressor([tmp_path])


def test_missing_frames_are_counted(raw, prepared):
    # It shows the hands 2 and 3.
    (raw / "youtube/dummy01/video/frames/61.jpg").unlink()
    shutil.rmtree(raw / "youtube/dummy20")
    builder = prepared(raw)
    assert [record["sample_id"] for record in read(builder)] == [0, 1, 4]
    assert builder.info.metadata["missing_frames"] == {"train": 1, "validation": 0, "test": 2}
    assert set(builder.info.splits) == {"train", "validation"}
    tips = read(builder)[2]["keypoints_2d"][list(skeleton.FINGERTIPS)]
    origin(tips, vertices()[4][list(mano.TIP_VERTICES)])
    assert builder.info.metadata["left_out"] == [
        "train: 2 hands, whose frames are missing (1 of 4 frames; some frames of dummy01)",
        "test: 2 hands, whose frames are missing (2 of 2 frames; all of 1 of 1 videos: dummy20)",
    ]


@pytest.mark.parametrize(
    "break_it", [written(f"{FIRST_FRAME}.jpg"), cut(f"{FIRST_FRAME}.jpg", 5000)]
)
def test_broken_frames_are_left_out_and_counted(raw, prepared, break_it):
    break_it(raw)
    builder = prepared(raw)
    assert [record["sample_id"] for record in read(builder)] == [1, 2, 3, 4]
    assert builder.info.metadata["left_out"] == [
        "train: 1 hand, whose frames are broken (1 frame, the first being "
        f"{raw / FIRST_FRAME}.jpg): extract them again"
    ]


def sharing(raw, count):
    """Makes so many frames of the validation's video those of a video of the training."""

    def rename(content):
        for frame in content["images"][:count]:
            name = Path(frame["name"])
            path = (raw / name).with_suffix(".jpg")
            path.rename(raw / "youtube/dummy01/video/frames" / path.name)
            frame["name"] = f"youtube/dummy01/video/frames/{name.name}"

    edit_json(raw / "youtube_val.json", rename)


def test_videos_on_both_sides_are_said(raw, prepared):
    sharing(raw, 1)
    assert prepared(raw).info.metadata["notes"] == ["train and validation share 1 video"]


def test_a_split_without_a_video_of_its_own_is_refused(raw, refused):
    sharing(raw, 2)
    refused(
        raw,
        r"youtube_val\.json has no video that youtube_train\.json has not \(1 video, such as "
        r"dummy01\): fetch",
    )


def test_absent_splits_are_said(raw, prepared):
    for name in ("val", "test"):
        (raw / f"youtube_{name}.json").unlink()
    assert prepared(raw).info.metadata["left_out"] == [
        "validation: there is no youtube_val.json",
        "test: there is no youtube_test.json",
    ]


def test_frames_may_be_png(raw, prepared, dummy):
    with Image.open(raw / f"{FIRST_FRAME}.jpg") as frame:
        frame.save(raw / f"{FIRST_FRAME}.png")
    (raw / f"{FIRST_FRAME}.jpg").unlink()
    assert np.abs(read(prepared(raw))[0]["image"] - read(dummy)[0]["image"].astype(int)).mean() < 2


def test_lists_may_come_in_any_order(raw, prepared, dummy):
    edit_json(raw / TRAIN, lambda content: content | {"images": content.pop("images")})
    for ours, theirs in zip(read(prepared(raw)), read(dummy), strict=True):
        np.testing.assert_array_equal(ours["keypoints_2d"], theirs["keypoints_2d"])


def test_vertices_do_not_stay_in_memory(raw):
    def repeat(content):
        entries = enumerate(30 * content["annotations"])
        return content | {"annotations": [entry | {"id": number} for number, entry in entries]}

    edit_json(raw / TRAIN, repeat)
    tracemalloc.start()
    split = layout.read_split([raw], "train", None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(split.images) == 150
    assert peak < 0.5 * (raw / TRAIN).stat().st_size


def train(change):
    return edited(TRAIN, change)


def annotation(number, **fields):
    return train(lambda content: content["annotations"][number].update(fields))


def image(number, **fields):
    return train(lambda content: content["images"][number].update(fields))


def vertex(value):
    def change(content):
        content["annotations"][3]["vertices"][7][0] = value

    return train(change)


BREAKAGES = [
    (
        cut("youtube_val.json", -50),
        r"youtube_val\.json is not JSON \(parse error: premature EOF\)",
    ),
    (train(lambda content: {"annotations": []}), 'no list of "images"'),
    (train(lambda content: {"images": content["images"]}), 'no list of "annotations"'),
    (train(lambda content: [content]), 'no list of "images"'),
    (
        annotation(2, vertices=[[1, 2, 3]] * 21),
        r"annotation 2 has vertices of shape \(21, 3\), expected \(778, 3\)",
    ),
    (annotation(2, vertices=[[1, 2], [3]]), "shape ragged or not numeric"),
    (annotation(4, vertices=None), r"annotation 4 has vertices of shape \(\)"),
    (vertex(float("nan")), "annotation 3, vertex 7 is nan, not a finite number"),
    (vertex(float("-inf")), "annotation 3, vertex 7 is -inf"),
    (annotation(1, image_id=9), "annotation 1 is of image_id 9, which no image"),
    (annotation(1, is_left=None), 'annotation 1 must have a field "is_left"'),
    (image(1, id=100), "image 1 has the id 100 of an earlier one"),
    (image(1, name=5), 'image 1 must have a field "name" of type str'),
    (image(0, width=0), "image 0 has a size of 0x270 px"),
    (annotation(3, id=1), "annotation 3 has the id 1 of annotation 1: fetch"),
    (
        lambda folder: [
            path.write_bytes(path.read_bytes()[:5000]) for path in folder.rglob("*.jpg")
        ],
        r"no frame of train is whole, the first being .*frames/1\.jpg: extract",
    ),
    (removed("youtube/*/video/frames/*"), "holds no video frame of"),
]


@pytest.mark.parametrize(("break_it", "message"), BREAKAGES)
def test_broken_files_are_named_and_nothing_is_left(raw, refused, break_it, message):
    break_it(raw)
    refused(raw, message)
