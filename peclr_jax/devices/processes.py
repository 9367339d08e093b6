"""Runs of several processes on JAX's distributed runtime: start, order and end."""

import hashlib
import importlib.util
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from peclr_jax.devices.backend import check_devices
from peclr_jax.devices.mesh import make_mesh, replicated, shard_batch
from peclr_jax.errors import MachineError, UserError
from peclr_jax.specs import LARGEST_INT

MISSING = 5
"""Exit code where other processes did not come to the start."""
# JAX aborts all processes when one has not been heard of for so long.
_HEARTBEAT_SECONDS = 45
# JAX aborts all processes when some have not come to their end so long after the first.
_SHUTDOWN_SECONDS = 10
# A process that fails leaves earlier, with its own exit code.
_FAILURE_SECONDS = 5.0
_MOST_SECONDS = 10**6
# Of what differs between processes.
_MOST_NAMED, _LONGEST_SHOWN = 4, 60


def settings(
    environment: Mapping[str, str],
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> dict[str, Any] | None:
    """Tells whether this process is one of several; JAX itself finds out which.

    Args:
      environment: Environment variables, which launchers set.
      coordinator_address: HOST:PORT of process 0, from the command line.
      num_processes: Processes of the run, from the command line.
      process_id: Number of this process, from the command line.

    Returns:
      Arguments of `jax.distributed.initialize`, with `None` for what it reads from SLURM, Open MPI
      or Kubernetes; `None` for a process that is alone.
    """
    launched = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("OMPI_COMM_WORLD_SIZE")
    # JAX takes the number of tasks of SLURM's whole job, of which a step may start fewer.
    count = int(launched) if launched and num_processes is None else num_processes
    by_flags = (coordinator_address, num_processes, process_id) != (None, None, None)
    is_one_of_several = num_processes != 1 if by_flags else (count or 1) > 1
    if not is_one_of_several and not (count is None and _is_one_of_several_pods(environment)):
        return None
    problem = ""
    if coordinator_address:
        port = coordinator_address.rpartition(":")[2]
        if not port.isdecimal():
            problem = "lacks its port: give HOST:PORT"
        elif not 0 < int(port[:9]) < 2**16:
            problem = "names a port that is none: choose one between 1024 and 65535"
        if problem:
            raise UserError(f"--coordinator_address={coordinator_address} {problem}")
    if count and count > LARGEST_INT:
        raise UserError(f"--num_processes={count} must be at most {LARGEST_INT}")
    if process_id is not None and count is not None and process_id >= count:
        raise UserError(
            f"--process_id={process_id} is none of {count} processes, which count from 0"
        )
    return {
        "coordinator_address": coordinator_address,
        "num_processes": count,
        "process_id": process_id,
        "local_device_ids": None if _shares_gpus(environment) else (),
    }


def start(
    arguments: Mapping[str, Any],
    seconds: float,
    facts: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Starts JAX's distributed runtime, before anything else has used a device.

    Processes wait for one another so many seconds; then this one ends with exit code 5.

    Args:
      arguments: As `settings` returns them.
      seconds: At most a million.
      facts: Returns what must be the same in all processes, as `check_alike` takes it.

    Raises:
      UserError: The processes cannot meet, or are not alike.
    """
    if not 0 < seconds <= _MOST_SECONDS:
        raise UserError(f"--initialization_timeout={seconds} must lie in (0, {_MOST_SECONDS}] s")
    place = arguments["coordinator_address"] or "process 0"
    if arguments["coordinator_address"] and arguments["process_id"] == 0:
        _check_port(place)
    with _deadline(place, seconds):
        try:
            jax.distributed.initialize(
                **arguments,
                # Later than ours, for JAX ends by aborting.
                initialization_timeout=round(seconds) + 30,
                heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
            )
        except ValueError as error:
            raise UserError(
                f"this run of several processes cannot start ({str(error).rstrip('.')}): give "
                "--coordinator_address=HOST:PORT, --num_processes and --process_id on every host, "
                "or --num_processes=1 to run one process alone"
            ) from error
    check_devices()
    if jax.process_count() > 1:
        _check_shares()
        with _deadline(place, seconds):
            _meet()
            check_alike(facts())


def finish() -> None:
    """Waits until all processes are done."""
    multihost_utils.sync_global_devices("done")
    jax.distributed.shutdown()


def fail(exit_code: int) -> NoReturn:
    """Ends this process because it has failed, whereupon JAX ends the others.

    Others that fail alike within seconds keep their own exit codes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    timer = threading.Timer(_FAILURE_SECONDS, os._exit, [exit_code])
    timer.daemon = True
    timer.start()
    jax.distributed.shutdown()  # returns once all processes have come here
    # Python's own way out waits for threads that may wait for other processes.
    os._exit(exit_code)


def gather(text: str) -> list[str]:
    """Returns the texts of all processes, by their numbers; to be called by all of them."""
    if jax.process_count() == 1:
        return [text]
    content = np.frombuffer(text.encode(errors="replace"), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(content)))
    # Of few lengths, as each is compiled for.
    longest = 1 << int(sizes.max()).bit_length()
    rows = multihost_utils.process_allgather(np.pad(content, (0, longest - len(content))))
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]


