"""The pinhole camera and the 2.5D hand pose of Iqbal et al. 2018 (arXiv 1804.09534).

Camera space is in metres, x right, y down, z forward; image space in pixels, (x, y) with the origin
at the centre of the top-left pixel. Intrinsics are [[fx, skew, cx], [0, fy, cy], [0, 0, 1]].

A 2.5D pose holds, per joint, its pixel and its depth relative to the root joint, divided by the
length of a reference bone: (x px, y px, depth). An image shows no more than that, since the hand's
absolute size cannot be seen. Given the size (or taking it as 1), the root's depth follows from the
pose (Iqbal et al., Eq. 6-7).

Leading axes are free; those of the intrinsics broadcast to those of the joints.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from peclr_jax.errors import UserError
from peclr_jax.geometry.arrays import AnyArray, Values, assemble, namespace, norms
from peclr_jax.hands.skeleton import BONES, MIDDLE_MCP, MIDDLE_PIP, WRIST

REFERENCE_BONE = (MIDDLE_MCP, MIDDLE_PIP)
"""The middle finger's proximal bone: the one whose length FreiHAND publishes as `scale`, also for
its evaluation split, and the released PeCLR networks' reference. The official pre-training code
uses (WRIST, INDEX_MCP) instead."""
# Where a root is looked for, in bone lengths, a hundredth apart: 9 cm to 2 m for a bone of 3 cm.
_DEPTHS = np.geomspace(3.0, 66.0, 312, dtype=np.float32)


def project(
    points: Float[Values, "*batch points 3"], intrinsics: Float[AnyArray, "*#batch 3 3"]
) -> Float[Values, "*batch points 2"]:
    """Projects camera-space points, z > 0 in any unit, to pixels (NumPy or JAX)."""
    fx, skew, cx, fy, cy = _parameters(intrinsics)
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    xp = namespace(points, intrinsics)
    return xp.stack([fx * x + skew * y + cx, fy * y + cy], axis=-1)


def back_project(
    pixels: Float[Array, "*batch points 2"],
    depth: Float[Array, "*#batch #points"],
    intrinsics: Float[Array, "*#batch 3 3"],
) -> Float[Array, "*batch points 3"]:
    """Places pixels at a depth: the inverse of `project`.

    Args:
      pixels: Positions in the image.
      depth: Distance along the optical axis (not along the ray), in the unit of the result.
      intrinsics: The camera's.
    """
    return rays(pixels, intrinsics) * depth[..., None]


def bone_length(
    joints: Float[Values, "*batch joints 3"], bone: tuple[int, int] = REFERENCE_BONE
) -> Float[Values, "*batch"]:
    """Returns the distance between a bone's two joints."""
    return norms(joints[..., bone[1], :] - joints[..., bone[0], :])


def to_25d(
    joints: Float[Array, "*batch joints 3"],
    intrinsics: Float[Array, "*#batch 3 3"],
    *,
    root: int = WRIST,
    bone: tuple[int, int] = REFERENCE_BONE,
) -> tuple[Float[Array, "*batch joints 3"], Float[Array, "*batch"]]:
    """Returns the 2.5D pose of a hand, and the length of its reference bone in metres.

    Args:
      joints: Camera space, metres.
      intrinsics: The camera's.
      root: Joint that relative depth is measured from.
      bone: The two joints of the reference bone.

    Raises:
      UserError: If the array is not one of joints in space, or lacks the root or the bone.
    """
    _check_joints(joints.shape, (root, *bone))
    scale = bone_length(joints, bone)
    relative = (joints[..., 2] - joints[..., root, None, 2]) / scale[..., None]
    return jnp.concatenate([project(joints, intrinsics), relative[..., None]], axis=-1), scale


