"""From the spread and the peak of heatmaps to the error to expect, in pixels."""

import dataclasses
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from peclr_jax.errors import UserError
from peclr_jax.models.heads import Localisation
from peclr_jax.specs import Between, NonNegativeInt, Spec

# Larger ones expect no error at all, or one beyond any image.
Coefficient = Annotated[float, Between(-50, 50)]
_ROUNDS = 50
_FEWEST_JOINTS = 100
# Errors of less than this, in halves of the view's side, are as good as none.
_SMALLEST = 1e-3


@dataclasses.dataclass(frozen=True)
class Calibration(Spec):
    """The mean 2D error of a joint, given what its heatmap looks like.

    It is exp(intercept) * spread^a * peak^b, in halves of the view's side, fitted on held-out
    images. Without a fit it is the spread itself, which orders estimates but is no error.

    Attributes:
      intercept, spread, peak: The logarithm's coefficients.
      joints: Held-out joints that it was fitted on; 0 for none.
    """

    intercept: Coefficient = 0.0
    spread: Coefficient = 1.0
    peak: Coefficient = 0.0
    joints: NonNegativeInt = 0

    def __call__(self, localisation: Localisation) -> Float[Array, "batch 21"]:
        """Returns the errors to expect, in halves of the view's side."""
        spread, peak = jnp.log(localisation.spread), jnp.log(localisation.peak)
        return jnp.exp(self.intercept + self.spread * spread + self.peak * peak)


def fit_calibration(
    localisation: Localisation,
    error: Float[np.ndarray, "hands 21"],
    valid: Bool[np.ndarray, "hands 21"],
) -> Calibration:
    """Fits a calibration: a regression of Gamma-distributed errors with a logarithmic link.

    Over the joints that it was fitted on, the mean ratio of errors to what is expected is one.

    Args:
      localisation: What the heatmaps look like.
      error: 2D errors, in halves of the view's side.
      valid: Which of them are known.

    Reference:
      McCullagh and Nelder, Generalized Linear Models, 1989, Sec. 8.
    """
    features = [np.log(np.asarray(array, np.float64)[valid]) for array in localisation]
    y = np.maximum(np.asarray(error, np.float64)[valid], _SMALLEST)
    if len(y) < _FEWEST_JOINTS:
        raise UserError(
            f"{len(y)} labelled joints are too few to calibrate on: name at least "
            f"{_FEWEST_JOINTS} that the network was not trained on"
        )
    x = np.stack([np.ones(len(y)), *features], axis=1)
    weights = np.array([np.log(y.mean()), 0.0, 0.0])
    for _ in range(_ROUNDS):
        mean = np.exp(x @ weights)
        weights = np.linalg.lstsq(x, x @ weights + (y - mean) / mean, rcond=None)[0]
    intercept, spread, peak = weights.tolist()
    return Calibration(intercept, spread, peak, len(y))


class Reliability(NamedTuple):
    """Joints of similar expected errors: the means of these and of the errors; their number."""

    expected: float
    measured: float
    joints: int


def reliability(
    expected: Float[np.ndarray, " joints"], measured: Float[np.ndarray, " joints"], bins: int = 10
) -> list[Reliability]:
    """Compares expected with measured errors, in bins of as many joints, from low to high.

    Args:
      expected: Errors to expect, of joints that the calibration was not fitted on.
      measured: Their errors, in the same unit.
      bins: How many; fewer if there are fewer joints.
    """
    parts = np.array_split(np.argsort(expected, kind="stable"), min(bins, len(expected)))
    return [
        Reliability(float(expected[part].mean()), float(measured[part].mean()), len(part))
        for part in parts
    ]
