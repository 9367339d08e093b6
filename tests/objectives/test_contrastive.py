import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import contrastive

undo_transform = jax.jit(contrastive.undo_transform)
CASES = ["c0", "c1", "c3", "c4"]
GEOMETRY = {"both": (1, 1), "crop": (0, 1), "rotate": (1, 0), "none": (0, 0)}


def official(reference, case, rotate=1, crop=1):
    """The case in our conventions: rows of view 1, then of view 2; clockwise radians."""
    points = reference[f"{case}_raw"].reshape(-1, 64, 2)
    # OpenCV's positive angle turns the content counter-clockwise as seen, ours clockwise.
    rotation = -np.deg2rad(reference[f"{case}_angle"].reshape(-1)) * rotate
    jitter = np.stack([reference[f"{case}_jitter_{axis}"].reshape(-1) for axis in "xy"], -1)
    transform = Similarity(rotation, np.ones_like(rotation), jitter / np.float32(128) * crop)
    return jnp.asarray(points), jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), transform)


def check(loss_of, points, reference, name):
    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(points)
    assert abs(loss - reference[f"{name}_loss"]) < 1e-6
    expected = reference[f"{name}_grad"].reshape(points.shape)
    assert np.abs(gradient - expected).max() < 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("case", "variant", "chunk"),
    [*((case, variant, None) for case in CASES for variant in GEOMETRY), ("c4", "both", 3)],
)
def test_equivariant_loss_and_gradient_are_the_official_ones(parity, case, variant, chunk):
    reference = parity("loss")
    points, transform = official(reference, case, *GEOMETRY[variant])

    def loss(points):
        return contrastive.equivariant_nt_xent(points, transform, 0.5, chunk=chunk)

    check(loss, points, reference, f"{case}_{variant}")


@pytest.mark.parametrize("case", CASES)
def test_simclr_is_the_official_one(parity, case):
    reference = parity("loss")
    points, transform = official(reference, case)

    def loss(points):
        return contrastive.nt_xent(contrastive.invariant_projections(points, transform), 0.5)

    check(loss, points, reference, f"{case}_simclr")


@pytest.mark.parametrize("case", CASES)
def test_undone_points_are_the_official_projections(parity, case):
    reference = parity("loss")
    points, transform = official(reference, case)
    unit = points / jnp.linalg.norm(points, axis=(1, 2), keepdims=True)
    undone = contrastive.undo_transform(unit, transform).reshape(len(points), -1)
    undone /= jnp.linalg.norm(undone, axis=1, keepdims=True)
    expected = reference[f"{case}_both_proj"].reshape(undone.shape)
    np.testing.assert_allclose(undone, expected, atol=6e-7)


@pytest.mark.parametrize("chunk", [None, 5])
def test_loss_and_gradient_agree_with_optax(chunk):
    z = jax.random.normal(jax.random.key(0), (16, 8))
    labels = jnp.tile(jnp.arange(8), 2)
    losses = (
        partial(contrastive.nt_xent, temperature=0.5, chunk=chunk),
        partial(optax.losses.ntxent, labels=labels, temperature=0.5),
    )
    (ours, gradient), (theirs, expected) = (jax.jit(jax.value_and_grad(f))(z) for f in losses)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, atol=1e-6 * np.abs(expected).max())


@given(
    angle=st.floats(-3.0, 3.0),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    seed=st.integers(0, 99),
)
def test_undoing_returns_a_moved_point_set(angle, shift, seed):
    """A network that is exactly equivariant has no equivariance error."""
    points = jax.random.uniform(jax.random.key(seed), (1, 64, 2))
    center = points.mean(1, keepdims=True)
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    turned = (points - center) @ turn.T + center
    moved = turned + jnp.array(shift) * contrastive.latent_range(turned)
    transform = Similarity(jnp.array([angle]), jnp.ones(1), jnp.array([shift]))
    undone = undo_transform(moved, transform)
    np.testing.assert_allclose(undone, points, atol=2e-5)


