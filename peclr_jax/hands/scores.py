"""What a set of hands scores: mean, median, PCK, AUC, per joint and per finger, with intervals.

    errors, valid = scores.errors_of(predicted, target, valid, kind="pa")
    report = scores.score(errors, valid, kind="pa", sample_ids=sample_ids)
    json.dumps(report.to_dict())

Only the errors of a data set need to be kept, a few hundred bytes a hand. NumPy and float64
throughout.
"""

import dataclasses
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from peclr_jax.errors import UserError
from peclr_jax.hands import metrics
from peclr_jax.hands.skeleton import FINGERS, JOINT_NAMES, MIDDLE_MCP, WRIST

CONFIDENCE = 0.95
"""Of the intervals: the share of resampled data sets whose value lies within."""

# Draws of one chunk of resamples, which bounds the memory of the bootstrap to tens of megabytes.
_DRAWS_AT_ONCE = 2_000_000


class Kind(NamedTuple):
    """One way to measure the error of a hand.

    Attributes:
      unit: "m" or "px".
      thresholds: Of PCK and AUC, in that unit.
      align: Moves the prediction (hands, joints, dim) onto the target, given which joints are
        valid.
      needs: Joints without which a hand cannot be aligned.
      at_least: How many valid joints the alignment needs; fewer always fit.
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


class Interval(NamedTuple):
    """A value and its bootstrap interval, whose ends are None where one sample leaves none."""

    value: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Scores:
    """What `score` found.

    Attributes:
      kind: One of `KINDS`.
      unit: Of the errors, "m" or "px".
      hands: Hands with a valid joint.
      samples: Unique samples among them.
      joints: Valid joints of all hands.
      mean: Mean error over all valid joints: EPE, PA-EPE.
      median: Mean over the joints of the median over the hands, as FreiHAND's evaluation.
      auc: Area under the PCK curve.
      thresholds: Of the PCK curve.
      pck: Fraction of the errors at most the threshold, mean over the joints.
      per_joint: Mean error by joint name; None where no hand has the joint.
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
        """Returns the same as numbers, strings, lists and dictionaries, fit for JSON."""
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
    """Returns the error of every joint after the alignment that `kind` stands for.

    Args:
      predicted: Camera space in metres, or pixels for "2d".
      target: The true joints.
      valid: Which joints are labelled; all by default.
      kind: One of `KINDS`.

    Returns:
      The errors in float64, 0 where not valid, and which of them count: a hand that lacks the
      joints its alignment needs has none.

    Raises:
      UserError: `kind` is unknown, or a joint that counts is not finite.
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
    # What stands under a false mask may be anything.
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
    """Sums up the errors of a set of hands.

    The intervals are percentiles of the bootstrap (Efron 1979): data sets of as many unique samples
    are drawn with replacement. The images of one sample (the same hand before other backgrounds)
    are drawn together, since they are no independent evidence.

    Args:
      errors: Of every joint, as `errors_of` returns them.
      valid: Which of them count; all by default.
      kind: One of `KINDS`, for the unit and the thresholds.
      sample_ids: Equal for images of the same sample; by default every hand is its own.
      thresholds: Of PCK and AUC instead of the kind's own.
      resamples: Data sets to draw; 0 for no intervals.
      seed: Of the draws.

    Raises:
      UserError: `kind` is unknown, no joint is valid, or an error that counts is not finite.
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

    credit = _auc_credit(errors, thresholds)
    sums = _sums_by_sample(errors, credit, valid, sample)
    draws = _bootstrap(sums, resamples, seed)
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
        mean=_interval(float(errors[valid].mean()), draws[:, 0]),
        median=float(np.mean(medians)),
        auc=_interval(float(metrics.auc(pck, thresholds)), draws[:, 1]),
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


def _auc_credit(
    errors: Float[np.ndarray, "hands 21"], thresholds: Float[np.ndarray, " thresholds"]
) -> Float[np.ndarray, "hands 21"]:
    """Returns what each joint adds to the area under the PCK curve.

    The area is linear in the joints: a joint's mean credit is its AUC, so that the bootstrap needs
    no curve for every resample.
    """
    steps = np.diff(thresholds)
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2 / steps.sum()
    at_least = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    return at_least[np.searchsorted(thresholds, errors, side="left")]


class _Sums(NamedTuple):
    """Of each unique sample, over its images: errors, AUC credits and valid joints."""

    errors: Float[np.ndarray, " samples"]
    credits: Float[np.ndarray, "samples 21"]
    counts: Float[np.ndarray, "samples 21"]


def _sums_by_sample(
    errors: np.ndarray, credit: np.ndarray, valid: np.ndarray, sample: np.ndarray
) -> _Sums:
    def total(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((sample.max() + 1, values.shape[1]))
        np.add.at(sums, sample, np.where(valid, values, 0.0))
        return sums

    return _Sums(total(errors).sum(1), total(credit), total(valid))


def _bootstrap(sums: _Sums, resamples: int, seed: int) -> Float[np.ndarray, "resamples 2"]:
    """Returns mean error and AUC of data sets that are drawn from the samples."""
    number = len(sums.errors)
    if number < 2:
        return np.empty((0, 2))
    generator = np.random.default_rng(seed)
    table = np.concatenate([sums.errors[:, None], sums.credits, sums.counts], axis=1)
    results = []
    for remaining in range(resamples, 0, -max(_DRAWS_AT_ONCE // number, 1)):
        rows = min(remaining, max(_DRAWS_AT_ONCE // number, 1))
        drawn = generator.integers(number, size=(rows, number))
        drawn += np.arange(rows)[:, None] * number
        times = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        total = times.astype(np.float64) @ table
        errors, credits, counts = total[:, 0], total[:, 1:22], total[:, 22:]
        mean = errors / counts.sum(1)
        area = (credits / np.maximum(counts, 1)).sum(1) / (counts > 0).sum(1)
        results.append(np.stack([mean, area], axis=1))
    return np.concatenate(results) if results else np.empty((0, 2))


def _interval(value: float, draws: Float[np.ndarray, " resamples"]) -> Interval:
    if not len(draws):
        return Interval(value, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
