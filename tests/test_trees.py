import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.trees import Difference, digest, first_difference

TREE = {"params": {"a": np.ones((2, 3)), "b": np.ones(2)}, "batch_stats": {"c": np.ones(1)}}


def changed(**leaves):
    return {"params": TREE["params"] | leaves, "batch_stats": TREE["batch_stats"]}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (TREE, None),
        (jax.eval_shape(lambda: TREE), None),
        (changed(b=jnp.ones(2, jnp.bfloat16)), None),
        (changed(b=np.ones(3)), ("params/b", "(3,)", "(2,)")),
        (changed(d=np.ones(())), ("params/d", "()", None)),
        (changed(b={}), ("params/b", None, "(2,)")),
        (changed(b=np.ones(2, np.int32)), ("params/b", "(2,) of int32", "(2,)")),
        (changed(b="ones"), ("params/b", "no array but str", "(2,)")),
        # Parameters come first.
        ({}, ("params/a", None, "(2, 3)")),
    ],
)
def test_the_first_difference_is_named_with_both_shapes(found, expected):
    assert first_difference(found, TREE) == (expected and Difference(*expected))


def test_digests_tell_names_shapes_and_numbers():
    others = [changed(b=np.zeros(2)), changed(b=np.ones((2, 1))), changed(c=np.ones(2)), {}]
    assert len({digest(tree) for tree in (TREE, *others)}) == 5
    single = jax.tree.map(np.float32, TREE)
    assert digest(single) == digest(jax.tree.map(jnp.asarray, single)) != digest(TREE)
