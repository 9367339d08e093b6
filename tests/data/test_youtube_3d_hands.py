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
from PIL import Image
from scipy import sparse

from data import build, schema
from data.youtube_3d_hands import layout, mano
from peclr_jax.hands import skeleton
from peclr_jax.models import torch_writing

DUMMY = Path(layout.__file__).parent / "dummy_data"
FIRST_FRAME = "youtube/dummy00/video/frames/1"
# Ours: in the dummy data, the first vertices are the joints. MANO's own has many small weights.
PICKING = np.eye(mano.NUM_REGRESSED, mano.NUM_VERTICES)


def prepared(manual_dir, data_dir):
    builder = build.make_builder("youtube_3d_hands", data_dir)
    build.prepare(builder, manual_dir)
    return builder


def read(builder, split="train"):
    return list(builder.as_data_source(split))


def vertices(split="train"):
    content = json.loads((DUMMY / f"youtube_{split}.json").read_text())
    return np.asarray([entry["vertices"] for entry in content["annotations"]])[..., :2]


@pytest.fixture
def raw(raw_files):
    return raw_files("youtube_3d_hands")


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    return prepared(DUMMY, tmp_path_factory.mktemp("records"))


def test_without_mano_the_tips_and_a_box_are_known(dummy):
    assert {name: i.num_examples for name, i in dummy.info.splits.items()} == {
        "train": 5,
        "validation": 2,
        "test": 2,
    }
    for record, pixels in zip(read(dummy), vertices(), strict=True):
        assert tuple(np.flatnonzero(record["keypoints_2d_valid"])) == skeleton.FINGERTIPS
        tips = record["keypoints_2d"][list(skeleton.FINGERTIPS)]
        np.testing.assert_allclose(tips, pixels[[744, 320, 443, 555, 672]], rtol=1e-6)
        box = [*pixels.min(0), *pixels.max(0)]
        np.testing.assert_allclose(record["hand_box"], box, rtol=1e-6)
        assert record["hand_box_valid"]
        for name in ("keypoints_3d", "intrinsics", "bone_length"):
            assert not np.any(record[f"{name}_valid"])
    sides = [schema.HANDEDNESS[record["handedness"]] for record in read(dummy)]
    assert sides == ["right", "left", "right", "left", "right"]
    assert dummy.info.metadata["missing_frames"] == {"train": 0, "validation": 0, "test": 0}


def test_frames_are_stored_byte_for_byte(dummy):
    source = dummy.as_data_source("train", decoders={"image": _skip()})
    assert source[0]["image"] == (DUMMY / f"{FIRST_FRAME}.jpg").read_bytes()
    # Two hands of one frame.
    assert source[2]["image"] == source[3]["image"]


def _skip():
    import tensorflow_datasets as tfds

    return tfds.decode.SkipDecoding()


def test_with_a_regressor_all_joints_are_known(raw, tmp_path):
    np.save(raw / "J_regressor.npy", PICKING)
    for record, pixels in zip(read(prepared(raw, tmp_path / "records")), vertices(), strict=True):
        assert record["keypoints_2d_valid"].all()
        expected = np.empty((21, 2))
        # MANO's fingers: index, middle, little, ring, thumb.
        for number, finger in enumerate(("index", "middle", "little", "ring", "thumb")):
            three = pixels[1 + 3 * number : 4 + 3 * number]
            expected[list(skeleton.FINGERS[finger][:3])] = three
        expected[0] = pixels[0]
        expected[list(skeleton.FINGERTIPS)] = pixels[[744, 320, 443, 555, 672]]
        np.testing.assert_allclose(record["keypoints_2d"], expected, rtol=1e-5)
        box = [*expected.min(0), *expected.max(0)]
        np.testing.assert_allclose(record["hand_box"], box, rtol=1e-5)


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
    np.testing.assert_array_equal(mano.read_regressor(tmp_path), weights())


def test_regressor_of_the_official_peclr_code(tmp_path):
    path = tmp_path / "mano_mesh_to_joints_mat.pth"
    torch_writing.write(path, {"matrix": weights().astype(np.float32)})
    np.testing.assert_allclose(mano.read_regressor(tmp_path), weights(), atol=1e-7)
    torch = pytest.importorskip("torch")
    torch.save(torch.from_numpy(weights()), path)
    np.testing.assert_array_equal(mano.read_regressor(tmp_path), weights())


def test_no_regressor(tmp_path):
    assert mano.read_regressor(tmp_path) is None


class Villain:
    def __reduce__(self):
        import os

        return os.system, ("exit 1",)


def out_of_range():
    matrix = sparse.csc_matrix(weights())
    matrix.indices[3] = 1 << 20
    return matrix


REGRESSORS = {
    "code": ("MANO_RIGHT.pkl", pickle.dumps({"J_regressor": Villain()}), "refers to .*system"),
    "no regressor": ("MANO_RIGHT.pkl", pickle.dumps({"f": 1}), "holds no J_regressor"),
    "no model": ("MANO_RIGHT.pkl", pickle.dumps([1]), "holds no J_regressor"),
    "out of range": (
        "MANO_RIGHT.pkl",
        pickle.dumps({"J_regressor": out_of_range()}),
        "holds no J_regressor as MANO has it",
    ),
    "half a pickle": ("MANO_RIGHT.pkl", pickle.dumps(weights())[:99], "corrupt or truncated"),
    "no array": ("J_regressor.npy", b"<html>", "is not an array of NumPy"),
    "no tensors": ("mano_mesh_to_joints_mat.pth", b"<html>", "is not a weights file"),
}


