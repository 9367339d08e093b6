"""`python -m data.build`: whatever is wrong with the files is said in one sentence."""

import errno
import json
import os
import zipfile
from pathlib import Path

import pytest

from data import build, images
from data.freihand.freihand_dataset_builder import Builder
from peclr_jax.errors import MachineError, MissingFileError, UserError

DATA = Path(build.__file__).parent
NAMES = ("freihand", "youtube_3d_hands", "ho3d/v2", "dexter_object", "image_folder")
FREIHAND = DATA / "freihand/dummy_data"


def empty(folder):
    folder.mkdir()


def something_else(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("x")


FOLDERS = {
    "no manual_dir": (None, "needs its raw files, but no manual_dir is given: "),
    "missing": (lambda folder: None, "needs its raw files, but .*given is not there: "),
    "a file": (lambda folder: folder.write_text("x"), "but .*given is no folder: "),
    "empty": (empty, "but .*given is empty: "),
    "something else": (something_else, "given holds n.*: "),
}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_folders(name, folder, tmp_path, refused):
    make, message = FOLDERS[folder]
    if make is None:
        return refused(name, None, message)
    make(tmp_path / "given")
    return refused(name, tmp_path / "given", message)


@pytest.mark.parametrize("name", NAMES[:-1])
@pytest.mark.parametrize("other", NAMES)
def test_the_folder_of_another_data_set(name, other, refused):
    if name != other:
        folder = DATA / other.partition("/")[0] / "dummy_data"
        refused(name, folder, f"{folder}.* (holds n|is missing)")


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
    refused(name, path.parent, rf"{archive} is not a zip archive, corrupt or truncated")


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
    refused(name, None, message)


@pytest.mark.parametrize("below", ["file", "file/below", "x" * 300])
def test_unwritable_data_dir(below, tmp_path, refused):
    (tmp_path / "file").write_text("")
    message = f"{below}.* cannot be read or written .*: check the raw files and the folder"
    refused("freihand", FREIHAND, message, data_dir=tmp_path / below)


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
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_while_records_are_written(fault, monkeypatch, refused):
    error, message = FAULTS[fault]
    raised_by(monkeypatch, error)
    refused("freihand", FREIHAND, message)


def test_what_is_wrapped_comes_through_as_it_was(monkeypatch, refused):
    wrapped = RuntimeError("Failed to encode example:\n{...}")
    wrapped.__cause__ = UserError("a.jpg is broken: fetch it")
    raised_by(monkeypatch, wrapped)
    refused("freihand", FREIHAND, "^error: a.jpg is broken: fetch it$")


def test_bugs_keep_their_traceback(monkeypatch, tmp_path):
    raised_by(monkeypatch, TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        build.main(["freihand", f"--manual_dir={FREIHAND}", f"--data_dir={tmp_path}"])


def test_files_out_of_reach_are_not_called_broken(monkeypatch, raw_files, tmp_path):
    def open_(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files", "a.bmp")

    monkeypatch.setattr(images.Image, "open", open_)
    builder = build.make_builder("dexter_object", tmp_path / "records")
    with pytest.raises(MachineError, match=r"a\.bmp cannot be reached now \(EMFILE\)"):
        build.prepare(builder, raw_files("dexter_object"))


@pytest.fixture
def records(prepared, tmp_path):
    """The folder of FreiHAND's records."""
    return Path(prepared("freihand", FREIHAND, tmp_path / "written").data_dir)


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


def test_records_that_exist_are_listed(records, raw_files, capsys):
    where = f"--data_dir={records.parents[1]}"
    for files in ([], [f"--manual_dir={FREIHAND}"]):
        assert build.main(["freihand", where, *files]) == 0
        *splits, where_to = capsys.readouterr().out.splitlines()
        assert set(splits) == {"train: 12 images", "validation: 4 images", "evaluation: 2 images"}
        assert where_to == f"Records are in {records}"
    assert build.main(["freihand", where, f"--manual_dir={raw_files('freihand')}"]) == 2
    assert f"are of other files, {FREIHAND}: delete" in capsys.readouterr().err


def test_no_tilde_of_a_stranger(refused):
    refused("freihand", "~nobody-of-that-name/x", "is not there")
