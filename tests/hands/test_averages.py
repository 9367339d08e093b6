"""What means are over, in words and as numbers."""

import numpy as np
import pytest

from peclr_jax.hands import scores
from peclr_jax.hands.averages import average_in, average_of
from peclr_jax.hands.skeleton import FINGERTIPS, WRIST


def known(*joints, hands=3):
    valid = np.zeros((hands, 21), bool)
    valid[:, list(joints)] = True
    return valid


def holed():
    valid = known(*range(21), hands=4)
    valid[0, :10] = False
    return valid


@pytest.mark.parametrize(
    ("valid", "words"),
    [
        (known(*range(21)), "all 21 joints of 3 hands"),
        (known(*range(21), hands=3960), "all 21 joints of 3,960 hands"),
        (known(WRIST), "1 of 21 joints (wrist) of 3 hands"),
        (known(*FINGERTIPS, hands=1), "5 of 21 joints (the fingertips) of 1 hand"),
        (known(*range(1, 21)), "20 of 21 joints (all but wrist) of 3 hands"),
        (holed(), "18.5 of 21 joints a hand, on average, of 4 hands"),
        (np.vstack([known(WRIST), known(WRIST, 9)]), "1.5 of 21 joints a hand, on average, of 6 "),
        (np.vstack([known(WRIST), known(hands=5)]), "1 of 21 joints (wrist) of 3 hands"),
    ],
)
def test_words(valid, words):
    assert str(average_of(valid)).startswith(words)
    assert average_of(valid).is_complete == words.startswith("all")


@pytest.mark.parametrize("valid", [known(*range(21)), known(*FINGERTIPS), holed()])
def test_the_same_is_found_in_scores(valid):
    found = scores.score(np.ones(valid.shape), valid, kind="2d", resamples=0).to_dict()
    assert average_in(found) == average_of(valid)
    assert found["averaged_over"] == str(average_of(valid))