def from_25d(
    pose: Float[Array, "*batch joints 3"],
    intrinsics: Float[Array, "*#batch 3 3"],
    scale: Float[Array, "*#batch"] | float = 1.0,
    *,
    z_root: Float[Array, "*#batch"] | float | None = None,
    bone: tuple[int, int] = REFERENCE_BONE,
) -> Float[Array, "*batch joints 3"]:
    """Recovers camera-space joints from a 2.5D pose.

    It is the inverse of `to_25d` with the true `z_root`; without one wherever `root_depth` is.

    Args:
      pose: A 2.5D pose.
      intrinsics: The camera's.
      scale: Length of the reference bone, in the unit of the result; 1 is as far as an image goes.
      z_root: The root's depth in bone lengths; by default `root_depth(pose, ...)`.
      bone: The two joints of the reference bone that `pose` was made with.

    Raises:
      UserError: If the array is not one of 2.5D joints, or lacks the bone; or `scale` or `z_root`
        has more axes than hands have, by which hands would be mixed.
    """
    _check_joints(pose.shape, bone)
    if z_root is None:
        z_root = root_depth(pose, intrinsics, bone=bone)
    for name, value in (("scale", scale), ("z_root", z_root)):
        if 0 < pose.ndim - 2 < jnp.ndim(value):
            raise UserError(
                f"{name} has the shape {jnp.shape(value)} for poses of shape {pose.shape}: give "
                "one number for each hand, without an axis of its own"
            )
    depth = (pose[..., 2] + jnp.asarray(z_root)[..., None]) * jnp.asarray(scale)[..., None]
    return back_project(pose[..., :2], depth, intrinsics)


def from_25d_weakly(
    pose: Float[Array, "*batch joints 3"],
    pixel: Float[Array, "*batch"],
    scale: Float[Array, "*#batch"] | float,
) -> Float[Array, "*batch joints 3"]:
    """Recovers joints relative to the wrist by weak perspective, which needs no camera.

    All joints are projected as if they were at the root's depth, which misplaces each by the share
    that its relative depth is of that one.

    Args:
      pose: A 2.5D pose.
      pixel: Side of a pixel at the root's depth, bone lengths: the depth over the focal length.
      scale: Length of the reference bone, in the unit of the result.
    """
    across = (pose[..., :2] - pose[..., WRIST, None, :2]) * pixel[..., None, None]
    joints = jnp.concatenate([across, pose[..., 2:]], axis=-1)
    return joints * jnp.asarray(scale)[..., None, None]


def root_depth(
    pose: Float[Array, "*batch joints 3"],
    intrinsics: Float[Array, "*#batch 3 3"],
    *,
    bone: tuple[int, int] = REFERENCE_BONE,
    epsilon: float = 1e-6,
    bounds: tuple[float, float] | None = None,
) -> Float[Array, "*batch"]:
    """Returns the root's depth at which the reference bone has length one (Iqbal et al., Eq. 6-7).

    Every joint lies on the ray of its pixel, so the bone's squared length is a quadratic in the
    root's depth; the larger root is taken. Of random hands 0.4 to 1 m away it is the wrong one for
    0.7 %, whose bone points nearly at the camera, also without noise. Noise can leave the quadratic
    without a real root, and a bone along the ray leaves it (nearly) linear, hence the guards, which
    the official code has, too; beyond some 20 m they shorten true depths. The released PeCLR
    networks use `epsilon=1e-8` and `bounds=(4.0, 50.0)`, and stop the gradient.

    Args:
      pose: A 2.5D pose.
      intrinsics: The camera's.
      bone: The two joints of the reference bone that `pose` was made with.
      epsilon: Smallest leading coefficient and smallest discriminant.
      bounds: Smallest and largest depth to return, in bone lengths.

    Raises:
      UserError: If the array is not one of 2.5D joints, or lacks the bone.
    """
    _check_joints(pose.shape, bone)
    first, second = bone
    directions = rays(pose[..., :2], intrinsics)
    offsets = directions * pose[..., 2:]
    # The bone is the vector root_depth * slope + offset.
    slope = directions[..., second, :] - directions[..., first, :]
    offset = offsets[..., second, :] - offsets[..., first, :]

    a = jnp.sum(slope**2, axis=-1)
    b = 2 * jnp.sum(slope * offset, axis=-1)
    c = jnp.sum(offset**2, axis=-1) - 1
    discriminant = jnp.maximum(b**2 - 4 * a * c, epsilon)
    depth = (jnp.sqrt(discriminant) - b) / (2 * jnp.maximum(a, epsilon))
    return depth if bounds is None else jnp.clip(depth, *bounds)


