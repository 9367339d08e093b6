"""Labels of the right shape that cannot be meant, through the command line of every builder."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from data import build, from_coco, from_mediapipe, from_yolo
from data.raw import meaning
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from tests.data.breakages import edit_json
from tests.data.records import DATA


@pytest.fixture
def check(tmp_path, capsys):
    """Changes a copy of made-up raw files; returns the exit code of a check and what is said."""

    def run(name, change):
        raw = shutil.copytree(DATA / name.partition("/")[0] / "dummy_data", tmp_path / "raw")
        change(raw)
        code = build.main([name, f"--manual_dir={raw}", f"--data_dir={tmp_path / 'no'}", "--check"])
        told = capsys.readouterr()
        assert not (tmp_path / "no").exists()
        return code, (told.err if code else told.out).splitlines()[-1]

    return run


def array(name, change):
    """Replaces a JSON file of numbers."""

    def changed(raw):
        edit_json(raw / name, lambda content: change(np.array(content)).tolist())

    return changed


def entry(name, number, change):
    """Replaces one entry of a JSON file of numbers."""

    def changed(content):
        content[number] = change(np.array(content[number])).tolist()

    return lambda raw: edit_json(raw / name, changed)


def meta(name, field, change):
    """Replaces a label in one of HO-3D's pickles, which are our own here."""

    def changed(raw):
        path = raw / "HO3D_v2" / name
        content = pickle.loads(path.read_bytes())
        content[field] = change(np.array(content[field]))
        path.write_bytes(pickle.dumps(content, 2))

    return changed


def annotation(number, **fields):
    def changed(content):
        for field, value in fields.items():
            old = content["annotations"][number][field]
            content["annotations"][number][field] = value(old) if callable(value) else value

    return lambda raw: edit_json(raw / "youtube_train.json", changed)


def vertices(change):
    return annotation(2, vertices=lambda old: change(np.array(old)).tolist())


def tips(change):
    """Replaces the tips of one sequence of Dexter+Object."""

    def changed(raw):
        path = raw / "data/Rotate/annotations/Rotate3D.txt"
        (line,) = path.read_text().splitlines()
        points = np.array([[float(v) for v in f.split(",")] for f in line.split(";") if f.strip()])
        points = change(points)
        path.write_text("".join(f"{x}, {y}, {z};" for x, y, z in points) + "\n")

    return changed


def only_pixels(change):
    """Puts joints in pixels in the place of FreiHAND's other labels."""

    def changed(raw):
        joints, cameras = (np.array(json.loads((raw / name).read_text())) for name in (XYZ, K))
        for name in (XYZ, K, SCALE):
            (raw / name).unlink()
        pixels = change(camera.project(joints, cameras))
        (raw / "training_uv.json").write_text(json.dumps(pixels.tolist()))

    return changed


def hand(**fields):
    return lambda raw: edit_json(
        raw / "boxes.json",
        lambda boxes: boxes | {"table.jpg": [{"box": [93, 63, 172, 172]} | fields]},
    )


def in_space(scale):
    line = [[scale * 0.008 * joint, 0.0, scale * 0.001 * (joint % 3)] for joint in range(21)]
    return hand(keypoints_3d=line)


