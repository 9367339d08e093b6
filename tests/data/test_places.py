"""Folders of data sets: the nearest first, around and beside, and nothing that only looks alike."""

from pathlib import Path

from data import places

NAMES, PARTS = ("HANDS", "HANDS_eval"), ("images",)


def make(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def found(root, given):
    folders = places.find(given, lambda folder: (folder / "images").is_dir(), NAMES, PARTS)
    return [folder.relative_to(root).as_posix() for folder in folders]


def test_the_nearest_come_first(tmp_path):
    make(tmp_path, "b/images/0.jpg", "a/c/d/images/0.jpg", "a/c/d/e/images/0.jpg", "images/0.jpg")
    assert found(tmp_path, tmp_path) == [".", "b", "a/c/d"]
    assert found(tmp_path, tmp_path / "a") == ["a/c/d", "a/c/d/e"]


def test_official_folders_are_found_from_within_and_beside(tmp_path):
    make(tmp_path, "HANDS/HANDS/images/0.jpg", "hands_EVAL/images/0.jpg", "others/images/0.jpg")
    both = {"HANDS/HANDS", "hands_EVAL"}
    for given in ("HANDS", "HANDS/HANDS", "HANDS/HANDS/images", "hands_EVAL", "hands_EVAL/images"):
        assert set(found(tmp_path, tmp_path / given)) == both
    assert found(tmp_path, tmp_path / "others") == ["others"]


def test_hidden_folders_and_the_insides_of_parts_are_not_searched(tmp_path):
    make(tmp_path, ".trash/images/0.jpg", "__MACOSX/images/0.jpg", "a/images/images/0.jpg")
    assert found(tmp_path, tmp_path) == ["a"]


def test_links_are_followed_and_count_once(tmp_path):
    make(tmp_path, "disk/x/images/0.jpg", "given/notes.txt")
    (tmp_path / "given/one").symlink_to(tmp_path / "disk/x")
    (tmp_path / "given/two").symlink_to(tmp_path / "disk/x")
    (tmp_path / "given/round").symlink_to(tmp_path / "given")
    assert found(tmp_path, tmp_path / "given") == ["given/one"]


def test_folders_that_may_not_be_read_are_passed_over(tmp_path, monkeypatch):
    make(tmp_path, "a/images/0.jpg", "lost+found/images/0.jpg")
    scan = places.os.scandir

    def scandir(folder):
        if Path(folder).name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(places.os, "scandir", scandir)
    assert "a" in found(tmp_path, tmp_path)


def test_the_current_folder_has_neighbours(tmp_path, monkeypatch):
    make(tmp_path, "HANDS/images/0.jpg", "HANDS_eval/images/0.jpg")
    monkeypatch.chdir(tmp_path / "HANDS")
    assert found(tmp_path, Path()) == ["HANDS", "HANDS_eval"]
    assert set(found(tmp_path, Path("../HANDS_eval"))) == {"HANDS", "HANDS_eval"}


def test_files_come_in_the_order_of_their_names(tmp_path):
    make(tmp_path, "HANDS/x.txt", "HANDS_eval.zip", "deep/HANDS.zip", "HANDS.zip")
    for given in (tmp_path, tmp_path / "HANDS"):
        archives = places.find_files(given, ("HANDS.zip", "HANDS_eval.zip", "NO.zip"), NAMES)
        assert archives == [tmp_path / "HANDS.zip", tmp_path / "HANDS_eval.zip"]


def test_upper_and_lower_case_are_the_same_to_a_child(tmp_path):
    make(tmp_path, "Color/0.bmp")
    assert places.child(tmp_path, "Color").is_dir()
    assert places.child(tmp_path, "color").is_dir()
    assert not places.child(tmp_path, "depth").exists()
    assert not places.child(tmp_path / "nothing", "depth").exists()