def test_a_translation_is_undone_as_a_fraction_of_the_range():
    points = jnp.array([[[0.0, 0.0], [10.0, 20.0]]])
    transform = Similarity(jnp.zeros(1), jnp.ones(1), jnp.array([[0.1, 0.2]]))
    undone = contrastive.undo_transform(points, transform)
    np.testing.assert_allclose(undone, points - jnp.array([1.0, 4.0]), atol=1e-6)


@pytest.mark.parametrize("size", [128, 224])
def test_the_direct_arm_undoes_a_translation_by_as_many_units_as_pixels(size):
    """Sec. 7: by the same quantity, whatever the points span."""
    points = jax.random.normal(jax.random.key(0), (6, 5, 2))
    pixels = jax.random.uniform(jax.random.key(1), (6, 2), minval=-15, maxval=15)
    transform = Similarity(jnp.zeros(6), jnp.ones(6), pixels / size)
    undone = contrastive.direct_projections(points, transform, size).reshape(points.shape)
    np.testing.assert_allclose(undone, points - pixels[:, None], atol=1e-5)
    # A network that draws its points in pixels is one without error.
    moved = contrastive.direct_projections(40 * points + pixels[:, None], transform, size)
    np.testing.assert_allclose(moved, (40 * points).reshape(6, -1), atol=1e-4)
    # Rotations are undone as by PeCLR.
    turned = Similarity(jnp.linspace(-1, 1, 6), jnp.ones(6), jnp.zeros((6, 2)))
    np.testing.assert_allclose(
        contrastive.direct_projections(points, turned, size),
        contrastive.undo_transform(points, turned).reshape(6, -1),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("rows", "temperature", "chunk", "said"),
    [
        (3, 0.5, None, "odd number of rows, 3"),
        (0, 0.5, None, "got no rows"),
        (4, 0.0, None, "temperature must be positive, got 0"),
        (4, float("nan"), None, "temperature must be positive, got nan"),
        (4, np.float32(-1), None, "temperature must be positive, got -1"),
        (4, np.array(0.0), None, "temperature must be positive, got 0"),
        (4, np.ones(2), None, r"temperature has the shape \(2,\): give one number"),
        (4, 0.5, 0, "chunk must be a positive number"),
    ],
)
def test_mistakes_are_named(rows, temperature, chunk, said):
    with pytest.raises(ValueError, match=said):
        inspect.unwrap(contrastive.nt_xent)(jnp.ones((rows, 2)), temperature, chunk=chunk)


def test_one_row_of_numbers_is_no_batch():
    with pytest.raises(ValueError, match=r"projections have the shape \(4,\): give"):
        inspect.unwrap(contrastive.nt_xent)(jnp.ones(4), 0.5)


@pytest.mark.parametrize(
    ("points", "rotation", "translation", "said"),
    [
        ((4, 3), (4,), (4, 2), r"points have the shape \(4, 3\)"),
        ((4, 5, 3), (4,), (4, 2), r"points have the shape \(4, 5, 3\)"),
        ((4, 5, 2), (4, 1), (4, 2), r"rotations of the shape \(4, 1\): give \(4,\)"),
        ((4, 5, 2), (1,), (4, 2), r"rotations of the shape \(1,\)"),
        ((4, 5, 2), (4,), (2,), r"translations of the shape \(2,\): give \(4, 2\)"),
    ],
)
def test_every_view_has_a_transform_of_its_own(points, rotation, translation, said):
    transform = Similarity(jnp.zeros(rotation), jnp.ones(4), jnp.zeros(translation))
    with pytest.raises(ValueError, match=said):
        inspect.unwrap(contrastive.undo_transform)(jnp.ones(points), transform)


def test_a_temperature_may_be_any_number():
    z = jnp.eye(4)
    expected = contrastive.nt_xent(z, 0.5)
    for temperature in (np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.array(0.5)):
        assert contrastive.nt_xent(z, temperature) == expected
    assert jax.jit(contrastive.nt_xent)(z, 0.5) == pytest.approx(float(expected))
