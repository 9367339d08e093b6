"""Objects that touch or cover the hand, in one scene; camera frame, millimetres."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from peclr_jax.synthetic import body, sampling
from peclr_jax.synthetic.distance import Box
from peclr_jax.synthetic.sampling import Numbers, between, gaussian, named, normalize

CANDIDATES = 8


class Capsules(NamedTuple):
    """Candidate objects: a segment, whose axis is a unit vector, and the radius around it."""

    center: Float[Array, "*batch 3"]
    axis: Float[Array, "*batch 3"]
    half_length: Float[Array, "*batch"]
    radius: Float[Array, "*batch"]


def sample_held(
    numbers: Numbers,
    cones: body.RoundCones,
    joints: Float[Array, "21 3"],
    rotation: Float[Array, "3 3"],
    scale: Float[Array, ""],
) -> Capsules:
    """Grows objects in front of the palm until they touch the hand, and keeps the largest fit.

    The object's radius is `body.ABSENT` where none fits or every fit hides the hand.

    Args:
      numbers: U(0, 1) numbers.
      cones: The hand, camera frame.
      joints: Keypoints, camera frame.
      rotation: Hand frame to camera frame.
      scale: Size of the hand.
    """
    each = (CANDIDATES,)
    u = named(
        numbers, lift=each, reach=each, length=each, radius=(), center=(*each, 3), axis=(*each, 3)
    )
    lift = between(u["lift"], 14.0, 58.0)
    center = jnp.stack([4 + 0 * lift, between(u["reach"], 62.0, 112.0), lift], axis=-1)
    center = (center + 9 * gaussian(u["center"])) * scale
    # Most things are held across the palm.
    axis = normalize(jnp.array([1.0, 0.15, 0.0]) + 0.45 * gaussian(u["axis"]))
    candidates = Capsules(
        center=joints[0] + center @ rotation.T,
        axis=axis @ rotation.T,
        half_length=between(u["length"], 0.0, 65.0),
        radius=jnp.full(CANDIDATES, between(u["radius"], 10.0, 30.0)),
    )
    # It sinks a millimetre into the flesh, so that no light shows between.
    room = jax.vmap(_clearance, (0, None))(candidates, cones) + 1.0
    candidates = candidates._replace(radius=jnp.minimum(candidates.radius, room))
    return _choose(candidates, candidates.radius > 6.0, joints)


def sample_occluder(numbers: Numbers, joints: Float[Array, "21 3"]) -> Capsules:
    """Puts a bar or a ball before a part of the hand, of radius `body.ABSENT` if none fits."""
    each = (CANDIDATES,)
    u = named(numbers, nearness=each, length=each, radius=each, offset=(*each, 2), axis=(*each, 3))
    middle = 0.5 * (jnp.max(joints, axis=0) + jnp.min(joints, axis=0))
    offset = jnp.concatenate([60 * gaussian(u["offset"]), jnp.zeros((CANDIDATES, 1))], axis=-1)
    nearness = between(u["nearness"], 0.55, 0.8)
    candidates = Capsules(
        center=(middle + offset) * (nearness * jnp.min(joints[:, 2]) / middle[2])[:, None],
        axis=normalize(gaussian(u["axis"]) * jnp.array([1.0, 1.0, 0.3])),
        half_length=between(u["length"] ** 2, 0.0, 160.0),
        radius=between(u["radius"], 8.0, 22.0) * nearness,
    )
    return _choose(candidates, hidden_share(candidates, joints) > 0.02, joints)


def hidden_share(capsules: Capsules, joints: Float[Array, "21 3"]) -> Float[Array, "*batch"]:
    """Returns the share of the keypoints that lie behind a capsule, seen from the origin."""
    steps = np.linspace(-1.0, 1.0, 9, dtype=np.float32)[:, None]
    reach = (capsules.axis * capsules.half_length[..., None])[..., None, :]
    spine = capsules.center[..., None, :] + reach * steps
    direction = normalize(joints)
    along = jnp.einsum("...pc,jc->...pj", spine, direction)
    across = spine[..., None, :] - along[..., None] * direction
    near = jnp.sum(across * across, axis=-1) < (capsules.radius**2)[..., None, None]
    before = along < jnp.sqrt(jnp.sum(joints * joints, axis=-1))
    return jnp.mean(jnp.any(near & before, axis=-2), axis=-1)


def as_cone(capsule: Capsules, present: Bool[Array, ""]) -> body.RoundCones:
    """Returns the single cone of an object, of radius `body.ABSENT` unless it is present."""
    reach = capsule.axis * capsule.half_length
    radius = jnp.where(present, capsule.radius, body.ABSENT)
    return body.RoundCones(
        (capsule.center - reach)[None], (capsule.center + reach)[None], jnp.tile(radius, (1, 2))
    )


def as_box(capsule: Capsules, present: Bool[Array, ""], aspect: Float[Array, ""]) -> Box:
    """Returns the rounded box inside a capsule, which pierces nothing that the capsule does not.

    Args:
      capsule: The object.
      present: Whether to draw it.
      aspect: Angle of the box's diagonal, radians: how flat its section is.
    """
    helper = jnp.where(jnp.abs(capsule.axis[2:]) < 0.8, jnp.eye(3)[2], jnp.eye(3)[0])
    second = normalize(jnp.cross(capsule.axis, helper))
    section = capsule.radius * jnp.stack([jnp.cos(aspect), jnp.sin(aspect)])
    rounding = 0.12 * capsule.radius
    half = jnp.concatenate([(capsule.half_length + 0.4 * capsule.radius)[None], section])
    return Box(
        center=capsule.center,
        axes=jnp.stack([capsule.axis, second, jnp.cross(capsule.axis, second)]),
        half=jnp.maximum(half - rounding, 1.0),
        rounding=jnp.where(present & (capsule.radius > 0), rounding, body.ABSENT),
    )


def _clearance(capsule: Capsules, cones: body.RoundCones) -> Float[Array, ""]:
    """Returns the room around a segment: its distance to the hand's flesh."""
    weights = np.linspace(0.0, 1.0, 5, dtype=np.float32)[:, None, None]
    start, end, radii = (leaf[body.HAND] for leaf in cones)
    points = start * (1 - weights) + end * weights
    flesh = radii[:, 0] * (1 - weights[..., 0]) + radii[:, 1] * weights[..., 0]
    reach = capsule.axis * capsule.half_length
    start, end = capsule.center - reach, capsule.center + reach
    return jnp.min(sampling.segment_distance(points, start, end) - flesh)


def _choose(
    candidates: Capsules, valid: Bool[Array, " candidates"], joints: Float[Array, "21 3"]
) -> Capsules:
    """Returns the largest valid candidate that hides few keypoints, else an absent one."""
    valid = valid & (hidden_share(candidates, joints) < 0.3)
    best = jnp.argmax(jnp.where(valid, candidates.radius, -jnp.inf))
    chosen = jax.tree.map(lambda leaf: leaf[best], candidates)
    return chosen._replace(radius=jnp.where(valid[best], chosen.radius, body.ABSENT))
