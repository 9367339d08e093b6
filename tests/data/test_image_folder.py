"""Any folder of photos: found, turned upright, shrunk with their labels, and skipped if broken."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging
from PIL import ExifTags, Image

from data import build, schema
from data.image_folder import layout
from peclr_jax.input_pipeline import DataSpec, from_records

DUMMY = Path(layout.__file__).parent / "dummy_data"
RAW_IMAGE = {"image": tfds.decode.SkipDecoding()}
# The photo's place among those with a hand, in the order of their paths.
SOFT, TELEPHONE, TWO, TABLE, UNSAID = range(5)


def prepared(manual_dir, data_dir, config="original"):
    builder = build.make_builder(f"image_folder/{config}", data_dir)
    build.prepare(builder, manual_dir)
    return builder


def by_photo(builder, decoders=None):
    records = {}
    for split in builder.info.splits:
        for record in builder.as_data_source(split, decoders=decoders):
            records.setdefault(record["sample_id"], []).append(record)
    return records


@pytest.fixture
def raw(raw_files):
    return raw_files("image_folder")


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    return prepared(DUMMY, tmp_path_factory.mktemp("records"))


def gradient(width, height):
    """Brighter to the right in red, downwards in green."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Writes files into a new folder and says what became of them."""
    folder = tmp_path / "photos"

    def write(files, boxes=None):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content.save(path)
        if boxes is not None:
            (folder / "boxes.json").write_text(json.dumps(boxes))
        return folder

    return write


def test_one_record_a_hand(dummy):
    records = by_photo(dummy)
    assert {photo: len(hands) for photo, hands in records.items()} == {
        SOFT: 1,
        TELEPHONE: 1,
        TWO: 2,
        TABLE: 1,
        UNSAID: 1,
    }
    boxes = json.loads((DUMMY / "boxes.json").read_text())
    for record, hand in zip(records[TWO], boxes["session/two.png"], strict=True):
        np.testing.assert_array_equal(record["hand_box"], hand["box"])
        assert schema.HANDEDNESS[record["handedness"]] == hand["handedness"]
        assert not record["keypoints_2d_valid"].any()
    (unsaid,) = records[UNSAID]
    assert not unsaid["hand_box_valid"]
    assert schema.HANDEDNESS[unsaid["handedness"]] == "unknown"


def test_keypoints_may_be_incomplete(dummy):
    records = by_photo(dummy)
    boxes = json.loads((DUMMY / "boxes.json").read_text())
    (table,), (soft,) = records[TABLE], records[SOFT]
    np.testing.assert_array_equal(np.flatnonzero(~table["keypoints_2d_valid"]), [3, 4])
    expected = boxes["table.jpg"][0]["keypoints"]
    for joint in (0, 5, 20):
        np.testing.assert_allclose(table["keypoints_2d"][joint], expected[joint], rtol=1e-6)
    np.testing.assert_array_equal(table["hand_box"], boxes["table.jpg"][0]["box"])
    points = np.asarray(boxes["soft.webp"][0]["keypoints"])
    np.testing.assert_allclose(soft["hand_box"], [*points.min(0), *points.max(0)], rtol=1e-6)


def test_splits_share_no_photo(dummy, photos, tmp_path):
    assert {s: i.num_examples for s, i in dummy.info.splits.items()} == {
        "train": 5,
        "validation": 1,
    }
    boxes = {f"{i}.png": [{"box": [1, 1, 9, 9]}] * 3 for i in range(20)}
    folder = photos({name: gradient(16, 16) for name in boxes}, boxes)
    builder = prepared(folder, tmp_path / "records")
    ids = {s: [r["sample_id"] for r in builder.as_data_source(s)] for s in builder.info.splits}
    assert [len(ids["train"]), len(ids["validation"])] == [54, 6]
    assert not set(ids["train"]) & set(ids["validation"])


