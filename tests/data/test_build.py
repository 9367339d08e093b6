"""`python -m data.build`: whatever is wrong with the files is said in one sentence."""

import errno
import json
import os
import zipfile
from pathlib import Path

import pytest

from data import build, images
from data.freihand.freihand_dataset_builder import Builder
from peclr_jax.errors import MissingFileError, UserError
from tests.data.records import DATA

NAME = "freihand"
NAMES = ("freihand", "youtube_3d_hands", "ho3d/v2", "dexter_object", "image_folder")
FREIHAND = DATA / NAME / "dummy_data"


FOLDERS = [
    ("nothing", "needs its raw files, but .*given is not there: "),
    ("a file", "needs its raw files, but .*given is no folder: "),
    ("an empty folder", "but .*given is empty: "),
    ("a folder of something else", "given holds n.*: "),
]


@pytest.mark.parametrize(("what", "message"), FOLDERS)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_folders(name, what, message, tmp_path, refused):
    given = tmp_path / "given"
    if "folder" in what:
        given.mkdir()
    if what != "nothing" and "empty" not in what:
        (given / "notes.txt" if given.is_dir() else given).write_text("x")
    refused(given, message, name)


@pytest.mark.parametrize("name", NAMES)
def test_no_folder(name, refused):
    refused(None, "needs its raw files, but no manual_dir is given: ", name)


@pytest.mark.parametrize("name", NAMES[:-1])
@pytest.mark.parametrize("other", NAMES)
def test_the_folder_of_another_data_set(name, other, refused):
    if name != other:
        folder = DATA / other.partition("/")[0] / "dummy_data"
        refused(folder, f"{folder}.* (holds n|is missing)", name)


@pytest.mark.parametrize(
    ("name", "archive"), [("freihand", "FreiHAND_pub_v2.zip"), ("ho3d/v2", "HO3D_v2.zip")]
)
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_truncated_archives(name, archive, kept, tmp_path, refused):
    path = tmp_path / "given" / archive
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as content:
        content.writestr("training/rgb/00000000.jpg", b"x" * 999)
    os.truncate(path, int(kept * path.stat().st_size))
    refused(path.parent, f"{archive} is not a zip archive, corrupt or truncated", name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("freihands", "unknown data set 'freihands'; did you mean 'freihand'.*there are: freihand"),
        ("../ho3d", r"unknown data set '\.\.'"),
        ("ho3d/v4", r"ho3d has no configuration 'v4'.*it has: v2, v3$"),
        ("freihand/v2", "freihand has no configuration 'v2'; it has: none$"),
    ],
)
def test_unknown_names(name, message, refused):
    refused(None, message, name)


@pytest.mark.parametrize("below", ["file", "file/below", "x" * 300])
def test_unwritable_data_dir(below, tmp_path, refused):
    (tmp_path / "file").write_text("")
    message = f"{below}.* cannot be read or written .*: see to it and run the same command"
    refused(FREIHAND, message, data_dir=tmp_path / below)


def raised_by(monkeypatch, error):
    def raise_it(self, *_):
        raise error
        yield

    monkeypatch.setattr(Builder, "_generate_examples", raise_it)


DISK_FULL = 'Failed to finalize: write() failed: No space left on device; writing "x"; at byte 9'
FAULTS = {
    "full": (OSError(errno.ENOSPC, "No space left", "/d/x"), "records is full .*: free some space"),
    "full, in C++": (RuntimeError(DISK_FULL), "the disk that holds .*records is full"),
    "no right": (PermissionError(errno.EACCES, "x", "/d/a.jpg"), r"/d/a\.jpg may not be opened"),
    "read-only": (OSError(errno.EROFS, "Read-only", "/d/x"), "/d/x may not be written to"),
    "away": (OSError(errno.ESTALE, "Stale", "/d/x"), "/d/x cannot be reached now"),
    "vanished": (FileNotFoundError(errno.ENOENT, "No such file", "/d/x"), "/d/x cannot be read"),
    "ours": (MissingFileError("a.jpg is missing: fetch it"), "^error: a.jpg is missing: fetch it$"),
    "ours, wrapped": (
        RuntimeError("Failed to encode:\n{...}"),
        "^error: a.jpg is broken: fetch it$",
    ),
}
FAULTS["ours, wrapped"][0].__cause__ = UserError("a.jpg is broken: fetch it")


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_while_records_are_written(fault, monkeypatch, refused):
    error, message = FAULTS[fault]
    raised_by(monkeypatch, error)
    refused(FREIHAND, message)


def test_bugs_keep_their_traceback(monkeypatch, tmp_path):
    raised_by(monkeypatch, TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        build.main(["freihand", f"--manual_dir={FREIHAND}", f"--data_dir={tmp_path}"])


def test_files_out_of_reach_are_not_called_broken(monkeypatch, refused):
    def open_(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files", "a.bmp")

    monkeypatch.setattr(images.Image, "open", open_)
    raw = DATA / "dexter_object/dummy_data"
    refused(raw, r"a\.bmp cannot be reached now \(EMFILE\)", "dexter_object")


@pytest.fixture
def records(prepared):
    """The folder of FreiHAND's records."""
    return Path(prepared(FREIHAND).data_dir)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_info.json", b'{"name": "frei'),
        ("dataset_info.json", b"\xff\xfe"),
        ("dataset_info.json", json.dumps({"version": "2.0.0"}).encode()),
        ("metadata.json", b"{"),
    ],
)
def test_broken_records(name, content, records, capsys):
    (records / name).write_bytes(content)
    assert build.main(["freihand", f"--data_dir={records.parents[1]}"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: the records of freihand in {records.parents[1]} cannot be read")
    assert said.endswith(": delete them and write them again")


def test_records_out_of_reach_are_not_called_broken(records, monkeypatch, capsys):
    def open_(self, *args, **kwargs):
        raise OSError(errno.ESTALE, "Stale file handle", str(records / "dataset_info.json"))

    monkeypatch.setattr(Builder, "__init__", open_)
    assert build.main(["freihand", f"--data_dir={records.parents[1]}"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "dataset_info.json cannot be reached now" in said
    assert "delete" not in said


@pytest.mark.parametrize("name", ["a**b", "what?", "caf\udce9"])
def test_a_folder_that_would_be_taken_for_a_pattern_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"records cannot be kept in .* choose another data_dir"):
        build.make_builder("image_folder", tmp_path / name)


@pytest.mark.parametrize("name", ["try [1]", "{a}, b@2"])
def test_other_folders_hold_records(tmp_path, name):
    builder = build.make_builder("image_folder", tmp_path / name)
    prepared = build.prepare(builder, DATA / "image_folder" / "dummy_data")
    assert len(prepared.builder.as_data_source(split="train"))


def test_no_tilde_of_a_stranger(capsys):
    with pytest.raises(SystemExit) as stop:
        build.main(["freihand", "--manual_dir=~nobody-of-that-name/x"])
    assert stop.value.code == 2
    assert "'~nobody-of-that-name/x', but the user" in capsys.readouterr().err


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch, capsys):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert build.main(["freihand", f"--manual_dir={DATA / 'freihand/dummy_data'}"]) == 2
    assert "no home folder to keep the records of freihand in" in capsys.readouterr().err
    assert not os.path.exists("~")


def test_records_are_kept_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert str(build.make_builder("image_folder").data_dir).startswith(str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://records")
    with pytest.raises(UserError, match=r"^TFDS_DATA_DIR is 'gs://records', a URL: copy it"):
        build.make_builder("image_folder")
