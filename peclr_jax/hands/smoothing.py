"""The one-euro filter: smooth where a signal is slow, without delay where it is fast.

Reference:
  Casiez, Roussel, Vogel, 1 Euro Filter, CHI 2012.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Of the low-pass filter of the speed, Hz: the authors' value.
_SPEED_CUTOFF = 1.0


class OneEuro(NamedTuple):
    """Settings of the filter.

    Attributes:
      min_cutoff: Cutoff frequency at rest, Hz; the lower, the smoother.
      beta: By how much the cutoff rises with the speed, Hz per unit a second; the higher, the less
        the result lags behind.
    """

    min_cutoff: float = 1.0
    beta: float = 0.5


class Smoothed(NamedTuple):
    """The filter's state after a sample.

    Attributes:
      time: Of the sample, seconds.
      value: The smoothed signal.
      speed: The smoothed rate of change, units a second.
    """

    time: float
    value: Float[np.ndarray, "..."]
    speed: Float[np.ndarray, "..."]


def follow(
    settings: OneEuro,
    last: Smoothed | None,
    time: float,
    value: Float[np.ndarray, "..."],
    unit: float = 1.0,
) -> Smoothed:
    """Takes in a sample; every entry is filtered on its own.

    Args:
      settings: Of the filter.
      last: State after the sample before; None for the first, which is kept as it is.
      time: Of the sample, seconds; one that is not later than the last is taken in as it is.
      value: The sample.
      unit: Of the speed that `beta` counts, in the signal's units: the size of what moves.
    """
    if last is None or not (seconds := time - last.time) > 0:
        return Smoothed(time, value, np.zeros_like(value))
    # Between raw samples and the smoothed one before, as in the authors' code.
    speed = (value - last.value) / seconds
    speed = last.speed + _weight(_SPEED_CUTOFF, seconds) * (speed - last.speed)
    cutoff = settings.min_cutoff + settings.beta * np.abs(speed) / unit
    return Smoothed(time, last.value + _weight(cutoff, seconds) * (value - last.value), speed)


def _weight(
    cutoff: Float[np.ndarray, "..."] | float, seconds: float
) -> Float[np.ndarray, "..."] | float:
    """Returns the share of a new sample in a low-pass filter."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
