"""Labels of MediaPipe, from a file or from MediaPipe itself, for which something stands in."""

import json
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from data import from_mediapipe
from data.image_folder import layout
from peclr_jax.photos import boxes, read

UV = [[10.25 + joint, 40.5 - joint] for joint in range(21)]
WORLD = [[0.004 * joint, 0.001, -0.002] for joint in range(21)]
HAND = {"right": True, "score": 0.993, "uv": UV, "world": WORLD}


@pytest.fixture
def folder(tmp_path):
    """Two photos, the second one lying on its side."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (80, 60)).save(folder / "a.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (80, 60)).save(folder / "b.jpg", exif=exif)
    return folder


@pytest.fixture
def convert(folder, tmp_path, capsys):
    """Runs the command and returns its exit code and what it says."""

    def run(content=None):
        flags = [str(folder)]
        if content is not None:
            file = tmp_path / "labels.json"
            file.write_text(content if isinstance(content, str) else json.dumps(content))
            flags.append(f"--labels={file}")
        code = from_mediapipe.main(flags)
        told = capsys.readouterr()
        return code, told.err if code else told.out

    return run


def test_labels_of_a_file(convert, folder):
    code, said = convert({"a.png": [HAND, HAND | {"right": False, "score": 0.5}], "b.jpg": []})
    assert code == 0
    assert said.splitlines()[:3] == [
        "2 photos with 2 hands (1 right, 1 left)",
        "2 hands with joints in space",
        "1 photos without a labelled hand",
    ]
    found = boxes.read_boxes(folder / "boxes.json", "unknown")
    right, left = found["a.png"].hands
    np.testing.assert_array_equal(right.keypoints, UV)
    np.testing.assert_allclose(right.keypoints_3d, WORLD, rtol=1e-9)
    assert right.box == (10.25, 20.5, 30.25, 40.5)
    assert (right.handedness, right.score, right.source) == ("right", 0.993, "mediapipe")
    assert (left.handedness, left.score) == ("left", 0.5)
    assert found["b.jpg"].hands == ()


def test_labels_without_joints_in_space(convert, folder):
    flat = {name: value for name, value in HAND.items() if name != "world"}
    assert convert({"a.png": [flat]})[0] == 0
    (hand,) = boxes.read_boxes(folder / "boxes.json", "unknown")["a.png"].hands
    assert hand.keypoints_3d is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "labels.json is not JSON"),
        ([], "labels.json must be an object"),
        ({"a.png": HAND}, "'a.png' must be a list of hands"),
        ({"a.png": [UV]}, "hand 1 must be an object with right, score, uv"),
        ({"a.png": [{"right": True}]}, "hand 1 must be an object with right, score, uv"),
        ({"a.png": [HAND, HAND | {"right": "yes"}]}, 'hand 2: "right" must be true or false'),
        ({"a.png": [HAND | {"uv": UV[1:]}]}, '"uv" must be 21 x 2 finite numbers, got 20 x 2'),
        ({"a.png": [HAND | {"uv": [[1, float("nan")]] * 21}]}, '"uv" must be 21 x 2 finite'),
        ({"a.png": [HAND | {"world": UV}]}, '"world" must be 21 x 3 finite numbers'),
        ({"a.png": [HAND | {"score": 0}]}, '"score" must be in (0, 1], got 0.0'),
        (
            {"a.png": [HAND | {"world": [[1000 * v for v in p] for p in WORLD]}]},
            'hand 1: "world": the hand is 80 m large, no hand more than 0.3: give metres',
        ),
        ({"c.png": [HAND]}, "no labelled hand in the photos of"),
    ],
)
def test_mistakes_are_named_and_nothing_is_left(convert, folder, content, message):
    code, said = convert(content)
    assert code == 2
    assert said.splitlines()[-1].startswith("error: ")
    assert message in said
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.jpg"]


def test_without_mediapipe(convert, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    code, said = convert()
    assert code == 2
    (line,) = said.splitlines()
    assert "pip install mediapipe==0.10.14" in line
    monkeypatch.setitem(sys.modules, "mediapipe", types.ModuleType("mediapipe"))  # a later one
    assert convert() == (code, said)


class StandIn:
    """Finds in every photo a hand that fills it, and says that it is a left one."""

    def __init__(self, **options):
        assert options["static_image_mode"]
        self.shapes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def process(self, pixels):
        assert pixels.dtype == np.uint8
        self.shapes.append(pixels.shape)
        places = np.linspace(0, 1, 21).tolist()
        point = types.SimpleNamespace
        side = point(classification=[point(label="Left", score=1.0000001)])
        return point(
            multi_hand_landmarks=[point(landmark=[point(x=p, y=1 - p, z=p) for p in places])],
            multi_hand_world_landmarks=[
                point(landmark=[point(x=p / 10, y=0.0, z=-p / 10) for p in places])
            ],
            multi_handedness=[side],
        )


# What MediaPipe 0.10.14 declares that it needs.
OF_MEDIAPIPE = {"absl-py", "attrs", "flatbuffers", "jax", "jaxlib", "matplotlib", "numpy"}
ALONE = """
import importlib.abc, sys
given = set(sys.argv[1:])

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in given:
            raise ModuleNotFoundError(f"{name} is not in that environment", name=name)

