"""Any folder of photos: found, turned upright, shrunk with their labels, and skipped if broken."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data import build, schema
from data.image_folder import duplicates, layout
from peclr_jax import outputs
from peclr_jax.geometry.camera import REFERENCE_BONE
from peclr_jax.input_pipeline.records import RecordStore
from tests.data.breakages import HTML, edited, written
from tests.data.records import DATA, ENCODED, counts, read, write

NAME = "image_folder"
DUMMY = DATA / NAME / "dummy_data"
# The photo's place among those with a hand, in the order of their paths.
SOFT, TELEPHONE, TWO, TABLE, UNSAID = range(5)


def by_photo(builder, decoders=None):
    records = {}
    for split in builder.info.splits:
        for record in read(builder, split, decoders):
            records.setdefault(record["sample_id"], []).append(record)
    return records


def gradient(width, height):
    """Brighter to the right in red, downwards in green."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


def test_one_record_a_hand(dummy):
    records = by_photo(dummy)
    hands = {photo: len(hands) for photo, hands in records.items()}
    assert hands == {SOFT: 1, TELEPHONE: 1, TWO: 2, TABLE: 1, UNSAID: 1}
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


def test_joints_in_space(dummy):
    records = by_photo(dummy)
    boxes = json.loads((DUMMY / "boxes.json").read_text())
    (table,), (soft,) = records[TABLE], records[SOFT]
    for record, name, score in ((table, "table.jpg", 0.75), (soft, "soft.webp", 1)):
        expected = boxes[name][0]["keypoints_3d"]
        known = [point is not None for point in expected]
        np.testing.assert_array_equal(record["keypoints_3d_valid"], known)
        points = [point or [0, 0, 0] for point in expected]
        np.testing.assert_allclose(record["keypoints_3d"], points, rtol=1e-6)
        bone = np.linalg.norm(np.subtract(*(points[j] for j in REFERENCE_BONE)))
        assert record["bone_length_valid"]
        assert record["bone_length"] == pytest.approx(bone, rel=1e-6)
        assert record["score"] == np.float32(score)
        assert not record["intrinsics_valid"]
    (telephone,) = records[TELEPHONE]
    assert not telephone["keypoints_3d_valid"].any()
    assert not telephone["bone_length_valid"]
    assert telephone["score"] == 1


def test_a_hand_without_its_reference_bone_has_no_size(photos, prepared):
    points = [[0.01 * joint, 0, 0] for joint in range(21)]
    points[REFERENCE_BONE[1]] = None
    folder = photos({"a.png": gradient(20, 20)}, {"a.png": [{"keypoints_3d": points}]})
    (record,) = by_photo(prepared(folder))[0]
    assert record["keypoints_3d_valid"].sum() == 20
    assert not record["bone_length_valid"]


def test_left_hands_come_mirrored_out_of_the_pipeline(dummy):
    stored = {}
    for split in dummy.info.splits:
        stored |= {r["sample_id"]: r for r in read(dummy, split) if r["sample_id"] != TWO}
    parts = [(dummy, split) for split in dummy.info.splits]
    store = RecordStore(parts, size=64, margin=1.5, labels=True, threads=1)
    (batch,) = store.stream([np.arange(len(store))])
    rows = {sample: row for row, sample in enumerate(batch["sample_id"])}
    for sample, sign in ((SOFT, -1), (TABLE, 1)):
        row, record = rows[sample], stored[sample]
        valid = batch["keypoints_3d_valid"][row]
        np.testing.assert_array_equal(valid, record["keypoints_3d_valid"])
        expected = record["keypoints_3d"] * [sign, 1, 1]
        np.testing.assert_allclose(batch["keypoints_3d"][row][valid], expected[valid], rtol=1e-6)
        pixels = batch["crop_scale"][row] * record["keypoints_2d"] + batch["crop_shift"][row]
        if sign < 0:
            pixels[:, 0] = 63 - pixels[:, 0]
        seen = record["keypoints_2d_valid"]
        np.testing.assert_allclose(batch["keypoints_2d"][row][seen], pixels[seen], atol=1e-3)
        assert batch["score"][row] == record["score"]


def test_the_last_photos_of_every_folder_are_held_out():
    paths = [Path(f"{folder}/{i:03}.jpg") for folder in "ab" for i in range(20)]
    paths += [Path(f"few/{i}.jpg") for i in range(4)]
    held_out = layout.held_out(paths)
    names = sorted(paths[number].as_posix() for number in held_out)
    assert names == ["a/018.jpg", "a/019.jpg", "b/018.jpg", "b/019.jpg"]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_about_a_tenth_is_held_out_but_never_all(sizes):
    paths = [Path(f"{folder}/{i:03}") for folder, size in enumerate(sizes) for i in range(size)]
    held_out = layout.held_out(sorted(paths))
    assert len(held_out) < len(paths)
    assert bool(held_out) == (len(paths) > 1)
    assert abs(len(held_out) - len(paths) / 10) <= max(1, len(sizes) / 2)


