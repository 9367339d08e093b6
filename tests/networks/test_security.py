"""What strangers' checkpoints must not do: open places, import modules, fill the machine."""

import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import finetune
from peclr_jax import specs
from peclr_jax.networks.description import from_json, from_note
from peclr_jax.networks.evaluation_data import resolve_data
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs.initialisation import resolve
from peclr_jax.runs.spec import FinetuneSpec
from peclr_jax.training.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Config and variables of a small fine-tuned network."""
    config = finetune.get_config("quick+scratch")
    config.model.width, config.views.size = 4, 16
    joints = np.zeros((21, 3)).tolist()
    statistics = {"bone_length": 0.03, "mean_pose": joints, "mean_hand": joints}
    spec = specs.from_config(FinetuneSpec, config)
    made = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    inputs = np.zeros((1, 16, 16, 3), np.float32), np.eye(3, dtype=np.float32)[None]
    shapes = jax.eval_shape(made.init, jax.random.key(0), *inputs)
    stored = {**specs.to_dict(spec), "statistics": statistics}
    return stored, jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes)


@pytest.fixture
def checkpoint(network, tmp_path):
    """Saves the network with some fields of its config changed."""

    def save(**changes):
        config = ConfigDict(network[0])
        config.update_from_flattened_dict(changes)
        with Checkpoints(tmp_path / "run", config.to_dict(), save_every=1) as saver:
            saver.save(1, dict(network[1]))
        return tmp_path / "run"

    return save


def test_a_stored_config_opens_no_place_of_its_own(checkpoint, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    run = checkpoint(
        **{
            "data.rendered.cache_dir": str(elsewhere),
            "data.data_dir": str(elsewhere),
            "data.manual_dir": str(elsewhere),
            "init.torch_checkpoint": str(elsewhere / "evil.pth"),
            "init.checkpoint": str(elsewhere / "evil"),
        }
    )
    description = open_network(run).description
    given = EvaluationDataSpec()
    data = resolve_data(given, description, "box")
    found = (data.data_dir, data.manual_dir, data.rendered.cache_dir)
    assert found == ("", "", given.rendered.cache_dir)
    with pytest.raises(ValueError, match="at a place that only its checkpoint names"):
        resolve_data(EvaluationDataSpec(source="tfds"), description, "box")
    config = finetune.get_config("quick")
    config.init.checkpoint = str(run)
    spec = specs.from_config(FinetuneSpec, config)
    resolved, start = resolve(spec)
    assert (resolved.init, resolved.data) == (spec.init, spec.data)
    assert start.source.startswith(str(run))
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.width", 10**9, r"model\.width must lie in \[1, 4096\], got 1000000000"),
        ("views.size", 10**6, r"views\.size must lie in"),
        ("data.rendered.size", 10**6, r"data\.rendered\.size must lie in"),
        ("data.hand_margin", 1e-300, r"data\.hand_margin must lie in"),
        ("model.architecture", "os.system", r"model\.architecture is 'os\.system'"),
        ("model.stem", "__import__", r"model\.stem is '__import__'"),
        ("task", "../../evil", "is a checkpoint of the task"),
    ],
)
def test_stored_configs_beyond_reason_are_refused(field, value, message, checkpoint):
    run = checkpoint(**{field: value})
    with pytest.raises(ValueError, match=message):
        open_network(run)


def test_a_config_of_another_network_is_refused(checkpoint):
    run = checkpoint(**{"model.width": 8})
    with pytest.raises(ValueError, match=r"holds .* as .*, but the network that its config"):
        open_network(run)


@pytest.mark.parametrize(
    "note",
    [
        *("[1]", "{}", "[" * 10**5, '{"task": "finetune"}', '{"task": "finetune", "a.b": 1}'),
        *('{"config": 1}', '{"config": {"task": ["finetune"]}, "results": 3}'),
    ],
)
def test_a_config_beside_foreign_weights_is_checked(note):
    with pytest.raises(ValueError, match=r"evil\.pth"):
        from_note(note, "evil.pth")


def test_nothing_is_imported_by_a_stored_name(network):
    before = set(sys.modules)
    config = dict(network[0], task="this")
    with pytest.raises(ValueError, match="of the task 'this'"):
        from_json(config, {}, "evil")
    assert "this" not in set(sys.modules) - before
