"""Digests of files; what they are for is tested in tests/faults/test_checkpoints.py."""

import hashlib
import json
import os

import pytest

from peclr_jax.training import digests


@pytest.fixture
def folder(tmp_path):
    for name in ("state/d/one", "state/two", "config/metadata"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "beside").write_text("is written after the digests")
    return tmp_path


def test_each_file_of_an_item_has_its_digest(folder):
    digests.write(folder)
    names = ("config/metadata", "state/two", "state/d/one")
    expected = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert json.loads((folder / digests.FILE).read_text()) == expected
    assert digests.check(folder, "state")
    assert digests.check(folder, "config")


def test_an_item_is_checked_apart_from_others(folder):
    digests.write(folder)
    (folder / "state/two").write_text("three")
    (folder / "state/new").write_text("a surplus file is nobody's loss")
    with pytest.raises(digests.ChangedError, match="state/two is not as it was written"):
        digests.check(folder, "state")
    assert digests.check(folder, "config")
    (folder / "config/metadata").unlink()
    with pytest.raises(digests.ChangedError, match="config/metadata is missing"):
        digests.check(folder, "config")


def test_without_digests_nothing_is_said(folder):
    assert not digests.check(folder, "state")


def test_links_are_followed_to_files_and_not_in_circles(folder, monkeypatch):
    digests.write(folder)
    (folder / "state/two").rename(folder / "elsewhere")
    (folder / "state/two").symlink_to(folder / "elsewhere")
    assert digests.check(folder, "state")
    os.symlink(folder / "state", folder / "state/a", target_is_directory=True)
    with pytest.raises(digests.ChangedError, match="is a link that leads in a circle"):
        digests.check(folder, "state")
    monkeypatch.setattr(digests, "_MOST_FILES", 50)
    with pytest.raises(digests.ChangedError, match="more than 50 files"):
        digests.check(folder, "state")
