"""One picture's random foreground; camera frame: x right, y down, z forward, millimetres."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from peclr_jax.synthetic import body, objects, sampling
from peclr_jax.synthetic.appearance import Appearance, Lights, sample_appearance, sample_lights
from peclr_jax.synthetic.distance import Geometry, prepare
from peclr_jax.synthetic.kinematics import (
    Skeleton,
    bend,
    forward_kinematics,
    sample_shape,
    sample_skeleton,
)
from peclr_jax.synthetic.sampling import Numbers, between, gaussian, named, rotation

_POSES = 8
_ORIENTATIONS = 8
NEAREST, FARTHEST = 400.0, 900.0
SPAN = (0.47, 0.75)
OFF_CENTER = 0.09


class Parts(NamedTuple):
    """Frames of 15 bones, then the palm: origin, unit axes (side, along, palmar), length."""

    origin: Float[Array, "3 parts *scenes"]
    axes: Float[Array, "3 3 parts *scenes"]
    length: Float[Array, "parts *scenes"]


class Scene(NamedTuple):
    """One picture's foreground; a batch has its scenes on the last axis.

    `radii` are half the hand's thickness at each keypoint; `focal` is in sides of the image.
    """

    joints: Float[Array, "21 3 *scenes"]
    radii: Float[Array, "21 *scenes"]
    focal: Float[Array, "*scenes"]
    geometry: Geometry
    parts: Parts
    appearance: Appearance
    lights: Lights


class Probabilities(NamedTuple):
    """How often a picture shows an object in the hand, one before it, and a sleeve."""

    held: float
    occluder: float
    sleeve: float


class Motion(NamedTuple):
    """Moves a scene a little: key of the motion, and the largest angle of each turn in degrees."""

    key: Key[Array, ""]
    most_deg: float


def sample_scene(
    key: Key[Array, ""],
    probabilities: Probabilities,
    span: tuple[float, float] = SPAN,
    motion: Motion | None = None,
) -> Scene:
    """Draws one scene; `jax.vmap(..., out_axes=-1)` makes a batch.

    Args:
      key: PRNG key.
      probabilities: How often a scene has each extra.
      span: Range of the larger side of the joints' box, as a fraction of the image's side.
      motion: What becomes of the hand a moment later, in another light; the hand is the same, and
        so are the objects, which keep to it.
    """
    rows = sampling.table(key, _POSES + 8)
    if motion is not None:
        bent, turned, light = sampling.table(motion.key, 3)
        rows = rows.at[-1].set(light)
    numbers = iter(rows[_POSES:])
    shape = sample_shape(next(numbers))
    pose, skeleton = sample_skeleton(rows[:_POSES], shape)
    turn = None
    if motion is not None:
        most = math.radians(motion.most_deg)
        skeleton = forward_kinematics(shape, bend(bent, pose, most))
        turn = _small_turn(turned[:3], most)
    chance = named(next(numbers), held=(), occluder=(), sleeve=(), box=(), aspect=())
    arm = _sample_arm(next(numbers), chance["sleeve"] < probabilities.sleeve)
    rotation, translation, focal = _sample_view(next(numbers), skeleton, arm, span, turn)

    def to_camera(points: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
        return points @ rotation.T + translation

    joints = to_camera(skeleton.joints)
    cones = body.hand_cones(shape, skeleton, arm)
    cones = cones._replace(start=to_camera(cones.start), end=to_camera(cones.end))
    held = objects.sample_held(next(numbers), cones, joints, rotation, shape.scale)
    occluder = objects.sample_occluder(next(numbers), joints)
    holds, boxy = chance["held"] < probabilities.held, chance["box"] < 0.4
    cones = body.joined(
        cones,
        objects.as_cone(held, holds & ~boxy),
        objects.as_cone(occluder, chance["occluder"] < probabilities.occluder),
    )
    box = objects.as_box(held, holds & boxy, between(chance["aspect"], 0.3, 1.2))
    return Scene(
        joints=joints,
        radii=body.joint_radii(shape),
        focal=focal,
        geometry=Geometry(prepare(cones), box, shape.scale * jnp.ones(())),
        parts=_parts(skeleton, rotation, translation),
        appearance=sample_appearance(next(numbers)),
        lights=sample_lights(next(numbers)),
    )


def _small_turn(u: Float[Array, "3"], most: float) -> Float[Array, "3 3"]:
    """Returns a turn by up to `most` radians about each axis of the camera."""
    x, y, z = between(u, -most, most)
    return rotation(2, z) @ rotation(1, y) @ rotation(0, x)


def _sample_arm(numbers: Numbers, sleeved: Bool[Array, ""]) -> body.Arm:
    u = named(numbers, flexion=(), deviation=(), length=(), sleeve=())
    bend = rotation(0, jnp.deg2rad(between(u["flexion"], -40.0, 45.0)))
    deviation = rotation(2, jnp.deg2rad(between(u["deviation"], -18.0, 18.0)))
    return body.Arm(
        direction=-(deviation @ bend)[:, 1],
        length=between(u["length"], 180.0, 230.0),
        sleeve_start=between(u["sleeve"], 38.0, 120.0),
        sleeved=sleeved,
    )


def _sample_view(
    numbers: Numbers,
    skeleton: Skeleton,
    arm: body.Arm,
    span_range: tuple[float, float],
    turn: Float[Array, "3 3"] | None,
) -> tuple[Float[Array, "3 3"], Float[Array, "3"], Float[Array, ""]]:
    """Rotation and translation from hand to camera, and the focal length in image sides.

    The focal length is solved for last, so that the hand spans the drawn part exactly.
    """
    u = named(numbers, focal=(), span=(), center=(2,), quaternions=(_ORIENTATIONS, 4))
    rotations = sampling.rotation_from_quaternion(gaussian(u["quaternions"]))
    # A forearm that points at the camera hides the hand; fingers that do hide one another.
    toward_camera = (rotations @ arm.direction)[:, 2] < -0.35
    end_on = jnp.abs(rotations[:, 2, 1]) > 0.8
    rotation = rotations[jnp.argmin(2.0 * toward_camera + 1.0 * end_on)]
    if turn is not None:
        rotation = turn @ rotation

    joints = skeleton.joints @ rotation.T
    span = between(u["span"], *span_range)
    extent = jnp.max((jnp.max(joints, axis=0) - jnp.min(joints, axis=0))[:2])
    depth = jnp.clip(extent * between(u["focal"], 1.96, 2.41) / span, NEAREST, FARTHEST)
    translation = jnp.stack([jnp.zeros(()), jnp.zeros(()), depth - joints[9, 2]])
    for _ in range(3):  # perspective moves the box as the hand moves: a few rounds settle it
        low, high = _projected_box(joints + translation)
        focal = span / jnp.max(high - low)
        wanted = between(u["center"], -OFF_CENTER, OFF_CENTER) / focal
        shift = (wanted - 0.5 * (low + high)) * depth
        translation = translation.at[:2].add(shift)
    low, high = _projected_box(joints + translation)
    return rotation, translation, span / jnp.max(high - low)


def _projected_box(joints: Float[Array, "21 3"]) -> tuple[Array, Array]:
    projected = joints[:, :2] / joints[:, 2:]
    return jnp.min(projected, axis=0), jnp.max(projected, axis=0)


def _parts(
    skeleton: Skeleton, rotation: Float[Array, "3 3"], translation: Float[Array, "3"]
) -> Parts:
    chain = skeleton.joints[1:].reshape(5, 4, 3)
    origin = jnp.concatenate([chain[:, :3].reshape(15, 3), jnp.zeros((1, 3))])
    frames = jnp.concatenate([skeleton.frames.reshape(15, 3, 3), jnp.eye(3)[None]])
    lengths = jnp.sqrt(jnp.sum((chain[:, 1:] - chain[:, :3]) ** 2, axis=-1)).reshape(15)
    palm = jnp.sqrt(jnp.sum(skeleton.joints[9] ** 2))
    return Parts(
        origin=(origin @ rotation.T + translation).T,
        axes=jnp.transpose(rotation @ frames, (2, 1, 0)),
        length=jnp.concatenate([lengths, palm[None]]),
    )
