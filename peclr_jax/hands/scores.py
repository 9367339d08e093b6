"""Scores of a set of hands: mean, median, PCK, AUC, per joint and per finger, with intervals.

    errors, valid = scores.errors_of(predicted, target, valid, kind="pa")
    report = scores.score(errors, valid, kind="pa", sample_ids=sample_ids)
    json.dumps(report.to_dict())

Only the errors of a data set need to be kept, a few hundred bytes per hand. NumPy and float64
throughout.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from peclr_jax.errors import UserError
from peclr_jax.hands import bootstrap, metrics
from peclr_jax.hands.averages import average_of
from peclr_jax.hands.bootstrap import CONFIDENCE, Interval
from peclr_jax.hands.skeleton import FINGERS, JOINT_NAMES, MIDDLE_MCP, WRIST

VERSION = 3
"""Of what metrics.json holds and means: experiments measure again what an earlier one has measured.

2: errors after Procrustes of all hands with joints in space; `2d_224`; `auc_50cm`. 3: pixels of the
labelled hand's view with two passes, too; the mean pose at its true depth whatever the bone length.
"""


class Kind(NamedTuple):
    """One way to measure the error of a hand.

    Attributes:
      align: Moves predicted joints onto true ones, given which are valid.
      needs: Joints without which a hand cannot be aligned.
      at_least: Number of valid joints that the alignment needs; fewer would always fit.
      unit, thresholds: "m" or "px", and thresholds of PCK and AUC in that unit.
    """

    align: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    needs: tuple[int, ...] = ()
    at_least: int = 1
    unit: str = "m"
    thresholds: np.ndarray = metrics.THRESHOLDS


KINDS = MappingProxyType(
    {
        "3d": Kind(lambda p, t, valid: p),
        "root_aligned": Kind(lambda p, t, valid: metrics.root_align(p, t), (WRIST,), at_least=2),
        "scale_aligned": Kind(lambda p, t, valid: metrics.scale_align(p, t), (WRIST, MIDDLE_MCP)),
        "pa": Kind(metrics.procrustes_align, at_least=3),
        "pa_proper": Kind(partial(metrics.procrustes_align, reflection=False), at_least=3),
        "2d": Kind(lambda p, t, valid: p, unit="px", thresholds=metrics.THRESHOLDS_2D),
    }
)
"""As predicted, with the wrist on the true one, with the wrist and the palm's length so (HO-3D),
after Procrustes with reflection (FreiHAND) and without (official PeCLR), and in the image."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of a set of hands.

    Attributes:
      kind, unit: One of `KINDS`, and the unit of the errors, "m" or "px".
      hands, samples: Numbers of hands with a valid joint, and of unique samples among them.
      joints: Number of valid joints of all hands.
      averaged_over: Which joints of how many hands these are, in words.
      mean: Mean error over all valid joints: EPE, PA-EPE.
      median: Mean over the joints of the median over the hands, as FreiHAND's evaluation.
      auc, thresholds: Area under the PCK curve, and the curve's thresholds.
      auc_50cm: The same over 0 to 50 cm as the official PeCLR repository has it, which is what fits
        the paper's Table 1; without an interval. None in pixels.
      pck: Fraction of the errors that are at most the threshold, mean over the joints.
      per_joint: Mean error by joint name; `None` where no hand has the joint.
      per_finger: Mean error over the four joints of a finger; the wrist belongs to none.
    """

    kind: str
    unit: str
    hands: int
    samples: int
    joints: int
    averaged_over: str
    mean: Interval
    median: float
    auc: Interval
    auc_50cm: Interval | None
    thresholds: Float[np.ndarray, " thresholds"]
    pck: Float[np.ndarray, " thresholds"]
    per_joint: dict[str, float | None]
    per_finger: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as numbers, strings, lists and dictionaries, fit for JSON."""
        names = ("mean", "auc", "auc_50cm")
        intervals = {n: None if (i := getattr(self, n)) is None else i._asdict() for n in names}
        arrays = {"thresholds": self.thresholds.tolist(), "pck": self.pck.tolist()}
        return vars(self) | intervals | arrays | {"confidence": CONFIDENCE}


