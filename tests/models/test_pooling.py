from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from peclr_jax.models.pooling import max_pool


def plain(x):
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 7, 9, 3), (1, 1, 1, 2)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_and_gradients_are_those_of_flax(shape, dtype):
    """Of whole numbers, for ties: the first maximum takes the gradient."""
    x = jnp.asarray(np.random.default_rng(0).integers(-3, 4, shape), dtype)
    expected = jax.jit(plain)(x)
    np.testing.assert_array_equal(jax.jit(max_pool)(x), expected)
    # Powers of two, whose sums are exact in any order.
    exponents = np.random.default_rng(1).integers(-3, 3, expected.shape)
    gradient = jnp.asarray(2.0**exponents, dtype)

    @partial(jax.jit, static_argnums=0)
    def differentiate(pool, x, gradient):
        y, vjp = jax.vjp(pool, x)
        return y, *vjp(gradient)

    ours, flax = (differentiate(pool, x, gradient) for pool in (max_pool, plain))
    jax.tree.map(np.testing.assert_array_equal, ours, flax)


def test_forward_mode_agrees_with_reverse_mode():
    x, x_dot = jax.random.normal(jax.random.key(0), (2, 2, 6, 6, 3))
    y, y_dot = jax.jit(partial(jax.jvp, max_pool))((x,), (x_dot,))
    (x_bar,) = jax.jit(lambda x, y_bar: jax.vjp(max_pool, x)[1](y_bar))(x, jnp.cos(y))
    np.testing.assert_allclose(jnp.vdot(jnp.cos(y), y_dot), jnp.vdot(x_bar, x_dot), rtol=1e-5)


def test_one_byte_a_window_is_kept():
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.bfloat16)
    kept = jax.tree.leaves(jax.eval_shape(lambda x: jax.vjp(max_pool, x)[1], x))
    assert [(leaf.shape, leaf.dtype) for leaf in kept] == [((2, 4, 4, 3), jnp.uint8)]
