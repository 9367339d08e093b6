"""The hand's 21 joints, its bones, and the joint orders of every data set.

Everything in this package is in FreiHAND's order: the wrist, then thumb, index, middle, ring and
little finger, each from palm to tip. A data set in another order is permuted once, where it is
read:

    joints = skeleton.reorder(joints, skeleton.FROM_MANO)
"""

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from jaxtyping import Int, Shaped

from peclr_jax.errors import UserError
from peclr_jax.geometry.arrays import Values

NUM_JOINTS = 21

JOINT_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *("index_mcp", "index_pip", "index_dip", "index_tip"),
    *("middle_mcp", "middle_pip", "middle_dip", "middle_tip"),
    *("ring_mcp", "ring_pip", "ring_dip", "ring_tip"),
    *("little_mcp", "little_pip", "little_dip", "little_tip"),
)

WRIST = JOINT_NAMES.index("wrist")
INDEX_MCP = JOINT_NAMES.index("index_mcp")
MIDDLE_MCP = JOINT_NAMES.index("middle_mcp")
MIDDLE_PIP = JOINT_NAMES.index("middle_pip")

FINGERS = MappingProxyType(
    {
        finger: tuple(range(1 + 4 * i, 5 + 4 * i))
        for i, finger in enumerate(("thumb", "index", "middle", "ring", "little"))
    }
)
"""Joints of each finger, from palm to tip."""

FINGERTIPS = tuple(joints[-1] for joints in FINGERS.values())
"""The five tips, thumb first: all that Dexter+Object annotates."""

BONES = tuple(bone for joints in FINGERS.values() for bone in pairwise((WRIST, *joints)))
"""The 20 bones as (parent, child)."""

_COLORS = ((213, 94, 0), (230, 159, 0), (0, 158, 115), (0, 114, 178), (204, 121, 167))
FINGER_COLORS = MappingProxyType(dict(zip(FINGERS, _COLORS, strict=True)))
"""RGB, 0 to 255, from Okabe and Ito's palette, which colour-blind readers can tell apart."""


def read_only(values: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns an array that cannot be changed, for a constant."""
    array = np.array(values)
    array.flags.writeable = False
    return array


FROM_AIT = read_only([0, *(1 + f + 5 * joint for f in range(5) for joint in range(4))])
"""From the official PeCLR code's own order, joint by joint across the fingers."""

FROM_MANO = read_only([0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20])
"""From MANO's 16 joints followed by the five fingertips: HO-3D and YouTube3DHands."""


def reorder(
    joints: Shaped[Values, "*batch 21 values"], order: Int[np.ndarray, "21"]
) -> Shaped[Values, "*batch 21 values"]:
    """Permutes joints, so that joint i of the result is joint `order[i]` of the input.

    Raises:
      UserError: If the joints are not as many as the order has.
    """
    if joints.ndim < 2 or joints.shape[-2] != len(order):
        raise UserError(
            f"joints to reorder have the shape {tuple(joints.shape)}, but the order is of "
            f"{len(order)}: give an array of (..., {len(order)}, values)"
        )
    return joints[..., order, :]