def errors_of(
    predicted: Float[Array | np.ndarray, "hands 21 dim"],
    target: Float[Array | np.ndarray, "hands 21 dim"],
    valid: Shaped[Array | np.ndarray, "hands 21"] | None = None,
    *,
    kind: str,
) -> tuple[Float[np.ndarray, "hands 21"], Bool[np.ndarray, "hands 21"]]:
    """Returns the error of every joint after the alignment of a kind, and which errors count.

    Errors are 0 where a joint is not valid; none counts of a hand that lacks the joints its
    alignment needs.

    Args:
      predicted: Camera space in metres, or pixels for "2d".
      target: The true joints.
      valid: Which joints are labelled, as truths or as ones and zeros; all by default.
      kind: One of `KINDS`.
    """
    measure = _kind(kind)
    predicted, target = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    labelled = np.ones(target.shape[:2], bool) if valid is None else np.asarray(valid, bool)
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
    valid: Shaped[np.ndarray, "hands 21"] | None = None,
    *,
    kind: str,
    sample_ids: Shaped[np.ndarray, " hands"] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Returns the scores of a set of hands.

    Args:
      errors: Errors of every joint, from `errors_of`.
      valid: Which of them count, as truths or as ones and zeros; all by default.
      kind: One of `KINDS`, for the unit and the thresholds.
      sample_ids: Equal for images of one sample; by default every hand is a sample.
      resamples: Number of bootstrap resamples; 0 for no intervals.
      seed: Seed of the resamples.
    """
    measure = _kind(kind)
    # Ones and zeros of another type would be taken for numbers of hands.
    valid = np.ones(errors.shape, bool) if valid is None else np.asarray(valid, bool)
    if not valid.any():
        raise UserError(f"nothing to score ({kind}): no joint of {len(errors)} hands is valid")
    if not np.isfinite(errors[valid]).all():
        raise UserError(f"errors to score ({kind}) must be finite numbers")
    sample_ids = np.arange(len(errors)) if sample_ids is None else sample_ids
    labelled = valid.any(1)
    errors, valid = errors[labelled].astype(np.float64), valid[labelled]
    samples, sample = np.unique(sample_ids[labelled], return_inverse=True)
    thresholds = measure.thresholds

    def mean_of(joints: Sequence[int]) -> float | None:
        counted = errors[:, joints][valid[:, joints]]
        return float(counted.mean()) if len(counted) else None

    draws = bootstrap.resample(errors, valid, sample, thresholds, resamples, seed)
    pck = metrics.pck_curve(errors, thresholds, valid)
    wide = metrics.THRESHOLDS_50CM
    within = metrics.pck_curve(errors, wide, valid, strict=True)
    auc_50cm = Interval(float(metrics.auc(within, wide)), None, None)
    medians = [np.median(e[v]) for e, v in zip(errors.T, valid.T, strict=True) if v.any()]
    return Scores(
        kind=kind,
        unit=measure.unit,
        hands=len(errors),
        samples=len(samples),
        joints=int(valid.sum()),
        averaged_over=str(average_of(valid)),
        mean=bootstrap.interval(float(errors[valid].mean()), draws[:, 0]),
        median=float(np.mean(medians)),
        auc=bootstrap.interval(float(metrics.auc(pck, thresholds)), draws[:, 1]),
        auc_50cm=auc_50cm if measure.unit == "m" else None,
        thresholds=thresholds,
        pck=pck,
        per_joint={name: mean_of([joint]) for joint, name in enumerate(JOINT_NAMES)},
        per_finger={name: mean_of(joints) for name, joints in FINGERS.items()},
    )


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise UserError(f"unknown kind of error {name!r}: choose one of {', '.join(KINDS)}")
    return KINDS[name]
