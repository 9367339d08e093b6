import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.devices.convolutions import implementation
from peclr_jax.devices.linear_calls import linear_call
from peclr_jax.models.normalization import standardize
from peclr_jax.models.pooling import max_pool

NHWC = ("NHWC", "HWIO", "NHWC")


def scaled(x, factor):
    """The product, with a transpose that is told from the true one by its sign."""
    return linear_call(lambda f, x: f * x, lambda f, g: -f * g, factor, x)


def pooled(x):
    return max_pool(x).sum() ** 2


def normalised(x):
    y, *_ = standardize(x, x[0, 0, 0], x[0, 0, 1], x[::-1], 1e-5, True, jnp.float32)
    return (y**2).sum()


def convolved(x):
    kernel = jnp.linspace(-1.0, 1.0, 3 * 3 * 3 * 2).reshape(3, 3, 3, 2)
    convolve = implementation(3, "platform")
    y = convolve(x, kernel, (2, 2), [(1, 1), (1, 1)], dimension_numbers=NHWC)
    return (y**2).sum()


@pytest.mark.parametrize("function", [pooled, normalised, convolved])
def test_many_gradients_at_once_are_those_one_by_one(function):
    x = jax.random.normal(jax.random.key(0), (3, 2, 6, 6, 3))
    gradient = jax.jit(jax.grad(function))
    expected = np.stack([gradient(one) for one in x])
    found = jax.jit(jax.vmap(jax.grad(function)))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jacobian", [jax.jacrev, jax.jacfwd])
def test_jacobians(jacobian):
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    found = jax.jit(jacobian(max_pool))(x).reshape(4, 16)
    assert (found.sum(1) == 1).all()
    np.testing.assert_allclose(found @ x.ravel(), max_pool(x).ravel(), rtol=1e-6)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 1)])
def test_any_argument_may_have_the_axis_and_the_transpose_stays_the_given_one(axes):
    both = jnp.arange(6.0).reshape(2, 3), jnp.arange(1.0, 7.0).reshape(2, 3)
    x, factor = (x[0] if axis is None else x for x, axis in zip(both, axes, strict=True))
    along = jax.vmap(scaled, axes)(x, factor)
    np.testing.assert_array_equal(along, jax.vmap(lambda x, f: x * f, axes)(x, factor))
    gradient = jax.vmap(jax.grad(lambda x, f: scaled(x, f).sum()), axes)(x, factor)
    expected = jax.vmap(lambda x, f: -f * jnp.ones_like(x), axes)(x, factor)
    np.testing.assert_array_equal(gradient, expected)
    outside = jax.grad(lambda x: jax.vmap(scaled, axes)(x, factor).sum())(x)
    true = jax.grad(lambda x: jax.vmap(lambda x, f: x * f, axes)(x, factor).sum())(x)
    np.testing.assert_array_equal(outside, -true)
    twice = jax.vmap(jax.vmap(jax.grad(scaled)))(*both)
    np.testing.assert_array_equal(twice, -both[1])