@pytest.mark.parametrize("case", REGRESSORS)
def test_broken_regressors_are_named(tmp_path, case):
    name, content, message = REGRESSORS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        mano.read_regressor(tmp_path)
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
        mano.read_regressor(tmp_path)


def test_missing_frames_are_counted(raw, tmp_path):
    # It shows the hands 2 and 3.
    (raw / "youtube/dummy01/video/frames/61.jpg").unlink()
    shutil.rmtree(raw / "youtube/dummy20")
    builder = prepared(raw, tmp_path / "records")
    assert [record["sample_id"] for record in read(builder)] == [0, 1, 4]
    assert builder.info.metadata["missing_frames"] == {"train": 1, "validation": 0, "test": 2}
    assert set(builder.info.splits) == {"train", "validation"}
    np.testing.assert_allclose(
        read(builder)[2]["keypoints_2d"][4], vertices()[4][mano.TIP_VERTICES[0]], rtol=1e-6
    )


def test_frames_may_be_png(raw, tmp_path):
    with Image.open(raw / f"{FIRST_FRAME}.jpg") as frame:
        frame.save(raw / f"{FIRST_FRAME}.png")
        pixels = np.asarray(frame, np.int16)
    (raw / f"{FIRST_FRAME}.jpg").unlink()
    record = read(prepared(raw, tmp_path / "records"))[0]
    assert np.abs(record["image"] - pixels).mean() < 2


def test_lists_may_come_in_any_order(raw, tmp_path, dummy):
    edit(raw, lambda content: content | {"images": content.pop("images")})
    for ours, theirs in zip(read(prepared(raw, tmp_path / "records")), read(dummy), strict=True):
        np.testing.assert_array_equal(ours["keypoints_2d"], theirs["keypoints_2d"])


def test_splits_may_be_absent(raw, tmp_path):
    (raw / "youtube_train.json").unlink()
    assert set(prepared(raw, tmp_path / "records").info.splits) == {"validation", "test"}


def test_vertices_do_not_stay_in_memory(raw):
    def repeat(content):
        content["annotations"] *= 30

    edit(raw, repeat)
    tracemalloc.start()
    split = layout.read_split(raw, "train", None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(split.images) == 150
    assert peak < 0.5 * (raw / "youtube_train.json").stat().st_size


def edit(raw, change):
    path = raw / "youtube_train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def annotation(number, **fields):
    return lambda d: edit(d, lambda content: content["annotations"][number].update(fields))


def image(number, **fields):
    return lambda d: edit(d, lambda content: content["images"][number].update(fields))


def set_vertex(value):
    def change(content):
        content["annotations"][3]["vertices"][7][0] = value

    return lambda d: edit(d, change)


def truncate(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


BREAKAGES = {
    "broken JSON": (
        lambda d: truncate(d / "youtube_val.json", -50),
        r"youtube_val\.json is not valid JSON \(parse error: premature EOF\)",
    ),
    "no images": (lambda d: edit(d, lambda c: {"annotations": []}), 'no list of "images"'),
    "no annotations": (
        lambda d: edit(d, lambda c: {"images": c["images"]}),
        'no list of "annotations"',
    ),
    "a list": (lambda d: edit(d, lambda c: [c]), 'no list of "images"'),
    "vertices": (
        annotation(2, vertices=[[1, 2, 3]] * 21),
        r"annotation 2 has vertices of shape \(21, 3\), expected \(778, 3\)",
    ),
    "ragged": (annotation(2, vertices=[[1, 2], [3]]), "shape ragged or not numeric"),
    "no vertices": (annotation(4, vertices=None), r"annotation 4 has vertices of shape \(\)"),
    "NaN": (set_vertex(float("nan")), r"annotation 3, vertex 7 is nan, not a finite number"),
    "infinity": (set_vertex(float("-inf")), r"annotation 3, vertex 7 is -inf"),
    "unknown image": (annotation(1, image_id=9), "annotation 1 is of image_id 9, which no image"),
    "no side": (annotation(1, is_left=None), 'annotation 1 must have a field "is_left"'),
    "same id": (image(1, id=100), "image 1 has the id 100 of an earlier one"),
    "no name": (image(1, name=5), 'image 1 must have a field "name" of type str'),
    "parent": (image(1, name="../x.png"), r"image 1 is '\.\./x\.png', which leads out"),
    "absolute": (image(1, name="/etc/x.png"), "image 1 is '/etc/x.png', which leads out"),
    "other size": (image(0, width=960), r"frames/1\.jpg has 480x270 px, but .* says 960x270"),
    "no image": (
        lambda d: (d / f"{FIRST_FRAME}.jpg").write_text("<html>"),
        r"frames/1\.jpg is not an image",
    ),
    "half an image": (
        lambda d: truncate(d / f"{FIRST_FRAME}.jpg", 5000),
        r"frames/1\.jpg is not an image, corrupt or truncated",
    ),
    "no frames": (lambda d: shutil.rmtree(d / "youtube"), "holds no video frame of"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_files_are_named_and_nothing_is_left(raw, refused, breakage):
    break_it, message = BREAKAGES[breakage]
    break_it(raw)
    refused("youtube_3d_hands", raw, message)
