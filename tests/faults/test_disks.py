"""Disks that are full, limited, away or cut off: one sentence, and nothing is lost."""

import argparse
import contextlib
import errno
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from data import build
from data.labels import command
from peclr_jax import files
from peclr_jax.runs import provenance
from peclr_jax.tasks import show
from peclr_jax.training.failures import explain
from peclr_jax.training.progress import MetricsWriter, read_metrics
from peclr_jax.training.restoring import restore_params
from peclr_jax.training.workdir import locked
from tests.data.records import DATA
from tests.faults import bounded
from tests.training import toy_run as toy
from tests.training.toy_run import StoppedError, assert_equal, saved_steps, stop_at

# A training, and a film, as tasks that the command line runs.
PROGRAM = """
from peclr_jax import console, stopping
stopping.start(__name__)
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from ml_collections import ConfigDict
import main
from peclr_jax.photos.film import writing_film
from peclr_jax.tasks import show
from tests.training import toy_run

def training(config, workdir):
    toy_run.train(workdir, 12)

def film(config, workdir):
    with writing_film(workdir / "film.mp4", (64, 48), Fraction(25)) as add:
        for number in range(100):
            add(np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8), number / 25)

console.shorten_logs()
show.run = globals()[sys.argv[1]]
sys.exit(main.run(ConfigDict({"task": "show"}), Path(sys.argv[2])))
"""


def unfinished(folder):
    marks = (".partial", ".replaced", "incomplete.", "orbax-checkpoint-tmp")
    return [path for path in folder.rglob("*") if any(mark in path.name for mark in marks)]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize(
    ("task", "size", "named"),
    [
        ("training", 3000, "checkpoints/3"),  # TensorStore, in Orbax's threads
        ("training", 150, "a file in"),  # TensorBoard's events
        ("film", 3000, r"\.partial may not grow"),  # FFmpeg
    ],
)
def test_a_file_that_may_not_grow_is_named_in_one_sentence(task, size, named, program, tmp_path):
    workdir = tmp_path / "run"
    ended = bounded.run([program, task, workdir], file_size=size)
    assert ended.is_one_sentence, ended.output
    assert "(EFBIG)" in ended.output
    assert re.search(named, ended.output)
    assert "Exception ignored" not in ended.output
    assert not unfinished(workdir)


def test_records_that_may_not_grow_are_named(tmp_path):  # ArrayRecord
    raw, records = DATA / "image_folder/dummy_data", tmp_path / "records"
    flags = ["image_folder", f"--manual_dir={raw}", f"--data_dir={records}"]
    ended = bounded.run(["-m", "data.build", *flags], file_size=3000)
    assert ended.is_one_sentence, ended.output
    assert "array_record" in ended.output
    assert not unfinished(records)
    assert not list(records.rglob("dataset_info.json"))


@pytest.mark.slow
def test_a_saved_model_that_may_not_grow_is_named(tmp_path):  # TensorFlow
    flags = ["--config=configs/export.py", "--config.checkpoint=released", "--cache_dir="]
    flags += ["--config.format=saved_model", f"--workdir={tmp_path / 'out'}"]
    # Mapping TensorFlow's libraries alone takes more than the usual bound.
    ended = bounded.run(["main.py", *flags], file_size=30_000, memory=12 * bounded.GIB)
    assert ended.is_one_sentence, ended.output
    assert "saved_model.pb" in ended.output
    assert not (tmp_path / "out/saved_model").exists()
    assert not unfinished(tmp_path)


FULL = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS")
AWAY = ("EIO", "ENODEV", "ENOLCK", "ENOTCONN", "EHOSTDOWN", "ESTALE", "EMFILE")


