"""Only regular files of a bounded size are read, and nothing is waited for."""

import os
import socket

import pytest

from peclr_jax.errors import MachineError, MissingFileError, UserError
from peclr_jax.reading import bounded


def test_a_file_is_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert bounded.content(path, 6) == b"\xef\xbb\xbfabc"
    assert bounded.text(path) == "abc"
    with bounded.opened(path, 6) as file:
        assert file.read(3) == b"\xef\xbb\xbf"
    link = tmp_path / "link"
    link.symlink_to(path)
    assert bounded.text(link) == "abc"


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(2**40)
    for read in (bounded.opened, bounded.content):
        with pytest.raises(UserError, match=r"a has 1,099,512 MB, .* at most 0\.001: x"):
            read(path, 1000, "x")
    with pytest.raises(UserError, match="at most 17: check the file"):
        bounded.text(path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("pipe", "named pipe"), ("folder", "folder"), ("device", "device"), ("socket", "No such")],
)
def test_what_is_no_file_is_refused(tmp_path, kind, said):
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(UserError, match=f"/a .*{said}.*: name a file"):
        bounded.opened(path, 10**6, "name a file")


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="/a is not there: fetch it"):
        bounded.opened(tmp_path / "a", 1, "fetch it")
    with pytest.raises(MachineError, match=r"cannot be read .File name too long"):
        bounded.opened(tmp_path / ("a" * 300), 1)
    (tmp_path / "b").symlink_to(tmp_path / "b")
    with pytest.raises(MachineError, match="Too many levels of symbolic links"):
        bounded.opened(tmp_path / "b", 1)


def test_files_of_the_system_that_have_no_size_are_refused():
    with pytest.raises(UserError, match="grows while it is read"):
        bounded.content(bounded.Path("/proc/self/maps"), 10**6)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(UserError, match="/a cannot be read as text: mend it"):
        bounded.text(tmp_path / "a", "mend it")
    assert bounded.text(tmp_path / "a", errors="replace") == "\ufffd"
