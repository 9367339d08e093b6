"""One folder, one writer: who comes second is refused or waits, and what is unfinished goes."""

import errno
import fcntl
import importlib
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from data import build
from peclr_jax import files, outputs
from peclr_jax.errors import MachineError, UserError
from peclr_jax.tasks import predict
from peclr_jax.training.workdir import locked
from tests.faults import bounded
from tests.marked_photos import mark_finder, marked
from tests.tasks.test_predict import spec_for

ROOT = bounded.ROOT
WRITING = [p.stem for p in (ROOT / "peclr_jax/tasks").glob("[a-z]*.py") if p.stem != "serve"]
RAW = ROOT / "data/freihand/dummy_data"
# As a killed run leaves them: a file, a folder, one that was about to be replaced by another.
LEFT = (".0123456789abcdef.partial", ".fedcba9876543210.partial", ".00000000000000ff.replaced")
OF_TFDS = "incomplete.AB12CD_1.0.0"


@pytest.fixture
def run(main, monkeypatch):
    """Runs a task that does nothing but what the test says."""

    def call(task, workdir, work=lambda: None):
        module = importlib.import_module(f"peclr_jax.tasks.{task}")
        monkeypatch.setattr(module, "run", lambda config, workdir: work())
        return main.run(ConfigDict({"task": task}), Path(workdir))

    return call


