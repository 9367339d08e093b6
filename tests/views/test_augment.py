import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from peclr_jax.geometry import affine
from peclr_jax.views import augment
from peclr_jax.views.augment import View, ViewSpec
from tests.views.conftest import BATCH

PLAIN = ViewSpec(size=32, color_jitter=False)
EVERYTHING = ViewSpec(
    size=32, color_drop=True, blur=True, noise=True, sobel=True, cutout=True, cutout_side=(0.1, 0.5)
)
two_views = jax.jit(augment.two_views, static_argnames=("spec", "source_side"))
augment_once = jax.jit(augment.augment, static_argnames="spec")


def assert_close(one: View, other: View, atol: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one, other)


def test_views_are_standardised_and_independent(images):
    first, second = two_views(jax.random.key(0), images, PLAIN)
    for view in (first, second):
        assert view.images.shape == (BATCH, 32, 32, 3)
        assert view.images.dtype == jnp.float32
        assert view.transform.translation.shape == (BATCH, 2)
    assert not np.allclose(first.images, second.images)
    assert np.abs(first.transform.rotation).max() <= np.deg2rad(45)
    correlation = np.corrcoef(first.transform.rotation, second.transform.rotation)[0, 1]
    assert abs(correlation) < 0.9


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        (
            (4, 3, 48, 48),
            "uint8",
            r"uint8 \(4, 3, 48, 48\): give uint8 \(batch",
        ),
        ((4, 48, 48, 4), "uint8", "give uint8"),
        ((48, 48, 3), "uint8", "give uint8"),
        ((4, 48, 48, 3), "float32", "images are float32"),
        ((4, 48, 96, 3), "uint8", "sources of 48 x 96 are not square"),
    ],
)
def test_what_is_no_batch_of_sources_is_refused(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(augment.augment)(jax.random.key(0), jnp.zeros(shape, dtype), PLAIN)


def test_views_are_a_function_of_the_key(images):
    one, same, other = (two_views(jax.random.key(k), images, EVERYTHING)[0] for k in (0, 0, 1))
    np.testing.assert_array_equal(one.images, same.images)
    assert not np.allclose(one.images, other.images)


def test_sources_may_be_left_to_us(images):
    """Placed by the identity nothing changes; parts, elsewhere, come to where they belong."""
    key, side = jax.random.key(7), 48
    plain = two_views(key, images, EVERYTHING)
    still = jnp.tile(jnp.eye(2, 3), (BATCH, 1, 1))
    same = two_views(key, images, EVERYTHING, still, side)
    assert_close(plain, same, 1e-5)
    # The right half but for two rows, mirrored, in the corner of a wider canvas.
    canvas = jnp.zeros((BATCH, 60, 70, 3), jnp.uint8).at[:, :46, :24].set(images[:, 2:, :23:-1])
    to_source = jnp.tile(jnp.array([[-1.0, 0, 47], [0, 1, 2]]), (BATCH, 1, 1))
    black = images.at[:, :2].set(0).at[:, :, :24].set(0)
    seen, expected = two_views(key, canvas, PLAIN, to_source, side), two_views(key, black, PLAIN)
    assert_close(seen, expected, 1e-3)
    with pytest.raises(ValueError, match="give source_side"):
        augment.augment(key, canvas, PLAIN, to_source)


def test_the_second_view_shows_the_partner(images):
    key, partners = jax.random.key(4), images[::-1]
    first, second = two_views(key, images, EVERYTHING, partners=partners)
    jax.tree.map(np.testing.assert_array_equal, first, two_views(key, images, EVERYTHING)[0])
    jax.tree.map(np.testing.assert_array_equal, second, two_views(key, partners, EVERYTHING)[1])
    # Either is placed by a matrix of its own.
    blank = jnp.zeros((BATCH, 60, 60, 3), jnp.uint8)
    canvases = blank.at[:, 3:51, 1:49].set(images), blank.at[:, 5:53, 2:50].set(partners)
    own, other = (
        jnp.tile(jnp.array([[1.0, 0, -x], [0, 1, -y]]), (BATCH, 1, 1)) for x, y in ((1, 3), (2, 5))
    )
    placed = two_views(key, canvases[0], PLAIN, own, 48, canvases[1], other)
    plain = two_views(key, images, PLAIN, partners=partners)
    assert_close(placed, plain, 1e-3)


def test_views_do_not_depend_on_the_number_of_devices(images):
    devices = jax.devices()
    if len(devices) < 8:
        pytest.skip("needs eight devices")
    sharding = NamedSharding(Mesh(devices[:8], ("data",)), PartitionSpec("data"))
    here = two_views(jax.random.key(3), images, EVERYTHING)
    spread = two_views(jax.random.key(3), jax.device_put(images, sharding), EVERYTHING)
    assert_close(here, spread, 1e-5)


def test_the_identity_view_is_the_middle_of_the_source(images):
    off = {"rotation_deg": 0.0, "scale": (1.0, 1.0), "translation": (0.0, 0.0)}
    still = dataclasses.replace(PLAIN, **off)
    view = augment_once(jax.random.key(0), images, still)
    # A 48 px source at margin 1.5 is 32 px of view: nothing is interpolated.
    np.testing.assert_allclose(augment.denormalize(view.images), images[:, 8:40, 8:40], atol=1e-2)


def test_labels_move_with_the_image():
    spots = np.random.default_rng(1).uniform(20, 27, (BATCH, 1, 2)).astype(np.float32)
    rows, columns = np.mgrid[:48, :48]
    distance = (columns - spots[..., 0, None]) ** 2 + (rows - spots[..., 1, None]) ** 2
    images = np.repeat(255 * np.exp(-distance / 8)[..., None], 3, axis=-1).astype(np.uint8)
    view = augment_once(jax.random.key(5), jnp.array(images), PLAIN)
    matrix = augment.source_to_view(view.transform, 48, PLAIN)
    expected = affine.apply_to_points(matrix, jnp.array(spots))[:, 0]
    weights = np.asarray(augment.denormalize(view.images), np.float64)[..., 0]
    rows, columns = np.mgrid[:32, :32]
    total = weights.sum(axis=(1, 2))
    centroid = [(weights * axis).sum(axis=(1, 2)) / total for axis in (columns, rows)]
    np.testing.assert_allclose(np.stack(centroid, -1), expected, atol=0.3)


def test_warping_the_second_view_onto_the_first_shows_the_first(images):
    spec = dataclasses.replace(PLAIN, scale=(0.9, 1.2))
    first, second = two_views(jax.random.key(2), images, spec)
    warped = augment.warp_onto(second, first.transform)
    expected = augment.denormalize(first.images)
    middle = np.s_[:, 11:21, 11:21]
    assert np.abs(warped - expected)[middle].mean() < 6
    assert np.abs(augment.denormalize(second.images) - expected)[middle].mean() > 20


def test_normalize_is_torchvisions_and_can_be_undone(parity):
    pixels = parity.make_state_dict.make_images()
    ours = augment.normalize(jnp.array(pixels, jnp.float32))
    np.testing.assert_allclose(ours, parity.make_state_dict.normalise(pixels), atol=1e-6)
    np.testing.assert_allclose(augment.denormalize(ours), pixels, atol=1e-3)
