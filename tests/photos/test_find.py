import os

import pytest

from peclr_jax import outputs
from peclr_jax.errors import UserError
from peclr_jax.photos.find import find_film, find_images, find_pictures, pictures_below


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def folder(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "c.webp", "notes.txt", "._b.jpg", "deeper/d.jpeg")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", "a.png b.JPG c.webp d.jpeg"),
        ("notes.txt", "notes.txt"),  # named: it shall be tried
        ("*", "a.png b.JPG c.webp"),
        ("*.png", "a.png"),
        ("**/*.jpeg", "d.jpeg"),
        ("**", "a.png b.JPG c.webp d.jpeg"),
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


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("notes.txt", "files that are no pictures"),
        ("IMG_1.MOV", "films"),
        ("IMG_1.dng", "raw photos"),
        ("old.jp2", "pictures of a kind that is not read"),
        ("all.zip", "archives"),
        ("._a.jpg", "notes that macOS keeps"),
        (".a.jpg", "hidden pictures"),
        (".IMG_1.HEIC.icloud", "files that iCloud keeps elsewhere"),
        (".thumbnails/a.jpg", "hidden folders"),
        ("@eaDir/a.jpg", "another program's thumbnails"),
        ("__MACOSX/a.jpg", "another program's thumbnails"),
    ],
)
@pytest.mark.parametrize("pattern", ["", "**"])
def test_what_is_passed_over_is_named_and_counted(tmp_path, name, what, pattern):
    touch(tmp_path, "a.jpg", name, f"below/{name}")
    found = find_pictures(os.path.join(tmp_path, pattern))
    assert found.paths == [tmp_path / "a.jpg"]
    (left_out,) = map(str, found.left_out)
    assert what in left_out
    first = name.split("/")[0]
    assert "(2: " in left_out
    assert f"{tmp_path.name}/{first}" in left_out
    assert f"below/{first}" in left_out


