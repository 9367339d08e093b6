import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import contrastive, diagnostics

equivariance_error = jax.jit(diagnostics.equivariance_error)


def test_retrieval_counts_the_nearest():
    keys = jax.random.normal(jax.random.key(0), (8, 6))
    assert diagnostics.retrieval_top1(3 * keys, keys) == 1
    swapped = keys.at[jnp.array([0, 1])].set(keys[jnp.array([1, 0])])
    assert diagnostics.retrieval_top1(swapped, keys) == 0.75


def test_an_equivariant_network_has_no_error():
    points = jax.random.normal(jax.random.key(0), (4, 16, 2))
    angle = jnp.array([0.0, 0.5, -1.0, 3.0])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    center = points.mean(1, keepdims=True)
    turned = jnp.einsum("nij,nmj->nmi", turn, points - center) + center
    transform = Similarity(angle, jnp.ones(4), jnp.zeros((4, 2)))
    # The size of the points is free: the scale of an image is never undone.
    np.testing.assert_allclose(equivariance_error(points, 5 * turned, transform), 0, atol=1e-6)
    still = Similarity(jnp.zeros(4), jnp.ones(4), jnp.zeros((4, 2)))
    assert equivariance_error(points, turned, still) > 0.1
    # Otherwise it is a fraction of the range.
    points = jnp.array([[[0.0, 0.0], [1.0, 1.0]]]) / jnp.sqrt(2.0)
    one = jax.tree.map(lambda a: a[:1], still)
    error = equivariance_error(points, points[:, ::-1], one)
    np.testing.assert_allclose(error, jnp.sqrt(2.0), rtol=1e-6)


def test_alignment_and_uniformity_make_up_the_loss():
    z, temperature = jax.random.normal(jax.random.key(0), (8, 6)), 0.3

    def loss_of(z):
        loss = contrastive.nt_xent(z, temperature)
        terms = diagnostics.alignment_and_uniformity(z, loss, temperature)
        return loss + sum(terms.values()), terms

    (_, terms), gradient = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(z)
    unit = z / jnp.linalg.norm(z, axis=1, keepdims=True)
    logits = unit @ unit.T / temperature
    np.testing.assert_allclose(terms["alignment"], np.diag(logits, 4).mean(), rtol=1e-5)
    others = np.asarray(logits)[~np.eye(8, dtype=bool)].reshape(8, 7)
    expected = np.log(np.exp(others).mean(1)).mean()
    np.testing.assert_allclose(terms["uniformity"], expected, rtol=1e-5)
    alone = jax.jit(jax.grad(lambda z: contrastive.nt_xent(z, temperature)))(z)
    np.testing.assert_array_equal(gradient, alone)


@pytest.mark.parametrize("some", [[], [0], [0, 1, 5], range(8)])
def test_latents_that_collapsed_have_numbers(some):
    """Zeros, as a network gives whose last kernel is zero: of some views, or of all of them."""
    z = jax.random.normal(jax.random.key(0), (8, 6)).at[jnp.array([*some], int)].set(0.0)
    loss = contrastive.nt_xent(z, 0.5)
    terms = diagnostics.alignment_and_uniformity(z, loss, 0.5)
    total = np.log(7) + terms["uniformity"] - terms["alignment"]
    np.testing.assert_allclose(total, loss, rtol=1e-6)
    points = z.reshape(8, 3, 2)
    moved = Similarity(jnp.zeros(8), jnp.ones(8), jnp.full((8, 2), 0.1))
    assert 0 <= diagnostics.retrieval_top1(z, z) <= 1
    error = equivariance_error(points, points, moved)
    assert 0.1 < error < 2
    # A network that says the same of everything is not equivariant.
    if len(some) == 8:
        np.testing.assert_allclose(error, np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-25, 1e-15, 1e15, 1e25])
def test_latents_of_any_size_have_numbers(size):
    z = size * jax.random.normal(jax.random.key(0), (8, 6))
    loss = contrastive.nt_xent(z, 0.5)
    terms = diagnostics.alignment_and_uniformity(z, loss, 0.5)
    assert np.isfinite([loss, *terms.values()]).all()


def test_retrieval_compares_all_bits_on_every_device():
    z = jnp.ones((2, 3))
    assert "HIGHEST" in str(jax.make_jaxpr(diagnostics.retrieval_top1)(z, z))