@pytest.mark.parametrize("code", FULL + AWAY)
@pytest.mark.parametrize("way", ["task", "data.build", "converter"])
def test_what_the_system_refuses_is_one_sentence_everywhere(
    code, way, main, tmp_path, capsys, monkeypatch
):
    def refused(*_, **__):
        number = getattr(errno, code)
        raise RuntimeError("of a library") from OSError(number, os.strerror(number), "/d/x")

    if way == "task":
        monkeypatch.setattr(show, "run", refused)
        ended = main.run(ConfigDict({"task": "show"}), tmp_path / "run")
    elif way == "data.build":
        monkeypatch.setattr(build, "make_builder", refused)
        ended = build.main(["freihand"])
    else:
        flags = argparse.Namespace(folder=tmp_path, out=None, overwrite=False)
        ended = command.run(flags, refused)
    said = capsys.readouterr().err
    assert ended == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "/d/x" in said
    assert "run the same command again" in said


def test_bugs_keep_their_traceback_everywhere(main, tmp_path, monkeypatch):
    def bug(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(show, "run", bug)
    with pytest.raises(KeyError):
        main.run(ConfigDict({"task": "show"}), tmp_path / "run")
    with pytest.raises(KeyError):
        command.run(argparse.Namespace(folder=tmp_path, out=None, overwrite=False), bug)


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the system, in order: ("sync", file or folder) and ("rename", new name)."""
    made = []

    def sync(descriptor, real=os.fsync):
        made.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        real(descriptor)

    def sync_folder(folder, real=files.sync_folder):
        made.append(("sync", folder))
        real(folder)

    def replace(source, target, real=os.replace):
        made.append(("rename", Path(target)))
        real(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(files, "sync_folder", sync_folder)
    monkeypatch.setattr(os, "replace", replace)
    return made


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    with files.writing(tmp_path / "a.json") as file:
        file.write("{}")
        name = Path(file.name)
    renamed = [("sync", name), ("rename", tmp_path / "a.json"), ("sync", tmp_path)]
    assert calls == renamed


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    with files.writing_folder(tmp_path / "a") as folder:
        for number in range(1000):
            files.write_bytes(folder / f"{number}.jpg", b"x", synced=False)
    assert [call for call in calls if call[0] == "sync" or call[1].parent == tmp_path] == [
        ("sync", folder),
        ("rename", tmp_path / "a"),
        ("sync", tmp_path),
    ]


def test_records_are_on_the_disk_before_they_have_their_name(tmp_path, calls):
    builder = build.make_builder("image_folder", tmp_path)
    place = Path(build.prepare(builder, DATA / "image_folder/dummy_data").builder.data_dir)
    assert calls[-2:] == [("rename", place), ("sync", place.parent)]
    assert calls[-3][0] == "sync"


def test_reports_are_on_the_disk_before_their_checkpoint(tmp_path, calls, monkeypatch):
    def save(self, step, *arguments, real=toy.Checkpoints.save, **more):
        calls.append(("save", step))
        real(self, step, *arguments, **more)

    monkeypatch.setattr(toy.Checkpoints, "save", save)
    toy.train(tmp_path, 4)
    reports = [call for call in calls if call[1] in (3, tmp_path / "metrics.jsonl")]
    assert reports[reports.index(("save", 3)) - 1] == ("sync", tmp_path / "metrics.jsonl")


BROKEN = [b"\0" * 40, b'{"step": 3, "lo', b'{"step": 3, "loss": "\xff"}', b"[" * 10**5, b"\xff\xfe"]


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_lines_stop_no_later_start(tmp_path, broken):
    said = []
    for name in ("metrics.jsonl", provenance.FILE):
        good = b'{"step": 1, "loss": 2.0}\n'
        (tmp_path / name).write_bytes(good + broken + b"\n" + good + broken)
    with contextlib.closing(MetricsWriter(tmp_path, start_step=9)) as writer:
        assert writer.broken == 2
    assert read_metrics(tmp_path / "metrics.jsonl") == ([{"step": 1, "loss": 2.0}] * 2, 0)
    provenance.keep(tmp_path, provenance.describe({}, "data"), said.append)
    assert len(said) == 1
    assert "2 broken line(s)" in said[0]
    assert files.read_json_lines(tmp_path / provenance.FILE)[1] == 0


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
