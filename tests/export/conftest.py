"""Small networks to export."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from configs import finetune, pretrain
from peclr_jax import specs
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.tasks import export
from peclr_jax.training.restoring import restore_params, restore_results
from tests.small_networks import save

PUBLISHED = {"model.width": 64, "model.stem": "imagenet", "views.size": 32}


def trained_looking(variables):
    """Statistics that are not those of initialisation, so that mixing them up shows."""
    random = np.random.default_rng(0)

    def change(leaf):
        factor = random.uniform(0.8, 1.2, leaf.shape).astype(np.float32)
        shift = random.uniform(-0.05, 0.05, leaf.shape).astype(np.float32) * (leaf.ndim == 1)
        return np.asarray(leaf) * factor + shift

    return jax.tree.map(change, variables)


def pretrained_run(workdir, fields):
    config = pretrain.get_config()
    config.update_from_flattened_dict(fields | {"model.hidden": 16, "model.num_points": 8})
    spec = specs.from_config(PretrainSpec, config)
    images = jnp.zeros((1, spec.views.size, spec.views.size, 3))
    variables = jax.jit(spec.model.build().init)(jax.random.key(0), images)
    return save(workdir, specs.to_dict(spec), trained_looking(variables))


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """A pre-trained network that computed in half precision."""
    small = {"model.width": 4, "views.size": 16, "model.dtype": "bfloat16", "model.remat": "block"}
    return pretrained_run(tmp_path_factory.mktemp("pretrained"), small)


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A pre-trained network of the published width."""
    return pretrained_run(tmp_path_factory.mktemp("published"), PUBLISHED)


@pytest.fixture(scope="session")
def published_finetuned(tmp_path_factory, finetuned):
    """A fine-tuned one, whose refinement and mean pose say something."""
    config = finetune.get_config("quick+scratch")
    config.update_from_flattened_dict(PUBLISHED)
    spec = specs.from_config(FinetuneSpec, config)
    network = spec.model.network.build(refine_root_depth=True)
    images = jnp.zeros((1, spec.views.size, spec.views.size, 3))
    variables = jax.jit(network.init)(jax.random.key(0), images, jnp.eye(3)[None])
    variables = trained_looking(dict(variables))
    bias = jnp.asarray(restore_params(finetuned)["params"]["head"]["pose"]["bias"])
    variables["params"]["head"]["pose"]["bias"] = bias
    workdir = tmp_path_factory.mktemp("published_finetuned")
    return save(workdir, specs.to_dict(spec), variables, restore_results(finetuned))


@pytest.fixture
def exported(tmp_path):
    """Exports a checkpoint."""

    def write(checkpoint, kind):
        return export.export(export.ExportSpec(checkpoint=str(checkpoint), format=kind), tmp_path)

    return write


@pytest.fixture
def free_sizes(monkeypatch):
    """jaxtyping cannot broadcast against a size that is not known."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
