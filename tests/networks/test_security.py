"""What strangers' checkpoints must not do: open places, import modules, fill the machine."""

import dataclasses
import sys

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
from peclr_jax.training.restoring import restore_config, restore_params
from tests.conftest import REFERENCE
from tests.small_networks import save

STORED = REFERENCE / "before_specs/finetune"


@pytest.fixture(scope="module")
def variables():
    return restore_params(STORED)


@pytest.fixture
def checkpoint(variables, tmp_path):
    """Saves a stored network with some fields of its config changed."""

    def save_changed(**changes):
        config = ConfigDict(restore_config(STORED))
        config.update_from_flattened_dict(changes)
        return save(tmp_path / "run", config.to_dict(), variables)

    return save_changed


def test_a_stored_config_opens_no_place_of_its_own(checkpoint, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    places = ("data.rendered.cache_dir", "data.data_dir", "data.manual_dir")
    inits = ("init.torch_checkpoint", "init.checkpoint")
    run = checkpoint(**dict.fromkeys((*places, *inits), str(elsewhere)))
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
    init = dataclasses.replace(spec.init, sha256=resolved.init.sha256)
    assert (resolved.init, resolved.data) == (init, spec.data)
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
        ("model.width", 8, r"holds .* as .*, but the network that its config"),
    ],
)
def test_stored_configs_beyond_reason_or_of_another_network_are_refused(
    field, value, message, checkpoint
):
    with pytest.raises(ValueError, match=message):
        open_network(checkpoint(**{field: value}))


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


def test_nothing_is_imported_by_a_stored_name():
    before = set(sys.modules)
    with pytest.raises(ValueError, match="of the task 'this'"):
        from_json(restore_config(STORED) | {"task": "this"}, {}, "evil")
    assert "this" not in set(sys.modules) - before