def test_a_single_photo_is_trained_on(photos, tmp_path):
    folder = photos({"a.png": gradient(20, 20)})
    assert set(prepared(folder, tmp_path / "records").info.splits) == {"train"}


def test_upright_jpegs_are_stored_byte_for_byte(dummy):
    records = by_photo(dummy, RAW_IMAGE)
    assert records[TABLE][0]["image"] == (DUMMY / "table.jpg").read_bytes()
    for hands in records.values():
        assert all(hand["image"].startswith(b"\xff\xd8") for hand in hands)


def test_photos_are_turned_upright(photos, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise by a quarter
    folder = photos({})
    folder.mkdir()
    lying = gradient(40, 60).transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "a.jpg", exif=exif, quality=95)
    (record,) = by_photo(prepared(folder, tmp_path / "records"))[0]
    difference = record["image"].astype(int) - np.asarray(gradient(40, 60), int)
    assert np.abs(difference).mean() < 3


def test_shrinking_moves_the_labels_along(photos, tmp_path):
    points = [[0, 0], [1535, 1023], [700.5, 300.25], *[None] * 18]
    hand = {"box": [100, 200, 500, 800], "keypoints": points}
    files = {"large.png": gradient(1536, 1024), "small.jpg": gradient(1024, 64)}
    folder = photos(files, {"large.png": [hand]})
    builder = prepared(folder, tmp_path / "records", "1024px")
    (large,), (small,) = (hands for _, hands in sorted(by_photo(builder).items()))
    assert large["image"].shape == (683, 1024, 3)
    factors = np.array([1024 / 1536, 683 / 1024])
    expected = (np.array(points[:3]) + 0.5) * factors - 0.5
    np.testing.assert_allclose(large["keypoints_2d"][:3], expected, rtol=1e-5)
    # The gradient tells where a pixel comes from.
    x, y = np.round(large["keypoints_2d"][2]).astype(int)
    seen = large["image"][y, x, :2] / 255 * [1535, 1023]
    np.testing.assert_allclose(seen, points[2], atol=8)
    corners = (np.reshape(hand["box"], (2, 2)) + 0.5) * factors - 0.5
    np.testing.assert_allclose(large["hand_box"], corners.reshape(4), rtol=1e-5)
    assert small["image"].shape == (64, 1024, 3)
    raw = by_photo(builder, RAW_IMAGE)
    assert raw[1][0]["image"] == (folder / "small.jpg").read_bytes()


def test_large_jpegs_are_shrunk_whole(photos, tmp_path):
    """They are decoded at a fraction of their size, whose last pixels reach over the border."""
    folder = photos({"a.jpg": gradient(1561, 2081)})
    (record,) = by_photo(prepared(folder, tmp_path / "records", "1024px"))[0]
    assert record["image"].shape == (1024, 768, 3)
    expected = np.asarray(gradient(768, 1024), int)
    assert np.abs(record["image"].astype(int) - expected)[..., :2].max() <= 6


def test_photos_of_other_kinds(photos, tmp_path):
    files = {
        "grey.jpg": gradient(30, 20).convert("L"),
        "four.jpg": gradient(30, 20).convert("CMYK"),
        "clear.png": gradient(30, 20).convert("RGBA"),
        "UPPER.PNG": gradient(30, 20),
    }
    records = by_photo(prepared(photos(files), tmp_path / "records"))
    assert [hands[0]["image"].shape for hands in records.values()] == [(20, 30, 3)] * 4


