"""Signals, sent to programs of a few lines at places that they tell."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
START = "from peclr_jax import stopping; program = stopping.start(__name__)\n"
# As long as nothing comes; interrupted by signals, as any system call.
WAIT = "print('ready', flush=True); sys.stdin.read()"


def stop(body, *signals, before=""):
    """Sends signals to a program when it says that it is ready; returns its code and its errors."""
    code = f"import signal, sys, time\n{before}\n{START}{body}"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], text=True, env=environment, **pipes
    ) as process:
        for signum in signals:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            process.send_signal(signum)
        process.wait(timeout=60)  # with its standard input open
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return process.returncode, said


def inside(*lines):
    """A program whose `main` is these lines."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"def main():\n{body}\n    return 0\nsys.exit(program.run(main))"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.parametrize("resumes", [False, True])
@pytest.mark.parametrize("body", [WAIT, inside(WAIT)])
def test_a_program_ends_with_one_sentence_and_the_signals_code(name, resumes, body):
    signum = getattr(signal, name)
    code, said = stop(f"program.resumes = {resumes}\n{body}", signum)
    by_scheduler = name in ("SIGTERM", "SIGUSR1")
    assert code == (0 if resumes and by_scheduler else 128 + signum)
    (sentence,) = said.splitlines()
    assert sentence.startswith(f"stopped by {name} before it was done: run the same command again")
    assert sentence.endswith(" to go on") == resumes


def test_what_is_unfinished_is_cleared_up(tmp_path):
    lines = [
        "from peclr_jax import files; from pathlib import Path",
        f"with files.writing_folder(Path({str(tmp_path / 'made')!r})) as folder:",
        "    (folder / 'half').touch()",
        f"    {WAIT}",
    ]
    assert stop(inside(*lines), signal.SIGTERM)[0] == 143
    assert not list(tmp_path.iterdir())


def test_an_error_that_a_library_makes_of_it_is_not_told():
    lines = [
        "try:",
        f"    {WAIT}",
        "except BaseException:",
        "    raise RuntimeError('of a library')",
    ]
    assert stop(inside(*lines), signal.SIGINT)[0] == 130


def test_other_errors_are_told():
    code = f"{START}{inside('raise RuntimeError(3)')}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"], env=environment, capture_output=True
    )
    assert result.returncode == 1
    assert b"RuntimeError: 3" in result.stderr


def test_it_comes_again_if_a_destructor_swallowed_it():
    lines = [
        "class Object:",
        "    def __del__(self):",
        f"        {WAIT}",
        "thing = Object()",
        "del thing",
        "try:",
        "    sys.stdin.read()",
        "finally:",
        "    print('cleared up', file=sys.stderr)",
    ]
    code, said = stop(f"stopping._GRACE_SECONDS = 1e6\n{inside(*lines)}", signal.SIGINT)
    assert code == 130
    assert "cleared up" in said


SWALLOWING = [
    "while True:",
    "    try:",
    f"        {WAIT}",
    "    except BaseException:",
    "        pass",
]


def test_a_program_that_goes_on_nevertheless_is_ended():
    code, said = stop(f"stopping._GRACE_SECONDS = 0\n{inside(*SWALLOWING)}", signal.SIGINT)
    assert (code, said.count("stopped by SIGINT")) == (130, 1)


def test_a_program_that_waits_for_a_library_in_c_is_ended():
    computing = "print('ready', flush=True); hashlib.pbkdf2_hmac('sha1', b'', b'', 2**31 - 1)"
    body = f"import hashlib; stopping._GRACE_SECONDS = 0\n{inside(computing)}"
    code, said = stop(body, signal.SIGTERM)
    assert (code, said.count("stopped by SIGTERM")) == (143, 1)


def test_a_second_interrupt_ends_a_program_at_once():
    body = f"stopping._GRACE_SECONDS = 1e6; stopping.AGAIN_SECONDS = 0\n{inside(*SWALLOWING)}"
    assert stop(body, signal.SIGINT, signal.SIGINT)[0] == 130


def test_a_signal_that_is_sent_twice_is_one():
    """As `timeout` does, and a terminal with its shell."""
    lines = ["try:", f"    {WAIT}", "finally:", f"    {WAIT}"]
    body = f"stopping._GRACE_SECONDS = 2\n{inside(*lines, 'return 7')}"
    code, said = stop(body, signal.SIGHUP, signal.SIGTERM)
    assert code == 129
    assert said.count("stopped by") == 1


def test_under_nohup_a_closed_terminal_stops_nothing():
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    lines = ["signal.raise_signal(signal.SIGHUP)", WAIT]
    assert stop(inside(*lines), signal.SIGTERM, before=ignored)[0] == 143


def test_a_shells_background_job_can_be_interrupted():
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert stop(inside(WAIT), signal.SIGINT, before=ignored)[0] == 130
