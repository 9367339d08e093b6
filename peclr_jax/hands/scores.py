"""Scores of a set of hands: mean, median, PCK, AUC, per joint and per finger, with intervals.

    errors, valid = scores.errors_of(predicted, target, valid, kind="pa")
    report = scores.score(errors, valid, kind="pa", sample_ids=sample_ids)
    json.dumps(report.to_dict())

Only the errors of a data set need to be kept, a few hundred bytes per hand. NumPy and float64
throughout.
"""

import dataclasses
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from peclr_jax.errors import UserError
from peclr_jax.hands import bootstrap, metrics
from peclr_jax.hands.bootstrap import CONFIDENCE, Interval
from peclr_jax.hands.skeleton import FINGERS, JOINT_NAMES, MIDDLE_MCP, WRIST


class Kind(NamedTuple):
    """One way to measure the error of a hand.

    Attributes:
      unit: "m" or "px".
      thresholds: Thresholds of PCK and AUC, in that unit.
      align: Moves the predicted joints onto the true ones, given which are valid.
      needs: Joints without which a hand cannot be aligned.
      at_least: Number of valid joints that the alignment needs; fewer would always fit.
    """

    unit: str
    thresholds: np.ndarray
    align: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    needs: tuple[int, ...] = ()
    at_least: int = 1


KINDS = MappingProxyType(
    {
        "3d": Kind("m", metrics.THRESHOLDS, lambda p, t, valid: p),
        "root_aligned": Kind(
            "m", metrics.THRESHOLDS, lambda p, t, valid: metrics.root_align(p, t), needs=(WRIST,)
        ),
        "scale_aligned": Kind(
            "m",
            metrics.THRESHOLDS,
            lambda p, t, valid: metrics.scale_align(p, t),
            needs=(WRIST, MIDDLE_MCP),
        ),
        "pa": Kind(
            "m",
            metrics.THRESHOLDS,
            lambda p, t, valid: metrics.procrustes_align(p, t, valid=valid),
            at_least=3,
        ),
        "pa_proper": Kind(
            "m",
            metrics.THRESHOLDS,
            lambda p, t, valid: metrics.procrustes_align(p, t, valid=valid, reflection=False),
            at_least=3,
        ),
        "2d": Kind("px", metrics.THRESHOLDS_2D, lambda p, t, valid: p),
    }
)
"""As predicted, with the wrist on the true one, with the wrist and the palm's length so (HO-3D),
after Procrustes with reflection (FreiHAND) and without (official PeCLR), and in the image."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a set of hands.

    Attributes:
      kind: One of `KINDS`.
      unit: Unit of the errors, "m" or "px".
      hands: Number of hands with a valid joint.
      samples: Number of unique samples among them.
      joints: Number of valid joints of all hands.
      mean: Mean error over all valid joints: EPE, PA-EPE.
      median: Mean over the joints of the median over the hands, as FreiHAND's evaluation.
      auc: Area under the PCK curve.
      thresholds: Thresholds of the PCK curve.
      pck: Fraction of the errors that are at most the threshold, mean over the joints.
      per_joint: Mean error by joint name; `None` where no hand has the joint.
      per_finger: Mean error over the four joints of a finger; the wrist belongs to none.
    """

    kind: str
    unit: str
    hands: int
    samples: int
    joints: int
    mean: Interval
    median: float
    auc: Interval
    thresholds: Float[np.ndarray, " thresholds"]
    pck: Float[np.ndarray, " thresholds"]
    per_joint: dict[str, float | None]
    per_finger: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as numbers, strings, lists and dictionaries, fit for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        intervals = {name: getattr(self, name)._asdict() for name in ("mean", "auc")}
        arrays = {name: getattr(self, name).tolist() for name in ("thresholds", "pck")}
        return fields | intervals | arrays | {"confidence": CONFIDENCE}


