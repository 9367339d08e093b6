"""What a program prints does not decide how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, sys
from peclr_jax import console
console.keep_writing()
from rich.console import Console
for number in range(400):
    print("a line", number, "." * 300)
    Console().print("another", number)
    Console(stderr=True).print("and a third", number)
print("Gr\\u00f6\\u00dfe", "\\udce9", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    os.system("echo by a library; echo by a library >&2")  # to the descriptors 1 and 2
    file.write("done")
"""


def run(tmp_path, redirection="", **environment):
    done = tmp_path / "done"
    result = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" "$2" {redirection}', sys.executable, PROGRAM, str(done)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
    )
    assert result.returncode == 0, result
    assert b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    assert done.read_text() == "done"
    return result


@pytest.mark.parametrize(
    "redirection",
    [
        "> /dev/full",
        "2> /dev/full",
        "> /dev/full 2>&1",
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "| head -n 1; exit ${PIPESTATUS[0]}",
        "2>&1 | grep -m 1 third; exit ${PIPESTATUS[0]}",
        "| true; exit ${PIPESTATUS[0]}",
    ],
)
def test_a_program_goes_on_whatever_becomes_of_its_output(tmp_path, redirection):
    run(tmp_path, redirection)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_cannot_be_encoded_is_written_with_backslashes(tmp_path, environment):
    assert b"\\udce9" in run(tmp_path, **environment).stderr
    assert "Größe".encode() in run(tmp_path, PYTHONIOENCODING="utf-8").stderr


def test_what_is_printed_arrives_in_order(tmp_path):
    lines = run(tmp_path).stdout.splitlines()
    assert [line[:9] for line in lines[:2]] == [b"a line 0 ", b"another 0"]
    assert lines[-1] == b"by a library"
    assert len(lines) == 801


LOGS = """
from peclr_jax import console, stopping
stopping.start(__name__)
import asyncio, gc, sys, types, warnings
from absl import logging
console.shorten_logs()

async def fail():
    raise OSError("in a task")

async def start():
    asyncio.ensure_future(fail())
    await asyncio.sleep(0)

class Bad:
    def __init__(self, text):
        self.text = text
    def __del__(self):
        raise RuntimeError(self.text)

logging.info("narrated")
logging.warning("a line")
try:
    raise OSError("in a thread " + "x" * 1000)
except OSError as error:
    logging.exception("it failed: %s", error)
for program in "ab":
    warnings.warn(f"Error writing persistent compilation cache entry for {program}: full")
asyncio.run(start())
gc.collect()
Bad("Event loop is closed")
Bad("a fault of ours")
at_the_end = Bad("far too late")
"""


def test_what_libraries_log_are_lines():
    command = [sys.executable, "-c", LOGS]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 0
    assert "narrated" not in said
    assert "a line" in said
    assert "it failed: in a thread xxx" in said
    assert said.count("compilation cache entry") == 1
    for hidden in ("in a task", "Event loop is closed", "too late"):
        assert hidden not in said
    assert said.count("Traceback") == 1  # a destructor of ours
    assert "a fault of ours" in said
    assert max(map(len, said.splitlines())) < 400
