"""What happens to a run when something around it breaks: the message, and that nothing is lost."""

import contextlib
import errno
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from configs import finetune as finetune_recipes
from configs import pretrain as pretrain_recipes
from peclr_jax.runs import memory_advice, provenance, recipe
from peclr_jax.training import trainer
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.failures import (
    LostDataError,
    NonFiniteLossError,
    OutOfDeviceMemoryError,
    explain,
)
from peclr_jax.training.preemption import Preempted
from peclr_jax.training.restoring import (
    DamagedCheckpointError,
    restore_params,
    restore_run_config,
    restore_state,
)
from peclr_jax.training.trainer import Hook
from peclr_jax.training.workdir import locked

ROOT = Path(__file__).parents[2]
toy = SimpleNamespace(**runpy.run_path(str(ROOT / "tests/training/toy_run.py")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The parameters of a run that nothing befell."""
    workdir = tmp_path_factory.mktemp("whole")
    toy.train(workdir, 12)
    return restore_params(workdir)


def assert_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def saved_steps(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdecimal())


def partial_files(workdir):
    return [
        p for p in workdir.rglob("*") if "partial" in p.name or "orbax-checkpoint-tmp" in p.name
    ]


class StoppedError(Exception):
    """By the test."""


def stop_at(step):
    def run(now, state):
        if now == step:
            raise StoppedError
        return {}

    return Hook(1, run)


def files_of(checkpoint):
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["missing", "truncated", "empty"])
def test_a_damaged_file_is_no_loss(how, tmp_path, whole):
    """Each file of the newest checkpoint in turn; what was not needed must not matter either."""
    original = tmp_path / "original"
    with pytest.raises(StoppedError):
        toy.train(original, 12, hooks=[stop_at(7)])
    # The hook has left after step 7; the checkpoints of steps 3 and 6 are there.
    assert saved_steps(original) == [3, 6]
    newest = original / "checkpoints/6"
    target = state_like(original)
    expected = {step: restore_state(original / f"checkpoints/{step}", target) for step in (3, 6)}
    needed = []
    for path in files_of(newest):
        content = path.read_bytes()
        path.unlink()
        if how != "missing":
            path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
        notes = []
        with Checkpoints(original, {}, save_every=3) as checkpoints:
            restored = checkpoints.restore_latest(target, notes.append)
        aside = original / "checkpoints/6.damaged"
        if notes:
            assert "checkpoints/6 is damaged" in notes[0]
            assert "Going back to the one before" in notes[0]
            aside.rename(newest)
            needed.append(path)
        assert_equal(restored, expected[3 if notes else 6])
        path.write_bytes(content)
    # With the last of these faults the run goes on and ends as if nothing had been.
    needed[-1].unlink()
    toy.train(original, 12)
    assert_equal(restore_params(original), whole)
    assert "is damaged" in (original / "train.log").read_text()
    assert (original / "checkpoints/6.damaged").exists()


def state_like(workdir):
    """The state to restore into."""
    _, init, _ = toy.compiled(12, None, 2)
    return init(jax.random.key(toy.SEED))


def test_when_every_checkpoint_is_damaged_it_says_so(tmp_path):
    toy.train(tmp_path, 6)
    for step in (3, 6):
        (tmp_path / f"checkpoints/{step}/state/manifest.ocdbt").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"is damaged .*: copy it anew"):
        restore_params(tmp_path)
    with pytest.raises(
        DamagedCheckpointError, match=r"All checkpoints in .* are damaged: .* start"
    ):
        toy.train(tmp_path, 6)


def test_a_checkpoint_out_of_reach_is_not_called_damaged(tmp_path, monkeypatch):
    toy.train(tmp_path, 6)
    away = OSError(errno.ESTALE, "Stale file handle", str(tmp_path / "checkpoints/6"))

    def read(*args, **kwargs):
        raise ValueError("Error opening array") from away

    monkeypatch.setattr(ocp.Checkpointer, "restore", read)
    with pytest.raises(ValueError, match="Error opening array") as info:
        toy.train(tmp_path, 12)
    assert "cannot be reached now (ESTALE)" in explain(info.value, tmp_path)
    assert saved_steps(tmp_path) == [3, 6]


def test_the_config_is_that_of_the_newest_whole_checkpoint(tmp_path):
    with Checkpoints(tmp_path, {"a": 1}, save_every=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, {"params": {"w": jnp.ones(3)}})
    (tmp_path / "checkpoints/2/config/metadata").write_text("{")
    assert restore_run_config(tmp_path) == {"a": 1}
    assert restore_run_config(tmp_path / "none") is None


def test_data_that_disappear_end_the_run_but_lose_nothing(tmp_path, whole):
    def images(step):
        if step == 7:
            raise OSError(errno.ESTALE, "Stale file handle", "hands.array_record")
        return toy.images_of_step(step)

    with pytest.raises(
        LostDataError, match=r"batch of step 8 .*hands\.array_record.* step 7 is sav"
    ):
        toy.train(tmp_path, 12, images=images)
    assert saved_steps(tmp_path)[-1] == 7
    toy.train(tmp_path, 12)
    assert_equal(restore_params(tmp_path), whole)


def test_a_mistake_in_the_program_is_not_called_lost_data(tmp_path):
    def images(step):
        raise KeyError("image")

    with pytest.raises(KeyError):
        toy.train(tmp_path, 12, images=images)


def test_an_exploding_loss_is_told_from_a_large_one(tmp_path):
    def images(step):
        return toy.images_of_step(step) * (1e6 if step == 4 else 1.0)

    with pytest.raises(
        NonFiniteLossError, match=r"The loss has exploded to .* at step 5; the last g"
    ):
        toy.train(tmp_path, 6, images=images)
    assert saved_steps(tmp_path) == [3]


def test_steps_that_are_not_finite_may_be_skipped_and_are_counted(tmp_path):
    mesh, init, _ = toy.compiled(12, None, 2)

    def step_fn(skip):
        return trainer.make_train_step(
            toy.cached_gradients(toy.encode, toy.loss_fn, 2),
            toy.lars_adam(toy.warmup_cosine(0.05, 3, 12), 1e-6),
            mesh=mesh,
            skip_nonfinite=skip,
        )

    bad = toy.shard_batch(np.full_like(toy.images_of_step(0), np.nan), mesh)
    good = toy.shard_batch(toy.images_of_step(0), mesh)
    key, state = jax.random.key(0), init(jax.random.key(1))
    before = jax.device_get(state)
    state, metrics = step_fn(True)(state, bad, key)
    assert float(metrics["skipped"]) == 1
    assert int(state.step) == 1
    assert_equal(jax.device_get(state).replace(step=before.step), before)
    state, metrics = step_fn(True)(state, good, key)
    assert float(metrics["skipped"]) == 0
    assert np.isfinite(float(metrics["parameter_norm"]))

    def batches(start):
        for step in range(start, 6):
            yield bad if step in (1, 3) else toy.shard_batch(toy.images_of_step(step), mesh)

    def train(workdir, most):
        progress = toy.Progress(workdir, total_steps=6, images_per_step=16, log_every=1)
        with toy.Checkpoints(workdir, {}, save_every=3) as checkpoints:
            return trainer.fit(
                init(jax.random.key(1)),
                step_fn(True),
                batches,
                key=key,
                total_steps=6,
                checkpoints=checkpoints,
                progress=progress,
                most_skipped=most,
            )

    assert int(train(tmp_path / "two", 2).step) == 6
    assert "Step 4 is skipped, .*: 2 so far, of at most 2" in (
        tmp_path / "two/train.log"
    ).read_text().replace("its loss or gradient not being finite", ".*")
    with pytest.raises(
        NonFiniteLossError, match="2 steps have been skipped, the last of them step 4"
    ):
        train(tmp_path / "one", 1)


def test_a_second_run_in_the_same_workdir_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from peclr_jax.training.workdir import locked\n"
        "with locked(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with holder:
        assert holder.stdout.readline() == "mine\n"
        with (
            pytest.raises(ValueError, match=f"used by another run .process {holder.pid} on"),
            locked(tmp_path),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):  # a claim does not outlive its process
        pass


def test_a_workdir_that_cannot_be_written_to_is_named():
    with pytest.raises(OSError, match=r"/proc/nowhere/run cannot be written to .*: choose another"):  # noqa: SIM117
        with locked(Path("/proc/nowhere/run")):
            pass


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four mebibytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(mount)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a small disk is made by `mount`, which this system has not")
    if done.returncode:
        pytest.skip(f"a small disk is mounted as root alone: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(mount):
    with (mount / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_named_and_nothing_is_lost(small_disk, whole):
    workdir = small_disk / "run"

    def images(step):
        if step == 7:
            fill(small_disk)
        return toy.images_of_step(step)

    with pytest.raises(Exception, match=r"No space left on device") as info:
        toy.train(workdir, 12, images=images)
    sentence = explain(info.value, workdir)
    assert "is full" in sentence
    assert "free some space and run the same command again" in sentence
    assert not partial_files(workdir)
    (small_disk / "filler").unlink()
    toy.train(workdir, 12)
    assert_equal(restore_params(workdir), whole)


def test_a_disk_without_room_for_a_checkpoint_is_named_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**10))
    with pytest.raises(OSError, match=r"A checkpoint takes up to .* 0 MiB left: free some space"):
        toy.train(tmp_path, 12)
    assert not saved_steps(tmp_path)


def test_a_read_only_file_system_is_named(small_disk, whole):
    workdir = small_disk / "run"

    def images(step):
        if step == 7:
            subprocess.run(["mount", "-o", "remount,ro,force", str(small_disk)], check=False)
        return toy.images_of_step(step)

    # Files that are open for writing keep a file system writable, hence between two runs.
    with pytest.raises(StoppedError):
        toy.train(workdir, 12, hooks=[stop_at(7)])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with (
        pytest.raises(OSError, match=r"cannot be written to .Read-only file system.: choose anoth"),
        locked(workdir),
    ):
        pass
    with pytest.raises(OSError) as info:
        toy.train(workdir, 12)
    assert "may not be written to (EROFS)" in explain(info.value, workdir)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    toy.train(workdir, 12)
    assert_equal(restore_params(workdir), whole)


def test_errors_of_the_machine_are_put_into_words(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", "/data/run/train.log")
    assert "/data/run/train.log" in explain(full, tmp_path)
    in_words = ValueError("Error writing: No space left on device [os_error_code='28']")
    assert "is full" in explain(in_words, tmp_path)
    foreign = PermissionError(errno.EACCES, "Permission denied", "/data/hands.jpg")
    assert "/data/hands.jpg may not be opened (EACCES): see to its rights" in explain(
        foreign, tmp_path
    )
    apart = ValueError("another")
    apart.__context__, apart.__suppress_context__ = full, True
    assert explain(apart, tmp_path) is None
    nested = RuntimeError("saving failed")
    nested.__cause__ = OSError(errno.EROFS, "Read-only file system", "x")
    assert "EROFS" in explain(nested, tmp_path)
    assert explain(ValueError("another"), tmp_path) is None


def out_of_memory(asked):
    return jax.errors.JaxRuntimeError(
        f"RESOURCE_EXHAUSTED: Out of memory while trying to allocate {asked}."
    )


def test_a_step_that_does_not_fit_is_told_what_would(tmp_path, monkeypatch):
    config = pretrain_recipes.get_config("quick")
    config.batch_size = 2048
    monkeypatch.setattr(memory_advice, "free_device_memory", lambda device: 40 * 2**30)

    def images(step):
        if step == 2:
            raise out_of_memory("90.00GiB")
        return toy.images_of_step(step)

    with (
        pytest.raises(OutOfDeviceMemoryError, match=r"training step 3 .*90\.00GiB.*") as info,
        memory_advice.advising(config),
        trainer_that_fails_at(3, out_of_memory("90.00GiB"), monkeypatch),
    ):
        toy.train(tmp_path, 6)
    advice = str(info.value)
    assert "--config.micro_batches=4 " in advice  # 90 of 36: 2.5 times; 8 devices divide 512
    assert "--config.negatives=global" in advice
    assert "--config.model.remat=block" in advice


@contextlib.contextmanager
def trainer_that_fails_at(step, error, monkeypatch):
    """Stands in for a device without memory, which a test cannot have."""
    mesh, init, step_fn = toy.compiled(6, None, 2)

    def failing(state, batch, key):
        if int(state.step) + 1 == step:
            raise error
        return step_fn(state, batch, key)

    monkeypatch.setitem(toy.train.__globals__, "compiled", lambda *_: (mesh, init, failing))
    yield


@pytest.mark.parametrize(
    ("change", "excess", "expected"),
    [
        ({}, 1.15, "--config.micro_batches=2 (its negatives"),
        ({}, 1.15, "--config.model.remat=norm,"),
        ({"negatives": "global"}, 2.0, "--config.micro_batches=2, or --config.model.remat=block,"),
        ({"model.remat": "block"}, 5.0, "--config.micro_batches=8 (its negatives"),
        ({"batch_size": 40}, 6.0, "Set --config.batch_size=8."),
        ({"batch_size": 8}, 2.0, "Set a smaller --config.views.size or --config.model.width, or"),
    ],
)
def test_advice_is_made_of_options_that_work(change, excess, expected):
    config = pretrain_recipes.get_config("quick")
    config.update_from_flattened_dict({"batch_size": 256, **change})
    assert expected in memory_advice.advise(config, excess, num_devices=8)


def test_advice_for_fine_tuning_is_a_smaller_batch():
    config = finetune_recipes.get_config("quick+scratch")
    config.batch_size = 100
    assert memory_advice.advise(config, 2.4, 1).startswith("Set --config.batch_size=41, or --con")


@pytest.mark.parametrize(
    ("text", "free", "expected"),
    [
        ("Out of memory while trying to allocate 9000 bytes.", 1000, 10.0),
        ("Out of memory allocating 1.00GiB!", 2**29, 1 / 0.45),
        ("Out of memory.", 1000, 2.0),
        ("Out of memory while trying to allocate 9000 bytes.", None, 2.0),
    ],
)
def test_the_size_of_an_allocation_is_read(text, free, expected):
    assert memory_advice.how_many_times_too_large(text, free) == pytest.approx(expected)


def test_the_wall_clock_may_jump(tmp_path, whole, monkeypatch):
    """Only dates in the logs come from it: not rates, not the order of steps."""
    real, offset = time.time, [0.0]

    def jump(step, state):
        if step == 4:
            offset[0] = -86400.0
        if step == 8:
            # Orbax times its saves by this clock: that of step 6 must be over.
            assert any((tmp_path / "checkpoints/6").exists() for _ in range(10**6))
            offset[0] = 86400.0
        return {}

    monkeypatch.setattr(time, "time", lambda: real() + offset[0])
    toy.train(tmp_path, 12, hooks=[Hook(1, jump)])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records = [record for line in lines if "loss" in (record := json.loads(line))]
    assert [record["step"] for record in records] == list(range(1, 13))
    rates = [record["images_per_second"] for record in records[1:]]
    assert all(0 < rate < 1e6 for rate in rates)
    assert_equal(restore_params(tmp_path), whole)


def test_a_save_that_runs_out_of_time_is_explained(tmp_path, monkeypatch):
    with Checkpoints(tmp_path, {}, save_every=1) as checkpoints:

        def late(*args, **kwargs):
            raise TimeoutError("3/4 futures after 172800.21 seconds")

        monkeypatch.setattr(checkpoints._manager, "wait_until_finished", late)
        with pytest.raises(TimeoutError, match=r"clock has been set forward. Run the same command"):
            checkpoints.save_and_wait(1, {"params": {"w": jnp.ones(3)}})
        monkeypatch.undo()


def test_sigterm_in_a_run_saves_and_the_next_goes_on(tmp_path, whole):
    def interrupt(step, state):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    with pytest.raises(Preempted) as info:
        toy.train(tmp_path, 12, hooks=[Hook(1, interrupt)])
    assert info.value.exit_code == 0
    toy.train(tmp_path, 12)
    assert_equal(restore_params(tmp_path), whole)


def test_a_run_says_what_it_was_started_with(tmp_path):
    config = pretrain_recipes.get_config("quick").to_dict()
    described = provenance.describe(config, "rendered 0123")
    lines = provenance.keep(tmp_path, described)
    assert any(line.startswith("# config {") for line in lines)
    assert any(f"jax {jax.__version__}" in line for line in lines)
    assert any("8 x cpu" in line for line in lines)
    assert described["commit"] is None or len(described["commit"]) == 40
    again = provenance.describe(config, "rendered 4567")
    lines = provenance.keep(tmp_path, again)
    assert lines[-1].startswith(
        '# since the run was first started, data has changed from "rendered'
    )
    kept = (tmp_path / provenance.FILE).read_text().splitlines()
    assert [json.loads(line)["data"] for line in kept] == ["rendered 0123", "rendered 4567"]
    assert json.loads(kept[0])["config"] == json.loads(json.dumps(config))


def test_chosen_steps_are_traced(tmp_path):
    _, init, step_fn = toy.compiled(6, None, 2)
    mesh = toy.make_mesh()
    progress = toy.Progress(tmp_path, total_steps=6, images_per_step=16, log_every=1)
    with toy.Checkpoints(tmp_path, {}, save_every=6) as checkpoints:
        trainer.fit(
            init(jax.random.key(0)),
            step_fn,
            lambda start: (toy.shard_batch(toy.images_of_step(s), mesh) for s in range(start, 6)),
            key=jax.random.key(0),
            total_steps=6,
            checkpoints=checkpoints,
            progress=progress,
            profile=(2, 4),
        )
    assert list((tmp_path / "tensorboard/plugins/profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize("steps", ["ten", "20:10", "0:5", "10"])
def test_steps_to_trace_are_checked_before_anything_runs(steps):
    config = pretrain_recipes.get_config("quick")
    config.profile = steps
    with pytest.raises(ValueError, match=f"profile='{steps}' names no steps .* example 10:20"):
        recipe.check_pretraining(config, 1)


def test_fields_that_came_later_do_not_keep_an_older_run_from_going_on():
    config = pretrain_recipes.get_config("quick")
    older = config.to_dict()
    del older["optimizer"]["skip_nonfinite"], older["profile"]
    assert recipe.identity(config.to_dict()) == recipe.identity(older)
    config.optimizer.skip_nonfinite = 3
    assert recipe.identity(config.to_dict()) != recipe.identity(older)
