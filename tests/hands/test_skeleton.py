import inspect
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.hands import skeleton

FINGERS = ("thumb", "index", "middle", "ring", "little")


def test_fingers_are_named_runs_from_palm_to_tip():
    assert len(skeleton.JOINT_NAMES) == len(set(skeleton.JOINT_NAMES)) == skeleton.NUM_JOINTS == 21
    assert tuple(skeleton.FINGERS) == tuple(skeleton.FINGER_COLORS) == FINGERS
    for finger, joints in skeleton.FINGERS.items():
        assert all(skeleton.JOINT_NAMES[joint].startswith(finger) for joint in joints)
        assert skeleton.JOINT_NAMES[joints[-1]] == f"{finger}_tip"
    assert skeleton.FINGERTIPS == (4, 8, 12, 16, 20)


def test_bones_form_a_tree_rooted_at_the_wrist():
    parents, children = zip(*skeleton.BONES, strict=True)
    assert children == tuple(range(1, 21))
    assert all(parent < child for parent, child in skeleton.BONES)
    from_wrist = [child for parent, child in skeleton.BONES if parent == skeleton.WRIST]
    assert from_wrist == [joints[0] for joints in skeleton.FINGERS.values()]
    assert parents.count(skeleton.WRIST) == 5
    for joints in skeleton.FINGERS.values():
        assert set(itertools.pairwise(joints)) <= set(skeleton.BONES)


# The first letters of finger and joint, as each data set's documentation lists them.
AIT = ["wrist"] + [f"{finger} {joint}" for joint in range(4) for finger in FINGERS]
MANO_FINGERS = ("index", "middle", "little", "ring", "thumb")
MANO = ["wrist"] + [f"{finger} {joint}" for finger in MANO_FINGERS for joint in range(3)]
MANO += [f"{finger} 3" for finger in FINGERS]
FREIHAND = ["wrist"] + [f"{finger} {joint}" for finger in FINGERS for joint in range(4)]


@pytest.mark.parametrize(("order", "names"), [(skeleton.FROM_AIT, AIT), (skeleton.FROM_MANO, MANO)])
def test_orders_are_bijections_from_their_documentation(order, names):
    assert sorted(order) == list(range(21))
    assert skeleton.reorder(np.array(names)[:, None], order)[:, 0].tolist() == FREIHAND
    with pytest.raises(ValueError, match="read-only"):
        order[0] = 1


def test_documented_examples():
    documented = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
    assert skeleton.FROM_MANO.tolist() == documented
    # The official code's reference bone, wrist to index MCP, is (0, 2) in its own order.
    assert skeleton.FROM_AIT[skeleton.INDEX_MCP] == 2
    assert skeleton.FROM_AIT[[skeleton.MIDDLE_MCP, skeleton.MIDDLE_PIP]].tolist() == [3, 8]


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("shape", [(20, 3), (21,), (21, 4, 3)])
def test_only_as_many_joints_as_the_order_has_are_reordered(xp, shape):
    """JAX would repeat the last joint for those that are missing."""
    reorder = inspect.unwrap(skeleton.reorder)
    with pytest.raises(
        UserError, match=r"the order is of 21: give an array of \(\.\.\., 21, values"
    ):
        reorder(xp.ones(shape), skeleton.FROM_MANO)