def test_unreadable_and_hidden_files_are_left_out(photos, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    whole = (DUMMY / "table.jpg").read_bytes()
    files = {
        "a.jpg": whole,
        "b.jpg": whole[:-4000],
        "below/c.png": b"<html>404</html>",
        ".hidden.jpg": whole,
        ".thumbnails/d.jpg": whole,
        "notes.txt": b"",
        "tiny.png": gradient(5, 5),
    }
    builder = prepared(photos(files), tmp_path / "records")
    assert sum(i.num_examples for i in builder.info.splits.values()) == 1
    assert builder.info.metadata["unreadable_files"] == 3
    (warning,) = said
    assert warning.startswith("3 photos cannot be read and are left out: ")
    for name in ("b.jpg: cannot be decoded", "c.png: not a JPEG", "tiny.png: 5x5 px is too small"):
        assert name in warning


def test_keys_that_fit_nothing_are_said(raw, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    edit(raw, lambda boxes: boxes | {f"{i}.jpg": [] for i in range(7)})
    layout.read_folder(raw)
    assert len(said) == 1
    assert "mentions 7 photos that do not exist: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, ..." in said[0]


def edit(raw, change):
    path = raw / "boxes.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def only_broken(raw):
    shutil.rmtree(raw / "session")
    for path in raw.glob("*.jpg"):
        path.write_text("<html>404</html>")


BREAKAGES = {
    "none readable": (
        only_broken,
        r"3 photos were found, but none can be read, .*no_hand\.jpg: not a JPEG",
    ),
    "no JSON": (lambda d: (d / "boxes.json").write_text("{"), r"boxes\.json is not JSON"),
    "wrong JSON": (
        lambda d: edit(d, lambda boxes: boxes | {"table.jpg": [{"bbox": [1, 2, 3, 4]}]}),
        r"boxes\.json, 'table\.jpg', hand 1 has the field 'bbox'; known are",
    ),
    "other photos": (
        lambda d: edit(d, lambda boxes: {"x.jpg": []}),
        r"mentions none of the photos, its first key is 'x\.jpg'",
    ),
    "two of a name": (
        lambda d: shutil.copy(d / "table.jpg", d / "session"),
        r"'table\.jpg' may be any of 2 photos of that name: .*'session/table\.jpg'",
    ),
    "box outside": (
        lambda d: edit(d, lambda boxes: boxes | {"telephone.jpg": [{"box": [250, 1, 300, 9]}]}),
        r"box \[250.*\] lies outside of .*telephone\.jpg, which has 240x320 px",
    ),
    "no hands": (
        lambda d: edit(d, lambda boxes: {p.name: [] for p in d.rglob("*.*") if p.is_file()}),
        "says of every readable photo that it shows no hand",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_mistakes_are_named_and_nothing_is_left(raw, refused, breakage):
    break_it, message = BREAKAGES[breakage]
    break_it(raw)
    refused("image_folder", raw, message)


def test_a_path_tells_photos_of_one_name_apart(photos, tmp_path):
    files = {"a.png": gradient(20, 20), "below/a.png": gradient(30, 30)}
    folder = photos(files, {"below/a.png": [{"box": [1, 2, 3, 4]}], "a.png": []})
    (record,) = by_photo(prepared(folder, tmp_path / "records"))[0]
    assert record["image"].shape == (30, 30, 3)


def test_folders_may_have_any_name(photos, tmp_path):
    folder = photos({"a [1] *.png": gradient(20, 20)}).rename(tmp_path / "of [2] *")
    assert len(layout.read_folder(folder).photos) == 1


def test_real_photos(shared, tmp_path):
    """From telephones and cameras, in all sizes."""
    folder = shared / "fixtures/hands_unlabelled"
    count = len(layout.read_folder(folder).photos)
    builder = prepared(folder, tmp_path, "1024px")
    records = by_photo(builder)
    assert len(records) == count >= 15
    assert builder.info.metadata["unreadable_files"] == 0
    assert all(max(hand["image"].shape) <= 1024 for hands in records.values() for hand in hands)


def test_a_changed_folder_gets_records_of_its_own(raw, tmp_path):
    spec = DataSpec(
        source="tfds",
        names="image_folder",
        manual_dir=str(raw),
        data_dir=str(tmp_path / "records"),
    )

    def count():
        (builder,) = from_records.open_datasets(spec)
        return sum(split.num_examples for split in builder.info.splits.values())

    before = count()
    assert count() == before
    gradient(64, 48).save(raw / "another.png")
    assert count() == before + 1
