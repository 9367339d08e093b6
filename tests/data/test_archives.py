"""Archives: found, unpacked once, and refused as a whole where anything is wrong."""

import os
import shutil
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from data import archives
from peclr_jax.errors import UserError
from peclr_jax.outputs import is_own_output
from tests.data.breakages import HTML
from tests.data.records import DATA, read

NAME = "freihand"
DUMMY = DATA / NAME / "dummy_data"


def pack(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture
def unpacked(tmp_path):
    manager = SimpleNamespace(download_dir=tmp_path / "downloads")

    def unpack(*names, wanted=""):
        return archives.unpacked(manager, [tmp_path / n for n in names or ["HANDS.zip"]], wanted)

    return unpack


def test_only_what_is_wanted_is_unpacked(unpacked, tmp_path):
    """Not the depth images, nor what macOS adds when people pack folders again."""
    files = ["H/rgb/1.png", "H/depth/1.png", "__MACOSX/H/rgb/._1.png", "H/rgb/._1.png", "H/l.txt"]
    pack(tmp_path / "HANDS.zip", dict.fromkeys(files, "x"))
    assert tree(unpacked(wanted=r"rgb/")).keys() == {"H/rgb/1.png"}
    assert tree(unpacked(wanted=r"\.(png|txt)$")).keys() == {
        "H/rgb/1.png",
        "H/depth/1.png",
        "H/l.txt",
    }


def test_archives_are_merged_without_the_folder_around_them(unpacked, tmp_path):
    pack(tmp_path / "HANDS.zip", {"HANDS/": "", "HANDS/a/1.txt": "one", "HANDS/b.txt": "old"})
    pack(tmp_path / "MORE.zip", {"b.txt": "new", "a/2.txt": "two"})
    folder = unpacked("HANDS.zip", "MORE.zip")
    assert tree(folder) == {"a/1.txt": b"one", "a/2.txt": b"two", "b.txt": b"new"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert is_own_output(folder.parents[1])


def test_the_same_archive_is_unpacked_once_and_another_one_again(unpacked, tmp_path):
    archive = pack(tmp_path / "HANDS.zip", {"a.txt": "one"})
    first = unpacked()
    (first / "mark").write_text("")
    assert unpacked() == first
    assert (first / "mark").exists()
    pack(archive, {"a.txt": "another"})
    assert tree(unpacked()) == {"a.txt": b"another"}


def replaced(old, new, content):
    """Packs content and changes bytes of the archive."""
    return lambda path: path.write_bytes(pack(path, content).read_bytes().replace(old, new))


def holding(*names):
    return lambda path: pack(path, dict.fromkeys(names, ""))


def break_sum(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"a.txt") + len("a.txt") + 3] ^= 0xFF
    path.write_bytes(content)


def link(path):
    member = zipfile.ZipInfo("a")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    pack(path, {member: "/etc"})


def tar(name, kind=tarfile.REGTYPE):
    def write(path):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc"
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(member)

    return write


SIZE = 1 << 24
BREAKAGES = {
    "no archive": (lambda path: path.write_text(HTML), "is not a zip archive"),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size - 30), "truncated"),
    "wrong sum": (break_sum, "corrupt or truncated"),
    "parent": (holding("ok", "../x"), r"'\.\./x', which leads out"),
    "hidden parent": (holding("a/../../x"), "which leads out"),
    "absolute": (holding("/etc/x"), "'/etc/x', which leads out"),
    "backslashes": (holding("a\\..\\..\\x"), "which leads out"),
    "drive": (holding("C:x"), "'C:x', which leads out"),
    "link": (link, "'a', which is a link"),
    "tar": (tar("../escaped.txt"), "is not a zip archive"),
    "tar of a link": (tar("link", tarfile.SYMTYPE), "is not a zip archive"),
    "file and folder": (holding("a", "a/b.txt"), "is not a zip archive, corrupt"),
    "no name": (replaced(b"a.txt", b"\0.txt", {"a.txt": ""}), "is not a zip archive, corrupt"),
    "bomb": (
        lambda path: pack(path, {f"{number}.txt": bytes(SIZE) for number in range(8)}),
        "would become 134 MB, which no archive of images does",
    ),
    "said to be small": (
        replaced(SIZE.to_bytes(4, "little"), b"\x0a\0\0\0", {"0.txt": bytes(SIZE)}),
        "corrupt or truncated",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_nothing_is_left_of_a_bad_archive(unpacked, tmp_path, breakage):
    break_it, message = BREAKAGES[breakage]
    break_it(pack(tmp_path / "HANDS.zip", {"b.txt": "two", "a.txt": "one " * 100}))
    with pytest.raises(ValueError, match=message) as raised:
        unpacked()
    assert "HANDS.zip" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["HANDS.zip"]
    assert not list(tmp_path.glob("downloads/extracted/*"))


def test_files_without_number_are_refused(unpacked, tmp_path, monkeypatch):
    pack(tmp_path / "HANDS.zip", {f"{number}.txt": "" for number in range(6)})
    monkeypatch.setattr(archives, "_MOST_FILES", 5)
    with pytest.raises(UserError, match=r"HANDS\.zip holds 6 files, more than any archive"):
        unpacked()
    assert not list(tmp_path.glob("downloads/extracted/*"))


def test_space_is_checked_first(unpacked, tmp_path, monkeypatch):
    pack(tmp_path / "HANDS.zip", {"a.txt": "one"})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: SimpleNamespace(free=2))
    with pytest.raises(OSError, match=r"HANDS\.zip would take .* GB are free in .*make room"):
        unpacked()


@pytest.fixture
def freihand_archives(tmp_path):
    """The two official archives: the second one adds the labels of the evaluation images."""
    content = tree(DUMMY)
    labels = {"evaluation_xyz.json": content.pop("evaluation_xyz.json")}
    folder = tmp_path / "downloaded"
    folder.mkdir()
    pack(folder / "FreiHAND_pub_v2.zip", content)
    pack(folder / "FreiHAND_pub_v2_eval.zip", labels)
    return folder


def test_freihand_builds_from_its_archives(freihand_archives, prepared, dummy):
    builder = prepared(freihand_archives)
    assert builder.info.splits.keys() == dummy.info.splits.keys()
    for split in builder.info.splits:
        for ours, theirs in zip(read(builder, split), read(dummy, split), strict=True):
            for name in ("image", "keypoints_3d"):
                assert ours[name].tobytes() == theirs[name].tobytes()
    assert builder.info.metadata["manual_dir"] == str(freihand_archives)


def test_unpacked_files_come_first(freihand_archives, prepared):
    (freihand_archives / "FreiHAND_pub_v2.zip").write_text("broken")
    shutil.copytree(DUMMY, freihand_archives / "FreiHAND_pub_v2")
    assert "train" in prepared(freihand_archives).info.splits
