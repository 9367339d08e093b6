import jax
import numpy as np

from peclr_jax.synthetic import body, distance
from tests.synthetic.conftest import as_points


def test_every_keypoint_lies_inside_its_finger(scenes):
    @jax.jit
    def depth_of(geometry, points):
        return distance.hand_union(distance.cone_distances(geometry.cones, points), geometry.scale)

    depth = depth_of(scenes.geometry, as_points(scenes.joints))
    assert depth.shape == scenes.joints.shape[::2]
    assert np.max(depth) < -1.0


def test_sleeves_appear_as_often_as_asked(scenes):
    sleeved = np.mean(np.asarray(scenes.geometry.cones.radius[body.SLEEVE][0]) > 0)
    assert abs(sleeved - 0.5) < 0.1
