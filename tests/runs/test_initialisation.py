"""What runs start from: PyTorch's files in every layout, and what does not fit."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import finetune as finetuning
from configs import pretrain as pretraining
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.models import resnet, torch_weights, torch_writing
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.runs.initialisation import RANDOM, resolve
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.tasks import finetune, pretrain

WIDTH = {"model.width": 4, "model.hidden": 8, "model.num_points": 4, "views.size": 32}


def write(path, network, shape=(1, 32, 32, 3)):
    """Writes a random network as PyTorch would save it, and returns its variables."""
    variables = jax.jit(network.init)(jax.random.key(7), jnp.zeros(shape))
    torch_writing.write(path, {"state_dict": torch_weights.to_state_dict(variables)})
    return variables


ENCODER = resnet.ResNet18(width=4, stem="small")


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    """An encoder in torchvision's layout."""
    path = tmp_path_factory.mktemp("torch") / "encoder.pth"
    return path, write(path, ENCODER)


@pytest.fixture(scope="module")
def official_file(tmp_path_factory):
    """An encoder with a projection head, in the official layout."""
    path = tmp_path_factory.mktemp("torch") / "official.ckpt"
    return path, write(path, Projector(ENCODER, ProjectionHead(hidden=8, num_points=4)))


def spec_of(recipes, path, **fields):
    config = recipes.get_config()
    config.update_from_flattened_dict({"init.torch_checkpoint": str(path)} | fields)
    return specs.from_config(PretrainSpec if recipes is pretraining else FinetuneSpec, config)


def start(spec):
    """The variables that a pre-training begins with."""
    spec, given = resolve(spec)
    return pretrain.initialise(spec, spec.model.build(), given)


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_pretraining_takes_the_encoder(encoder_file, official_file):
    for path, variables in (encoder_file, official_file):
        spec = spec_of(pretraining, path, **WIDTH)
        started = start(spec)
        for collection, saved in variables.items():
            assert_equal(started[collection]["encoder"], saved.get("encoder", saved))
        random = pretrain.initialise(spec, spec.model.build(), RANDOM)
        assert_equal(started["params"]["head"], random["params"]["head"])


@pytest.mark.slow
def test_pretraining_goes_on_with_an_official_head(official_file, encoder_file):
    path, variables = official_file
    assert_equal(start(spec_of(pretraining, path, **WIDTH, **{"init.parts": "all"})), variables)
    with pytest.raises(ValueError, match=r"layout \(torchvision\) does not hold .*parts=encoder"):
        start(spec_of(pretraining, encoder_file[0], **WIDTH, **{"init.parts": "all"}))
    other = WIDTH | {"model.hidden": 16, "init.parts": "all"}
    with pytest.raises(ValueError, match=r"the head in .* has not the tensors"):
        start(spec_of(pretraining, path, **other))


def test_weights_that_do_not_fit_cost_no_data(official_file, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "make_source", None)
    other = WIDTH | {"model.hidden": 16, "init.parts": "all"}
    with pytest.raises(UserError, match=r"the head in .* has not the tensors"):
        pretrain.pretrain(spec_of(pretraining, official_file[0], **other), tmp_path / "run")


@pytest.mark.parametrize("recipes", [pretraining, finetuning])
def test_the_content_of_a_file_is_noted(encoder_file, recipes):
    path, _ = encoder_file
    noted = hashlib.sha256(path.read_bytes()).hexdigest()
    fields = WIDTH if recipes is pretraining else {}
    for given in ("", noted.upper()):
        spec, _ = resolve(spec_of(recipes, path, **fields, **{"init.sha256": given}))
        assert spec.init.sha256 == noted
    with pytest.raises(UserError, match=rf"has the SHA-256 {noted}, not that of"):
        resolve(spec_of(recipes, path, **fields, **{"init.sha256": "0" * 64}))


def test_finetuning_takes_encoder_and_architecture(official_file):
    path, variables = official_file
    spec, given = resolve(spec_of(finetuning, path))
    assert (spec.model.architecture, spec.model.width, spec.model.stem) == ("resnet18", 4, "small")
    network = spec.model.network.build(refine_root_depth=True)
    started = finetune.initialise(spec, network, given)
    for collection in ("params", "batch_stats"):
        assert_equal(started[collection]["encoder"], variables[collection]["encoder"])
    with pytest.raises(ValueError, match=r"layout \(hybrid2\) does not hold"):
        resolve(spec_of(finetuning, path, **{"init.parts": "all"}))


def test_scratch_takes_nothing(official_file):
    spec = specs.from_config(FinetuneSpec, finetuning.get_config("quick+scratch"))
    assert resolve(spec) == (spec, RANDOM)


def test_weights_of_another_network_are_named(tmp_path):
    path = tmp_path / "resnet152.pth"
    shapes = jax.eval_shape(
        resnet.ResNet152(width=1).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    torch_writing.write(path, torch_weights.to_state_dict(zeros))
    fields = {"model.architecture": "resnet50", "model.width": 1, "model.stem": "imagenet"}
    message = r"resnet152\.pth holds .* model\.architecture='resnet152', the config asks for 'resne"
    for recipes in (pretraining, finetuning):
        with pytest.raises(ValueError, match=message):
            resolve(spec_of(recipes, path, **fields))


def test_missing_files_are_named(tmp_path):
    for recipes in (pretraining, finetuning):
        with pytest.raises(FileNotFoundError, match=r"no weights file .*none\.pth"):
            resolve(spec_of(recipes, tmp_path / "none.pth"))


def test_variants_of_pretraining():
    config = pretraining.get_config("official_rn50+imagenet+youtube")
    assert config.init.torch_checkpoint == "weights/resnet50-0676ba61.pth"
    assert config.data.names == "freihand,youtube_3d_hands"
    assert config.recipe == "official_rn50+imagenet+youtube"
    with pytest.raises(ValueError, match=r"\+imagenet needs resnet50 or resnet152, not the resnet"):
        pretraining.get_config("quick+imagenet")
    with pytest.raises(ValueError, match="has no variant 'youtub'"):
        pretraining.get_config("paper_rn50+youtub")
