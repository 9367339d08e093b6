"""The table of an evaluation: what stands beside each number."""

import numpy as np
import pytest
from rich.console import Console

from peclr_jax.hands import scores
from peclr_jax.pages.scores import ROWS, curve_label, describe_averages, scores_table


def score(kind, valid):
    return scores.score(np.full(valid.shape, 0.02), valid, kind=kind, resamples=0).to_dict()


@pytest.fixture
def result():
    every, tips = np.ones((4, 21), bool), np.zeros((4, 21), bool)
    tips[:, [4, 8, 12, 16, 20]] = True
    nothing = dict.fromkeys(ROWS)
    return {
        "data": "dexter_object (test)",
        "hands": 4,
        "crop": "box",
        "prediction": nothing | {"3d": score("3d", tips), "2d": score("2d", every)},
        "mean_pose": nothing | {"2d": score("2d", every[:3])},
        "mean_hand": nothing,
    }


def test_joints_stand_beside_numbers(result):
    console = Console(record=True, width=80)
    console.print(scores_table(result))
    lines = console.export_text().splitlines()
    (in_space,) = [line for line in lines if "3D EPE" in line]
    (in_image,) = [line for line in lines if "2D EPE" in line]
    assert in_space.split()[-1] == "5"
    assert in_image.split()[-2:] == ["21", "0.02*"]
    caption = " ".join(" ".join(lines).split())
    assert "* over other hands or joints than the network's" in caption


def test_what_means_are_over(result):
    assert describe_averages(result["prediction"]) == [
        "3D EPE: over 5 of 21 joints (the fingertips) of 4 hands. Compare it only with means over "
        "the same joints.",
        "2D EPE, image px: over all 21 joints of 4 hands.",
    ]
    result["prediction"]["3d"] = None
    assert describe_averages(result["prediction"]) == ["Means are over all 21 joints of 4 hands."]


def test_curves_say_of_how_many_joints_they_are(result):
    assert curve_label("2D", result["prediction"]["2d"]) == "2D"
    assert curve_label("3D", result["prediction"]["3d"]) == "3D, 5 of 21 joints"