META, ROOT = "train/SM2/meta/0001.pkl", "evaluation/SM1/meta/0001.pkl"
XYZ, K, SCALE = (f"training_{name}.json" for name in ("xyz", "K", "scale"))
CASES = [
    ("freihand", entry(K, 2, np.transpose), r"training_K\.json: entry 2 is .* transposed"),
    ("freihand", array(K, np.negative), r"training_K\.json: entry 0 is .*negated.*3 other entries"),
    ("freihand", entry(K, 3, lambda k: 0 * k), r"training_K\.json: entry 3 is .* all zero"),
    ("freihand", array(K, lambda k: k / [[64], [64], [1]]), "entry 0 is .*normalised"),
    (
        "freihand",
        array("evaluation_K.json", lambda k: k / 64),
        r"evaluation_K\.json: entry 0 .* row",
    ),
    ("freihand", array(XYZ, lambda x: 1000 * x), r"training_xyz\.json: entry 0: .* give metres"),
    ("freihand", entry(XYZ, 1, lambda x: 100 * x), r"training_xyz\.json: entry 1: .* give metres"),
    ("freihand", entry(XYZ, 1, np.negative), "entry 1: joint 0 lies behind the camera"),
    ("freihand", entry(XYZ, 3, lambda x: 0 * x + x[0]), "entry 3: all 21 joints are the same"),
    (
        "freihand",
        entry(XYZ, 3, lambda x: np.add(x, [2, 0, 0])),
        "entry 3: nearly all joints lie outside",
    ),
    ("freihand", entry(SCALE, 1, lambda s: 0 * s), r"training_scale\.json: entry 1 is 0 m"),
    ("freihand", entry(SCALE, 1, np.negative), r"training_scale\.json: entry 1 is -0\.02"),
    ("freihand", entry(SCALE, 1, lambda s: 2 * s), "entry 1 is 0.04.* joints 9 and 10 lie 0.02"),
    ("ho3d/v2", meta(META, "camMat", np.transpose), r"0001\.pkl: camMat is .* transposed"),
    ("ho3d/v2", meta(ROOT, "camMat", lambda k: k / 640), r"SM1/meta/0001\.pkl: camMat is .* row"),
    ("ho3d/v2", meta(META, "handJoints3D", lambda x: 1000 * x), r"0001\.pkl: handJ.* give metres"),
    ("ho3d/v2", meta(META, "handJoints3D", lambda x: x * [1, -1, -1]), "behind .* z backward"),
    ("ho3d/v2", meta(META, "handJoints3D", lambda x: 0 * x + x[:1]), "all 21 joints are the same"),
    ("ho3d/v2", meta(ROOT, "handJoints3D", lambda x: 100 * x), "m from the camera: give metres"),
    (
        "ho3d/v2",
        meta(ROOT, "handBoundingBox", lambda b: np.array([0.1, 0.2, 0.5, 0.6])),
        "give pixels",
    ),
    ("youtube_3d_hands", vertices(lambda v: v / [480, 270, 1]), "annotation 2: .* give pixels"),
    (
        "youtube_3d_hands",
        vertices(lambda v: 0 * v + 9),
        "annotation 2: all 778 joints are the same",
    ),
    ("youtube_3d_hands", vertices(lambda v: v * 20), "annotation 2: nearly all joints lie outside"),
    ("youtube_3d_hands", annotation(2, is_left=2), 'annotation 2: "is_left" is 2, expected 0 or 1'),
    ("youtube_3d_hands", annotation(1, is_left=-1), 'annotation 1: "is_left" is -1'),
    ("dexter_object", tips(lambda t: t / 1000), r"Rotate3D\.txt: line 1: .* give millimetres"),
    ("dexter_object", tips(lambda t: t / 10), r"Rotate3D\.txt: line 1: .* give millimetres"),
    ("dexter_object", tips(np.negative), r"Rotate3D\.txt: line 1, point 0 lies behind the camera"),
    ("dexter_object", tips(lambda t: 0 * t + t[0]), "line 1: the hand is a single point"),
    ("dexter_object", tips(lambda t: np.add(t, [3000, 0, 0])), "far outside of the picture"),
    ("image_folder", in_space(1000), r"boxes\.json, 'table\.jpg', hand 1: .*give metres"),
    ("image_folder", in_space(0.01), r"boxes\.json, 'table\.jpg', hand 1: .*give metres"),
    ("image_folder", in_space(0), "hand 1: all 21 joints are the same point"),
    (
        "image_folder",
        hand(keypoints=[[0.3, 0.01 * j] for j in range(21)]),
        "hand 1: .* give pixels",
    ),
    ("image_folder", hand(keypoints=[[5, 5]] * 21), "hand 1: .* too close for a hand"),
    (
        "image_folder",
        hand(keypoints=[[5000 + j, 9000] for j in range(21)]),
        r'hand 1: most of the 21 keypoints lie far from "box", .* such as \[5000\.0, 9000\.0\]',
    ),
    (
        "image_folder",
        hand(box=[1, 1, 9e8, 9e8]),
        r"boxes\.json, 'table\.jpg', hand 1: \"box\" is 9e\+08 x .* photo of 320x240 px",
    ),
    (
        "image_folder",
        hand(keypoints=[[100 + j, 90 + j] for j in range(20)] + [[1e6, 90]]),
        r"hand 1: joint 20 of \"keypoints\", \[1000000\.0, 90\.0\], lies far outside of a photo",
    ),
    (
        "image_folder",
        hand(keypoints=[[100 + 3 * j, 90 + j] if j % 4 else [0, 0] for j in range(21)]),
        r"'table\.jpg', hand 1: joints 0, 4, .*, 20 all lie at .*: give null for unknown joints",
    ),
    (
        "image_folder",
        hand(keypoints_3d=[[0.008 * j, 0, 0.01] if j % 9 else [0, 0, 0] for j in range(21)]),
        "hand 1: joints 0, 9, 18 all lie at .*: give null for unknown joints, or leave them out",
    ),
    (
        "freihand",
        only_pixels(lambda points: points * (np.arange(21) % 2)[:, None]),
        r"training_uv\.json: entry 0: joints 0, 2, .*, 20 all lie at .*: leave out",
    ),
    ("image_folder", hand(handedness="both"), '"handedness" must be "right" or "left"'),
]