def test_links_to_nothing_and_to_folders_are_named(tmp_path):
    touch(tmp_path, "a.jpg", "below/b.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to(tmp_path)
    found = find_pictures(str(tmp_path))
    assert [path.name for path in found.paths] == ["a.jpg", "b.jpg"]
    assert [left.paths[0].name for left in found.left_out] == ["gone.jpg", "circle"]


def test_links_to_pictures_are_pictures(tmp_path):
    touch(tmp_path, "elsewhere/a.jpg", "photos/b.jpg")
    (tmp_path / "photos/a.jpg").symlink_to(tmp_path / "elsewhere/a.jpg")
    assert len(find_images(str(tmp_path / "photos"))) == 2


def test_folders_that_a_glob_does_not_cross_are_named(folder):
    said = [str(left_out) for left_out in find_pictures(f"{folder}/*").left_out]
    assert f"folders (1: {folder.name}/deeper): name the folder above" in " ".join(said)


def test_kinds_that_are_left_out_are_named_where_nothing_is_found(tmp_path):
    touch(tmp_path, "a.mov", "b.jxl")
    with pytest.raises(UserError, match=r"films \(1: .*/a\.mov\).*ffmpeg.*jxl.*magick"):
        find_images(str(tmp_path))


@pytest.fixture
def with_runs(tmp_path):
    """Photos, and folders that runs of today and of earlier versions wrote among them."""
    folder = tmp_path / "photos"
    touch(folder, "a.jpg", "trip/b.jpg", "overlays/c.jpg")
    touch(folder, "now/overlays/a.jpg", "now/thumbnails/a.jpg", "runs/deep/views.png")
    touch(folder, "old/predictions.json", "old/index.html", "old/overlays/a.jpg")
    outputs.mark(folder / "now")
    outputs.mark(folder / "runs/deep")
    return folder


@pytest.mark.parametrize("pattern", ["", "**", "**/*.jpg"])
def test_what_runs_wrote_is_no_photo(with_runs, pattern):
    found = find_pictures(os.path.join(with_runs, pattern))
    names = [path.relative_to(with_runs).as_posix() for path in found.paths]
    assert names == ["a.jpg", "overlays/c.jpg", "trip/b.jpg"]
    (own,) = [one for one in found.left_out if "peclr_jax" in one.kind.name]
    assert {path.name for path in own.paths} == {"now", "old", "deep"}


def test_globs_do_not_reach_into_what_runs_wrote(with_runs):
    assert {path.name for path in find_images(f"{with_runs}/*/*.jpg")} == {"b.jpg", "c.jpg"}
    with pytest.raises(
        FileNotFoundError, match=r"folders that peclr_jax wrote \(2: photos/now, photos/old\)"
    ):
        find_pictures(f"{with_runs}/*/*/*.jpg")


def test_links_do_not_lead_to_what_runs_wrote(with_runs):
    (with_runs / "link").symlink_to(with_runs / "now")
    (with_runs / "album").symlink_to(with_runs / "trip")
    found = {path.relative_to(with_runs).as_posix() for path in find_images(f"{with_runs}/*/*.jpg")}
    assert found == {"overlays/c.jpg", "trip/b.jpg", "album/b.jpg"}
    with pytest.raises(FileNotFoundError, match="wrote"):
        find_images(f"{with_runs}/link*/*/*.jpg")


def test_a_folder_that_is_named_is_of_photos(with_runs):
    assert len(find_images(str(with_runs / "now" / "overlays"))) == 1
    assert len(find_images(f"{with_runs}/now/overlays/*.jpg")) == 1


def test_photos_may_lie_in_the_workdir_itself(with_runs):
    outputs.mark(with_runs)
    touch(with_runs, "thumbnails/a.jpg")
    names = [path.relative_to(with_runs).as_posix() for path in find_images(str(with_runs))]
    assert names == ["a.jpg", "trip/b.jpg"]


def test_folders_may_have_any_name(tmp_path):
    root = tmp_path / "of [2] *"
    touch(root, "a [1].jpg")
    outputs.mark(root)
    assert len(find_images(str(root))) == len(pictures_below(root).paths) == 1
    for pattern in ("*.jpg", "**", "**/*.jpg", "a*"):
        assert len(find_images(str(root / pattern))) == 1


def test_a_film_is_told_from_images(folder):
    for name in ("a.MOV", "b.mp4"):
        (folder / name).touch()
    assert find_film(str(folder / "a.MOV")) == folder / "a.MOV"
    assert find_film(str(folder / "b*.mp4")) == folder / "b.mp4"
    assert find_film(str(folder)) is find_film(str(folder / "a.png")) is find_film("") is None
    (folder / "._b.mp4").touch()  # macOS's notes beside it
    assert find_film(str(folder / "*b.mp4")) == folder / "b.mp4"
    (folder / "c.mp4").touch()
    with pytest.raises(UserError, match="matches 2 films"):
        find_film(str(folder / "*.mp4"))
    with pytest.raises(FileNotFoundError, match="is not there"):
        find_film(str(folder / "d.mp4"))


def test_films_of_every_ending_are_predicted_or_refused_with_what_to_do(tmp_path):
    for name in ("a.3gp", "b.MTS"):
        (tmp_path / name).touch()
    assert find_film(str(tmp_path / "a.3gp")) == tmp_path / "a.3gp"
    with pytest.raises(UserError, match="convert it by `ffmpeg"):
        find_film(str(tmp_path / "b.MTS"))


def test_a_film_that_a_prediction_has_drawn_on_is_not_the_film(tmp_path):
    for name in ("a.mp4", "overlay.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="matches 2 films"):
        find_film(str(tmp_path / "*.mp4"))
    outputs.mark(tmp_path)
    assert find_film(str(tmp_path / "*.mp4")) == tmp_path / "a.mp4"
    assert find_film(str(tmp_path / "overlay.mp4")) == tmp_path / "overlay.mp4"


@pytest.mark.parametrize("name", ["album [2]", "a*", "what?", "[!a]"])
def test_folders_that_exist_are_no_patterns(tmp_path, name):
    folder = tmp_path / name
    (folder / "more").mkdir(parents=True)
    for place in (folder, folder / "more"):
        (place / "hand [1].jpg").touch()
    (tmp_path / "album 2").mkdir()
    (tmp_path / "album 2" / "other.jpg").touch()
    first, second = folder / "hand [1].jpg", folder / "more" / "hand [1].jpg"
    assert find_images(str(folder)) == [first, second]
    assert find_images(str(first)) == [first]
    assert find_images(f"{folder}/*.jpg") == [first]
    assert find_images(f"{folder}/*/h*") == [second]
    assert find_images(f"{folder}/**") == [first, second]
