"""Metrics of predicted hands against the true ones: joint errors, alignments, PCK and AUC.

Every function takes NumPy or JAX arrays and keeps their precision: float64 on the host, float32 on
a device; narrower and whole numbers become one of these. Leading axes are free. 3D is in metres and
camera space, 2D in pixels; a mask `valid` is true where a joint is labelled (all by default), and
values under a false mask are never read, NaN included.

After FreiHAND's evaluation (Zimmermann et al. 2019), which the paper's Tables 2 and 3 report;
docs/metrics.md lists where the official PeCLR repository differs.
"""

import jax
import numpy as np
from jaxtyping import Bool, Float, Num

from peclr_jax.geometry.arrays import AnyArray, Values, floating, namespace, norms
from peclr_jax.hands.skeleton import MIDDLE_MCP, WRIST, read_only

THRESHOLDS = read_only(np.linspace(0.0, 0.05, 100))
"""0 to 5 cm in 100 steps, in metres: FreiHAND's, for PCK and AUC in 3D."""

THRESHOLDS_50CM = read_only(np.arange(0.0, 0.5, 0.005))
"""0 to 49.5 cm in steps of 0.5 cm, in metres: the official PeCLR repository's `cal_auc_joints`."""

THRESHOLDS_2D = read_only(np.linspace(0.0, 30.0, 100))
"""0 to 30 px in 100 steps, a common choice for PCK and AUC in 2D."""


def joint_errors(
    predicted: Num[Values, "*batch joints dim"], target: Num[AnyArray, "*batch joints dim"]
) -> Float[Values, "*batch joints"]:
    """Returns the Euclidean distance of every joint, in the unit of the joints.

    Its gradient is zero where the two coincide.
    """
    return norms(floating(predicted) - floating(target))


def epe(
    predicted: Num[Values, "*batch joints dim"],
    target: Num[AnyArray, "*batch joints dim"],
    valid: Bool[AnyArray, "*#batch joints"] | None = None,
) -> Float[Values, ""]:
    """Returns the end-point error: the mean distance over all labelled joints of all hands.

    Args:
      predicted: Joints.
      target: The true joints, in the same unit.
      valid: Which joints count. If none does, the result is NaN.
    """
    xp = namespace(predicted, target, valid)
    if valid is None:
        return xp.asarray(xp.mean(joint_errors(predicted, target)))
    valid = xp.broadcast_to(valid, predicted.shape[:-1])
    # Before the norm, whose gradient at NaN is NaN.
    errors = norms(xp.where(valid[..., None], floating(predicted) - floating(target), 0))
    total, count = xp.sum(errors), xp.sum(valid)
    return xp.asarray(xp.where(count > 0, total / xp.maximum(count, 1), xp.nan), errors.dtype)


def procrustes_align(
    predicted: Float[Values, "*batch joints dim"],
    target: Float[AnyArray, "*batch joints dim"],
    valid: Bool[AnyArray, "*#batch joints"] | None = None,
    *,
    reflection: bool = True,
) -> Float[Values, "*batch joints dim"]:
    """Moves, turns and scales each predicted hand onto the true one, as closely as possible.

    The least-squares similarity by the singular value decomposition (Schönemann 1966; Umeyama 1991
    for proper rotations). The errors that remain give PA-EPE. Where all predicted joints coincide
    they are placed on the mean of the true ones. A hand with a valid joint that is no finite number
    becomes NaN.

    Args:
      predicted: Joints.
      target: The true joints.
      valid: Which joints the similarity is fitted to. It is applied to all.
      reflection: Whether the hand may be mirrored as well, as FreiHAND's `align_w_scale` allows
        (a mirrored hand then scores 0). False allows rotations only, as the official PeCLR
        repository.
    """
    xp = namespace(predicted, target, valid)
    predicted, target = xp.asarray(floating(predicted)), xp.asarray(floating(target))
    center, centered = _center(predicted, valid)
    target_center, target_centered = _center(target, valid)
    size = xp.sum(centered**2, axis=(-2, -1))
    # Joints that coincide differ by rounding only, which no scale may blow up.
    rounding = xp.finfo(centered.dtype).eps * centered.shape[-2] * xp.abs(center).max(-1)
    degenerate = size <= rounding**2

    # Accelerators multiply matrices with fewer bits unless told not to.
    with jax.default_matmul_precision("highest"):
        covariance = xp.matrix_transpose(centered) @ target_centered
        # NumPy would decompose none of the hands because of one.
        finite = xp.isfinite(covariance).all((-2, -1))
        covariance = xp.where(finite[..., None, None], covariance, 0)
        left, stretch, right = xp.linalg.svd(covariance)
        if not reflection:
            # Turning the direction that matters least makes the rotation a proper one.
            handedness = xp.sign(xp.linalg.det(left) * xp.linalg.det(right))[..., None]
            last = xp.arange(stretch.shape[-1]) == stretch.shape[-1] - 1
            signs = xp.where(last, handedness, 1)
            left, stretch = left * signs[..., None, :], stretch * signs
        turned = (predicted - center[..., None, :]) @ (left @ right)
    scale = xp.sum(stretch, axis=-1) / xp.where(degenerate, 1, size)
    scale = xp.where(finite, xp.where(degenerate, 0, scale), xp.nan)
    return scale[..., None, None] * turned + target_center[..., None, :]


