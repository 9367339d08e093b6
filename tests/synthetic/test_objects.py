import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic import body, distance
from tests.synthetic.conftest import as_points


def test_objects_touch_but_do_not_pierce_fingers(scenes):
    held = np.asarray(scenes.geometry.cones.radius[body.HELD]) > 0
    boxed = np.asarray(scenes.geometry.box.rounding) > 0
    occluded = np.asarray(scenes.geometry.cones.radius[body.OCCLUDER]) > 0
    assert 0.1 < np.mean(held) < 0.5
    assert 0.05 < np.mean(boxed) < 0.4
    assert 0.03 < np.mean(occluded) < 0.2
    assert not np.any(held & boxed)
    # Balls along the bones are the flesh; the objects' surfaces may press a little into them.
    points = as_points(scenes.joints)
    cones = distance.cone_distances(scenes.geometry.cones, points)
    gap = np.minimum(cones[body.HELD], distance.box_distance(scenes.geometry.box, points))
    flesh = np.asarray(-jnp.min(cones[body.DIGIT_BONES], axis=0))
    assert np.min((gap - flesh)[1:]) > -3.0


@pytest.mark.slow
def test_objects_leave_most_of_the_hand_uncovered(scenes):
    direction = scenes.joints / jnp.linalg.norm(scenes.joints, axis=1, keepdims=True)
    reach = jnp.linalg.norm(scenes.joints, axis=1)
    hidden = jnp.zeros(reach.shape, bool)
    for share in np.linspace(0.3, 0.99, 60):
        points = as_points(direction * (reach * share)[:, None])
        hidden |= distance.distances(scenes.geometry, points).thing < 0
    assert np.max(np.mean(hidden, axis=0)) < 0.75
