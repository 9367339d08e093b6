"""Runs of several processes on JAX's distributed runtime: how they start, and how all of them end.

None goes on without the others: whatever ends one of them ends all, within seconds and with its
reason, so that they can be started again together and go on from the last checkpoint.
"""

import ctypes
import os
import secrets
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from peclr_jax.devices import cluster, peers
from peclr_jax.devices.mesh import make_mesh, replicated, shard_batch
from peclr_jax.devices.peers import GONE, RESUME, Peers
from peclr_jax.errors import UserError

INITIALIZATION_SECONDS = 60
# After which JAX itself takes a process for dead that no longer answers, though its host does.
_HEARTBEAT_SECONDS = 45
# By which processes may be done earlier than others.
_SHUTDOWN_SECONDS = 300
# A collective that fails is how the end of another process is often seen first.
_NEWS_SECONDS = 5.0


class Alone:
    """A process that is the whole run."""

    count = 1

    def leave(self) -> None:
        """Ends the run, done."""

    def fail(self, sentence: str, exit_code: int) -> int:
        """Ends the run for a reason that every process of it would have; returns the exit code."""
        print(f"error: {sentence}", file=sys.stderr)
        return exit_code

    def crash(self, error: BaseException) -> None:
        """Ends the run for a fault, which is about to be raised."""


class OneOfSeveral(Alone):
    """A process that ends with the others, and they with it.

    Args:
      others: the other processes.
    """

    def __init__(self, others: Peers):
        self.count = others.count
        self._others = others

    def leave(self) -> None:
        """Waits until all processes are done, and ends the run."""
        jax.distributed.shutdown()
        self._others.leave()

    def fail(self, sentence: str, exit_code: int) -> int:
        """Ends all processes for a reason of the user's, by which starting again does not help."""
        self._await_news()
        print(f"error: {sentence}", file=sys.stderr)
        self._others.end(f"has ended: {sentence}", exit_code, exit_code)

    def crash(self, error: BaseException) -> None:
        """Ends all processes for a fault of this one, unless that is but another's end."""
        self._await_news()
        traceback.print_exception(error)
        words = " ".join(str(error).split()) or "no words"
        self._others.end(f"failed ({type(error).__name__}: {words[:300]}); {RESUME}", 1, GONE)

    def _await_news(self) -> None:
        """Lets another process's end, which is what fails a collective, be known for it."""
        error = sys.exception()
        while error is not None and not isinstance(error, jax.errors.JaxRuntimeError):
            error = error.__cause__ or error.__context__
        if error is not None:
            self._others.await_news(_NEWS_SECONDS)


def start(place: cluster.Place | None, seconds: float = INITIALIZATION_SECONDS) -> Alone:
    """Starts JAX's distributed runtime, before anything else has used a device.

    Args:
      place: of this process, from `cluster.find`; `None` if it is alone.
      seconds: that processes wait for one another.

    Returns:
      What to end the run by.
    """
    if place is None:
        return Alone()
    _aborts_wait()
    with _deadline(place, seconds):
        jax.distributed.initialize(
            coordinator_address=place.coordinator_address,
            num_processes=place.num_processes,
            process_id=place.process_id,
            local_device_ids=place.local_device_ids,
            # Later than ours, for JAX ends by aborting.
            initialization_timeout=round(seconds) + 30,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
        others = _connect(seconds)
    run = OneOfSeveral(others)
    _meet()
    return run


@contextmanager
def first_process_first(what: str) -> Iterator[None]:
    """Has process 0 do something before all others do it, for what is done but once on a disk.

    Args:
      what: is done; the same in all processes.
    """
    if jax.process_index() > 0:
        multihost_utils.sync_global_devices(what)
    yield
    if jax.process_index() == 0:
        multihost_utils.sync_global_devices(what)


def check_shared(folder: Path) -> None:
    """Checks that all processes see the same folder; makes it, where there are several processes.

    Raises:
      UserError: one does not see what process 0 writes.
    """
    if jax.process_count() == 1:
        return
    mark = folder / ".shared"
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    multihost_utils.sync_global_devices("folder marked")
    if not mark.exists():
        raise UserError(
            f"process {jax.process_index()} does not find in {folder} what process 0 writes there: "
            "choose a --workdir that all hosts share"
        )
    multihost_utils.sync_global_devices("folder seen")
    if jax.process_index() == 0:
        mark.unlink()


def _connect(seconds: float) -> Peers:
    """Connects the processes to process 0, whose port and secret JAX's coordinator hands out."""
    # There is no public way to the coordinator's store; Orbax takes this one, too.
    from jax._src import distributed

    state: Any = distributed.global_state
    index, count, store = state.process_id, state.num_processes, state.client
    name, milliseconds = "peclr_jax/peers", round(1000 * seconds)
    if index == 0:
        token = secrets.token_hex(16)
        return peers.gather(
            count, token, lambda port: store.key_value_set(name, f"{port} {token}"), seconds
        )
    port, token = store.blocking_key_value_get(name, milliseconds).split()
    host = state.coordinator_address.rpartition(":")[0].strip("[]")
    return peers.join(index, count, (host, int(port)), token, seconds)


def _meet() -> None:
    """Has all devices meet, in the groups of all later collectives.

    On CPUs a process that comes to the first one of a group later than others by 30 s is given up:
    it might have had to compile what they had at hand. Later ones are waited for.
    """
    multihost_utils.sync_global_devices("start")
    mesh = make_mesh()
    ones = shard_batch(np.ones(len(mesh.local_devices)), mesh)
    jax.block_until_ready(jax.jit(jnp.sum, out_shardings=replicated(mesh))(ones))


@contextmanager
def _deadline(place: cluster.Place, seconds: float) -> Iterator[None]:
    """Ends the process when the others do not come in time."""

    def give_up() -> None:
        where = place.coordinator_address or "process 0"
        total = place.num_processes or "the"
        print(
            f"error: not all of {total} processes came to {where} within {seconds:g} s: start the "
            "same command on every host, or wait longer by --initialization_timeout",
            file=sys.stderr,
            flush=True,
        )
        os._exit(GONE)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _aborts_wait() -> None:
    """Has a thread that aborts the process sleep for six seconds before.

    JAX aborts from a thread of its own when process 0 is gone, in the same moment in which we learn
    of it, too, and have something to say.
    """
    library = ctypes.CDLL(None)
    # The handler is called with the signal's number, which is 6: the seconds to sleep. Nothing else
    # that is allowed in a handler can wait, and no Python may run in one.
    library.signal(signal.SIGABRT, library.sleep)
