"""What the variants of experiments make of their arms, and how the data are called."""

import pytest

from peclr_jax.errors import UserError
from peclr_jax.experiments import plan as plans
from tests.experiments.test_plan import FILES, make


@pytest.mark.parametrize("file", [file for file in FILES if file != "real_photos"])
def test_on_freihand_nothing_is_evaluated_on_what_is_trained_on(file):
    spec = make(file, "cpu+freihand")
    trained = set(spec.finetune.data.split.split("+"))
    for name, evaluation in spec.evaluations.items():
        if not evaluation.data.names:
            assert evaluation.split not in trained, name


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        ("cpu", [25, 50, 100, 200]),
        ("cpu_long", [500, 1000, 2000, 4000]),
        ("cpu_long+four_times", [2000, 4000, 8000, 16000]),
        ("gpu", [320, 640, 1280, 2560]),
        ("gpu+four_times", [1280, 2560, 5120, 10240]),
    ],
)
def test_a_course_is_of_eighths_and_of_the_end(recipe, steps):
    spec = make("table1", f"{recipe}+course")
    arms = [arm for arm in spec.arms.values() if arm.series.startswith("PeCLR")]
    assert [arm.x for arm in arms] == steps
    assert [arm.step for arm in arms] == [*steps[:-1], 0]
    assert spec.pretrain.num_steps == steps[-1]
    assert all(step % spec.pretrain.checkpoint.every_steps == 0 for step in steps)
    plans.plan(spec)  # which checks that these checkpoints are kept


@pytest.mark.parametrize("length", [{"num_steps": 400}, {"num_steps": 0, "num_epochs": 40.0}])
def test_a_course_is_of_the_steps_of_its_recipe(length):
    fields = {f"pretrain__{name}": value for name, value in length.items()}
    spec = make("figure7", "cpu+course", **fields)
    with pytest.raises(UserError, match=r"is to be shown after 200 steps, but its pre-training"):
        plans.plan(spec)


def test_arms_that_are_not_pre_trained_are_levels_beside_a_course():
    arms = make("figure6", "cpu+course").arms.values()
    assert {(arm.series, arm.x) for arm in arms if not arm.pretrained} == {("", 0.0)}


@pytest.mark.parametrize("variant", ["course", "four_times"])
@pytest.mark.parametrize("recipe", ["gpu", "gpu+photos"])
def test_arms_of_other_lengths_have_no_course(recipe, variant):
    with pytest.raises(UserError, match=f"has no variant '{variant}' where the length"):
        make("figure6", f"{recipe}+{variant}", photos="DIR")


@pytest.mark.parametrize(
    ("file", "recipe", "name"),
    [
        (
            "table4",
            "paper",
            "HO-3D v2, by networks pre-trained on FreiHAND and YouTube3DHands and fine-tuned on "
            "HO-3D v2",
        ),
        (
            "table3",
            "cpu",
            "FreiHAND and YouTube3DHands, by networks pre-trained on rendered hands before green "
            "screens and fine-tuned on rendered hands before clutter",
        ),
        (
            "table5",
            "cpu+freihand",
            "Dexter+Object, by networks pre-trained on FreiHAND and YouTube3DHands and fine-tuned "
            "on FreiHAND",
        ),
        ("figure9_10", "cpu", "rendered hands before green screens"),
        ("figure9_10", "cpu+freihand", "FreiHAND"),
        (
            "figure6",
            "cpu+photos",
            "rendered hands before green screens, before clutter, and photographs",
        ),
    ],
)
def test_data_are_called_what_they_are(file, recipe, name):
    assert make(file, recipe).data_name == name


def test_what_the_paper_says_stands_where_it_says_it():
    # Sec. 4.5 is of ResNet-152; Sec. 9, of ResNet-50, does not say so.
    assert make("figure6", "paper").comparisons["efficiency"].paper == "almost on par (Sec. 4.5)"
    assert make("figure8", "paper").comparisons["efficiency"].paper == ""
    # Sec. 11 is of equivariance, not of errors.
    assert make("figure9_10", "paper").comparisons["equivariance"].paper == ""
    # Its 2D errors are in pixels of views of 128.
    assert make("table1", "paper").paper
    assert make("table1", "gpu").paper
    assert not make("table1", "cpu").paper


def test_3d_errors_are_compared_where_they_are_measured():
    for file in ("table1", "figure5", "figure7"):
        assert make(file, "paper").compared[0] == "epe_3d"
        assert "epe_3d" not in make(file, "cpu").compared


def test_networks_of_one_depth_may_be_given_another():
    spec = make("table3", "paper", pretrain__model__architecture="resnet18")
    depths = {run.trainings[0].spec.model.architecture for run in plans.plan(spec)}
    assert depths == {"resnet18"}
