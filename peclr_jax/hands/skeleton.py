"""The hand's 21 joints, its bones, and the joint orders of every data set.

Everything in this package is in FreiHAND's order: the wrist, then thumb, index, middle, ring and
little finger, each from palm to tip. A data set in another order is permuted once, where it is
read:

    joints = skeleton.reorder(joints, skeleton.FROM_MANO)
"""

from types import MappingProxyType
from typing import TypeVar

import numpy as np
from jaxtyping import Array, Int, Shaped

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
        "thumb": (1, 2, 3, 4),
        "index": (5, 6, 7, 8),
        "middle": (9, 10, 11, 12),
        "ring": (13, 14, 15, 16),
        "little": (17, 18, 19, 20),
    }
)
"""Joints of each finger, from palm to tip."""

FINGERTIPS = tuple(joints[-1] for joints in FINGERS.values())
"""The five tips, thumb first: all that Dexter+Object annotates."""

PARENTS = (
    -1,
    *(parent for first, *rest in FINGERS.values() for parent in (WRIST, first, *rest[:-1])),
)
"""The joint next to each one on the way to the wrist; -1 for the wrist itself."""

BONES = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)
"""The 20 bones as (parent, child)."""

FINGER_COLORS = MappingProxyType(
    {
        "thumb": (213, 94, 0),
        "index": (230, 159, 0),
        "middle": (0, 158, 115),
        "ring": (0, 114, 178),
        "little": (204, 121, 167),
    }
)
"""RGB, 0 to 255, from Okabe and Ito's palette, which colour-blind readers can tell apart."""


def _order(*joints: int) -> np.ndarray:
    order = np.array(joints)
    order.flags.writeable = False
    return order


FROM_AIT = _order(0, *(1 + finger + 5 * joint for finger in range(5) for joint in range(4)))
"""From the official PeCLR code's own order, joint by joint across the fingers."""

FROM_MANO = _order(0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""From MANO's 16 joints followed by the five fingertips: HO-3D and YouTube3DHands."""

Joints = TypeVar(
    "Joints", Shaped[Array, "*batch 21 values"], Shaped[np.ndarray, "*batch 21 values"]
)


def reorder(joints: Joints, order: Int[np.ndarray, "21"]) -> Joints:
    """Permutes joints, so that joint i of the result is joint `order[i]` of the input."""
    return joints[..., order, :]


def inverse(order: Int[np.ndarray, "21"]) -> Int[np.ndarray, "21"]:
    """Returns the order that undoes `order`: `inverse(FROM_MANO)` takes our joints to MANO's."""
    return np.argsort(order)