@pytest.mark.parametrize(("name", "change", "message"), CASES)
def test_impossible_labels_are_refused(check, name, change, message):
    code, told = check(name, change)
    assert code == 2
    assert told.startswith("error: ")
    assert re.search(message, told), told


POSSIBLE = [
    ("freihand", entry(XYZ, 3, lambda x: np.add(x, [0.1, 0, 0]))),
    ("freihand", entry(XYZ, 3, lambda x: x * [-1, 1, 1])),
    ("freihand", array(SCALE, lambda s: 1.001 * s)),
    ("ho3d/v2", meta(META, "handJoints3D", lambda x: np.add(x, [0.1, 0, 0]))),
    ("youtube_3d_hands", vertices(lambda v: np.add(v, [300, 0, 0]))),
    ("youtube_3d_hands", annotation(2, is_left=True)),
    ("dexter_object", tips(lambda t: t * np.where(np.arange(len(t)) == 2, -1, 1)[:, None])),
    (
        "image_folder",
        hand(keypoints=[[150 + 10 * j, 90 + j] for j in range(21)], box=[149, 80, 355, 120]),
    ),
]


@pytest.mark.parametrize(("name", "change"), POSSIBLE)
def test_possible_labels_are_taken(check, name, change):
    code, told = check(name, change)
    assert (code, told) == (0, "Nothing was written"), told


def resized(pattern, factor):
    def change(raw):
        for path in raw.glob(pattern):
            with Image.open(path) as image:
                shrunk = image.resize((int(factor * image.width), int(factor * image.height)))
            shrunk.save(path)

    return change


RESIZED = [
    (
        "freihand",
        resized("training/rgb/0000000[4-7].jpg", 0.5),
        r"rgb/00000004\.jpg has 32x32 px, but .*rgb/00000000\.jpg of the same hand has 64x64",
    ),
    (
        "freihand",
        resized("training/mask/00000002.jpg", 2),
        r"mask/00000002\.jpg has 128x128 px, but .*rgb/00000002\.jpg of the same hand has 64x64",
    ),
    (
        "freihand",
        resized("training/*/*.jpg", 0.5),
        r"training_xyz\.json: entry 0: most joints lie outside of the picture of 32x32 px, such as",
    ),
    (
        "freihand",
        resized("training/*/*.jpg", 2),
        r"training_xyz\.json: nearly all joints of the 4 hands lie in the upper left quarter",
    ),
    (
        "freihand",
        resized("training/*/*.jpg", 1.15),
        r"training_K\.json: the camera's centre is \(32\.0, 31\.5\), that of the images "
        r"\(36\.0, 36\.0\): they were resized",
    ),
    (
        "ho3d/v2",
        resized("HO3D_v2/train/SM2/rgb/0001.png", 0.5),
        r"SM2/rgb/0001\.png has 320x240 px, other frames 640x480, but",
    ),
    (
        "dexter_object",
        resized("data/Rigid/color/Color_0001.bmp", 0.5),
        r"Color_0001\.bmp has 320x240 px, but the camera's images have 640x480: fetch",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), RESIZED)
