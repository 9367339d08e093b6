"""Names of photos in label files: what is the same, what is unclear, and what is nothing here."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.errors import UserError
from peclr_jax.labels import names

ROOT = Path("/data/photos")
SOURCE = Path("/data/boxes.json")


def match(keys, *photos, source=SOURCE):
    return names.match(keys, [ROOT / photo for photo in photos], source)


NFC, NFD = (unicodedata.normalize(form, "Hände.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("key", "photo"),
    [
        ("a.jpg", "a.jpg"),
        (NFD, NFC),
        (NFC, NFD),
        ("./a.jpg", "a.jpg"),
        ("photos/./below//a.jpg", "below/a.jpg"),
        ("below\\a.jpg", "below/a.jpg"),
        (".\\below\\a.jpg", "below/a.jpg"),
        ("A.JPG", "a.jpg"),
        ("Below/A.jpg", "below/a.JPG"),
        ("photos/a.jpg", "a.jpg"),
        ("../data/photos/a.jpg", "a.jpg"),
        ("below/../a.jpg", "a.jpg"),
        ("/data/photos/a.jpg", "a.jpg"),
        ("below/a.jpg", "below/a.jpg"),
        (f"PHOTOS\\{NFD}", NFC),
    ],
)
def test_spellings_of_a_path(key, photo):
    found = match([key, "other.jpg"], photo, "of no name.jpg")
    assert found == names.Match({ROOT / photo: key}, ["other.jpg"], [])


@pytest.mark.parametrize(
    "key",
    ["/Users/me/pictures/a.jpg", "C:\\Users\\me\\a.jpg", "train/A.jpg", "../../elsewhere/a.jpg"],
)
def test_files_of_another_folder_are_told(key):
    found = match([key], "a.jpg", "b.jpg")
    assert found.names == {ROOT / "a.jpg": key}
    (line,) = found.describe(SOURCE)
    assert "1 name (" in line
    assert ") of other folders, taken for the photos here that have the same file names" in line


def test_files_of_one_name_need_their_folders():
    keys = ["x/one/a.jpg", "x/two/a.jpg", "x/three/b.jpg"]
    found = match(keys, "one/a.jpg", "two/a.jpg", "other/b.jpg")
    assert found.names == {ROOT / "one/a.jpg": keys[0], ROOT / "two/a.jpg": keys[1]}
    assert found.unknown == keys[2:]


def test_a_path_is_surer_than_a_name():
    found = match(["a.jpg", "below/a.jpg"], "a.jpg", "below/a.jpg", source=ROOT / "boxes.json")
    assert found.names == {ROOT / "a.jpg": "a.jpg", ROOT / "below/a.jpg": "below/a.jpg"}
    found = match(["a.jpg", "photos/below/a.jpg"], "below/a.jpg", "other/a.jpg")
    assert found.names[ROOT / "other/a.jpg"] == "a.jpg"
    found = match(["a.jpg", "below/a.jpg"], "below/a.jpg")  # another photo, which is not here
    assert (found.names, found.unknown) == ({ROOT / "below/a.jpg": "below/a.jpg"}, ["a.jpg"])


@pytest.mark.parametrize(
    ("keys", "photos", "said"),
    [
        (["a.jpg"], ["one/a.jpg", "two/a.jpg"], r"'a\.jpg' may be any of 2 photos .*one/a\.jpg'"),
        (["A.jpg"], ["one/a.jpg", "two/a.JPG"], r"'A\.jpg' may be any of 2 photos"),
        (["a.jpg", "./a.jpg"], ["a.jpg"], r"both 'a\.jpg' and '\./a\.jpg' may be"),
        ([NFC, NFD], [NFC], "both 'Hände.jpg' and "),
        (["photos/a.jpg", "/data/photos/a.jpg"], ["a.jpg"], "name each photo once"),
        (["B/a.jpg", "b/A.jpg"], ["b/a.jpg"], "name each photo once"),
    ],
)
def test_what_is_unclear_is_refused(keys, photos, said):
    with pytest.raises(UserError, match=said):
        match(keys, *photos)


def test_what_is_not_here_is_counted_and_named():
    found = match([*map(str, range(7)), "a.jpg"], "a.jpg")
    (line,) = found.describe(SOURCE)
    assert line == (
        "/data/boxes.json: 7 names ('0', '1', '2', '3', '4', ...) that no photo here has"
    )


def test_from_where_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = names.match(["photos/a.jpg"], [Path("photos/a.jpg")], Path("labels/boxes.json"))
    assert found.names == {Path("photos/a.jpg"): "photos/a.jpg"}


FILES = st.lists(
    st.tuples(st.sampled_from(["", "x/", "y/", "x/y/"]), st.sampled_from("abc")),
    max_size=6,
    unique=True,
)


def test_a_link_is_a_name_of_its_own(tmp_path):
    photo, link, alone = (tmp_path / name for name in ("a.jpg", "b.jpg", "below/c.jpg"))
    alone.parent.mkdir()
    photo.touch()
    for path in (link, alone):
        path.symlink_to(photo)
    source = tmp_path / "boxes.json"
    for keys in (["a.jpg"], ["b.jpg"], ["a.jpg", "b.jpg"], [str(photo), "./b.jpg"]):
        found = names.match(keys, [photo, link], source)
        assert found.names == {tmp_path / Path(key).name: key for key in keys}
    assert names.match(["a.jpg"], [alone], source).names == {alone: "a.jpg"}


@given(FILES, FILES)
def test_no_photo_and_no_name_is_used_twice(keys, photos):
    try:
        found = match(map("".join, keys), *map("".join, photos))
    except UserError:
        return
    used = list(found.names.values())
    assert len(set(used)) == len(used)
    assert sorted([*used, *found.unknown]) == sorted(map("".join, keys))
