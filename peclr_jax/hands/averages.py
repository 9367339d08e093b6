"""What a mean error is over: how many hands, and which of their joints."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from peclr_jax.hands.skeleton import FINGERTIPS, JOINT_NAMES, NUM_JOINTS

COMPARE = "Compare it only with means over the same joints."
"""What belongs to a mean over fewer joints than all."""
_NAMED_AT_MOST = 6


class Average(NamedTuple):
    """What a mean is over.

    Attributes:
      hands: With a joint that counts.
      joints: That count, of all hands.
      names: The joints that count of any hand, in order.
    """

    hands: int
    joints: int
    names: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all joints of every hand count."""
        return self.joints == NUM_JOINTS * self.hands

    @property
    def joints_a_hand(self) -> str:
        """The mean number of joints that count of a hand: "21", "12.3"."""
        return f"{self.joints / max(self.hands, 1):.3g}"

    def __str__(self) -> str:
        hands = f"{self.hands:,} hand{'s'[: self.hands != 1]}"
        if self.is_complete:
            return f"all {NUM_JOINTS} joints of {hands}"
        if self.joints == self.hands * len(self.names):
            return f"{len(self.names)} of {NUM_JOINTS} joints ({_named(self.names)}) of {hands}"
        some = f"{self.joints_a_hand} of {NUM_JOINTS} joints a hand, on average, of {hands}"
        return some if len(self.names) == NUM_JOINTS else f"{some} ({_named(self.names)})"


def average_of(valid: Bool[np.ndarray, "hands 21"]) -> Average:
    """Returns what a mean over valid joints is over."""
    counts = np.asarray(valid.any(0)).tolist()
    names = [name for name, known in zip(JOINT_NAMES, counts, strict=True) if known]
    return Average(int(valid.any(1).sum()), int(valid.sum()), tuple(names))


def average_in(scores: Mapping[str, Any]) -> Average:
    """Returns the same of what `Scores.to_dict` holds."""
    names = (name for name, mean in scores["per_joint"].items() if mean is not None)
    return Average(scores["hands"], scores["joints"], tuple(names))


def _named(names: Sequence[str]) -> str:
    if list(names) == [JOINT_NAMES[joint] for joint in FINGERTIPS]:
        return "the fingertips"
    lacking = [name for name in JOINT_NAMES if name not in names]
    if len(names) <= _NAMED_AT_MOST:
        return ", ".join(names)
    if len(lacking) <= _NAMED_AT_MOST:
        return f"all but {', '.join(lacking)}"
    return f"{', '.join(names[:_NAMED_AT_MOST])}, ..."
