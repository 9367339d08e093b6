"""Recipes of what is asked of a network, and impossible questions."""

import pytest

from configs import equivariance, evaluate, predict, submission
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.networks.spec import EquivarianceSpec, EvaluateSpec
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.tasks.submission import SubmissionSpec


@pytest.mark.parametrize(
    ("file", "cls"),
    [
        (evaluate, EvaluateSpec),
        (equivariance, EquivarianceSpec),
        (predict, PredictSpec),
        (submission, SubmissionSpec),
    ],
)
def test_recipes_are_specs(file, cls):
    assert specs.from_config(cls, file.get_config()) == cls()
    with pytest.raises(UserError, match=r"has no recipe 'nonsense'; it has \['"):
        file.get_config("nonsense")


@pytest.mark.parametrize(
    ("cls", "field", "value", "message"),
    [
        (EvaluateSpec, "crop", "hand", "crop is 'hand'"),
        (EvaluateSpec, "bone_length", "3", "bone_length is '3'"),
        (EvaluateSpec, "batch_size", 0, r"batch_size must lie in \[1, 65536\], got 0"),
        (EvaluateSpec, "resamples", -1, r"resamples must lie in \[0, 1000000\]"),
        (EvaluateSpec, "data.rendered.held_out", -1, r"data\.rendered\.held_out must be zero or"),
        (EquivarianceSpec, "rotation_step_deg", 0.0, "rotation_step_deg must be positive"),
        (EquivarianceSpec, "rotation_step_deg", 30.0, r"deg is 80\.0, no multiple of .*deg=30\.0"),
        (EquivarianceSpec, "images", -1, "images must be zero or more"),
    ],
)
def test_impossible_questions(cls, field, value, message):
    with pytest.raises(UserError, match=message):
        specs.changed(cls(), {field: value}, "--config")


@pytest.mark.parametrize("step", [0.1, 0.8, 1.6, 80.0])
def test_multiples_need_not_be_exact_in_binary(step):
    assert EquivarianceSpec(rotation_step_deg=step).rotation_step_deg == step
