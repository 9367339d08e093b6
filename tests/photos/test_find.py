import os

import pytest

from peclr_jax.errors import UserError
from peclr_jax.photos.find import find_film, find_images


@pytest.fixture
def folder(tmp_path):
    for name in ("b.JPG", "a.png", "c.webp", "notes.txt", "._b.jpg", "deeper/d.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", "a.png b.JPG c.webp"),
        ("notes.txt", "notes.txt"),  # named: it shall be tried
        ("*", "a.png b.JPG c.webp"),
        ("*.png", "a.png"),
        ("**/*.jpeg", "d.jpeg"),
    ],
)
def test_files_folders_and_globs(folder, pattern, names):
    assert [path.name for path in find_images(os.path.join(folder, pattern))] == names.split()


@pytest.mark.parametrize("pattern", ["nowhere", "*.gif", "deeper/*.png"])
def test_nothing_found_is_said(folder, pattern):
    with pytest.raises(FileNotFoundError, match="no image"):
        find_images(str(folder / pattern))
    with pytest.raises(ValueError, match="name the photos"):
        find_images("")


def test_a_film_is_told_from_images(folder):
    for name in ("a.MOV", "b.mp4"):
        (folder / name).touch()
    assert find_film(str(folder / "a.MOV")) == folder / "a.MOV"
    assert find_film(str(folder / "b*.mp4")) == folder / "b.mp4"
    assert find_film(str(folder)) is find_film(str(folder / "a.png")) is find_film("") is None
    (folder / "c.mp4").touch()
    with pytest.raises(UserError, match="matches 2 films"):
        find_film(str(folder / "*.mp4"))
    with pytest.raises(FileNotFoundError, match="is not there"):
        find_film(str(folder / "d.mp4"))


@pytest.mark.parametrize("name", ["album [2]", "a*", "what?", "[!a]"])
def test_folders_that_exist_are_no_patterns(tmp_path, name):
    folder = tmp_path / name
    (folder / "more").mkdir(parents=True)
    for place in (folder, folder / "more"):
        (place / "hand [1].jpg").touch()
    (tmp_path / "album 2").mkdir()
    (tmp_path / "album 2" / "other.jpg").touch()
    first, second = folder / "hand [1].jpg", folder / "more" / "hand [1].jpg"
    assert find_images(str(folder)) == [first]
    assert find_images(str(first)) == [first]
    assert find_images(f"{folder}/*.jpg") == [first]
    assert find_images(f"{folder}/*/h*") == [second]
    assert find_images(f"{folder}/**") == [first, second]
