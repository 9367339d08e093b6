"""Names and shapes of every layout, in and out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.models import resnet, torch_layouts, torch_weights
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.models.released import ReleasedPoseNetwork

LAYOUTS = {
    **{f"torchvision_{name}": ("torchvision", name) for name in resnet.BY_NAME},
    "RN_25D_wMLPref_rn50": ("released", "resnet50"),
    "RN_25D_wMLPref_rn152": ("released", "resnet152"),
    "Hybrid2Model_resnet50": ("hybrid2", "resnet50"),
    "Hybrid2Model_resnet152": ("hybrid2", "resnet152"),
}


def load_keys(parity, name):
    keys = parity.make_state_dict.load_keys(name, parity.path("keys.json"))
    return {key: tuple(shape) for key, shape in keys}


def network_of(layout, encoder):
    return {
        "torchvision": lambda: encoder,
        "hybrid2": lambda: Projector(encoder, ProjectionHead()),
        "released": lambda: ReleasedPoseNetwork(encoder),
    }[layout]()


def init(network, key=0):
    arguments = [jnp.zeros((1, 32, 32, 3))]
    if isinstance(network, ReleasedPoseNetwork):
        arguments.append(jnp.eye(3)[None])
    return jax.eval_shape(network.init, jax.random.key(key), *arguments)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * ("152" in name)) for name in LAYOUTS]
)
def test_names_and_shapes_go_both_ways(parity, name):
    layout, architecture = LAYOUTS[name]
    keys = load_keys(parity, name)
    # Zeros that take no memory.
    zeros = {key: np.broadcast_to(np.float32(0), shape) for key, shape in keys.items()}
    weights = torch_weights.inspect(zeros)
    assert weights[:4] == (layout, architecture, 64, "imagenet")
    network = network_of(layout, resnet.BY_NAME[architecture]())
    shapes = init(network)
    assert jax.tree.map(np.shape, weights.variables) == jax.tree.map(np.shape, shapes)
    assert str(torch_layouts.of_variables(shapes)) == str(torch_layouts.of_tensors(keys))

    out = torch_weights.to_state_dict(weights.variables)
    expected = [(key, shape) for key, shape in keys.items() if not key.startswith("fc.")]
    assert [(key, tensor.shape) for key, tensor in out.items()] == expected
    for key, tensor in out.items():
        assert tensor.dtype == (np.int64 if key.endswith("num_batches_tracked") else np.float32)


def test_networks_are_told_from_their_tensors():
    assert str(torch_layouts.of_tensors({})) == "a torchvision ResNet"
    encoder = resnet.ResNet18(width=4, stem="small")
    network = torch_layouts.of_variables(init(encoder))
    assert (network.layout, network.architecture) == ("torchvision", "resnet18")
    assert network.encoder == encoder
    shapes = {name: slot.shape for name, slot in network.slots().items()}
    assert torch_layouts.stage_sizes("torchvision", shapes) == (2, 2, 2, 2)


@pytest.mark.parametrize("number", ["9" * 5000, "\u0661", "1" * 10])
def test_numbers_that_no_writer_gives_blocks_are_none(number):
    """Python refuses to read a number of 5000 digits."""
    assert torch_layouts.stage_sizes("torchvision", [f"layer1.{number}.conv1.weight"])[0] == 0
