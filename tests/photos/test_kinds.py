import re
from pathlib import Path

import pytest

from peclr_jax.errors import printable
from peclr_jax.photos import kinds
from peclr_jax.photos.kinds import Kind, LeftOut, kind_of, why_unreadable


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jfif", "a.MPO", "a.HEIC", "a.tif", "a.gif"])
def test_pictures_are_told_by_their_endings(name):
    assert kind_of(Path(name)) is None


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("a.MOV", "films", "ffmpeg"),
        ("a.3gp", "films", "predict one by"),
        ("a.MTS", "films of a kind that is not read", "ffmpeg -i FILM FILM.mp4"),
        ("a.DNG", "raw photos", "magick mogrify -format jpg '*.DNG'"),
        ("a.jxl", "pictures of a kind that is not read", "magick mogrify -format png '*.jxl'"),
        ("a.zip", "archives", "unpack"),
        ("a.txt", "files that are no pictures", ""),
        ("absent", "files that are no pictures", ""),
    ],
)
def test_others_are_told_with_what_to_do(name, kind, remedy):
    told = kind_of(Path(name))
    assert told.name == kind
    assert remedy in told.remedy


@pytest.mark.parametrize(
    ("content", "is_picture"),
    [
        (b"\xff\xd8\xff\xe0JFIF", True),
        (b"\x89PNG\r\n\x1a\n", True),
        (b"RIFF\0\0\0\0WEBPVP8 ", True),
        (b"\0\0\0\x18ftypheic", True),
        (b"\0\0\0\x18ftypavif", True),
        (b"\0\0\0\x18ftypqt  ", False),
        (b"RIFF\0\0\0\0WAVE", False),
        (b"", False),
    ],
)
def test_names_without_a_known_ending_are_looked_into(tmp_path, content, is_picture):
    path = tmp_path / "IMG_0001.jpg_large"
    path.write_bytes(content)
    assert ("rename" in kind_of(path).remedy) == is_picture


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "an empty file: copy it again"),
        (b"\0" * 99, "an empty file: copy it again"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "but a web page .*: download"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\0\0\0\x18ftypmp42", "a film: .*ffmpeg"),
        (b"RIFF\0\0\0\0AVI LIST", "a film: .*ffmpeg"),
        (b"\x1aE\xdf\xa3", "a film: .*ffmpeg"),
        (b"%PDF-1.7", "not a JPEG, PNG or WebP image, .*magick"),
    ],
)
def test_why_a_file_cannot_be_read(head, said):
    assert re.search(said, why_unreadable(head))


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        (b"\0\0\0\x18ftypheic", "pip install pi-heif"),
        (b"\0\0\0\x18ftypavif", "pip install -U pillow"),
    ],
)
def test_a_decoder_is_asked_for_where_it_is_missing(monkeypatch, head, remedy):
    for is_there in (False, True):
        monkeypatch.setattr(kinds, "load_heic_decoder", lambda is_there=is_there: is_there)
        monkeypatch.setattr(kinds.features, "check", lambda _, is_there=is_there: is_there)
        assert (remedy in why_unreadable(head)) != is_there
        assert ("copy it again" in why_unreadable(head)) == is_there


def test_a_few_of_many_are_named():
    kind = Kind("films", "convert them")
    some = LeftOut(kind, [Path(f"b/{i}\x1b.mov") for i in range(5)])
    assert str(some) == "films (5: b/0?.mov, b/1?.mov, b/2?.mov, ...): convert them"
    assert (
        str(LeftOut(kinds.NO_PICTURES, [Path("a.txt")])) == "files that are no pictures (1: a.txt)"
    )


def test_names_do_not_steer_the_terminal():
    assert printable(Path("a\x1b]0;owned\x07\x9b2J\n.jpg")) == "a?]0;owned??2J .jpg"
    assert printable(Path("Hände/手 1.jpg")) == "Hände/手 1.jpg"


@pytest.mark.parametrize(
    ("head", "is_film"),
    [
        (b"\0\0\0\x18ftypmp42", True),
        (b"\0\0\0\x18ftypqt  ", True),
        (b"\0\0\0\x18ftypheic", False),
        (b"\0\0\0\x18ftypavif", False),
        (b"\0\0\0\x18ftypcrx ", False),
        (b"\xff\xd8\xff", False),
    ],
)
def test_films_are_told_from_photos_in_the_same_container(head, is_film):
    assert kinds.is_film(head) == is_film