def test_splits_share_no_photo(dummy, photos, prepared):
    assert counts(dummy) == {"train": 5, "validation": 1}
    boxes = {f"{i}.png": [{"box": [1, 1, 9, 9]}] * 3 for i in range(20)}
    folder = photos({name: gradient(16, 16 + i) for i, name in enumerate(boxes)}, boxes)
    builder = prepared(folder)
    ids = {split: [r["sample_id"] for r in read(builder, split)] for split in builder.info.splits}
    assert [len(ids["train"]), len(ids["validation"])] == [54, 6]
    assert not set(ids["train"]) & set(ids["validation"])


def test_copies_stay_together_and_are_counted(photos, prepared, capsys):
    """In every folder the last would be held out; two of these are copies of photos before."""
    files = {f"a/{i:02}.png": gradient(16, 16 + i) for i in range(20)}
    files |= {f"b/{i:02}.jpg": gradient(30 + i, 16) for i in range(20)}
    files |= {"a/19.png": files["a/03.png"], "c/copy.png": files["a/03.png"]}
    files |= {"b/00.jpg": files["b/19.jpg"], "b/renamed.jpeg": files["b/07.jpg"]}
    folder = photos(files)
    builder = prepared(folder)
    images = {
        split: {r["image"] for r in read(builder, split, ENCODED)} for split in counts(builder)
    }
    assert not images["train"] & images["validation"]
    assert sum(counts(builder).values()) == 42
    assert counts(builder)["validation"] == 1  # all others are copies of photos that stay
    assert builder.info.metadata["copies"] == 4
    (note,) = builder.info.metadata["notes"]
    assert note.startswith("exact copies of other photos: 4, in the same split")
    by_content = {}
    for records in by_photo(builder, ENCODED).values():
        for record in records:
            by_content.setdefault(record["image"], []).append(record)
    assert sorted(map(len, by_content.values()))[-3:] == [2, 2, 3]
    for records in by_content.values():
        assert len({record["sample_id"] for record in records}) == 1
        assert {record["version"] for record in records} == set(range(len(records)))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 4))
def test_copies_are_never_on_both_sides(contents, folders):
    paths = sorted(Path(f"{i % folders}/{i:03}") for i in range(len(contents)))
    held_out = layout.held_out(paths, contents)
    sides = [
        {c for i, c in enumerate(contents) if (i in held_out) == side} for side in (False, True)
    ]
    assert not sides[0] & sides[1]
    assert sides[0]
    assert bool(sides[1]) == (len(set(contents)) > 1)


def test_a_copy_shows_the_hands_of_the_photo_that_is_mentioned(photos):
    files = {name: gradient(40, 30) for name in ("a.png", "b.png", "c.png", "z.png")}
    files |= {name: gradient(50, 30) for name in ("d.png", "e.png")}
    boxes = {"b.png": [{"box": [1, 2, 9, 9]}], "c.png": [{"box": [2, 2, 9, 9]}], "e.png": []}
    found = layout.read_folder(photos(files, boxes))
    assert [(p.path.name, p.hands[0].box[0], p.sample, p.copy) for p in found.photos] == [
        ("a.png", 1, 0, 0),
        ("b.png", 1, 0, 1),
        ("c.png", 2, 0, 2),
        ("z.png", 1, 0, 3),
    ]


def test_a_copy_may_be_the_first_that_shows_a_hand(photos):
    files = {name: gradient(40, 30) for name in ("a.png", "b.png", "c.png")}
    found = layout.read_folder(photos(files, {"a.png": [], "b.png": [{"box": [1, 2, 9, 9]}]}))
    assert [(p.path.name, p.sample, p.copy) for p in found.photos] == [("b.png", 0, 0)]


