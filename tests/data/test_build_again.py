"""Records that are there already: kept, written anew or replaced, and which of these is said."""

import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data import build
from tests.data.records import DATA

NAME = "freihand"
FREIHAND = DATA / NAME / "dummy_data"


@pytest.fixture
def records(prepared):
    """The folder of FreiHAND's records."""
    return Path(prepared(FREIHAND).data_dir)


def test_records_that_exist_are_listed(records, raw, capsys):
    where = f"--data_dir={records.parents[1]}"
    for files, told in (
        ([], f"Kept: records of {FREIHAND}"),
        ([f"--manual_dir={FREIHAND}"], f"Kept: the files in {FREIHAND} are the same"),
    ):
        assert build.main(["freihand", where, *files]) == 0
        *splits, kept, where_to = capsys.readouterr().out.splitlines()
        assert kept == told
        known = "(21 joints in 3D, 21 joints in 2D, intrinsics, bone length, box)"
        assert splits == [
            f"train: 12 images, 12 labelled {known}",
            f"validation: 4 images, 4 labelled {known}",
            f"evaluation: 2 images, 2 labelled {known}",
            "training: 4 hands in 4 versions each",
        ]
        assert where_to == f"Records are in {records}"
    assert build.main(["freihand", where, f"--manual_dir={raw}"]) == 2
    assert f"are of other files, {FREIHAND}: pass --overwrite" in capsys.readouterr().err