def check_alike(facts: Mapping[str, Any]) -> None:
    """Refuses, in all processes and with one sentence, a run whose processes differ.

    To be called by all of them.

    Args:
      facts: What decides the result of the run, by its name for people; fit for JSON.

    Raises:
      UserError: They are not the same everywhere.
    """
    mine = {name: json.dumps(value, sort_keys=True, default=str) for name, value in facts.items()}
    digests = gather(hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest())
    if len(set(digests)) == 1:
        return
    first, *others = map(json.loads, gather(json.dumps(mine)))
    number, other = next((n, other) for n, other in enumerate(others, 1) if other != first)
    differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
    named = [
        f"{name} ({_shown(other.get(name))}, not {_shown(first.get(name))})"
        for name in differing[:_MOST_NAMED]
    ]
    more = len(differing) - len(named)
    raise UserError(
        f"process {number} was not started as process 0 was: it differs in {', '.join(named)}"
        f"{f' and {more} more' if more else ''}; start the same command, of the same version, on "
        "every host"
    )


def _shown(value: str | None) -> str:
    text = "none" if value is None else value
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


@contextmanager
def process_zero_first() -> Iterator[None]:
    """Runs the block on process 0 first, then on the others.

    Raises:
      UserError: In all processes, if it was raised in one.
    """
    if jax.process_index() > 0:
        raise_together(None)  # what process 0 has raised
    problem = None
    try:
        yield
    except UserError as error:
        problem = error
    if jax.process_index() == 0:
        raise_together(problem)
    raise_together(problem)


def raise_together(problem: UserError | None) -> None:
    """Raises in all processes the error of the first that has one; to be called by all of them."""
    told = gather("" if problem is None else str(problem))
    if problem is not None:
        raise problem
    for sentence in filter(None, told):
        raise UserError(sentence)


def _is_one_of_several_pods(environment: Mapping[str, str]) -> bool:
    """Whether this is a pod of an indexed Job that may have more than one."""
    if not {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys():
        return False
    # With its package JAX asks Kubernetes; without, the first pod may be the only one.
    knows = importlib.util.find_spec("kubernetes") is not None
    return knows or environment["JOB_COMPLETION_INDEX"] != "0"


def _shares_gpus(environment: Mapping[str, str]) -> bool:
    """Whether processes of one host see the same GPUs, so that each takes that of its number."""
    per_host = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") or environment.get(
        "SLURM_STEP_TASKS_PER_NODE", "1"
    )
    is_bound = "," not in environment.get("CUDA_VISIBLE_DEVICES", ",")
    return per_host.split("(")[0] != "1" and not is_bound


def _check_port(address: str) -> None:
    """Checks that process 0 can listen at its port, over which JAX crashes otherwise."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    place = ("", int(address.rpartition(":")[2]))
    try:
        socket.create_server(place, family=family, dualstack_ipv6=both).close()
    except OSError as error:
        raise MachineError(
            f"process 0 cannot listen at the port of --coordinator_address={address} "
            f"({error.strerror}): choose another one, on every host"
        ) from error


def _check_shares() -> None:
    """Refuses processes of which some have more devices than others, as collectives would fail."""
    counts = Counter(device.process_index for device in jax.devices())
    for number in range(jax.process_count()):
        if counts[number] != counts[0]:
            raise UserError(
                f"process {number} has {counts[number]} device(s), process 0 has {counts[0]}: give "
                "all processes of a run the same number"
            )


def _meet() -> None:
    """Runs the first collective over all devices while all processes are at the same place.

    On CPUs a process that comes 30 s late to the first collective of a group is given up, as one
    would that compiles what others have in their cache. Later collectives wait without a limit.
    """
    multihost_utils.sync_global_devices("start")
    mesh = make_mesh()
    # Of a type that no setting of JAX's changes: these have not been compared yet.
    ones = shard_batch(np.ones(len(mesh.local_devices), np.float32), mesh)
    jax.block_until_ready(jax.jit(jnp.sum, out_shardings=replicated(mesh))(ones))


@contextmanager
def _deadline(place: str, seconds: float) -> Iterator[None]:
    def give_up() -> None:
        print(
            f"error: not all processes came to {place} within {seconds:g} s: start the same "
            "command on every host, or wait longer by --initialization_timeout",
            file=sys.stderr,
            flush=True,
        )
        os._exit(MISSING)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
