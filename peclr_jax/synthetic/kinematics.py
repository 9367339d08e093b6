"""Bones and joints of the procedural hand: shape, pose, and where they put the 21 keypoints.

Millimetres and radians in the hand frame of `anatomy`; one hand, of which `jax.vmap` makes many.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from peclr_jax.synthetic import anatomy
from peclr_jax.synthetic.sampling import Numbers, between, frame, gaussian, named, rotation


class HandShape(NamedTuple):
    """Size of a hand relative to the average; girth and lengths of digits on top of that."""

    scale: Float[Array, "*batch"]
    thickness: Float[Array, "*batch"]
    digit_length: Float[Array, "*batch 5"]


class Pose(NamedTuple):
    """Radians: flexion palm to tip, abduction toward the little finger, the thumb's twist."""

    flexion: Float[Array, "*batch 5 3"]
    abduction: Float[Array, "*batch 5"]
    twist: Float[Array, "*batch"]


class Skeleton(NamedTuple):
    """A posed hand: joints in FreiHAND order, frames with columns (side, direction, palmar)."""

    joints: Float[Array, "*batch 21 3"]
    frames: Float[Array, "*batch 5 3 3 3"]


def sample_shape(numbers: Numbers) -> HandShape:
    """Draws a hand between a small woman's and a large man's."""
    u = named(numbers, scale=(), thickness=(), digits=(5,))
    return HandShape(
        scale=between(u["scale"], 0.86, 1.12),
        thickness=between(u["thickness"], 0.88, 1.12),
        digit_length=1 + 0.03 * gaussian(u["digits"]),
    )


def sample_pose(numbers: Numbers) -> Pose:
    """Draws joint angles within their limits.

    One curl is shared by the whole hand and varied a little for every finger; a quarter of the
    hands instead has every finger either open or closed: pointing, counting, pinching.
    """
    u = named(
        numbers, relaxed=(), curl=(), gesture=(), closed=(4,), rest=(4,), balance=(), spread=(),
        opposition=(), thumb=(4,), curls=(4,), flexion=(4, 3), spreads=(4,),
    )  # fmt: skip
    flexion_noise = gaussian(u["flexion"])

    shared = jnp.where(
        u["relaxed"] < 0.35, between(u["curl"], -0.05, 0.22), between(u["curl"], 0.0, 1.0)
    )
    curl = jnp.clip(shared + 0.13 * gaussian(u["curls"]), -0.05, 1.05)
    binary = jnp.where(u["closed"] < 0.5, 0.75, -0.05) + 0.25 * u["rest"]
    curl = jnp.where(u["gesture"] < 0.25, binary, curl)
    # A hook bends the outer joints first, a flat fist the inner ones.
    balance = between(u["balance"], -0.35, 0.35)
    mcp = -8 + 88 * curl * (1 + balance) + 6 * flexion_noise[:, 0]
    pip = jnp.clip(3 + 98 * curl * (1 - balance) + 7 * flexion_noise[:, 1], 0, 108)
    dip = anatomy.DIP_PER_PIP * pip + 5 * flexion_noise[:, 2]
    # Collateral ligaments tighten: bent fingers cannot spread.
    spread = between(u["spread"], -0.35, 1.0) * anatomy.FINGER_SPREAD + 2.5 * gaussian(u["spreads"])
    spread = spread * jnp.clip(1 - mcp / 95, 0.08, 1)

    opposition = jnp.clip(0.55 * shared + between(u["opposition"], -0.25, 0.45), -0.2, 1.0)
    t = u["thumb"]
    thumb = jnp.stack(
        [
            -14 + 44 * opposition + 8 * (t[2] - 0.5),
            -8 + 52 * t[3] * jnp.clip(opposition + 0.3, 0.2, 1),
            -14 + 78 * t[0] * jnp.clip(opposition + 0.35, 0.2, 1),
        ]
    )
    twist = 35 * opposition * t[2] + 8 * (t[2] - 0.5)

    flexion = jnp.concatenate([thumb[None], jnp.stack([mcp, pip, dip], axis=-1)])
    abduction = jnp.concatenate([between(t[1:2], -18, 16), spread])
    return Pose(
        flexion=jnp.deg2rad(jnp.clip(flexion, *np.moveaxis(anatomy.FLEXION_LIMITS, -1, 0))),
        abduction=jnp.deg2rad(jnp.clip(abduction, *anatomy.ABDUCTION_LIMITS.T)),
        twist=jnp.deg2rad(jnp.clip(twist, *anatomy.TWIST_LIMITS)),
    )


