import dataclasses
import random

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.geometry import affine
from peclr_jax.views.augment import normalize
from peclr_jax.views.spec import ViewSpec

pytest.importorskip("cv2")

from benchmarks.peers import opencv_views

SIDE, SIZE = 224, 128


@pytest.fixture(scope="module")
def photograph():
    """Smooth, so that kernels of different width read nearly the same."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [np.sin(5 * x + 3 * y), np.cos(7 * y - 2 * x), np.sin(6 * x * y + 1)]
    return np.round(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("resample", [opencv_views.resample, opencv_views.resample_once])
def test_geometry_is_ours(photograph, resample, seed):
    parameters = opencv_views.sample(random.Random(seed), SIDE)
    # Whole inside the photograph: what sticks out the official code cuts off.
    parameters = parameters._replace(box=(50 + seed, 60, 100 + 3 * seed))
    matrix = jnp.asarray(opencv_views.matrix(parameters, SIZE), jnp.float32)[None]
    ours = affine.apply_to_images(jnp.asarray(photograph)[None], matrix, SIZE)[0]
    theirs = resample(photograph, parameters, SIZE)
    assert np.abs(np.asarray(ours) - theirs).mean() < 0.4
    moved = np.roll(theirs, 1, axis=1)  # a pixel off would be seen
    assert np.abs(np.asarray(ours) - moved)[:, 1:].mean() > 0.6


def test_tables_give_the_same_colours(photograph):
    parameters = opencv_views.sample(random.Random(0), SIDE)
    plain = opencv_views.jitter(photograph, parameters)
    np.testing.assert_allclose(opencv_views.jitter_by_tables(photograph, parameters), plain, atol=2)
    assert np.abs(plain.astype(float) - photograph).mean() > 10
    standard = opencv_views.standardise(plain)
    np.testing.assert_allclose(
        opencv_views.standardise_by_table(plain), standard.transpose(1, 2, 0), atol=1e-5
    )
    np.testing.assert_allclose(
        standard.transpose(1, 2, 0), normalize(jnp.float32(plain)), atol=1e-5
    )


@pytest.mark.parametrize("style", opencv_views.STYLES)
def test_views_have_the_shape(photograph, style):
    parameters = opencv_views.sample(random.Random(1), SIDE)
    view = opencv_views.STYLES[style](photograph, parameters, SIZE)
    assert view.dtype == np.float32
    assert sorted(view.shape) == [3, SIZE, SIZE]
    assert np.isfinite(view).all()


def test_ranges_are_those_of_the_specification():
    spec = dataclasses.asdict(ViewSpec())
    for name in ("rotation_deg", "scale", "translation", "hue", "saturation", "value_gain"):
        assert getattr(opencv_views, name.upper()) == spec[name]
    assert spec["value_offset"] == opencv_views.VALUE_OFFSET
    assert spec["source_margin"] == opencv_views.MARGIN
