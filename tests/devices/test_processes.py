import importlib.util
import threading

import pytest

from peclr_jax.devices import processes
from peclr_jax.errors import UserError

# As srun leaves them in the second of four tasks on two hosts.
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
ONE_GPU, ALL_GPUS = None, ()


@pytest.mark.parametrize(
    ("environment", "flags", "found"),
    [
        ({}, (), None),
        (SLURM, (), (None, 4, None, ONE_GPU)),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, (), (None, 4, None, ALL_GPUS)),
        (SLURM | {"CUDA_VISIBLE_DEVICES": "3"}, (), (None, 4, None, ALL_GPUS)),
        # `srun -n1` within a larger job, and the batch script itself
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, (), None),
        ({k: v for k, v in SLURM.items() if "STEP" not in k}, (), None),
        (OPEN_MPI, (), (None, 2, None, ALL_GPUS)),
        (KUBERNETES, (), (None, None, None, ALL_GPUS)),
        (KUBERNETES | {"JOB_COMPLETION_INDEX": "0"}, (), None),
        # Flags go before what the launcher says.
        ({}, ("host:1", 2, 1), ("host:1", 2, 1, ALL_GPUS)),
        ({}, ("host:1", 1, 0), None),
        ({}, ("host:1",), ("host:1", None, None, ALL_GPUS)),
        (SLURM, ("host:1",), ("host:1", 4, None, ONE_GPU)),
        (SLURM, (None, 1, None), None),
    ],
)
def test_a_process_knows_whether_it_is_alone(environment, flags, found):
    settings = processes.settings(environment, *flags)
    assert (settings and tuple(settings.values())) == found


def test_kubernetes_is_asked_if_its_package_is_there(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "kubernetes")
    assert processes.settings(KUBERNETES | {"JOB_COMPLETION_INDEX": "0"})


def test_an_address_without_a_port_is_refused():
    with pytest.raises(UserError, match="--coordinator_address=host lacks its port"):
        processes.settings({}, "host", 2, 1)


def test_what_is_left_open_is_one_sentence(monkeypatch):
    def initialize(**arguments):
        raise ValueError("Number of processes must be defined.")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    sentence = r"cannot start \(Number of processes must be defined\): give --coordinator_addre"
    with pytest.raises(UserError, match=sentence):
        processes.start(processes.settings({}, "host:1"), 60.0)


def test_a_process_does_not_wait_for_ever(monkeypatch, capsys):
    codes, ended = [], threading.Event()

    def leave(code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr("jax.distributed.initialize", lambda **arguments: ended.wait())
    monkeypatch.setattr("os._exit", leave)
    processes.start(processes.settings({}, "host:1", 2, 1), 0.01)
    assert codes == [processes.MISSING]
    assert "error: not all processes came to host:1 within 0.01 s: " in capsys.readouterr().err