@contextmanager
def held_by_another(folder):
    """Another process holds a folder, until it is killed."""
    code = (
        "import sys; from pathlib import Path; from peclr_jax import outputs\n"
        "with outputs.owned(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout.readline() == "mine\n"
        yield process
        process.send_signal(signal.SIGKILL)


def leave(folder):
    """Makes what a killed run leaves in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LEFT[0]).write_text("half")
    for name in LEFT[1:]:
        (folder / name).mkdir()
        (folder / name / "kept").write_text("whole")


def unfinished(folder):
    return [path for path in folder.rglob("*") if path.name in (*LEFT, OF_TFDS)]


def test_every_task_refuses_a_workdir_that_is_being_used(run, tmp_path, capsys):
    with held_by_another(tmp_path / "run") as holder:
        for task in WRITING:
            code = run(task, tmp_path / "run", work=lambda: pytest.fail("it was begun"))
            (said,) = capsys.readouterr().err.splitlines()
            assert code == 2
            assert said.startswith(f"error: {tmp_path / 'run'} is being used by another run (proc")
            assert f"process {holder.pid} on {socket.gethostname()} since " in said
        # by another name, too
        (tmp_path / "link").symlink_to("run")
        assert run("show", tmp_path / "link") == 2
    for task in WRITING:  # a lock does not outlive its process
        assert run(task, tmp_path / "run") == 0


def test_a_part_of_a_larger_run_is_held_as_well(run, tmp_path):
    """As a demo trains in folders of its own workdir, and may be asked to hold one twice."""

    def work():
        with locked(tmp_path / "run"), locked(tmp_path / "run/pretrain"):
            pass
        with held_by_another(tmp_path / "run/predict"), pytest.raises(UserError, match="another"):
            locked(tmp_path / "run/predict").__enter__()

    assert run("demo", tmp_path / "run", work) == 0


@pytest.mark.parametrize("task", ["predict", "finetune"])
def test_the_next_start_clears_up_what_a_killed_one_has_left(run, tmp_path, task):
    workdir = tmp_path / "run"
    for folder in (workdir, workdir / "overlays", workdir / "thumbnails", workdir / "checkpoints"):
        leave(folder)
    (workdir / "film.mp4.partial").touch()  # of a browser
    leave(workdir / "another")  # a folder of somebody else, below
    seen = []
    run(task, workdir, work=lambda: seen.extend(unfinished(workdir)))
    assert {path.parent for path in seen} == {workdir / "another"}
    assert (workdir / "film.mp4.partial").exists()
    assert (workdir / "kept").read_text() == "whole"


def test_nothing_of_a_run_that_goes_on_is_cleared_up(tmp_path):
    with held_by_another(tmp_path):
        leave(tmp_path)
        with pytest.raises(UserError, match="is being used"):
            outputs.owned(tmp_path).__enter__()
        assert len(unfinished(tmp_path)) == len(LEFT)


def test_two_predictions_do_not_mix(tmp_path, monkeypatch):
    """Names of unfinished files are unique, whoever writes without holding the folder."""
    monkeypatch.setattr(predict, "open_estimator", lambda *_: mark_finder())
    marked().save(tmp_path / "photo.png")
    with (
        files.writing(tmp_path / "out/predictions.json") as first,
        files.writing(tmp_path / "out/predictions.json") as second,
    ):
        predict.predict(spec_for(tmp_path / "photo.png"), tmp_path / "out")
        first.write("one")
        second.write("two")
    assert (tmp_path / "out/predictions.json").read_text() == "one"  # the last to end


def test_records_that_another_writes_are_waited_for_and_read(tmp_path, capsys):
    command = [sys.executable, "-m", "data.build", "freihand"]
    arguments = [f"--manual_dir={RAW}", f"--data_dir={tmp_path}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with outputs.held(tmp_path / "freihand"):
        second = subprocess.Popen([*command, *arguments], cwd=ROOT, text=True, **pipes)
        told = next(line for line in second.stderr if line.startswith("waiting"))
        assert build.main(["freihand", *arguments]) == 0
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert f"waiting for the records of freihand, which another run (process {os.getpid()}" in told
    assert f"Kept: the files in {RAW} are the same" in out
    assert sorted(os.listdir(tmp_path / "freihand")) == ["1.0.0"]


@pytest.mark.parametrize("exist", [False, True])
def test_unfinished_records_go_at_the_next_start(tmp_path, exist):
    flags = ["freihand", f"--manual_dir={RAW}", f"--data_dir={tmp_path}"]
    if exist:
        assert build.main(flags) == 0
    leave(tmp_path / "freihand")
    (tmp_path / "freihand/kept").write_text("whole")
    leave(tmp_path / "freihand" / OF_TFDS)
    assert build.main(flags) == 0
    assert not unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path / "freihand")) == ["1.0.0", "kept"]


def places(tmp_path):
    """Paths at which there can be no workdir."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    below = ("file", "file/run", "link", "link/run", "pipe", "x" * 256, "x" * 255 + "y/run")
    return [
        *(tmp_path / name for name in below),
        Path("/proc/run"),
        Path("/proc/self/status"),
        Path("/dev/null"),
        Path("run/" * 2000),
    ]


def test_a_workdir_that_cannot_be_is_told_before_the_work_of_every_task(run, tmp_path, capsys):
    for place in places(tmp_path):
        for task in WRITING:
            assert run(task, place, work=lambda: pytest.fail("it was begun")) == 2
            (said,) = capsys.readouterr().err.splitlines()
            assert said.startswith("error: ")
            assert "choose another" in said or "cannot be kept" in said


@pytest.mark.parametrize("name", [".peclr_jax", ".lock", ".lock.holder"])
def test_nothing_is_written_through_a_link_in_a_workdir(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    refusing = pytest.raises(MachineError, match="choose another")
    for content in (None, "mine"):
        if content is not None:
            (tmp_path / "elsewhere").write_text(content)
        # A lock cannot be a link; the other files are replaced.
        with refusing if name == ".lock" else nullcontext(), outputs.owned(tmp_path / "run"):
            (tmp_path / "run/result").touch()
        there = tmp_path / "elsewhere"
        assert (there.read_text() if there.exists() else None) == content


def test_a_file_system_without_locks_is_said_to_be_shared_all_the_same(tmp_path, monkeypatch):
    """Processes of a run find out by the holder's name whether they see the same folder."""

    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    leave(tmp_path)
    with outputs.held(tmp_path), outputs.held(tmp_path):
        assert f"process {os.getpid()} on" in outputs.holder_of(tmp_path)
        assert len(unfinished(tmp_path)) == len(LEFT)  # they may be another's
    assert not outputs.holder_of(tmp_path)


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    def write(path, content, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_bytes", write)
    with pytest.raises(MachineError, match="as its disk is full: free some space"):
        outputs.held(tmp_path / "run").__enter__()
    assert not list(tmp_path.iterdir())
