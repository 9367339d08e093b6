"""A stop before the first step ends every task with 0, as nothing is lost; later it depends."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import pytest

from peclr_jax import stopping
from peclr_jax.input_pipeline.reporting import report
from tests.faults import bounded

ROOT = bounded.ROOT
# Takes the place of a task and of its recipe; says where it is, and waits there.
PROGRAM = """
    import runpy, sys
    from pathlib import Path
    from types import SimpleNamespace

    place, task, folder = sys.argv[1:]

    def wait(here):
        if here == place:
            print("ready", flush=True)
            sys.stdin.read()

    def compute_for_ever():
        import jax

        loop = jax.jit(lambda x: jax.lax.while_loop(lambda x: x.max() < 1, lambda x: x / 2, x))
        loop(jax.numpy.zeros((200, 200)))  # small ones are waited for

    def run(config, workdir):
        from peclr_jax.input_pipeline.reporting import report

        wait("begun")
        if place in ("computing", "a bug"):
            compute_for_ever()
        wait("computing")
        if place == "a bug":
            raise ZeroDivisionError
        (workdir / "half").touch()
        for step in report(range(3), "Working", 3):
            if step == 2:
                wait("two steps")

    sys.modules["peclr_jax.tasks." + task] = SimpleNamespace(run=run)
    sys.modules["this_test"] = SimpleNamespace(wait=wait)
    Path(folder, "recipe.py").write_text(
        "import this_test; from ml_collections import ConfigDict\\n"
        "def get_config():\\n"
        f"    this_test.wait('config'); return ConfigDict({{'task': {task!r}}})"
    )
    flags = [f"--config={folder}/recipe.py", f"--workdir={folder}/run", "--cache_dir="]
    sys.argv = ["main.py", *flags]
    runpy.run_path("main.py", run_name="__main__")
"""


# Takes the place of the renderer of data.build: XLA computes for ever, and it waits.
BUILD = """
    import runpy, sys
    import jax
    from peclr_jax.synthetic import render

    def render_dataset(*_, **__):
        loop = jax.jit(lambda x: jax.lax.while_loop(lambda x: x.max() < 1, lambda x: x / 2, x))
        loop(jax.numpy.zeros((200, 200)))
        print("ready", flush=True)
        sys.stdin.read()

    render.render_dataset = render_dataset
    sys.argv = ["data.build", "synthetic_hands", f"--data_dir={sys.argv[1]}"]
    runpy.run_module("data.build", run_name="__main__")
"""


# A signal comes to another thread, and the main one waits for the system.
ELSEWHERE = """
    import signal, sys, threading
    from peclr_jax import stopping

    def main():
        interrupt = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        threading.Timer(0.2, interrupt).start()
        try:
            sys.stdin.read()
        finally:
            print("cleared up", flush=True)

    program = stopping.start("__main__")
    sys.exit(program.run(main))
"""


@contextmanager
def started(program, *arguments):
    """Starts a program, which waits at a place."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def stopped(*arguments, signum=signal.SIGTERM, program=PROGRAM):
    """Sends a signal to a program, by default `main.py`, at a place; returns its exit code."""
    with started(program, *arguments) as process:
        if "ready\n" not in process.stdout:  # reads up to it
            pytest.fail(process.stderr.read())
        process.send_signal(signum)
        process.wait(timeout=120)  # with its standard input open
        said = process.stderr.read()
    assert "Traceback" not in said
    assert f"stopped by {signal.Signals(signum).name} before it was done" in said
    return process.returncode


@pytest.mark.parametrize("task", ["pretrain", "predict", "serve"])
def test_a_stop_before_the_first_step_ends_with_0(tmp_path, task):
    assert stopped("begun", task, tmp_path) == 0
    assert not (tmp_path / "run").exists()  # which is made before, and held


def test_a_stop_while_the_config_is_read_ends_with_0(tmp_path):
    assert stopped("config", "export", tmp_path, signum=signal.SIGUSR1) == 0


@pytest.mark.parametrize("task", ["demo", "evaluate"])
def test_a_stop_after_the_first_step_tells_whether_work_is_lost(tmp_path, task):
    assert stopped("two steps", task, tmp_path) == (0 if task == "demo" else 143)


def test_an_interrupt_before_the_first_step_has_its_own_code(tmp_path):
    assert stopped("begun", "evaluate", tmp_path, signum=signal.SIGINT) == 130


def test_an_interrupt_does_not_wait_for_what_xla_computes(tmp_path):
    assert stopped("computing", "pretrain", tmp_path, signum=signal.SIGINT) == 130


def test_an_interrupt_that_another_thread_got_wakes_the_main_one():
    with started(ELSEWHERE) as process:
        assert process.stdout.read() == "cleared up\n"
        assert process.wait() == 130
        assert "stopped by SIGINT" in process.stderr.read()


@pytest.mark.slow
def test_an_interrupt_does_not_wait_for_what_the_renderer_computes(tmp_path):
    assert stopped(tmp_path, signum=signal.SIGINT, program=BUILD) == 130
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # no half of a record


def test_a_bug_does_not_wait_for_what_xla_computes(tmp_path):
    with started(PROGRAM, "a bug", "pretrain", tmp_path) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert said.splitlines()[-1] == "ZeroDivisionError"


@pytest.mark.parametrize("loses", [False, True])
def test_a_step_is_done_when_the_next_one_is_asked_for(loses):
    program = stopping.Program()
    program.resumes, program.loses_steps = True, loses
    before = signal.signal(signal.SIGTERM, program._obey)
    try:
        steps = report(range(2), "Working", 2)
        next(steps)
        assert program.resumes
        next(steps)
        assert program.resumes is not loses
    finally:
        signal.signal(signal.SIGTERM, before)


def test_steps_of_other_programs_tell_nobody():
    assert list(report(range(3), "Working", 3)) == [0, 1, 2]
