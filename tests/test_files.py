import pytest

from peclr_jax.files import write_bytes, writing, writing_folder


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