def root_depth_of_bones(
    pose: Float[Array, "*batch joints 3"],
    intrinsics: Float[Array, "*#batch 3 3"],
    lengths: Float[Array, " bones"],
) -> Float[Array, "*batch"]:
    """Returns the root's depth at which all bones together come closest to lengths that are known.

    `root_depth` trusts the reference bone alone, which in a noisy pose tells little, above all
    where it points at the camera. Here the squared errors of all bones' lengths are smallest.

    Args:
      pose: A 2.5D pose.
      intrinsics: The camera's.
      lengths: Of `skeleton.BONES`, in lengths of the reference bone.
    """
    first, second = jnp.array(BONES).T
    directions = rays(pose[..., :2], intrinsics)
    offsets = directions * pose[..., 2:]
    slope = directions[..., second, :] - directions[..., first, :]
    offset = offsets[..., second, :] - offsets[..., first, :]
    found = _DEPTHS[:, None, None] * slope[..., None, :, :] + offset[..., None, :, :]
    errors = jnp.sum((jnp.linalg.norm(found, axis=-1) - lengths) ** 2, axis=-1)
    best = jnp.clip(jnp.argmin(errors, axis=-1), 1, len(_DEPTHS) - 2)
    # The depth goes by the pose without steps: the lowest point of the parabola through three.
    # Its errors are summed out, as readers of exported programs know no gathers of batches.
    at = jnp.arange(len(_DEPTHS)) - best[..., None]
    before, there, after = (jnp.sum(errors, axis=-1, where=at == step) for step in (-1, 0, 1))
    bend = jnp.maximum(before - 2 * there + after, jnp.finfo(errors.dtype).tiny)
    step = jnp.clip((before - after) / (2 * bend), -1, 1)
    return _DEPTHS[0] * (_DEPTHS[1] / _DEPTHS[0]) ** (best + step)


def rays(
    pixels: Float[Array, "*batch points 2"], intrinsics: Float[Array, "*#batch 3 3"]
) -> Float[Array, "*batch points 3"]:
    """Returns the points of the plane z = 1 that are seen at `pixels`."""
    fx, skew, cx, fy, cy = _parameters(intrinsics)
    y = (pixels[..., 1] - cy) / fy
    x = (pixels[..., 0] - cx - skew * y) / fx
    return jnp.stack([x, y, jnp.ones_like(x)], axis=-1)


def assumed_intrinsics(side: int) -> Float[Array, "3 3"]:
    """Returns the intrinsics assumed for a square view of a hand whose camera is unknown.

    The focal length, 1.74 sides, is that of the released networks (389 px of 224), which is that of
    FreiHAND's images.
    """
    center, length = (side - 1) / 2, 1.74 * side
    rows = [[length, 0.0, center], [0.0, length, center], [0.0, 0.0, 1.0]]
    return jnp.array(rows, jnp.float32)


def warp_intrinsics(
    matrix: Float[Array, "*#batch 2 3"], intrinsics: Float[Array, "*#batch 3 3"]
) -> Float[Array, "*batch 3 3"]:
    """Returns the intrinsics of an image that was warped by an affine map.

    A rotation of the image is a roll of the camera about the optical axis, which changes no depth
    and no length. The roll is taken out, so that fx and fy stay positive and the matrix stays
    triangular: `project(roll @ points, result)` are the warped pixels.
    """
    linear, shift = matrix[..., :2], matrix[..., 2:]
    precision = jax.lax.Precision.HIGHEST
    focal = jnp.matmul(linear, intrinsics[..., :2, :2], precision=precision)
    center = jnp.matmul(linear, intrinsics[..., :2, 2:], precision=precision) + shift
    # RQ decomposition: an upper triangle times a rotation whose second row is the unit (c, d).
    a, b = focal[..., 0, 0], focal[..., 0, 1]
    c, d = focal[..., 1, 0], focal[..., 1, 1]
    fy = jnp.sqrt(c**2 + d**2)
    skew = (a * c + b * d) / fy
    fx = (a * d - b * c) / fy
    zero, one = jnp.zeros_like(fx), jnp.ones_like(fx)
    return assemble((fx, skew, center[..., 0, 0]), (zero, fy, center[..., 1, 0]), (zero, zero, one))


def _parameters(intrinsics: Float[AnyArray, "*batch 3 3"]) -> tuple[Any, ...]:
    """Returns fx, skew, cx, fy, cy, each with an axis of one for the points."""
    entries = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))
    return tuple(intrinsics[..., row, column, None] for row, column in entries)


def _check_joints(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    count, values = shape[-2:]
    # JAX would take the nearest joint or coordinate that there is.
    if values != 3 or not all(-count <= joint < count for joint in wanted):
        raise UserError(
            f"joints of a 2.5D pose have the shape {shape}, but root and reference bone are "
            f"the joints {wanted}: give an array of (..., joints, 3) that has them"
        )
