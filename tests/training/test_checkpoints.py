import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from peclr_jax.devices.mesh import data_sharding, make_mesh, replicate, replicated
from peclr_jax.errors import MachineError
from peclr_jax.training import checkpoints as ckpt
from peclr_jax.training import restoring
from peclr_jax.training.optimizer import lars_adam
from peclr_jax.training.trainer import create_state
from tests.training.toy_run import assert_equal, saved_steps

CONFIG = {"model": {"depth": 18}, "view": {"size": 64, "scale": (0.6, 2.0)}, "note": None}


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True)(nn.Dense(self.width)(x))


def state_of(width=4, seed=0):
    variables = Net(width).init(jax.random.key(seed), jnp.zeros((1, 3)))
    optimizer = lars_adam(0.1, 1e-6, lambda params: jax.tree.map(lambda p: p.ndim > 1, params))
    return create_state(variables, optimizer)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    with ckpt.Checkpoints(workdir, CONFIG, save_every=10, keep_last=2) as saver:
        for step in (10, 20, 30):
            saver.save(step, state_of().replace(step=jnp.int32(step)))
    return workdir


def test_the_newest_are_kept(workdir):
    assert saved_steps(workdir) == [20, 30]


def test_interval_and_repeated_steps(tmp_path):
    with ckpt.Checkpoints(tmp_path, {}, save_every=10) as saver:
        assert [step for step in range(1, 31) if saver.is_due(step)] == [10, 20, 30]
        assert saver.latest_step() is None
        assert saver.restore_latest(state_of()) is None
        for _ in range(2):
            saver.save(3, state_of())
        assert saver.latest_step() == 3


def test_state_returns_with_structure_and_values(workdir):
    with ckpt.Checkpoints(workdir, CONFIG, save_every=10) as saver:
        assert saver.latest_step() == 30
        restored = saver.restore_latest(state_of(seed=1))
    assert_equal(restored, state_of().replace(step=jnp.int32(30)))


@pytest.mark.parametrize("relative", ["", "checkpoints", "checkpoints/30"])
def test_config_and_model_return_from_any_path_to_them(workdir, relative):
    path = workdir / relative
    assert restoring.restore_config(path) == {
        "model": {"depth": 18},
        "view": {"size": 64, "scale": [0.6, 2.0]},
        "note": None,
    }
    variables, state = restoring.restore_params(path), state_of()
    expected = {"params": state.params, "batch_stats": state.batch_stats}
    assert_equal(variables, jax.tree.map(np.asarray, expected))


def test_paths_may_be_relative(workdir, monkeypatch):
    monkeypatch.chdir(workdir.parent)
    assert restoring.find(workdir.name) == restoring.find(workdir)
    assert restoring.restore_state(workdir.name, state_of()).step == 30


def test_a_step_may_be_chosen(workdir):
    assert restoring.restore_state(workdir / "checkpoints/20", state_of()).step == 20


def test_missing_and_foreign_paths_are_named(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "file").touch()
    for path, message in (
        ("nowhere", "nowhere: the path does not exist"),
        (".", "holds no checkpoint: give a run's directory"),
        ("file", "holds no checkpoint"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            restoring.find(tmp_path / path)


def test_another_architecture_or_optimizer_is_refused_by_name_and_shapes(workdir):
    state = state_of()
    for other, message in (
        (state_of(width=5), r"params/BatchNorm_0/bias as \(4,\), this run as \(5,\)"),
        (
            state.replace(params={"Dense_0": state.params["Dense_0"]}),
            r"has params/BatchNorm_0/bias as \(4,\), this run as N",
        ),
        (
            state.replace(params={**state.params, "extra": jnp.zeros(2)}),
            r"has params/extra as None, this run as \(2,\)",
        ),
        (state.replace(opt_state=optax.sgd(0.1, 0.9).init(state.params)), "opt_state/"),
    ):
        with pytest.raises(ValueError, match=message):
            restoring.restore_state(workdir, other)


@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8), (8, 3)])
def test_state_moves_to_another_number_of_devices(tmp_path, before, after):
    old, new = (make_mesh(jax.devices()[:count]) for count in (before, after))
    state = replicate(state_of(), old)
    with ckpt.Checkpoints(tmp_path, CONFIG, save_every=1) as saver:
        saver.save(1, state)
    target = replicate(state_of(seed=1), new)
    restored = restoring.restore_state(tmp_path, target)
    assert_equal(restored, state_of())
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.is_equivalent_to(replicated(new), leaf.ndim)


def test_abstract_targets_with_other_shardings(tmp_path):
    mesh = make_mesh()
    state = {"params": {"kernel": jnp.arange(16.0)}, "batch_stats": {}}
    with ckpt.Checkpoints(tmp_path, CONFIG, save_every=1) as saver:
        saver.save(1, state)
    kernel = jax.ShapeDtypeStruct((16,), jnp.float32, sharding=data_sharding(mesh))
    restored = restoring.restore_state(tmp_path, {"params": {"kernel": kernel}, "batch_stats": {}})
    np.testing.assert_array_equal(restored["params"]["kernel"], np.arange(16.0))
    assert restored["params"]["kernel"].sharding == data_sharding(mesh)
    assert restoring.restore_params(tmp_path)["batch_stats"] == {}


def test_donating_a_state_right_after_saving_does_not_change_what_is_written(tmp_path):
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    state = {"params": {"kernel": jnp.zeros((512, 512))}, "batch_stats": {}}
    with ckpt.Checkpoints(tmp_path, CONFIG, save_every=1) as saver:
        saver.save(1, state)
        for _ in range(5):
            state = step(state)
    np.testing.assert_array_equal(restoring.restore_params(tmp_path)["params"]["kernel"], 0.0)


def test_a_save_that_runs_out_of_time_is_explained(tmp_path, monkeypatch):
    with ckpt.Checkpoints(tmp_path, {}, save_every=1) as checkpoints:

        def late(*args, **kwargs):
            raise TimeoutError("3/4 futures after 172800.21 seconds")

        monkeypatch.setattr(checkpoints._manager, "wait_until_finished", late)
        with pytest.raises(MachineError, match="clock has been set forward: run the same command"):
            checkpoints.save(1, {"params": {"w": jnp.ones(3)}}, wait=True)
        monkeypatch.undo()


def test_what_another_process_finds_damaged_is_set_aside_here_too(workdir, tmp_path, monkeypatch):
    """And before this process restores, for which it would wait for the other."""
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    told = iter(["30 20", "", "the checkpoint 30 is damaged (there)", "", ""])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(ckpt.processes, "gather", lambda text: [text, next(told)])
    monkeypatch.setattr(ckpt.multihost_utils, "sync_global_devices", lambda name: None)
    monkeypatch.setattr(restoring, "restore_state", lambda directory, target: directory.name)
    notes = []
    restored = ckpt.Checkpoints(tmp_path, {}, save_every=1).restore_latest("target", notes.append)
    assert restored == "20"
    assert notes == ["the checkpoint 30 is damaged (there); going back to the one before"]
    assert saved_steps(tmp_path) == [20]
