import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.hands import skeleton
from peclr_jax.labels.joint_names import find_order

FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
MEDIAPIPE = ["WRIST", *(f"THUMB_{part}" for part in ("CMC", "MCP", "IP", "TIP"))] + [
    f"{finger}_{part}"
    for finger in ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
    for part in ("MCP", "PIP", "DIP", "TIP")
]
SPELLINGS = {
    "ours": list(skeleton.JOINT_NAMES),
    "MediaPipe": MEDIAPIPE,
    "numbers": ["right_wrist", *(f"r_{f}{n}" for f in FINGERS for n in range(1, 5))],
    "from 0, joined": ["carpus", *(f"{f.replace('_', '')}{n}" for f in FINGERS for n in range(4))],
    "numbers and tips": [
        "Hand Root",
        *(f"{f} {n}" for f in FINGERS for n in ("1", "2", "3", "tip L")),
    ],
}


@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
@given(order=st.permutations(range(21)))
def test_joints_are_found_by_their_names(names, order):
    found = find_order([names[joint] for joint in order])
    np.testing.assert_array_equal(np.array(order)[found], np.arange(21))


@pytest.mark.parametrize(
    "names",
    [
        [],
        [str(number) for number in range(1, 22)],
        MEDIAPIPE[:20],
        [*MEDIAPIPE[:20], "elbow"],
        [*MEDIAPIPE[:20], "wrist"],
        [*MEDIAPIPE[:20], "thumb_5"],
        [*MEDIAPIPE, "elbow"],
        ["palm", *MEDIAPIPE[1:]],
        [*MEDIAPIPE[:20], "ring and thumb tip"],
    ],
)
def test_names_that_do_not_tell(names):
    assert find_order(names) is None
