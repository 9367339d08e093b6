import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.models import resnet
from peclr_jax.models.folding import fold
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector


@pytest.mark.parametrize("block", [resnet.BasicBlock, resnet.Bottleneck])
@pytest.mark.parametrize("stem", resnet.STEMS)
def test_folding_changes_no_output(block, stem):
    encoder = resnet.ResNet((1, 2, 1, 1), block, width=8, stem=stem)
    network = Projector(encoder, ProjectionHead(hidden=16, num_points=4))
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    variables = jax.jit(network.init)(jax.random.key(1), images)
    # As after training: no statistic is zero or one, none the same in two layers.
    leaves, tree = jax.tree.flatten(variables)
    variables = tree.unflatten(
        leaf + 0.3 * jax.random.uniform(jax.random.fold_in(jax.random.key(2), number), leaf.shape)
        for number, leaf in enumerate(leaves)
    )
    folded, rest = fold(network, variables)
    assert not [path for path in _paths(rest["params"]["encoder"]) if "bn" in path]
    assert "encoder" not in rest["batch_stats"]
    expected = jax.jit(network.apply)(variables, images)
    np.testing.assert_allclose(
        jax.jit(folded.apply)(rest, images), expected, atol=2e-5 * np.abs(expected).max()
    )
    assert "encoder" in variables["batch_stats"]


def test_a_folded_network_is_not_trained():
    network = resnet.ResNet18(folded=True)
    with pytest.raises(ValueError, match="folded BatchNorm cannot be trained"):
        network.init(jax.random.key(0), jnp.zeros((2, 32, 32, 3)), train=True)


def _paths(tree):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