def test_images_that_the_labels_are_not_of_are_refused(check, name, change, message):
    code, told = check(name, change)
    assert code == 2
    assert re.search(message, told), told


@pytest.mark.parametrize("given", [3, 4])
def test_some_hands_may_lie_mostly_outside(given):
    """Of a few photographs any may be cut off, of a set not most."""
    points = np.stack([np.linspace(60, 140, 21), np.full(21, 50.0)], axis=-1)
    points = np.tile(points, (given, 1, 1))
    shown = np.array([[99.0, 99.0]])
    meaning.check_pixels(np.subtract(points, [40, 0]), None, shown, str, "look")
    if given == 3:
        meaning.check_pixels(np.add(points, [5, 0]), None, shown, str, "look")
        return
    meaning.check_pixels(
        points + np.array([[5], [5], [-40], [-40]])[..., None], None, shown, str, ""
    )
    with pytest.raises(UserError, match=r"0: most joints lie .*99x99 px.*and 3 other entries"):
        meaning.check_pixels(np.add(points, [5, 0]), None, shown, str, "look")


@pytest.mark.parametrize("name", ["freihand_mini", "ge_realworld_fhlayout_mini"])
def test_real_labels_are_taken(shared, tmp_path, name):
    raw = f"--manual_dir={shared / 'fixtures' / name}"
    assert build.main(["freihand", raw, f"--data_dir={tmp_path}", "--check"]) == 0
    assert not list(tmp_path.iterdir())


@pytest.fixture
def photo(tmp_path):
    """A folder with one photo of 320x240 px."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(DATA / "image_folder/dummy_data/table.jpg", folder)
    return folder


UV = [[100.0 + 3 * j, 120.0 - 2 * j] for j in range(21)]
WORLD = [[0.004 * j, 0.0, 0.001 * j] for j in range(21)]


def mediapipe(**fields):
    entry = {"right": True, "score": 0.9, "uv": UV, "world": WORLD} | fields
    return from_mediapipe, {"table.jpg": [entry]}


def coco(scale=1.0, category=1):
    keypoints = [value for x, y in UV for value in (scale * x, scale * y, 2)]
    hand = {"id": 5, "image_id": 1, "category_id": category, "keypoints": keypoints}
    return from_coco, {
        "images": [{"id": 1, "file_name": "table.jpg"}],
        "annotations": [hand],
        "categories": [{"id": 1, "name": "left hand"}],
    }


CONVERTED = [
    (mediapipe(uv=np.divide(UV, 320).tolist()), "'table.jpg', hand 1: \"uv\" lie .* give pixels"),
    (mediapipe(world=np.multiply(WORLD, 1000).tolist()), 'hand 1: "world": .* give metres'),
    (mediapipe(world=[[0.1, 0, 0]] * 21), 'hand 1: "world": all 21 joints are the same point'),
    (mediapipe(right="left"), '"right" must be true or false'),
    (coco(scale=1 / 320), 'annotation 5: "keypoints" lie between .* give pixels'),
    (coco(category=9), 'annotation 5: no category has its "category_id", 9'),
]


@pytest.mark.parametrize(("given", "message"), CONVERTED)
def test_impossible_labels_are_not_converted(photo, tmp_path, capsys, given, message):
    converter, content = given
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(content))
    labels = [f"--labels={file}"] if converter is from_mediapipe else [str(file)]
    assert converter.main([*labels, str(photo)]) == 2
    assert re.search(f"error: {file}.*{message}", capsys.readouterr().err)
    assert not (photo / "boxes.json").exists()


def test_pixels_are_not_taken_for_fractions(photo, tmp_path, capsys):
    (tmp_path / "labels").mkdir()
    joints = " ".join(f"{x} {y} 2" for x, y in UV)
    (tmp_path / "labels/table.txt").write_text(f"0 0.5 0.5 0.2 0.2 {joints}\n")
    assert from_yolo.main([str(tmp_path / "labels"), str(photo)]) == 2
    assert re.search(r"table\.txt, line 1 lie .* give fractions", capsys.readouterr().err)