def test_copies_are_of_the_content_not_of_the_name(tmp_path):
    contents = [b"one", b"two", b"one", b"longer", b"one"]
    paths = [tmp_path / f"{number}.jpg" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert duplicates.first_of_same(paths) == [0, 1, 0, 3, 0]


def test_folders_of_ours_are_left_out(photos, prepared):
    folder = photos({"a.png": gradient(20, 20), "run/views.png": gradient(30, 20)})
    photos({"runs/one/old/loss.png": gradient(40, 20), "runs/holiday.png": gradient(50, 20)})
    outputs.mark(folder / "run")
    (folder / "runs/one/provenance.jsonl").touch()
    for _ in range(2):  # the records lie among the photos, too
        builder = write(NAME, folder, folder / "records")
        assert sum(counts(builder).values()) == 2


def test_a_single_photo_is_trained_on(photos, prepared):
    folder = photos({"a.png": gradient(20, 20)})
    assert set(prepared(folder).info.splits) == {"train"}


def test_shrinking_moves_the_labels_along(photos, prepared):
    points = [[0, 0], [1535, 1023], [700.5, 300.25], *[None] * 18]
    hand = {"box": [100, 200, 500, 800], "keypoints": points}
    files = {"large.png": gradient(1536, 1024), "small.jpg": gradient(1024, 64)}
    folder = photos(files, {"large.png": [hand]})
    builder = prepared(folder, "1024px")
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
    raw = by_photo(builder, ENCODED)
    assert raw[1][0]["image"] == (folder / "small.jpg").read_bytes()


def test_keys_that_fit_nothing_are_said(raw, capsys):
    with_boxes({f"{i}.jpg": [] for i in range(7)})(raw)
    assert build.main([NAME, "--check", f"--manual_dir={raw}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = "'0.jpg', '1.jpg', '2.jpg', '3.jpg', '4.jpg', ..."
    assert f"{raw / 'boxes.json'}: 7 names ({names}) that no photo here has" in lines


def test_boxes_outside_of_their_photos_are_left_out_and_counted(raw, prepared):
    inside = {"box": [10, 20, 90, 110]}
    with_boxes(
        {
            "telephone.jpg": [{"box": [250, 1, 300, 9]}, inside],
            "table.jpg": [{"box": [-30, -30, -1, -1]}],
        }
    )(raw)
    folder = layout.read_folder(raw)
    photos = {photo.path.name: photo for photo in folder.photos}
    assert [hand.box for hand in photos["telephone.jpg"].hands] == [(10, 20, 90, 110)]
    assert "table.jpg" not in photos
    (text,) = folder.left_out
    assert "boxes.json: hands whose box lies outside of its photo: 2, and with them 1 photo" in text
    assert re.search(r"such as \[.*\] of .*/\w+\.jpg \(\d+x\d+ px as it is seen\)$", text), text
    assert text in prepared(raw).info.metadata["left_out"]


def test_names_may_be_of_another_system(photos, prepared):
    """As written on Windows, and on a Mac, which takes letters and their accents apart."""
    files = {"below/Ä.png": gradient(64, 48), "b.png": gradient(64, 48)}
    keys = {"below\\A\u0308.PNG": [{"box": [1, 2, 30, 40]}], "./b.png": [{"box": [3, 4, 50, 40]}]}
    folder = layout.read_folder(photos(files, keys))
    boxes = {photo.path.name: photo.hands[0].box for photo in folder.photos}
    assert boxes == {"Ä.png": (1, 2, 30, 40), "b.png": (3, 4, 50, 40)}


def with_boxes(more):
    return edited("boxes.json", lambda boxes: boxes | more)


def only_broken(raw):
    shutil.rmtree(raw / "session")
    for path in raw.glob("*.jpg"):
        path.write_text(HTML)


def no_hands(raw):
    shown = {path.name: [] for path in raw.rglob("*.*") if path.is_file()}
    (raw / "boxes.json").write_text(json.dumps(shown))


def two_of_a_name(raw):
    for folder in ("first", "second"):
        (raw / folder).mkdir()
        shutil.copy(raw / "table.jpg", raw / folder / "one.jpg")
    with_boxes({"one.jpg": []})(raw)


BREAKAGES = [
    (only_broken, r"3 photos were found, but none can be read, .*no_hand\.jpg: not a JPEG"),
    (written("boxes.json", "{"), r"boxes\.json is not JSON"),
    (
        with_boxes({"table.jpg": [{"bbox": [1, 2, 3, 4]}]}),
        r"boxes\.json, 'table\.jpg', hand 1 has the field 'bbox'; known are",
    ),
    (
        written("boxes.json", '{"x.jpg": []}'),
        r"names none of the photos, its first is 'x\.jpg'",
    ),
    (
        two_of_a_name,
        r"'one\.jpg' may be any of 2 photos of that name: .*first/one\.jpg'",
    ),
    (no_hands, "says of every readable photo that it shows no hand"),
]


@pytest.mark.parametrize(("break_it", "message"), BREAKAGES)
def test_mistakes_are_named_and_nothing_is_left(raw, refused, break_it, message):
    break_it(raw)
    refused(raw, message)


def test_a_path_tells_photos_of_one_name_apart(photos, prepared):
    files = {"a.png": gradient(20, 20), "below/a.png": gradient(30, 30)}
    folder = photos(files, {"below/a.png": [{"box": [1, 2, 3, 4]}], "a.png": []})
    (record,) = by_photo(prepared(folder))[0]
    assert record["image"].shape == (30, 30, 3)


def test_real_photos(shared, prepared):
    """From telephones and cameras, in all sizes."""
    folder = shared / "fixtures/hands_unlabelled"
    count = len(layout.read_folder(folder).photos)
    builder = prepared(folder, "1024px")
    records = by_photo(builder)
    assert len(records) == count >= 15
    assert builder.info.metadata["unreadable_files"] == 0
    assert all(max(hand["image"].shape) <= 1024 for hands in records.values() for hand in hands)
