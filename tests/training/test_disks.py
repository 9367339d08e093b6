"""Disks that are full or cannot be written to: the sentence, and that nothing is lost."""

import contextlib
import subprocess
from types import SimpleNamespace

import pytest

from peclr_jax.training.failures import explain
from peclr_jax.training.restoring import restore_params
from peclr_jax.training.workdir import locked
from tests.training import toy_run as toy
from tests.training.toy_run import StoppedError, assert_equal, saved_steps, stop_at


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four mebibytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(mount)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a small disk is made by `mount`, which this system has not")
    if done.returncode:
        pytest.skip(f"a small disk is mounted as root alone: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(mount):
    with (mount / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_named_and_nothing_is_lost(small_disk, whole):
    workdir = small_disk / "run"

    def images(step):
        if step == 7:
            fill(small_disk)
        return toy.images_of_step(step)

    with pytest.raises(Exception, match=r"No space left on device") as info:
        toy.train(workdir, 12, images=images)
    sentence = explain(info.value, workdir)
    assert "is full" in sentence
    assert "free some space and run the same command again" in sentence
    names = [path.name for path in workdir.rglob("*")]
    assert not [n for n in names if "partial" in n or "orbax-checkpoint-tmp" in n]
    (small_disk / "filler").unlink()
    toy.train(workdir, 12)
    assert_equal(restore_params(workdir), whole)


def test_a_disk_without_room_for_a_checkpoint_is_named_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**10))
    with pytest.raises(OSError, match=r"a checkpoint takes up to .* 0 MiB left: free some space"):
        toy.train(tmp_path, 12)
    assert not saved_steps(tmp_path)


def test_a_read_only_file_system_is_named(small_disk, whole):
    workdir = small_disk / "run"

    # Files that are open for writing keep a file system writable, hence between two runs.
    with pytest.raises(StoppedError):
        toy.train(workdir, 12, hooks=[stop_at(7)])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = "cannot be written to .Read-only file system.: choose anoth"
    with pytest.raises(OSError, match=message), locked(workdir):
        pass
    with pytest.raises(OSError) as info:
        toy.train(workdir, 12)
    assert "may not be written to (EROFS)" in explain(info.value, workdir)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    toy.train(workdir, 12)
    assert_equal(restore_params(workdir), whole)