BROKEN_SHARDS = {
    "gone": (Path.unlink, "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged or cut off"),
    "cut off": (lambda path: os.truncate(path, path.stat().st_size // 2), "is damaged or cut off"),
    "of others": (
        lambda path: shutil.copy(path.with_name(path.name.replace("train", "evaluation")), path),
        "holds 2 records, not 12",
    ),
}


@pytest.mark.parametrize("case", BROKEN_SHARDS)
def test_broken_records_are_not_kept(case, records, capsys):
    break_it, problem = BROKEN_SHARDS[case]
    (shard,) = records.glob("*train.array_record*")
    break_it(shard)
    where = f"--data_dir={records.parents[1]}"
    for files in ([], [f"--manual_dir={FREIHAND}"]):
        assert build.main(["freihand", where, *files]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"error: {shard} {problem}: write the records again with `python -m data.build freihand"
            f" --overwrite {where} --manual_dir={FREIHAND}`"
        )
    assert build.main(["freihand", where, "--overwrite", f"--manual_dir={FREIHAND}"]) == 0
    assert build.main(["freihand", where]) == 0


def build_all(raw, name, folder, capsys, *flags):
    """Returns what is said about splits, about records that were there, and where they are."""
    assert build.main([name, f"--manual_dir={raw}", f"--data_dir={folder}", *flags]) == 0
    return capsys.readouterr().out.splitlines()


def edited(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def later(name):
    """Takes a label file away and returns what puts it back."""

    def take(raw):
        content = (raw / name).read_bytes()
        (raw / name).unlink()
        return lambda: (raw / name).write_bytes(content)

    return take


def fewer_hands(raw):
    def remove():
        for name in ("K", "xyz", "scale"):
            edited(raw / f"training_{name}.json", lambda labels: labels[:2])
        for path in (raw / "training/rgb").glob("*.jpg"):
            if int(path.stem) >= 8:
                path.unlink()
        shutil.rmtree(raw / "training/mask")

    return remove


def moved(path, field):
    """Edits a number in place, so that names and sizes stay."""

    def prepare(raw):
        def edit():
            content = pickle.loads((raw / path).read_bytes())  # our own files
            content[field] = content[field] + 1e-3
            (raw / path).write_bytes(pickle.dumps(content, 2))

        return edit

    return prepare


def regressor(raw):
    weights = np.full((16, 778), 1 / 778)
    return lambda: np.save(raw / "J_regressor.npy", weights)


def copied(source, target):
    return lambda raw: lambda: shutil.copy(raw / source, raw / target)


def unlinked(path):
    return lambda raw: (raw / path).unlink


CHANGES = [
    ("freihand", later("evaluation_xyz.json"), r"evaluation_xyz\.json is new"),
    ("freihand", fewer_hands, r"training/mask/\*\.jpg is gone, training/rgb/\*\.jpg were 16 files"),
    (
        "ho3d/v2",
        moved("HO3D_v2/train/SM2/meta/0001.pkl", "handJoints3D"),
        r"SM2/meta/\*\.pkl has ch",
    ),
    ("youtube_3d_hands", regressor, r"^Written anew: J_regressor\.npy is new$"),
    ("youtube_3d_hands", unlinked("youtube_test.json"), r"youtube_test\.json is gone"),
    (
        "dexter_object",
        unlinked("data/Pinch/annotations/my_Pinch3D.txt"),
        r"my_Pinch3D\.txt is gone",
    ),
    ("image_folder", copied("table.jpg", "session/again.jpg"), r"session/\*\.jpg is new"),
    ("image_folder", unlinked("boxes.json"), r"boxes\.json is gone"),
]


@pytest.mark.parametrize(("name", "prepare", "message"), CHANGES)
def test_records_of_changed_files_are_written_anew(name, prepare, message, tmp_path, capsys):
    raw = shutil.copytree(DATA / name.partition("/")[0] / "dummy_data", tmp_path / "raw")
    folder = tmp_path / "records"
    change = prepare(raw)
    first = build_all(raw, name, folder, capsys)
    assert build_all(raw, name, folder, capsys)[-2].startswith(f"Kept: the files in {raw}")
    before = files_below(folder)
    change()
    told = build_all(raw, name, folder, capsys, "--check")
    assert told[-1] == "Nothing was written"
    assert re.search(message.replace("^Written anew: ", ": "), told[-2])
    assert build_all(raw, name, folder, capsys, "--check")[:-2] == told[:-2]
    assert files_below(folder) == before
    again = build_all(raw, name, folder, capsys)
    assert re.search(message, again[-2])
    assert again[:-2] == told[:-2]
    assert again[-1] == first[-1]
    assert build_all(raw, name, folder, capsys)[-2].startswith("Kept: ")
    assert not list(folder.rglob("*.partial"))


def files_below(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_records_are_replaced_if_that_is_asked_for(records, raw, capsys):
    where = records.parents[1]
    assert build_all(FREIHAND, NAME, where, capsys, "--overwrite")[-2] == "Written anew"
    edited(raw / "training_scale.json", lambda scale: scale)
    assert build_all(raw, NAME, where, capsys, "--overwrite")[-2] == "Written anew"
    assert build_all(raw, NAME, where, capsys)[-2] == f"Kept: the files in {raw} are the same"


def test_records_stay_while_others_cannot_be_written(records, raw, capsys):
    before = files_below(records)
    edited(raw / "training_scale.json", lambda scale: [0, *scale[1:]])
    flags = [NAME, f"--manual_dir={raw}", f"--data_dir={records.parents[1]}", "--overwrite"]
    assert build.main(flags) == 2
    assert r"training_scale.json: entry 0 is 0 m" in capsys.readouterr().err
    assert files_below(records) == before
    assert os.listdir(records.parent) == [records.name]


def test_records_of_earlier_versions_are_written_anew(records, capsys):
    path = records / "metadata.json"
    edited(path, lambda found: {"manual_dir": found["manual_dir"]})
    told = build_all(FREIHAND, NAME, records.parents[1], capsys)
    assert told[-2] == "Written anew: nothing is known of the files that they were made of"


def test_labels_beside_the_folder_count(raw, tmp_path, capsys):
    """The second archive is often unpacked beside the first, which is what people name."""
    first, second = tmp_path / "FreiHAND_pub_v2", tmp_path / "FreiHAND_pub_v2_eval"
    raw.rename(first)
    second.mkdir()
    labels = (first / "evaluation_xyz.json").rename(tmp_path / "aside.json")
    where = tmp_path / "records"
    assert "2 images, 0 labelled" in build_all(first, NAME, where, capsys)[2]
    labels.rename(second / "evaluation_xyz.json")
    *splits, done, _ = build_all(first, NAME, where, capsys)
    assert done == "Written anew: ../FreiHAND_pub_v2_eval/evaluation_xyz.json is new"
    assert "2 images, 2 labelled" in splits[2]


def test_records_and_notes_among_the_raw_files_are_no_raw_files(raw, capsys):
    where = raw / "records"
    build_all(raw, NAME, where, capsys)
    (raw / "notes.txt").write_text("x")
    assert build_all(raw, NAME, where, capsys)[-2].startswith("Kept: ")


def test_without_the_folder_a_change_is_said(records, raw, capsys, tmp_path):
    where = tmp_path / "others"
    build_all(raw, NAME, where, capsys)
    (raw / "evaluation_xyz.json").unlink()
    assert build.main([NAME, f"--data_dir={where}"]) == 0
    told = capsys.readouterr().out.splitlines()[-2]
    assert f"Kept: records of {raw}; these files have changed since (evaluation_xyz.json" in told


def test_very_many_files_are_not_looked_at_unless_named(
    records, raw, capsys, tmp_path, monkeypatch
):
    where = tmp_path / "others"
    build_all(raw, NAME, where, capsys)
    (raw / "evaluation_xyz.json").unlink()
    monkeypatch.setattr(build, "_LOOKED_AT_MOST", 3)
    assert build.main([NAME, f"--data_dir={where}"]) == 0
    told = capsys.readouterr().out.splitlines()[-2]
    assert re.search(rf"Kept: records of {raw}; \d+ files are too many to see at every start", told)
    assert build_all(raw, NAME, where, capsys)[-2].startswith("Written anew: evaluation_xyz.json")


def test_a_check_needs_raw_files(capsys, tmp_path):
    assert build.main(["synthetic_hands/64px_4k", "--check", f"--data_dir={tmp_path}"]) == 2
    assert "made of no raw files" in capsys.readouterr().err
    assert build.main([NAME, "--check", f"--data_dir={tmp_path}"]) == 2
    assert "no manual_dir is given" in capsys.readouterr().err


def test_a_data_set_of_no_raw_files_takes_none(raw, capsys, tmp_path):
    flags = ["synthetic_hands/64px_4k", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'no'}"]
    assert build.main(flags) == 2
    told = f"synthetic_hands is made of no raw files: leave out the manual_dir, {raw}"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_an_archive_is_checked_and_nothing_stays(raw, tmp_path, capsys):
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "FreiHAND_pub_v2.zip", "w") as archive:
        for path in raw.rglob("*"):
            archive.write(path, path.relative_to(raw))
    told = build_all(packed, NAME, tmp_path / "records", capsys, "--check")
    assert "evaluation: 2 images, 2 labelled" in told[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "raw"]
    assert [path.name for path in packed.iterdir()] == ["FreiHAND_pub_v2.zip"]
