import importlib.util

import pytest

from peclr_jax.devices import cluster
from peclr_jax.devices.cluster import Place

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
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        (SLURM, Place(None, 4, 1, None)),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, Place(None, 4, 1, ())),
        (SLURM | {"CUDA_VISIBLE_DEVICES": "3"}, Place(None, 4, 1, ())),
        # srun -n1 within a larger job, and the batch script itself
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        ({k: v for k, v in SLURM.items() if "STEP" not in k}, None),
        (OPEN_MPI, Place(None, 2, 1, ())),
        (KUBERNETES | {"JOB_COMPLETION_INDEX": "0"}, None),
    ],
)
def test_launchers_tell_a_process_its_place(environment, place):
    assert cluster.find(environment) == place


def test_jax_asks_kubernetes_if_it_can(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "kubernetes")
    assert cluster.find(KUBERNETES) == Place(None, None, None, ())


def test_flags_tell_it_too_and_go_first():
    assert cluster.find({}, "host:1", 2, 1) == Place("host:1", 2, 1, ())
    assert cluster.find({}, "host:1", 1, 0) is None
    assert cluster.find(SLURM, "host:1") == Place("host:1", 4, 1, None)
    lone = SLURM | {"SLURM_STEP_NUM_TASKS": "1"}
    assert cluster.find(lone, "host:1", 2, 1) == Place("host:1", 2, 1, ())
    assert cluster.find({"JAX_COORDINATOR_ADDRESS": "host:1"}, None, 2, 0).num_processes == 2


@pytest.mark.parametrize(
    ("environment", "flags", "sentence"),
    [
        ({}, ("host:1", None, None), "needs --num_processes and --process_id,"),
        ({}, (None, 2, 0), "needs --coordinator_address=HOST:PORT,"),
        (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": None}, (None, None, None), "needs --coordinator"),
        ({}, ("host:1", 2, 2), "--process_id=2 is not below --num_processes=2"),
        ({}, ("host", 2, 1), "lacks its port"),
        (KUBERNETES, (None, None, None), "this is pod 1 of an indexed Job"),
    ],
)
def test_what_is_left_open_is_one_sentence(environment, flags, sentence):
    environment = {name: value for name, value in environment.items() if value is not None}
    with pytest.raises(ValueError, match=sentence):
        cluster.find(environment, *flags)