def root_align(
    predicted: Float[Values, "*batch joints dim"], target: Float[AnyArray, "*batch joints dim"]
) -> Float[Values, "*batch joints dim"]:
    """Moves each predicted hand so that its wrist lies on the true one, to the last bit."""
    predicted, target = floating(predicted), floating(target)
    return (predicted - predicted[..., WRIST, None, :]) + target[..., WRIST, None, :]


def scale_align(
    predicted: Float[Values, "*batch joints dim"], target: Float[AnyArray, "*batch joints dim"]
) -> Float[Values, "*batch joints dim"]:
    """Moves and scales each predicted hand onto the true one, without turning it.

    As HO-3D's official evaluation (Hampali et al. 2020): the distance from wrist to middle MCP is
    made the true one, and the wrists are put together. Two joints decide, not a fit to all. Where
    the two predicted joints coincide the hand is moved only.
    """
    xp = namespace(predicted, target)
    predicted, target = floating(predicted), floating(target)
    palm = predicted[..., MIDDLE_MCP, :] - predicted[..., WRIST, :]
    true_palm = target[..., MIDDLE_MCP, :] - target[..., WRIST, :]
    length, true_length = norms(palm), norms(xp.asarray(true_palm))
    scale = xp.where(length > 0, true_length / xp.where(length > 0, length, 1), 1)
    return root_align(predicted * scale[..., None, None], target)


def pck_curve(
    errors: Num[Values, "*batch joints"],
    thresholds: Float[AnyArray, " thresholds"] = THRESHOLDS,
    valid: Bool[AnyArray, "*#batch joints"] | None = None,
    *,
    strict: bool = False,
) -> Float[Values, " thresholds"]:
    """Returns the percentage of correct keypoints, as a fraction, at each threshold.

    As FreiHAND: per joint the fraction of the hands whose error is at most the threshold, then the
    mean over the joints.

    Args:
      errors: Errors of every joint.
      thresholds: Thresholds in the unit of the errors.
      valid: Which joints count. A joint that no hand has is left out of the mean.
      strict: Whether errors must be less than the threshold, as the official PeCLR repository.
    """
    xp = namespace(errors, thresholds, valid)
    joints = errors.shape[-1]
    valid = xp.broadcast_to(True if valid is None else valid, errors.shape).reshape(-1, joints)
    errors = floating(errors).reshape(-1, joints)
    thresholds = xp.asarray(thresholds, errors.dtype)
    # Sorting needs no (hands, joints, thresholds) array; NaN come last, after every threshold.
    ordered = xp.sort(xp.where(valid, errors, xp.nan), axis=0)
    side = "left" if strict else "right"
    correct = xp.stack(
        [xp.searchsorted(ordered[:, joint], thresholds, side=side) for joint in range(joints)]
    )
    hands = xp.sum(valid, axis=0)
    per_joint = correct / xp.maximum(hands, 1)[:, None]
    return xp.asarray(xp.sum(per_joint, axis=0) / xp.sum(hands > 0), errors.dtype)


def auc(
    pck: Num[Values, " thresholds"], thresholds: Float[AnyArray, " thresholds"] = THRESHOLDS
) -> Float[Values, ""]:
    """Returns the area under a PCK curve by the trapezoidal rule, 1 for a perfect one."""
    xp, pck = namespace(pck), floating(pck)
    thresholds = xp.asarray(thresholds, pck.dtype)
    area = xp.trapezoid(pck, thresholds)
    return xp.asarray(area / (thresholds[-1] - thresholds[0]), pck.dtype)


def _center(
    points: Float[AnyArray, "*batch joints dim"], valid: Bool[AnyArray, "*#batch joints"] | None
) -> tuple[Float[AnyArray, "*batch dim"], Float[AnyArray, "*batch joints dim"]]:
    """Returns the mean of the valid points, and the points relative to it, 0 where not valid."""
    xp = namespace(points, valid)
    if valid is None:
        center = xp.mean(points, axis=-2)
        return center, points - center[..., None, :]
    mask = valid[..., None]
    total = xp.sum(xp.where(mask, points, 0), axis=-2)
    # As floats of the points' own width: NumPy divides by an integer in float64.
    count = xp.maximum(xp.sum(mask, axis=-2), 1).astype(points.dtype)
    center = total / count
    return center, xp.where(mask, points - center[..., None, :], 0)