def errors_of(
    predicted: Float[Array | np.ndarray, "hands 21 dim"],
    target: Float[Array | np.ndarray, "hands 21 dim"],
    valid: Bool[Array | np.ndarray, "hands 21"] | None = None,
    *,
    kind: str,
) -> tuple[Float[np.ndarray, "hands 21"], Bool[np.ndarray, "hands 21"]]:
    """Returns the error of every joint after the alignment of a kind, and which errors count.

    Errors are 0 where a joint is not valid; none counts of a hand that lacks the joints its
    alignment needs.

    Args:
      predicted: Camera space in metres, or pixels for "2d".
      target: The true joints.
      valid: Which joints are labelled; all by default.
      kind: One of `KINDS`.

    Raises:
      UserError: If `kind` is unknown, or a joint that counts is not finite.
    """
    measure = _kind(kind)
    predicted, target = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    labelled = np.ones(target.shape[:2], bool) if valid is None else np.asarray(valid)
    alignable = labelled.sum(1) >= measure.at_least
    alignable &= labelled[:, list(measure.needs)].all(1)
    counts = labelled & alignable[:, None]
    for name, joints in (("predicted", predicted), ("true", target)):
        broken = ~np.isfinite(joints[counts]).all(-1)
        if broken.any():
            raise UserError(
                f"{broken.sum()} of {broken.size} {name} joints are not finite numbers"
                f" ({kind}): check {'the checkpoint' if name == 'predicted' else 'the labels'}"
            )
    # Values under a false mask may be anything.
    predicted = np.where(counts[..., None], predicted, 0.0)
    target = np.where(counts[..., None], target, 0.0)
    errors = metrics.joint_errors(measure.align(predicted, target, counts), target)
    return np.where(counts, errors, 0.0), counts


def score(
    errors: Float[np.ndarray, "hands 21"],
    valid: Bool[np.ndarray, "hands 21"] | None = None,
    *,
    kind: str,
    sample_ids: Shaped[np.ndarray, " hands"] | None = None,
    thresholds: Float[np.ndarray, " thresholds"] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Returns the scores of a set of hands.

    Args:
      errors: Errors of every joint, from `errors_of`.
      valid: Which of them count; all by default.
      kind: One of `KINDS`, for the unit and the thresholds.
      sample_ids: Equal for images of the same sample, which intervals count as one; by default
        every hand is a sample.
      thresholds: Thresholds of PCK and AUC; by default the kind's.
      resamples: Number of bootstrap resamples; 0 for no intervals.
      seed: Seed of the resamples.

    Raises:
      UserError: If `kind` is unknown, no joint is valid, or an error that counts is not finite.
    """
    measure = _kind(kind)
    thresholds = measure.thresholds if thresholds is None else thresholds
    valid = np.ones(errors.shape, bool) if valid is None else valid
    if not valid.any():
        raise UserError(f"nothing to score ({kind}): no joint of {len(errors)} hands is valid")
    if not np.isfinite(errors[valid]).all():
        raise UserError(f"errors to score ({kind}) must be finite numbers")
    sample_ids = np.arange(len(errors)) if sample_ids is None else sample_ids
    labelled = valid.any(1)
    errors, valid = errors[labelled].astype(np.float64), valid[labelled]
    samples, sample = np.unique(sample_ids[labelled], return_inverse=True)

    draws = bootstrap.resample(errors, valid, sample, thresholds, resamples, seed)
    pck = metrics.pck_curve(errors, thresholds, valid)
    joint_means = [_mean(errors[:, [joint]], valid[:, [joint]]) for joint in range(21)]
    finger_means = [_mean(errors[:, list(f)], valid[:, list(f)]) for f in FINGERS.values()]
    medians = [np.median(e[v]) for e, v in zip(errors.T, valid.T, strict=True) if v.any()]
    return Scores(
        kind=kind,
        unit=measure.unit,
        hands=len(errors),
        samples=len(samples),
        joints=int(valid.sum()),
        mean=bootstrap.interval(float(errors[valid].mean()), draws[:, 0]),
        median=float(np.mean(medians)),
        auc=bootstrap.interval(float(metrics.auc(pck, thresholds)), draws[:, 1]),
        thresholds=thresholds,
        pck=pck,
        per_joint=dict(zip(JOINT_NAMES, joint_means, strict=True)),
        per_finger=dict(zip(FINGERS, finger_means, strict=True)),
    )


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise UserError(f"unknown kind of error {name!r}: choose one of {', '.join(KINDS)}")
    return KINDS[name]


def _mean(errors: np.ndarray, valid: np.ndarray) -> float | None:
    return float(errors[valid].mean()) if valid.any() else None
