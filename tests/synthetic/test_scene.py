"""Signed distances, placement, objects and materials of sampled scenes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic import body, distance
from peclr_jax.synthetic.scene import Probabilities, Scene, sample_scene

SCENES = 512


@pytest.fixture(scope="module")
def scenes() -> Scene:
    sample = functools.partial(sample_scene, probabilities=Probabilities(0.5, 0.15, 0.5))
    keys = jax.random.split(jax.random.key(1), SCENES)
    return jax.jit(jax.vmap(sample, out_axes=-1))(keys)


def _points(array):
    return tuple(jnp.moveaxis(jnp.asarray(array), 1, 0))


def test_nothing_is_nan(scenes):
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(scenes))


def test_every_keypoint_lies_inside_its_finger(scenes):
    depth = distance.hand_distance(scenes.geometry, _points(scenes.joints))
    assert depth.shape == (21, SCENES)
    assert np.max(depth) < -1.0


def test_the_distance_to_a_capsule_is_exact():
    cones = body.RoundCones(
        jnp.array([[0.0, 0, 0]]), jnp.array([[10.0, 0, 0]]), jnp.array([[2.0, 2.0]])
    )
    prepared = jax.tree.map(lambda leaf: leaf[..., None], distance.prepare(cones))
    x, y, z = (jnp.array(v)[:, None] for v in ([5.0, 14.0, -3.0], [6.0, 3.0, 0.0], [0.0, 0.0, 4.0]))
    np.testing.assert_allclose(
        distance.cone_distances(prepared, (x, y, z))[0, :, 0], [4.0, 3.0, 3.0], atol=1e-5
    )


def test_smooth_minimum_never_exceeds_the_minimum():
    a, b = jnp.linspace(-5, 5, 41), jnp.zeros(41)
    smooth = distance.smooth_min(a, b, jnp.asarray(3.0))
    assert np.all(smooth <= np.minimum(a, b) + 1e-6)
    assert np.all(smooth >= np.minimum(a, b) - 0.75 - 1e-6)


def test_hands_span_and_centre_as_promised(scenes):
    projected = scenes.joints[:, :2] / scenes.joints[:, 2:] * scenes.focal
    low, high = np.min(projected, axis=0), np.max(projected, axis=0)
    span = np.max(high - low, axis=0)
    assert np.all((span > 0.46) & (span < 0.76))
    assert np.all(np.abs(low + high) / 2 < 0.1)
    assert np.all(scenes.joints[:, 2] > 250)


def test_objects_touch_but_do_not_pierce_fingers(scenes):
    held = np.asarray(scenes.geometry.cones.radius[body.HELD]) > 0
    boxed = np.asarray(scenes.geometry.box.rounding) > 0
    occluded = np.asarray(scenes.geometry.cones.radius[body.OCCLUDER]) > 0
    assert 0.1 < np.mean(held) < 0.5
    assert 0.05 < np.mean(boxed) < 0.4
    assert 0.03 < np.mean(occluded) < 0.2
    assert not np.any(held & boxed)
    # Balls along the bones are the flesh; the objects' surfaces may press a little into them.
    points = _points(scenes.joints)
    cones = distance.cone_distances(scenes.geometry.cones, points)
    gap = np.minimum(cones[body.HELD], distance.box_distance(scenes.geometry.box, points))
    flesh = np.asarray(-jnp.min(cones[body.DIGIT_BONES], axis=0))
    assert np.min((gap - flesh)[1:]) > -3.0


def test_objects_leave_most_of_the_hand_uncovered(scenes):
    direction = scenes.joints / jnp.linalg.norm(scenes.joints, axis=1, keepdims=True)
    reach = jnp.linalg.norm(scenes.joints, axis=1)
    hidden = jnp.zeros(reach.shape, bool)
    for share in np.linspace(0.3, 0.99, 60):
        points = _points(direction * (reach * share)[:, None])
        d = distance.cone_distances(scenes.geometry.cones, points)
        hidden |= distance.object_distance(d, scenes.geometry, points) < 0
    assert np.max(np.mean(hidden, axis=0)) < 0.75


def test_skin_tones_are_even_from_dark_to_light(scenes):
    counts, _ = np.histogram(scenes.appearance.lightness, bins=4, range=(0, 1))
    assert np.all(np.abs(counts - SCENES / 4) < 4 * np.sqrt(SCENES * 3 / 16))
    brightness = np.mean(scenes.appearance.skin, axis=0)
    assert np.corrcoef(brightness, scenes.appearance.lightness)[0, 1] > 0.9


def test_sleeves_appear_as_often_as_asked(scenes):
    sleeved = np.mean(np.asarray(scenes.geometry.cones.radius[body.SLEEVE][0]) > 0)
    assert abs(sleeved - 0.5) < 0.1
