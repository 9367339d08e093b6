"""Processes that depend on each other, each of which learns at once when another one ends.

A collective waits for all processes, for ever if one of them is gone. So every process holds a TCP
connection to process 0, on which nothing is said until one of them ends: with its reason, if it
ends by itself; if it is killed, the system closes the connection; if its host is down, probes find
that out within half a minute. Process 0 passes the news on.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

GONE = 5
"""The exit code where another process is gone."""
# Probes of a connection on which nothing is said: seconds before the first and between them, and
# how many go unanswered before the other host counts as down.
_PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
# Seconds that process 0 stays for the others to hear of the end.
_LAST_WORDS = 5.0
_GREETING_SECONDS = 5.0
_LONGEST_LINE = 2**16
RESUME = "run the same command on all hosts to go on from the last checkpoint"
_GONE = f"is gone (killed, out of memory, or its host is down); {RESUME}"


class End(NamedTuple):
    """How a process has ended.

    Attributes:
      process: its number.
      sentence: what became of it, to follow its number; "" if its work was done.
      exit_code: what the other processes are to end with.
    """

    process: int
    sentence: str
    exit_code: int


class Peers:
    """The other processes, watched by threads that end this process when another one ends.

    Args:
      index: number of this process.
      count: number of processes.
      connections: to all others in process 0, to process 0 in the others, by their numbers.
    """

    def __init__(self, index: int, count: int, connections: dict[int, socket.socket]):
        self.index, self.count = index, count
        self._connections = connections
        self._ending = threading.Lock()  # taken once, by the thread that ends this process
        self._watchers = [
            threading.Thread(target=self._watch, args=item, daemon=True)
            for item in connections.items()
        ]
        for watcher in self._watchers:
            watcher.start()

    def leave(self) -> None:
        """Says that this process's work is done; to be called once that of all others is."""
        if self._ending.acquire(blocking=False):
            self._tell(End(self.index, "", 0))

    def end(self, sentence: str, exit_code: int, exit_code_of_others: int) -> NoReturn:
        """Ends this process and, with its reason, all others.

        Args:
          sentence: what became of this process, to follow its number.
          exit_code: of this process.
          exit_code_of_others: of the others.
        """
        self._end(End(self.index, sentence, exit_code_of_others), exit_code, "")

    def await_news(self, seconds: float) -> None:
        """Gives word of another process's end, which ends this one, time to arrive."""
        deadline = time.monotonic() + seconds
        for watcher in self._watchers:
            watcher.join(max(0.0, deadline - time.monotonic()))

    def _watch(self, other: int, connection: socket.socket) -> None:
        line = _read_line(connection)
        end = End(*json.loads(line)) if line else End(other, _GONE, GONE)
        if end.sentence:
            sentence = f"error: process {end.process} of {self.count} {end.sentence}"
            self._end(end, end.exit_code, sentence)

    def _end(self, end: End, exit_code: int, sentence: str) -> NoReturn:
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()  # for the other thread to end them all
        if sentence:
            print(sentence, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        self._tell(end)
        # Python's and JAX's own way out waits for the other processes.
        os._exit(exit_code)

    def _tell(self, end: End) -> None:
        message = json.dumps(end).encode() + b"\n"
        for connection in self._connections.values():
            with suppress(OSError):
                connection.sendall(message)
                connection.shutdown(socket.SHUT_WR)
        if self.index > 0:
            return
        # With process 0 goes JAX's coordinator, whose loss makes JAX abort the others.
        deadline = time.monotonic() + _LAST_WORDS
        for connection in self._connections.values():
            with suppress(OSError):
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                while connection.recv(1024):
                    pass


def gather(count: int, token: str, publish: Callable[[int], None], seconds: float) -> Peers:
    """Waits in process 0 for the connections of all others.

    Args:
      count: number of processes.
      token: by which they are told from strangers.
      publish: tells them the port.
      seconds: to wait for each.

    Raises:
      OSError: one has not come in time.
    """
    with socket.create_server(("", 0), backlog=count) as server:
        publish(server.getsockname()[1])
        server.settimeout(seconds)
        connections: dict[int, socket.socket] = {}
        while len(connections) < count - 1:
            connection, _ = server.accept()
            connection.settimeout(_GREETING_SECONDS)
            with suppress(OSError):
                given, _, index = _read_line(connection).decode(errors="replace").partition(" ")
                if given == token:
                    connections[int(index)] = _quiet(connection)
    return Peers(0, count, connections)


def join(index: int, count: int, address: tuple[str, int], token: str, seconds: float) -> Peers:
    """Connects to process 0.

    Args:
      index: number of this process, not 0.
      count: number of processes.
      address: host and port of process 0.
      token: by which it knows us.
      seconds: to wait for it.

    Raises:
      OSError: there is no way to it.
    """
    connection = socket.create_connection(address, timeout=seconds)
    connection.sendall(f"{token} {index}\n".encode())
    return Peers(index, count, {0: _quiet(connection)})


def _quiet(connection: socket.socket) -> socket.socket:
    """Prepares a connection on which nothing may be said for days."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _read_line(connection: socket.socket) -> bytes:
    """Reads one line, without its end; what ends before counts as nothing."""
    line = b""
    with suppress(OSError):
        # Byte by byte: the next line, which may be here already, is another reader's.
        while len(line) < _LONGEST_LINE and (byte := connection.recv(1)):
            if byte == b"\n":
                return line
            line += byte
    return b""
