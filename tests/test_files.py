import pytest

from peclr_jax.files import write_bytes, writing


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
