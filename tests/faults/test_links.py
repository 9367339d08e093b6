"""Links and pipes that somebody has put where we write: nothing is written through any of them."""

import json
import os

import pytest

from peclr_jax import files, outputs
from peclr_jax.errors import MachineError
from peclr_jax.runs import provenance
from peclr_jax.training.progress import METRICS, TENSORBOARD, MetricsWriter, Progress
from peclr_jax.training.workdir import locked
from tests.training import toy_run as toy

# What runs leave in their folder, or once wrote under such a name before it was whole.
NAMES = (
    *(".lock", ".lock.holder", ".shared", outputs.MARK, "train.log", METRICS, provenance.FILE),
    *("summary.json", "metrics.partial", f"{METRICS}.partial", "pred.zip.partial"),
)


@pytest.fixture
def precious(tmp_path):
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("leads", ["to a file", pytest.param("nowhere", marks=pytest.mark.slow)])
def test_no_training_writes_through_a_link(tmp_path, precious, name, leads):
    workdir = tmp_path / "run"
    workdir.mkdir()
    target = precious if leads == "to a file" else tmp_path / "absent"
    (workdir / name).symlink_to(target)
    try:
        with locked(workdir):
            provenance.keep(workdir, provenance.describe({}, "data"))
            toy.train(workdir, 4)
            with files.writing(workdir / "summary.json") as file:
                json.dump({}, file)
    except MachineError as error:
        assert str(workdir) in str(error)  # noqa: PT017, some links are replaced, others refused
    assert precious.read_text() == "precious"
    assert not (tmp_path / "absent").exists()


def write_text(path):
    with files.writing(path) as file:
        file.write("new")


def write_bytes(path):
    files.write_bytes(path, b"new")


def write_folder(path):
    with files.writing_folder(path) as folder:
        (folder / "new").touch()


@pytest.mark.parametrize("write", [write_text, write_bytes, write_folder])
def test_a_link_in_the_place_of_what_is_written_is_replaced(tmp_path, precious, write):
    path = tmp_path / "made"
    path.symlink_to(precious)
    write(path)
    assert not path.is_symlink()
    assert precious.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["made", "precious"]


MAKE = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "link to a device": lambda path: os.symlink("/dev/full", path),
    "link in a circle": lambda path: os.symlink("train.log", path),
    "second name of a file": lambda path: os.link(path.parent / "precious", path),
}


@pytest.mark.parametrize("what", MAKE)
def test_lines_are_added_to_files_alone(tmp_path, precious, what):
    MAKE[what](tmp_path / "train.log")
    with pytest.raises((MachineError, IsADirectoryError), match=r"train\.log"):
        Progress(tmp_path, total_steps=1, images_per_step=1).note("a line")
    assert precious.read_text() == "precious"


def test_a_pipe_in_the_place_of_metrics_is_replaced(tmp_path):
    os.mkfifo(tmp_path / METRICS)
    MetricsWriter(tmp_path).close()
    assert (tmp_path / METRICS).is_file()


@pytest.mark.parametrize("name", ["tensorboard", "checkpoints", "overlays", "thumbnails"])
def test_a_folder_of_ours_that_is_a_link_is_refused(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MachineError, match=rf"run/{name} is a link, .*: remove it, or choose an"):
        outputs.mark(tmp_path / "run")
    assert os.listdir(tmp_path / "run") == [name]
    assert not os.listdir(tmp_path / "elsewhere")


def test_a_workdir_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with locked(tmp_path / "run"):
        files.write_bytes(tmp_path / "run/a", b"")
    assert (tmp_path / "disk/a").exists()


def test_names_of_unfinished_files_cannot_be_guessed(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1.0e9)
    for _ in range(2):
        MetricsWriter(tmp_path).close()
    assert len(os.listdir(tmp_path / TENSORBOARD)) == 2
    names = set()
    for _ in range(10):
        with files.writing(tmp_path / "a") as file:
            names.add(file.name)
    assert len(names) == 10


def test_the_longest_name_is_written_to(tmp_path):
    files.write_bytes(tmp_path / ("a" * 255), b"")
    assert os.listdir(tmp_path) == ["a" * 255]