sys.meta_path.insert(0, Absent())
import data.from_mediapipe
"""


def test_its_environment_has_what_it_imports():
    def needed(names, found=()):
        for name in set(names) - set(found):
            found = {*found, name}
            lines = [x for x in metadata.requires(name) or [] if "extra ==" not in x]
            installed = {re.match(r"[\w.-]+", x)[0].lower() for x in lines}
            found |= needed(installed & known, found)
        return set(found)

    modules = metadata.packages_distributions()
    known = {name.lower() for names in modules.values() for name in names}
    packages = from_mediapipe.PACKAGES.split()[1:]
    theirs = needed({*packages, *OF_MEDIAPIPE} & known)
    assert {"filelock", "pillow"} <= theirs
    absent = [m for m, names in modules.items() if not {n.lower() for n in names} & theirs]
    assert {"flax", "tensorflow"} <= set(absent)
    absent = set(absent) - {"peclr_jax", "data", "configs"}
    ran = subprocess.run([sys.executable, "-c", ALONE, *absent], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    page = Path(layout.__file__).with_name("README.md").read_text("utf-8")
    for text in (page, from_mediapipe.__doc__):
        assert f"pip install {from_mediapipe.PACKAGES}" in text


def test_what_mediapipe_finds(convert, folder, monkeypatch):
    detectors = []

    def make(**options):
        detectors.append(StandIn(**options))
        return detectors[-1]

    hands = types.SimpleNamespace(Hands=make)
    module = types.ModuleType("mediapipe")
    module.solutions = types.SimpleNamespace(hands=hands)
    monkeypatch.setitem(sys.modules, "mediapipe", module)
    assert convert()[0] == 0
    assert detectors[0].shapes == [(60, 80, 3), (80, 60, 3)]
    found = boxes.read_boxes(folder / "boxes.json", "unknown")
    for name, (width, height) in {"a.png": (80, 60), "b.jpg": (60, 80)}.items():
        (hand,) = found[name].hands
        # From edge to edge; a pixel's centre is half a pixel inside of its edges.
        assert hand.box == (-0.5, -0.5, width - 0.5, height - 0.5)
        assert hand.keypoints[0] == (-0.5, height - 0.5)
        assert hand.keypoints_3d[-1] == (0.1, 0, -0.1)
        assert (hand.handedness, hand.score, hand.source) == ("right", 1, "mediapipe")


def test_a_photo_that_fails_at_its_full_size_is_named_and_left_out(convert, folder, monkeypatch):
    def refuse(path, **size):
        if path.name == "a.png" and not size:
            raise read.UnreadableImageError("cut off")
        return whole(path, **size)

    whole = read.read
    monkeypatch.setattr(read, "read", refuse)
    module = types.ModuleType("mediapipe")
    module.solutions = types.SimpleNamespace(hands=types.SimpleNamespace(Hands=StandIn))
    monkeypatch.setitem(sys.modules, "mediapipe", module)
    code, said = convert()
    assert code == 0
    assert f"{folder / 'a.png'} cannot be read: cut off" in said.splitlines()
    assert "1 photos cannot be read" in said.splitlines()
    assert list(boxes.read_boxes(folder / "boxes.json", "unknown")) == ["b.jpg"]


def test_nothing_found_anywhere(convert, monkeypatch):
    nothing = dict.fromkeys(
        ("multi_hand_landmarks", "multi_hand_world_landmarks", "multi_handedness")
    )
    monkeypatch.setattr(StandIn, "process", lambda *_: types.SimpleNamespace(**nothing))
    module = types.ModuleType("mediapipe")
    module.solutions = types.SimpleNamespace(hands=types.SimpleNamespace(Hands=StandIn))
    monkeypatch.setitem(sys.modules, "mediapipe", module)
    code, said = convert()
    assert code == 2
    assert "no labelled hand" in said


def test_a_real_collection(shared, tmp_path, capsys):
    """Its labels become a file that the data set of the folder reads."""
    collection = shared / "photos"
    if not (collection / "labels.json").is_file():
        pytest.skip("the collection of real photos is not beside this checkout")
    folder = tmp_path / "hagrid_crops"
    folder.mkdir()
    content = json.loads((collection / "labels.json").read_text())
    names = [name for name in content if name.startswith("hagrid_crops/")][:40]
    for name in names:
        (folder / name.partition("/")[2]).symlink_to(collection / name)
    flags = [str(folder), f"--labels={collection / 'labels.json'}"]
    assert from_mediapipe.main(flags) == 0
    count = sum(len(content[name]) for name in names)
    assert f"40 photos with {count} hands" in capsys.readouterr().out
    photos = layout.read_folder(folder).photos
    assert sum(len(photo.hands) for photo in photos) == count
    for photo in photos:
        for hand, expected in zip(
            photo.hands, content[f"hagrid_crops/{photo.path.name}"], strict=True
        ):
            assert hand.handedness == ("right" if expected["right"] else "left")
            np.testing.assert_allclose(hand.keypoints, expected["uv"], atol=0.006)
            np.testing.assert_allclose(hand.keypoints_3d, expected["world"], atol=1e-5)
