import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from peclr_jax.geometry.arrays import floating, namespace, norms


def test_arrays_choose_their_library():
    assert namespace(np.ones(2), 3.0) is namespace(2) is np
    assert namespace(np.ones(2), jnp.ones(2)) is jnp
    assert namespace(np.ones(2), tf.ones(2)) is tf is sys.modules["tensorflow"]
    inside = []
    jax.jit(lambda x: inside.append(namespace(x)) or x)(jnp.ones(2))
    tf.function(lambda x: inside.append(namespace(x)) or x)(tf.ones(2))
    assert inside == [jnp, tf]


@pytest.mark.parametrize("xp", [np, jnp])
def test_integers_and_narrow_floats_become_wider_ones(xp):
    for dtype in (xp.int32, xp.uint16):
        assert floating(xp.ones(3, dtype)).dtype == xp.asarray(1.0).dtype
    assert floating(xp.ones(3, jnp.bfloat16)).dtype.itemsize >= 4  # NumPy: float64
    for dtype in (xp.float16, xp.float32):
        assert floating(xp.ones(3, dtype)).dtype == np.float32
    assert floating(np.ones(3)).dtype == np.float64


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_norms_are_those_of_the_library_to_the_last_bit(xp):
    vectors = np.random.default_rng(0).normal(size=(200, 21, 3)).astype(np.float32)
    vectors *= np.float32(10.0) ** np.arange(-24, 26, 2, dtype=np.float32).repeat(8)[:, None, None]
    vectors[0], vectors[1, 0, 0], vectors[2, 0, 0] = 0, np.nan, np.inf
    vectors = xp.asarray(vectors)
    np.testing.assert_array_equal(norms(vectors), xp.linalg.norm(vectors, axis=-1))
    np.testing.assert_array_equal(norms(xp.asarray([[3, 4]])), [5.0])


def test_norms_have_a_gradient_everywhere():
    gradient = jax.grad(lambda x: norms(x).sum())(jnp.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.6, 0.8]], rtol=1e-6)
