"""Processes of one run that were not started alike end together, in one sentence and at once."""

import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from peclr_jax import versions
from peclr_jax.devices import processes
from peclr_jax.devices.mesh import make_mesh
from peclr_jax.errors import MachineError, UserError
from peclr_jax.input_pipeline import make_source
from peclr_jax.input_pipeline.spec import DataSpec
from tests.faults import bounded

ROOT = bounded.ROOT
ENVIRONMENT = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
    "PYTHONPATH": str(ROOT),
}
# No process may wait for as long as a run would wait for one that is lost.
BOUND = 120


def ended(*commands, environments=({}, {})):
    """Runs processes side by side; returns exit code, output and errors of each."""
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            env=ENVIRONMENT | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        said = [process.communicate(timeout=BOUND) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(p.returncode, *words) for p, words in zip(started, said, strict=True)]


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


def test_what_differs_is_told_in_all_processes(port, tmp_path):
    (tmp_path / "file").touch()
    results = ended(
        *(["tests/faults/alike.py", str(port), "2", str(n), str(tmp_path)] for n in (0, 1))
    )
    for code, _, errors in results:
        assert code == 0, errors
    first, second = (json.loads(out.splitlines()[-1]) for _, out, _ in results)
    alike, seed, code, task, many, long, nothing, zero, one, unseen, no_folder, shared = first
    assert second[:-3] == first[:-3]
    assert (alike, nothing, shared) == ("", "", "")
    start = "process 1 was not started as process 0 was: it differs in "
    remedy = "; start the same command, of the same version, on every host"
    assert seed == f"{start}--config.seed (1, not 0){remedy}"
    assert code == f'{start}--config.num_steps (11, not 10), the code ("cd", not "ab"){remedy}'
    assert (
        task == f'{start}--config.task ("finetune", not "pretrain"), a (none, not 1), b '
        f"(null, not none){remedy}"
    )
    assert " and 5 more; start" in many
    assert len(long) < 400
    assert zero == one == "this one is wrong: mend it"
    assert f"process 1 does not find in {tmp_path / '0'} what process 0 writes there" in unseen
    assert "file is no folder: choose another" in no_folder
    assert "process 1 does not find in" in second[-3]
    assert second[-2] == no_folder


def test_a_run_of_processes_that_differ_ends_at_once(port, tmp_path):
    """Another number of steps hung both, another learning rate trained to the end."""
    command = [
        "main.py",
        "--config=configs/pretrain.py",
        f"--workdir={tmp_path / 'run'}",
        "--cache_dir=",
        f"--coordinator_address=127.0.0.1:{port}",
        "--num_processes=2",
    ]
    other = ["--config.num_steps=7", "--config.optimizer.learning_rate=0.5", "--deterministic"]
    results = ended(
        [*command, "--process_id=0"],
        [*command, "--process_id=1", *other],
        environments=({}, {"JAX_ENABLE_X64": "1"}),
    )
    for code, _, errors in results:
        assert code == 2, errors
        (sentence,) = (line for line in errors.splitlines() if line.startswith("error: "))
        assert "--config.num_steps (7, not 0), --config.optimizer.learning_rate (0.5, " in sentence
        assert "--deterministic (true, not false), jax_enable_x64 (true, not false)" in sentence
        assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_other_data_are_refused_before_they_are_read(monkeypatch):
    def gather(text):
        other = text.replace("rendered ", "rendered 0") if text.startswith("{") else "other"
        return [text, other]

    monkeypatch.setattr(processes, "gather", gather)
    spec, mesh = DataSpec(source="rendered"), make_mesh(jax.devices()[:1])
    with pytest.raises(
        UserError, match=r"it differs in the data \(\"rendered 0.*, not \"rendered "
    ):
        make_source(spec, batch_size=2, seed=0, mesh=mesh)


def test_the_code_has_a_digest(monkeypatch, tmp_path):
    assert len(versions.digest_of_code()) == 16
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    (tmp_path / "data").mkdir()
    digests = [versions.digest_of_code()]
    for content in ("a", "b"):
        (tmp_path / "data/x.py").write_text(content)
        digests.append(versions.digest_of_code())
    (tmp_path / "data/x.py").rename(tmp_path / "data/y.py")
    digests.append(versions.digest_of_code())
    assert len(set(digests)) == 4


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_port_that_is_busy_is_one_sentence(host):
    with socket.create_server((host, 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        sentence = f"cannot listen at the port of --coordinator_address={address} .Address already"
        with pytest.raises(MachineError, match=sentence):
            processes.start(processes.settings({}, address, 2, 0), 60.0)


WRONG = {
    "a port that is none": (("host:70000", 2, 0), "names a port that is none"),
    "a port of many digits": ((f"host:{10**20}", 2, 0), "names a port that is none"),
    "port 0": (("host:0", 2, 0), "names a port that is none"),
    "processes of many digits": (("host:1", 10**20, 0), f"--num_processes={10**20} must be at"),
    "a process too many": (("host:1", 2, 2), "--process_id=2 is none of 2 processes"),
    "a number of many digits": (("host:1", 2, 10**20), "is none of 2 processes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_flags_that_cannot_be_are_refused(name):
    flags, message = WRONG[name]
    with pytest.raises(UserError, match=message):
        processes.settings({}, *flags)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e20, -1.0, 0.0])
def test_a_time_that_cannot_be_is_refused(seconds):
    with pytest.raises(UserError, match=r"--initialization_timeout=.* must lie in"):
        processes.start(processes.settings({}, "host:1", 2, 1), seconds)


def test_processes_of_other_sizes_are_refused(monkeypatch):
    devices = [SimpleNamespace(process_index=n) for n in (0, 0, 1)]
    monkeypatch.setattr("jax.devices", lambda: devices)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jax.distributed.initialize", lambda **arguments: None)
    with pytest.raises(UserError, match=r"process 1 has 1 device\(s\), process 0 has 2"):
        processes.start(processes.settings({}, "host:1", 2, 1), 60.0)