def forward_kinematics(shape: HandShape, pose: Pose) -> Skeleton:
    """Puts the bones of a hand at the angles of a pose."""
    twist = jnp.zeros(5).at[0].set(-pose.twist)
    first = _rest_frames() @ rotation(2, pose.abduction) @ rotation(0, pose.flexion[:, 0])
    first = first @ rotation(1, twist)
    second = first @ rotation(0, pose.flexion[:, 1])
    third = second @ rotation(0, pose.flexion[:, 2])
    frames = jnp.stack([first, second, third], axis=1)

    bend = jnp.clip(pose.flexion[:, 0], 0.0, 2.0)
    # The moving part starts at the thumb's CMC, and at the fingers' MCP.
    knuckles = anatomy.METACARPAL_DIRECTION * anatomy.METACARPAL_LENGTH[:, None]
    base = anatomy.CARPOMETACARPAL + np.insert(knuckles[1:], 0, 0, axis=0)
    base = base + anatomy.PALM_ARCH * bend[:, None]
    bones = frames[..., 1] * (anatomy.BONE_LENGTH * shape.digit_length[:, None])[..., None]
    chain = jnp.concatenate([base[:, None], bones], axis=1).cumsum(axis=1)
    joints = jnp.concatenate([jnp.zeros((1, 3)), chain.reshape(20, 3)])
    return Skeleton(joints * shape.scale, frames)


def self_penetration(shape: HandShape, skeleton: Skeleton) -> Float[Array, ""]:
    """Sums the depths, millimetres, to which digits run into each other or into the palm."""
    weights = np.linspace(0.0, 1.0, 4, dtype=np.float32)
    chain = skeleton.joints[1:].reshape(5, 4, 3)
    points = _along(chain[:, :3], chain[:, 1:], weights).reshape(15, 4, 3)
    radii = anatomy.JOINT_RADIUS[..., None]
    radii = _along(radii[:, :3], radii[:, 1:], weights).reshape(15, 4)

    gap = points[:, :, None, None] - points[None, None]
    distance = jnp.sqrt(jnp.sum(gap * gap, axis=-1) + 1e-6)
    # Flesh gives way: overlaps below 2.5 mm are contact, not penetration.
    reach = (radii[:, :, None, None] + radii[None, None]) * (shape.scale * shape.thickness) - 2.5
    # Bones of different digits, except for two neighbouring first bones.
    digit, segment = np.divmod(np.arange(15), 3)
    first = segment == 0
    may_collide = (digit[:, None] > digit) & ~(first[:, None] & first)
    digits = jnp.where(may_collide, jnp.max(reach - distance, axis=(1, 3)), 0.0)

    wrist_side = jnp.asarray(anatomy.CARPOMETACARPAL[1:]) * shape.scale
    weights = np.linspace(0.0, 1.0, 5, dtype=np.float32)
    palm = _along(wrist_side, skeleton.joints[5::4], weights).reshape(20, 3)
    gap = points[2::3, :, None] - palm
    distance = jnp.sqrt(jnp.sum(gap * gap, axis=-1) + 1e-6)
    into_palm = jnp.max(19.5 * shape.scale - distance, axis=(1, 2))
    return jnp.sum(jnp.maximum(digits, 0.0)) + jnp.sum(jnp.maximum(into_palm, 0.0))


def sample_skeleton(
    numbers: Float[Array, "candidates 80"], shape: HandShape
) -> tuple[Pose, Skeleton]:
    """Draws several poses and keeps the first without penetration, or the one with the least."""
    poses = jax.vmap(sample_pose)(numbers)
    candidates = jax.vmap(forward_kinematics, (None, 0))(shape, poses)
    overlap = jax.vmap(self_penetration, (None, 0))(shape, candidates)
    # Equal overlaps resolve to the first, so that no pose is favoured for being loose.
    best = jnp.argmin(jnp.where(overlap < 3.0, 0.0, overlap))
    return jax.tree.map(lambda leaf: leaf[best], (poses, candidates))


def bend(numbers: Numbers, pose: Pose, most: float) -> Pose:
    """Bends every joint by up to `most` radians, within its limits.

    Args:
      numbers: U(0, 1) numbers.
      pose: The pose before.
      most: The largest angle.
    """
    u = named(numbers, flexion=(5, 3), abduction=(5,))

    def within(
        angles: Float[Array, "*joints"], u: Float[Array, "*joints"], limits: np.ndarray
    ) -> Float[Array, "*joints"]:
        return jnp.clip(angles + between(u, -most, most), *np.deg2rad(np.moveaxis(limits, -1, 0)))

    return pose._replace(
        flexion=within(pose.flexion, u["flexion"], anatomy.FLEXION_LIMITS),
        abduction=within(pose.abduction, u["abduction"], anatomy.ABDUCTION_LIMITS),
    )


def _rest_frames() -> Float[Array, "5 3 3"]:
    fan = np.deg2rad(anatomy.FINGER_FAN)
    fingers = np.stack([-np.sin(fan), np.cos(fan), np.zeros(4)], axis=-1)
    palmar = np.stack([-anatomy.FINGER_ROLL, np.zeros(4), np.ones(4)], axis=-1)
    directions = np.concatenate([anatomy.METACARPAL_DIRECTION[:1], fingers]).astype(np.float32)
    palmars = np.concatenate([anatomy.THUMB_PALMAR[None], palmar]).astype(np.float32)
    return frame(jnp.asarray(directions), jnp.asarray(palmars))


def _along(start: Any, end: Any, weights: Float[np.ndarray, " points"]) -> Any:
    """Returns points between starts and ends, on a new axis before the last."""
    weights = weights[:, None]
    return start[..., None, :] * (1 - weights) + end[..., None, :] * weights
