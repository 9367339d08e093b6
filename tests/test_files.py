import pytest

from peclr_jax.files import misread, read_json_lines, write_bytes, writing, writing_folder


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


def test_files_are_not_written_through_links(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    for name in ("a.json", "b.json"):
        (tmp_path / f"{name}.partial").symlink_to(outside)
    with writing(tmp_path / "a.json") as file:
        file.write("{}")
    write_bytes(tmp_path / "b.json", b"{}")
    assert outside.read_text() == "precious"
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text() == "{}"


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
