"""Adaptive weights: 1 for the most alike, 0 for the least; plain NT-Xent where all are 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.objectives import contrastive
from peclr_jax.objectives.weighting import (
    Keypoints,
    adaptive_weights,
    distances,
    weighted_nt_xent,
)

VIEWS = 8

weights_of = jax.jit(adaptive_weights)
weighted = jax.jit(jax.value_and_grad(weighted_nt_xent), static_argnums=2)


def joints(seed, views=VIEWS):
    points = np.random.default_rng(seed).uniform(0, 64, (views, 21, 2))
    return Keypoints(jnp.asarray(points, jnp.float32), jnp.ones((views, 21), bool))


def kinds(views=VIEWS):
    """Which entries are positive pairs, and which negative ones."""
    rows = np.arange(views)
    positive = rows == ((rows + views // 2) % views)[:, None]
    return positive, ~positive & ~np.eye(views, dtype=bool)


@given(seed=st.integers(0, 2**31))
def test_they_are_the_formula(seed):
    keypoints = joints(seed)
    points = np.asarray(keypoints.points, float)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(-1)
    np.testing.assert_allclose(distances(keypoints)[0], distance, rtol=1e-5, atol=1e-4)
    weights = np.asarray(weights_of(keypoints))
    np.testing.assert_allclose(weights, weights.T, atol=1e-5)
    for kind in kinds():
        least, most = distance[kind].min(), distance[kind].max()
        expected = (most - distance[kind]) / (most - least)
        np.testing.assert_allclose(weights[kind], expected, atol=1e-4)


@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.1, 10),
    shift=st.floats(-100, 100),
    angle=st.floats(-3, 3),
)
def test_a_similarity_of_all_views_changes_nothing(seed, scale, shift, angle):
    keypoints = joints(seed)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = keypoints._replace(points=keypoints.points @ jnp.asarray(turn, jnp.float32) + shift)
    np.testing.assert_allclose(weights_of(moved), weights_of(keypoints), atol=2e-3)


def test_unknown_joints_do_not_count():
    keypoints = joints(0)
    known = keypoints.valid.at[:, 10:].set(False)
    lost = keypoints.points.at[:, 10:].set(jnp.nan)
    partly = adaptive_weights(Keypoints(lost, known))
    few = adaptive_weights(Keypoints(keypoints.points[:, :10], known[:, :10]))
    np.testing.assert_allclose(partly, few, atol=1e-5)
    # Of a view of which nothing is known, nothing is said.
    none = adaptive_weights(keypoints._replace(valid=keypoints.valid.at[3].set(False)))
    np.testing.assert_array_equal(none[3], 1.0)
    assert np.isfinite(none).all()


@pytest.mark.parametrize("views", [2, 8])
def test_views_that_are_all_alike_weigh_1(views):
    same = Keypoints(jnp.ones((views, 21, 2)), jnp.ones((views, 21), bool))
    np.testing.assert_array_equal(adaptive_weights(same), 1.0)


def test_with_equal_weights_it_is_nt_xent():
    z = jax.random.normal(jax.random.key(0), (VIEWS, 6))
    plain = jax.jit(jax.value_and_grad(contrastive.nt_xent), static_argnums=1)
    expected, gradient = plain(z, 0.3)
    found = weighted(z, jnp.ones((VIEWS, VIEWS)), 0.3)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-4, atol=1e-6)


def test_it_is_the_cross_entropy_of_weighted_similarities():
    z = np.random.default_rng(0).normal(size=(VIEWS, 6))
    weights = np.asarray(adaptive_weights(joints(1)), float)
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    logits = weights * (u @ u.T) / 0.5
    np.fill_diagonal(logits, -np.inf)
    rows = np.arange(VIEWS)
    chosen = logits[rows, (rows + VIEWS // 2) % VIEWS]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
    found = weighted_nt_xent(jnp.asarray(z, jnp.float32), jnp.asarray(weights, jnp.float32), 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_pair_without_weight_is_neither_pulled_nor_pushed():
    z = jax.random.normal(jax.random.key(0), (4, 6))
    apart = jnp.ones((4, 4)).at[0].set(0.0).at[:, 0].set(0.0)
    _, gradient = weighted(z, apart, 0.5)
    np.testing.assert_allclose(gradient[0], 0.0, atol=1e-7)
    assert np.abs(gradient[1:]).max() > 1e-3


@pytest.mark.parametrize(
    ("rows", "temperature", "said"),
    [(3, 0.5, "odd number of rows, 3"), (0, 0.5, "no rows"), (4, np.float32(-1), "got -1")],
)
def test_mistakes_are_named(rows, temperature, said):
    with pytest.raises(ValueError, match=said):
        weighted_nt_xent(jnp.ones((rows, 2)), jnp.ones((rows, rows)), temperature)
