"""This process's place among those of a run: told by flags, SLURM, Open MPI or Kubernetes."""

import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

from peclr_jax.errors import UserError


class Place(NamedTuple):
    """Arguments of `jax.distributed.initialize`; `None` is for JAX to find out.

    Attributes:
      coordinator_address: HOST:PORT where process 0 listens.
      num_processes: of the run.
      process_id: of this one.
      local_device_ids: GPUs of this host that this process takes; `()` is all of them, and `None`
        the one of its number on the host.
    """

    coordinator_address: str | None
    num_processes: int | None
    process_id: int | None
    local_device_ids: tuple[int, ...] | None


def find(
    environment: Mapping[str, str],
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Place | None:
    """Finds out whether this process is one of several, and which.

    Args:
      environment: variables, in which launchers leave word.
      coordinator_address: by flag, as the others; flags go before what the launcher says.
      num_processes: by flag.
      process_id: by flag.

    Returns:
      The place, or `None` for a process that is alone.

    Raises:
      UserError: flags that leave open what the surroundings do not tell, or contradict each other.
    """
    launched = _slurm(environment) or _open_mpi(environment)
    if (coordinator_address, num_processes, process_id) == (None, None, None):
        if launched is None:
            return _kubernetes(environment)
        if launched.num_processes == 1:
            return None
    elif launched is None or launched.num_processes == 1:
        launched = Place(None, None, None, ())
    address = coordinator_address or environment.get("JAX_COORDINATOR_ADDRESS")
    count = launched.num_processes if num_processes is None else num_processes
    index = launched.process_id if process_id is None else process_id
    if count is None or index is None or not (address or _knows_the_coordinator(environment)):
        given = {
            "--coordinator_address=HOST:PORT": address,
            "--num_processes": count,
            "--process_id": index,
        }
        missing = " and ".join(flag for flag, value in given.items() if value is None)
        raise UserError(
            f"a run of several processes needs {missing}, which neither flags nor the launcher "
            "give: add it on every host, or leave the flags out to run one process alone"
        )
    if not 0 <= index < count:
        raise UserError(
            f"--process_id={index} is not below --num_processes={count}: processes are numbered "
            "from 0"
        )
    if address is not None and not address.rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator_address={address} lacks its port: give HOST:PORT")
    return None if count == 1 else Place(address, count, index, launched.local_device_ids)


def _slurm(environment: Mapping[str, str]) -> Place | None:
    """Of a task that srun started; the batch script itself is none."""
    if not {"SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID"} <= environment.keys():
        return None
    # The job's tasks are more than the step's where srun was asked for fewer.
    count = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS", "1")
    per_host = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    alone = per_host.split("(")[0] == "1"
    return Place(None, int(count), int(environment["SLURM_PROCID"]), _gpus(environment, alone))


def _open_mpi(environment: Mapping[str, str]) -> Place | None:
    if not {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"} <= environment.keys():
        return None
    count, index = (int(environment[f"OMPI_COMM_WORLD_{name}"]) for name in ("SIZE", "RANK"))
    alone = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    return Place(None, count, index, _gpus(environment, alone))


def _kubernetes(environment: Mapping[str, str]) -> Place | None:
    """Of a pod of an indexed Job; how many there are is known to the cluster only."""
    if not {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys():
        return None
    if importlib.util.find_spec("kubernetes"):
        return Place(None, None, None, ())
    if environment["JOB_COMPLETION_INDEX"] == "0":
        return None
    raise UserError(
        f"this is pod {environment['JOB_COMPLETION_INDEX']} of an indexed Job, of which nothing "
        "else is known: give --coordinator_address, --num_processes and --process_id as in "
        "scripts/jobset.yaml, or install the package kubernetes"
    )


def _knows_the_coordinator(environment: Mapping[str, str]) -> bool:
    """Whether JAX can tell process 0's host from what the launcher says."""
    # Open MPI 5 no longer says where mpirun is.
    return _slurm(environment) is not None or "OMPI_MCA_orte_hnp_uri" in environment


def _gpus(environment: Mapping[str, str], alone: bool) -> tuple[int, ...] | None:
    """All that are visible, but for processes that share a host's."""
    bound = "," not in environment.get("CUDA_VISIBLE_DEVICES", ",")  # to one, by the launcher
    return () if alone or bound else None
