"""Runs of several processes on JAX's distributed runtime: start, order and end."""

import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from peclr_jax.devices.backend import check_devices
from peclr_jax.devices.mesh import make_mesh, replicated, shard_batch
from peclr_jax.errors import UserError

MISSING = 5
"""Exit code where other processes did not come to the start."""
# JAX aborts all processes when one has not been heard of for so long.
_HEARTBEAT_SECONDS = 45
# JAX aborts all processes when some have not come to their end so long after the first.
_SHUTDOWN_SECONDS = 10
# A process that fails leaves earlier, with its own exit code.
_FAILURE_SECONDS = 5.0


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
    if coordinator_address and not coordinator_address.rpartition(":")[2].isdecimal():
        raise UserError(
            f"--coordinator_address={coordinator_address} lacks its port: give HOST:PORT"
        )
    return {
        "coordinator_address": coordinator_address,
        "num_processes": count,
        "process_id": process_id,
        "local_device_ids": None if _shares_gpus(environment) else (),
    }


def start(arguments: Mapping[str, Any], seconds: float) -> None:
    """Starts JAX's distributed runtime, before anything else has used a device.

    Processes wait for one another so many seconds; then this one ends with exit code 5.
    """
    with _deadline(arguments["coordinator_address"] or "process 0", seconds):
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
    _meet()


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


@contextmanager
def process_zero_first(name: str) -> Iterator[None]:
    """Runs the block, named alike in all processes, on process 0 first, then on the others."""
    if jax.process_index() > 0:
        multihost_utils.sync_global_devices(name)
    yield
    if jax.process_index() == 0:
        multihost_utils.sync_global_devices(name)


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


def _meet() -> None:
    """Runs the first collective over all devices while all processes are at the same place.

    On CPUs a process that comes 30 s late to the first collective of a group is given up, as one
    would that compiles what others have in their cache. Later collectives wait without a limit.
    """
    multihost_utils.sync_global_devices("start")
    mesh = make_mesh()
    ones = shard_batch(np.ones(len(mesh.local_devices)), mesh)
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
