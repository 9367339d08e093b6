"""The flesh on the bones: round cones in the hand frame, millimetres.

The cones' order is fixed: `distance.py` blends them by it, not by what they happen to touch.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from peclr_jax.synthetic import anatomy
from peclr_jax.synthetic.kinematics import HandShape, Skeleton
from peclr_jax.synthetic.sampling import normalize

DIGIT_BONES = slice(0, 15)
METACARPALS = slice(15, 19)
THENAR, HYPOTHENAR, CARPUS, WEB, WEB_EDGE, PADS = range(19, 25)
FOREARM = slice(25, 27)
HAND = slice(0, 27)
SLEEVE = slice(27, 29)
HELD, OCCLUDER = 29, 30
# Any distance to a cone of this radius is far away: the cone is not there.
ABSENT = -1e4

_METACARPAL_RADII = np.array([[13.5, 12.0], [13.5, 12.2], [13.0, 11.6], [12.5, 10.6]], np.float32)


class RoundCones(NamedTuple):
    """Convex hulls of two balls each, given by their centres and radii."""

    start: Float[Array, "cones 3"]
    end: Float[Array, "cones 3"]
    radii: Float[Array, "cones 2"]


class Arm(NamedTuple):
    """Forearm and sleeve: unit direction to the elbow in the hand frame; lengths in millimetres."""

    direction: Float[Array, "3"]
    length: Float[Array, ""]
    sleeve_start: Float[Array, ""]
    sleeved: Bool[Array, ""]


def hand_cones(shape: HandShape, skeleton: Skeleton, arm: Arm) -> RoundCones:
    """Returns the cones of hand, forearm and sleeve, in the order of this module's indices.

    Args:
      shape: Size and girth of the hand.
      skeleton: The posed bones.
      arm: Forearm and sleeve.
    """
    hand = [part(shape, skeleton) for part in (_digits, _metacarpals, _palm)]
    return joined(*hand, *_forearm_and_sleeve(shape, arm))


def joined(*parts: RoundCones) -> RoundCones:
    """Joins cones in the order given."""
    return RoundCones(*(jnp.concatenate(leaves) for leaves in zip(*parts, strict=True)))


def joint_radii(shape: HandShape) -> Float[Array, "21"]:
    """Returns half the thickness of the hand at every keypoint, millimetres."""
    radii = np.concatenate([[anatomy.WRIST_RADIUS], anatomy.JOINT_RADIUS.ravel()])
    return jnp.asarray(radii, jnp.float32) * shape.thickness * shape.scale


def _digits(shape: HandShape, skeleton: Skeleton) -> RoundCones:
    chain = skeleton.joints[1:].reshape(5, 4, 3)
    girth = shape.thickness * shape.scale
    radii = jnp.asarray(np.stack([anatomy.JOINT_RADIUS[:, :3], anatomy.JOINT_RADIUS[:, 1:]], -1))
    # How deep the flesh ends behind the tip's keypoint: below a radius, so that this is inside.
    tip = anatomy.JOINT_RADIUS[:, 3:] * 0.75 * girth
    end = chain[:, 1:].at[:, 2].add(-normalize(chain[:, 3] - chain[:, 2]) * tip)
    return RoundCones(chain[:, :3].reshape(15, 3), end.reshape(15, 3), radii.reshape(15, 2) * girth)


def _metacarpals(shape: HandShape, skeleton: Skeleton) -> RoundCones:
    knuckles = skeleton.joints[5::4] + jnp.array([0.0, 0.0, 0.5]) * shape.scale
    return RoundCones(
        jnp.asarray(anatomy.CARPOMETACARPAL[1:]) * shape.scale,
        knuckles,
        jnp.asarray(_METACARPAL_RADII) * shape.thickness * shape.scale,
    )


def _palm(shape: HandShape, skeleton: Skeleton) -> RoundCones:
    """Thenar, hypothenar, carpus, the web of the thumb and its edge, the pads below the fingers."""
    joints = skeleton.joints / shape.scale
    thumb_base, thumb_mcp, index, little = joints[1], joints[2], joints[5], joints[17]
    index_base = jnp.asarray(anatomy.CARPOMETACARPAL[1])
    web_edge = 0.15 * thumb_base + 0.85 * thumb_mcp + jnp.array([-2.0, -2, 0])
    cones = [
        ([14, 16, 9], 0.35 * thumb_base + 0.65 * thumb_mcp + jnp.array([-5.0, -3, 2]), 15.0, 11.5),
        ([-15, 14, 5], 0.75 * little + jnp.array([-3.0, 6, 5]), 14.5, 11.5),
        ([-11, 6, 0], [13, 8, 1], 16.5, 16.5),
        (0.45 * thumb_base + 0.55 * thumb_mcp, 0.62 * index + 0.38 * index_base, 8.5, 8.5),
        (web_edge, 0.85 * index + 0.15 * index_base, 6.0, 8.0),
        (index + jnp.array([-3.0, -4, 4]), little + jnp.array([2.0, -2, 3.5]), 9.5, 8.5),
    ]
    *ends, first, second = zip(*cones, strict=True)
    start, end = (jnp.stack([jnp.asarray(p, jnp.float32) for p in points]) for points in ends)
    radii = jnp.asarray(np.array([first, second], np.float32).T) * shape.thickness * shape.scale
    return RoundCones(start * shape.scale, end * shape.scale, radii)


def _forearm_and_sleeve(shape: HandShape, arm: Arm) -> tuple[RoundCones, RoundCones]:
    sides = jnp.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # of radius and ulna
    start = 9.5 * sides * shape.scale
    end = start + arm.direction * arm.length + 7.5 * sides * shape.scale
    bare = jnp.tile(jnp.array([17.5, 24.0]), (2, 1)) * shape.thickness * shape.scale
    along = arm.sleeve_start / arm.length
    radii = jnp.stack([23.0 + 4 * along, jnp.asarray(31.0)]) * shape.thickness * shape.scale
    radii = jnp.tile(jnp.where(arm.sleeved, radii, ABSENT), (2, 1))
    return RoundCones(start, end, bare), RoundCones(start + (end - start) * along, end, radii)
