"""Signed distances to the hand and to what is around it, many scenes at once.

Scenes are the LAST axis and rays the one before: one primitive then is one contiguous operation
over thousands of rays, which suits a CPU's vector units and an accelerator.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from peclr_jax.synthetic import body

# Widths of smooth minima in millimetres of an average hand.
_WITHIN_DIGIT = 3.5
_WITHIN_PALM = 11.0
_PALM_TO_DIGIT = 9.0

# One value a ray; coordinates (x, y, z) of one point a ray.
Field = Float[Array, "rays scenes"]
Points = tuple[Field, ...]


class Rays(NamedTuple):
    """Unit directions of rays from the camera: x right, y down, z forward."""

    x: Field
    y: Field
    z: Field

    def at(self, distance: Field) -> Points:
        """Returns the points at a distance along each ray, millimetres."""
        return self.x * distance, self.y * distance, self.z * distance


class Cones(NamedTuple):
    """Round cones prepared for distance queries, camera frame, millimetres.

    `axis` leads from the first ball's centre to the second's; `growth` is the gain in radius.
    """

    start: Float[Array, "3 cones *scenes"]
    axis: Float[Array, "3 cones *scenes"]
    inverse_square: Float[Array, "cones *scenes"]
    radius: Float[Array, "cones *scenes"]
    growth: Float[Array, "cones *scenes"]


class Box(NamedTuple):
    """A rounded box, camera frame, millimetres.

    `axes` are unit vectors along its edges, `half` is half the edge lengths before rounding, and
    `rounding` is `body.ABSENT` if there is no box.
    """

    center: Float[Array, "3 *scenes"]
    axes: Float[Array, "3 3 *scenes"]
    half: Float[Array, "3 *scenes"]
    rounding: Float[Array, "*scenes"]


class Geometry(NamedTuple):
    """The cones of `body` and a held box; blending widths grow with `scale`, the hand's size."""

    cones: Cones
    box: Box
    scale: Float[Array, "*scenes"]


def prepare(cones: body.RoundCones) -> Cones:
    """Computes what distance queries need of the cones of one scene."""
    axis = cones.end - cones.start
    return Cones(
        start=cones.start.T,
        axis=axis.T,
        inverse_square=1 / (jnp.sum(axis * axis, axis=-1) + 1e-6),
        radius=cones.radii[:, 0],
        growth=cones.radii[:, 1] - cones.radii[:, 0],
    )


def smooth_min(
    a: Float[Array, "*#shape"], b: Float[Array, "*#shape"], width: Float[Array, "*#shape"]
) -> Float[Array, "*#shape"]:
    """Returns the minimum with its crease rounded; its gradient's two weights sum to one.

    Args:
      a: One distance.
      b: The other.
      width: Difference of the two up to which the crease is rounded.
    """
    overlap = jnp.maximum(width - jnp.abs(a - b), 0.0)
    return jnp.minimum(a, b) - overlap * overlap * (0.25 / width)


def cone_distances(cones: Cones, points: Points) -> Float[Array, "cones rays scenes"]:
    """Computes the distances of points to every cone, negative inside."""
    (sx, sy, sz), (ax, ay, az) = cones.start[:, :, None], cones.axis[:, :, None]
    x, y, z = points[0] - sx, points[1] - sy, points[2] - sz
    along = jnp.clip((x * ax + y * ay + z * az) * cones.inverse_square[:, None], 0.0, 1.0)
    x, y, z = x - ax * along, y - ay * along, z - az * along
    reach = cones.radius[:, None] + cones.growth[:, None] * along
    return jnp.sqrt(x * x + y * y + z * z + 1e-8) - reach


def box_distance(box: Box, points: Points) -> Field:
    """Computes the distances of points to the box, negative inside."""
    x, y, z = (p - c for p, c in zip(points, box.center, strict=True))
    edges = [
        jnp.abs(x * axis[0] + y * axis[1] + z * axis[2]) - half
        for axis, half in zip(box.axes, box.half, strict=True)
    ]
    outside = jnp.sqrt(sum(jnp.maximum(edge, 0.0) ** 2 for edge in edges) + 1e-8)
    inside = jnp.minimum(functools.reduce(jnp.maximum, edges), 0.0)
    return outside + inside - box.rounding


def _palm_union(d: Float[Array, "cones rays scenes"], scale: Float[Array, " scenes"]) -> Field:
    """Returns the distance to palm, thumb metacarpal, wrist and forearm, melted together."""

    def blend(a: Array, b: Array, width: float) -> Array:
        return smooth_min(a, b, width * scale)

    palm = functools.reduce(lambda a, b: blend(a, b, _WITHIN_PALM), d[body.METACARPALS])
    palm = blend(palm, blend(d[body.HYPOTHENAR], d[body.CARPUS], _WITHIN_PALM), _WITHIN_PALM)
    palm = blend(palm, d[body.PADS], 7.0)
    radial, ulnar = d[body.FOREARM]
    palm = blend(palm, blend(radial, ulnar, 8.0), 14.0)
    palm = blend(palm, blend(d[0], d[body.THENAR], _WITHIN_PALM), 14.0)
    palm = blend(palm, d[body.WEB], _WITHIN_PALM)
    return blend(palm, d[body.WEB_EDGE], _PALM_TO_DIGIT)


def hand_union(d: Float[Array, "cones rays scenes"], scale: Float[Array, " scenes"]) -> Field:
    """Returns the distance to hand and forearm from those to all cones.

    Only the first bones melt into the palm, and fingers do not blend: a fist would become a lump.
    """
    palm = _palm_union(d, scale)
    bones = d[body.DIGIT_BONES].reshape((5, 3, *d.shape[1:]))
    digits = smooth_min(bones[:, 0], bones[:, 1], _WITHIN_DIGIT * scale)
    digits = smooth_min(digits, bones[:, 2], _WITHIN_DIGIT * scale)
    roots = jnp.stack([bones[0, 1], *bones[1:, 0]])
    roots = smooth_min(palm[None], roots, _PALM_TO_DIGIT * scale)
    webs = smooth_min(bones[1:4, 0], bones[2:, 0], 3.0 * scale)
    return functools.reduce(jnp.minimum, [palm, *digits, *roots, *webs])


class Distances(NamedTuple):
    """Distances to every cone, and to what they make; `thing` is the held object or occluder."""

    cones: Float[Array, "cones rays scenes"]
    hand: Field
    sleeve: Field
    thing: Field


def distances(geometry: Geometry, points: Points) -> Distances:
    """Computes the distances to hand and forearm, sleeve, and objects."""
    d = cone_distances(geometry.cones, points)
    hand = hand_union(d, geometry.scale)
    first, second = d[body.SLEEVE]
    sleeve = smooth_min(first, second, jnp.asarray(10.0))
    cones = jnp.minimum(d[body.HELD], d[body.OCCLUDER])
    return Distances(d, hand, sleeve, jnp.minimum(cones, box_distance(geometry.box, points)))


def scene_distance(geometry: Geometry, points: Points) -> Field:
    """Returns the distance to the nearest surface."""
    _, hand, sleeve, thing = distances(geometry, points)
    return jnp.minimum(jnp.minimum(hand, sleeve), thing)


def sharp_distance(geometry: Geometry, points: Points) -> Field:
    """Returns the distance without blending, which is enough for shadows and ambient occlusion."""
    d = cone_distances(geometry.cones, points)
    return jnp.minimum(functools.reduce(jnp.minimum, d), box_distance(geometry.box, points))
