"""The order of a hand's joints by their names, as label files give them.

"middle_pip", "MIDDLE_FINGER_PIP", "forefinger2", "r_pinky4", "index tip" and "right_wrist" are
understood: a finger, and which of its four joints from the palm on, by a number or by anatomy.
"""

import itertools
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from peclr_jax.hands import skeleton

_FINGERS = {
    "thumb": ("thumb",),
    "index": ("index", "fore", "pointer"),
    "middle": ("middle", "long"),
    "ring": ("ring",),
    "little": ("little", "pinky", "pinkie", "small"),
}
_ROOTS = ("wrist", "carpus", "root")
# From the palm on; a thumb has the first, second, fourth and fifth.
_ANATOMY = ("cmc", "mcp", "pip", "ip", "dip", "tip")
_JOINTS_A_FINGER = 4
# Fingers of "index1", "index2", "index3", "index_tip" end with the tip.
_BEHIND_NUMBERS = 1000


def find_order(names: Sequence[str]) -> Int[np.ndarray, "21"] | None:
    """Returns which of the named joints is each of ours, in our order.

    Args:
      names: Of the joints of one hand.

    Returns:
      None of names that do not tell: numbers, another language, not 21.
    """
    found = [joint for joint in map(_understood, names) if joint]
    if not len(names) == len(set(found)) == skeleton.NUM_JOINTS:
        return None
    fingers = [sorted(joint for joint in found if joint[0] == finger) for finger in _FINGERS]
    if any(len(finger) != _JOINTS_A_FINGER for finger in fingers):
        return None
    return np.array([found.index(joint) for joint in itertools.chain([("", 0)], *fingers)])


def _understood(name: str) -> tuple[str, int] | None:
    """Returns a joint's finger, "" for the wrist, and a number that grows from the palm on."""
    text = name.lower()
    fingers = [finger for finger, words in _FINGERS.items() if any(word in text for word in words)]
    if not fingers and any(root in text for root in _ROOTS):
        return "", 0
    words, numbers = re.findall("[a-z]+", text), re.findall("[0-9]+", text)
    # The last one that a word ends with, as "dip" ends with "ip".
    anatomy = [place for place, part in enumerate(_ANATOMY) if any(w.endswith(part) for w in words)]
    if len(fingers) != 1 or not (anatomy or numbers):
        return None
    return fingers[0], _BEHIND_NUMBERS + anatomy[-1] if anatomy else int(numbers[-1])
