import dataclasses
import math

import pytest

from peclr_jax.errors import FieldError, UserError
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.prediction.spec import (
    PredictSpec,
    bone_length_of,
    describe,
    largest_error_of,
    options_of,
    where_to_search,
)
from tests.marked_photos import BONE, mark_finder

SPEC = PredictSpec()


def test_formats_are_checked_with_the_other_fields():
    with pytest.raises(FieldError, match="unknown format"):
        PredictSpec(formats="xml")


def test_the_bone_length_is_given_or_the_networks():
    assert bone_length_of(SPEC, mark_finder()) == BONE
    assert bone_length_of(PredictSpec(bone_length_m=0.04), mark_finder()) == 0.04
    with pytest.raises(UserError, match="bone_length_m"):
        bone_length_of(SPEC, dataclasses.replace(mark_finder(), statistics=LabelStatistics()))


@pytest.mark.parametrize(
    ("spec", "unsure", "where"),
    [
        (SPEC, True, "auto"),
        (PredictSpec(hands=2), True, "windows"),
        (PredictSpec(hands=2, search="center"), True, "center"),
        (PredictSpec(search="windows"), False, "center"),
    ],
)
def test_only_networks_that_tell_an_error_search(spec, unsure, where):
    network = mark_finder(unsure=unsure)
    assert where_to_search(spec, network) == options_of(spec, network).search == where


def test_errors_that_are_not_calibrated_rule_nothing_out():
    network = mark_finder(unsure=True)
    assert largest_error_of(SPEC, network) == SPEC.largest_error
    network = dataclasses.replace(network, calibration=Calibration())
    assert largest_error_of(SPEC, network) == math.inf


@pytest.mark.parametrize(
    ("spec", "unsure", "said"),
    [
        (SPEC, True, ["calibrated on hands", "as a right and as a left one"]),
        (SPEC, False, ["no confidence", "cannot tell"]),
        (PredictSpec(handedness="left"), False, ["no confidence"]),
    ],
)
def test_the_notes_are_those_that_are_true(spec, unsure, said):
    notes = describe(spec, mark_finder(unsure=unsure), BONE)["notes"][2:]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))
