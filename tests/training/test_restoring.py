"""What a damaged checkpoint does to a run: the message, and that nothing is lost."""

import errno
import shutil

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from peclr_jax.errors import UserError
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.failures import explain
from peclr_jax.training.restoring import (
    DamagedCheckpointError,
    restore_params,
    restore_run_config,
    restore_state,
)
from tests.training import toy_run as toy
from tests.training.toy_run import StoppedError, assert_equal, saved_steps, stop_at


@pytest.mark.parametrize(
    "how",
    ["truncated", *(pytest.param(how, marks=pytest.mark.slow) for how in ("missing", "empty"))],
)
def test_a_damaged_file_is_no_loss(how, tmp_path, whole):
    """Each file of the newest checkpoint in turn; what was not needed must not matter either."""
    original = tmp_path / "original"
    with pytest.raises(StoppedError):
        toy.train(original, 12, hooks=[stop_at(7)])
    # The hook has left after step 7; the checkpoints of steps 3 and 6 are there.
    assert saved_steps(original) == [3, 6]
    newest = original / "checkpoints/6"
    _, init, _ = toy.compiled(12)
    target = init(jax.random.key(toy.SEED))
    expected = {step: restore_state(original / f"checkpoints/{step}", target) for step in (3, 6)}
    needed = []
    for path in sorted(path for path in newest.rglob("*") if path.is_file()):
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
            assert "going back to the one before" in notes[0]
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


def test_when_every_checkpoint_is_damaged_it_says_so(tmp_path):
    toy.train(tmp_path, 6)
    for step in (3, 6):
        (tmp_path / f"checkpoints/{step}/state/manifest.ocdbt").write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match=r"is damaged .*: copy it again"):
        restore_params(tmp_path)
    with pytest.raises(DamagedCheckpointError, match=r"all checkpoints in .* are damaged, .*: st"):
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


@pytest.mark.parametrize("name", ["try [1]", "[ab]", "a**b", "what?", "back\\slash", "caf\udce9"])
def test_a_checkpoint_is_read_from_where_none_may_be_written(tmp_path, name):
    state = {"params": {"w": jnp.arange(3.0)}, "batch_stats": {}}
    with Checkpoints(tmp_path / "run", {"a": 1}, save_every=1) as checkpoints:
        checkpoints.save(1, state)
    copied = tmp_path / name
    shutil.copytree(tmp_path / "run", copied)
    assert_equal(restore_params(copied)["params"]["w"], state["params"]["w"])
    assert_equal(restore_state(copied, state)["params"]["w"], state["params"]["w"])
    assert restore_run_config(copied) == {"a": 1}
    with pytest.raises(UserError, match="no checkpoint can be kept in"):
        Checkpoints(copied, {}, save_every=1)
