"""Results of one experiment from several machines, together."""

import copy
import json
from contextlib import nullcontext

import pytest

from configs.experiments import table1
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.experiments import merging, page, summary
from peclr_jax.experiments.spec import ExperimentSpec

ERRORS = {"random": (5.0, 5.5, 6.0), "simclr": (4.0, 4.2, 4.1), "peclr": (3.0, 3.3, 3.2)}


def results(seeds, arms=("random", "simclr", "peclr"), recipe="cpu_long+photos"):
    """Returns results of Table 1 with some of its seeds and arms."""
    spec = specs.from_config(ExperimentSpec, table1.get_config("smoke"))
    found = {
        "experiment": "table1",
        "title": "Table 1",
        "claim": "c",
        "recipe": recipe,
        "data": "photographs",
        "network": "resnet18",
        "devices": "1 x cpu",
        "x_label": "",
        "versions": {"jax": "0.10.2"},
        "seeds": list(seeds),
        "figure": "bars",
        "paper": {},
        "metrics": ["epe_2d"],
        "compared": ["epe_2d"],
        "labelled_by": {},
        "photographs": {},
        "arms": {
            name: {
                "label": arm.label,
                "series": "",
                "x": 0.0,
                "seeds": {
                    str(seed): {"held_out": {"epe_2d": ERRORS[name][seed]}}
                    for seed in (seeds if name in arms else ())
                },
            }
            for name, arm in spec.arms.items()
        },
        "nothing": {"held_out": {"mean_pose": {"epe_2d": 9.0}}},
        "averaged": {
            "held_out": {
                "data": ["rendered"],
                "trained_on": [],
                "scaled_bone_m": None,
                "over": {"epe_2d": {"all 21 joints of 3 hands": True}},
            }
        },
        "equivariance": {},
    }
    found = summary.summarize(found, spec.comparisons, ["held_out"])
    return json.loads(json.dumps(found))  # as it is read


WHOLE = results((0, 1, 2))


def test_seeds_of_two_machines_are_those_of_one():
    parts = {"a": results((0,), recipe="cpu_long+photos+one_seed"), "b": results((1, 2))}
    assert merging.merge(parts) == merging.merge(dict(reversed(parts.items()))) == WHOLE
    compared = WHOLE["comparisons"]["held_out"]["equivariance"]["metrics"]["epe_2d"]
    assert compared["reduction"]["value"] == pytest.approx((1 / 4 + 0.9 / 4.2 + 0.9 / 4.1) / 3)
    assert compared["apart"]


def test_variants_may_have_been_named_in_another_order():
    parts = {
        "a": results((0,), recipe="cpu_long+course+photos"),
        "b": results((1, 2), recipe="cpu_long+photos+course"),
    }
    assert merging.merge(parts) == {**WHOLE, "recipe": "cpu_long+course+photos"}


def test_arms_of_two_machines_are_those_of_one():
    parts = {
        "a": results((0, 1, 2), arms=("random", "peclr")),
        "b": results((0, 1, 2), arms=("random", "simclr")),
    }
    assert "simclr, seed 1" in parts["a"]["unfinished"]
    assert merging.merge(parts) == WHOLE


def test_a_merged_page_says_on_what_each_part_ran(tmp_path):
    other = results((1, 2))
    other |= {"devices": "1 x H200", "versions": {"jax": "0.12.0"}}
    page.write(merging.merge({"a": results((0,)), "b": other}), tmp_path)
    said = (tmp_path / "results.md").read_text()
    assert "seeds 0, 1, 2; recipe `cpu_long+photos`; 1 x cpu, 1 x H200, jax 0.10.2, 0.12.0" in said
    assert (tmp_path / "held_out.png").is_file()


def changed(path, value):
    other = copy.deepcopy(results((1,)))
    *folders, name = path
    place = other
    for folder in folders:
        place = place[folder]
    place[name] = value
    return other


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (changed(["experiment"], "figure5"), "experiment"),
        (changed(["recipe"], "cpu"), "recipe"),
        (changed(["changed"], {"pretrain.num_steps": 3}), "fields that flags changed"),
        (changed(["photographs"], {"test": {}}), "photographs"),
        (changed(["nothing", "held_out", "mean_pose", "epe_2d"], 9.2), "mean pose on held_out"),
        (changed(["nothing"], {}), "mean pose on held_out"),
        (changed(["equivariance"], {"equivariance on held_out": {}}), "equivariance"),
        (
            changed(["arms", "peclr", "seeds", "0"], {"held_out": {"epe_2d": 2.0}}),
            "arm 'peclr' and seed 0",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(other, named):
    with pytest.raises(UserError, match=named):
        merging.merge({"a.json": results((0,)), "b.json": other})


@pytest.mark.parametrize(("error", "belongs"), [(2.02, True), (2.1, False)])
def test_the_mean_pose_of_few_labels_may_differ_the_mean_hand_not(error, belongs):
    parts = {"a.json": results((0,)), "b.json": results((1,))}
    baselines = {"mean_pose": {"epe_2d": 9.9}, "mean_hand": {"pa_epe": error}}
    parts["a.json"]["nothing"]["held_out"]["mean_hand"] = {"pa_epe": 2.0}
    parts["b.json"]["nothing"]["held_out"] = baselines
    with nullcontext() if belongs else pytest.raises(UserError, match="mean hand on held_out"):
        merging.merge(parts)


def test_an_arm_may_have_been_run_on_two_machines():
    arms = (("random", "peclr"), ("random", "simclr"))
    parts = {name: results((0, 1, 2), arms=ran) for name, ran in zip("ab", arms, strict=True)}
    for numbers in parts["b"]["arms"]["random"]["seeds"].values():
        numbers |= {"seconds": [2.0], "workdirs": ["elsewhere"]}  # of an earlier version
    assert merging.merge(parts) == WHOLE


def test_arms_that_flags_have_changed_are_not_merged():
    parts = {"a": results((0,)), "b": results((1,))}
    parts["a"]["arms"]["peclr"]["trainings"] = "1"
    merging.merge(parts)  # earlier versions did not say it
    parts["b"]["arms"]["peclr"]["trainings"] = "2"
    with pytest.raises(UserError, match="b has the arm 'peclr' trained with other fields"):
        merging.merge(parts)
