import pytest

from peclr_jax.errors import UserError
from peclr_jax.files import (
    misread,
    read_json,
    read_json_lines,
    remove_unfinished,
    write_bytes,
    writing,
    writing_folder,
)


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with writing(path) as file:
        file.write("half")
        assert not path.exists()
    assert path.read_text() == "half"
    with pytest.raises(TypeError), writing(path) as file:
        file.write(3)
    write_bytes(tmp_path / "new" / "bytes", b"\0")
    assert sorted(p.name for p in path.parent.iterdir()) == ["bytes", "file.txt"]
    assert path.read_text() == "half"


def test_a_folder_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "folder"
    with writing_folder(path) as folder:
        (folder / "first").write_text("1")
        assert not path.exists()
    with pytest.raises(FileExistsError), writing_folder(path) as folder:
        folder.mkdir()
    assert [p.name for p in path.iterdir()] == ["first"]
    with writing_folder(path) as folder:
        (folder / "second").write_text("2")
    assert [p.name for p in path.iterdir()] == ["second"]
    assert [p.name for p in path.parent.iterdir()] == ["folder"]


def test_what_a_killed_run_left_goes_and_nothing_else(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".0123456789abcdef.partial", "below/.0123456789abcdef.partial"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".1123456789abcdef.partial/folder").mkdir(parents=True)
    (tmp_path / ".2123456789abcdef.partial").symlink_to("below")
    kept = ["film.mp4.partial", ".notes.partial", ".0123456789abcdeg.partial"]
    for name in kept:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, tmp_path / "absent")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "below"])
    assert list((tmp_path / "below").iterdir())
    remove_unfinished(tmp_path / "below")
    assert not list((tmp_path / "below").iterdir())


def test_a_folder_that_was_to_be_replaced_comes_back(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    for content in ("old", "new"):
        with writing_folder(tmp_path / "a") as folder:
            (folder / content).touch()
    monkeypatch.setattr("peclr_jax.files.move", killed)
    with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / "a"):
        pass
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "new"]
    with monkeypatch.context() as patch:
        patch.setattr("peclr_jax.files._clear", killed)
        with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / "a"):
            pass
    assert not (tmp_path / "a").exists()
    remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "new"]


def test_damaged_results_are_named(tmp_path):
    for content in (b"", b"\0\0\0", b'{"a": ', b"\xff\xfe\xff", b"[" * 10**5):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.json is damaged .*: remove it, and run the same"):
            read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "broken",
    [b"{", b'{"step": 3, "lo', b"\0" * 40, b'{"a": "\xff"}', b"[]", b"3", b"null", b"[" * 10**5],
)
def test_lines_that_are_no_objects_are_counted(tmp_path, broken):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n' + broken + b'\n\n{"a": "\xc3\xa9\xe2\x80\xa8"}\r\n' + broken)
    assert read_json_lines(path) == ([{"a": 1}, {"a": "é\u2028"}], 2)
    assert read_json_lines(tmp_path / "none") == ([], 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("try [1]", "[ in its path"),
        ("a*?", "* and ? in its path"),
        ("a\\b", "\\ in its path"),
        ("caf\udce9", "its path is no UTF-8"),
        ("{a}, b@1 é (2)%20#3", ""),
    ],
)
def test_paths_that_libraries_misread_are_told(tmp_path, name, reason, monkeypatch):
    folder = tmp_path / name / "run"
    folder.mkdir(parents=True)
    assert misread(folder, "*?[\\").startswith(reason)
    assert bool(misread(folder, "*?[\\")) == bool(reason)
    monkeypatch.chdir(folder)
    assert misread(".", "*?[\\").startswith(reason)
