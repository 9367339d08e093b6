import os
import queue
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peclr_jax.devices import peers

ROOT = Path(__file__).parents[2]
# A process of three: its number, the port of process 0, and what becomes of it.
PROGRAM = """
import os, signal, sys, threading
from peclr_jax.devices import peers

index, port, end = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if index == 0:
    others = peers.gather(3, "secret", lambda port: print(port, flush=True), 30)
else:
    others = peers.join(index, 3, ("127.0.0.1", port), "secret", 30.0)
sys.stdin.readline()
if end == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "ends":
    others.end("has had enough", 1, 7)
if end == "leaves":
    others.leave()
    sys.exit()
threading.Event().wait()
"""


def run_three(ends):
    """Starts three processes, has them go on once all are there, and waits for them."""

    def start(index, port):
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(index), str(port), ends[index]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    first = start(0, 0)
    processes = [
        first,
        *(start(index, port) for port in [int(first.stdout.readline())] for index in (1, 2)),
    ]
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda process: process.communicate("\n", timeout=60)[1], processes))
    return [process.returncode for process in processes], said


@pytest.mark.parametrize("dead", [0, 2])
def test_all_hear_of_a_killed_process(dead):
    codes, said = run_three(["killed" if index == dead else "" for index in range(3)])
    assert codes == [-9 if index == dead else 5 for index in range(3)]
    for index in {0, 1, 2} - {dead}:
        assert said[index].startswith(f"error: process {dead} of 3 is gone")


@pytest.mark.parametrize("one", [0, 1])
def test_all_hear_why_a_process_ends(one):
    codes, said = run_three(["ends" if index == one else "" for index in range(3)])
    assert codes == [1 if index == one else 7 for index in range(3)]
    for index in {0, 1, 2} - {one}:
        assert said[index] == f"error: process {one} of 3 has had enough\n"


def test_leaving_together_ends_nobody():
    assert run_three(["leaves"] * 3) == ([0, 0, 0], ["", "", ""])


def test_strangers_are_not_let_in():
    ports = queue.Queue()
    with ThreadPoolExecutor() as pool:
        gathered = pool.submit(peers.gather, 2, "secret", ports.put, 30.0)
        port = ports.get()
        for words in (b"", b"wrong 1\n", b"\xff\n"):
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(words)
        other = peers.join(1, 2, ("127.0.0.1", port), "secret", 30.0)
        first = gathered.result()
        left = pool.submit(first.leave)
        other.leave()
        left.result()
