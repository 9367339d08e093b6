"""What is gathered from the files of finished runs."""

import dataclasses
import json

import pytest

from configs.experiments import table1
from peclr_jax import specs
from peclr_jax.experiments import plan as plans
from peclr_jax.experiments import results
from peclr_jax.experiments.spec import ExperimentSpec
from tests.experiments.test_plan import make


@pytest.fixture
def spec(tmp_path):
    config = table1.get_config("smoke")
    config.seeds = (0, 1)
    config.networks_dir = str(tmp_path)
    return specs.from_config(ExperimentSpec, config)


def finish(run, pixels):
    """Writes what the trainings and the evaluation of a run leave behind."""
    for training in run.trainings:
        training.workdir.mkdir(exist_ok=True)
    (evaluation,) = run.evaluations.values()
    evaluation.workdir.mkdir(parents=True)
    counts = {"hands": 3, "joints": 3, "per_joint": {"wrist": 1.0, "thumb_cmc": None}}
    scores = {
        name: {"2d_view": {"mean": {"value": value}, **counts}, "pa": None}
        for name, value in (("prediction", pixels), ("mean_pose", 9.0), ("mean_hand", 8.0))
    }
    scores["data"] = "ho3d/v2 (evaluation)"
    if pixels == 2.0:
        scores["trained_on"] = "the network was trained on them"
    (evaluation.workdir / "metrics.json").write_text(json.dumps(scores))


def test_means_comparisons_and_what_is_missing(spec):
    runs = {(run.arm, run.seed): run for run in plans.plan(spec)}
    finished = [runs["simclr", 0], runs["peclr", 0], runs["simclr", 1], runs["peclr", 1]]
    for run, pixels in zip(finished, (4.0, 3.0, 4.0, 2.0), strict=True):
        finish(run, pixels)
    moved = {
        "equivariance": {
            seed: {"improvement_percent": {"mean_rotation": 10.0, "mean_translation": gain}}
            for seed, gain in ((0, 5.0), (1, None))
        }
    }
    found = results.collect(spec, finished, moved)
    assert found["network"] == "resnet18 of width 4 at 16 px"
    assert found["arms"]["peclr"]["mean"]["held_out"]["epe_2d"]["value"] == 2.5
    assert found["arms"]["peclr"]["seeds"]["1"] == {"held_out": {"epe_2d": 2.0}}
    assert found["arms"]["random"] == {
        "label": "random encoder",
        "series": "",
        "x": 0.0,
        "trainings": plans.recipe_digest(runs["random", 0]),
        "seeds": {},
        "mean": {},
    }
    assert found["unfinished"] == ["random, seed 0", "random, seed 1"]
    assert found["averaged"]["held_out"] == {
        "data": ["ho3d/v2 (evaluation)"],
        "over": {"epe_2d": {"1 of 21 joints (wrist) of 3 hands": False}},
        "trained_on": ["the network was trained on them"],
        "scaled_bone_m": None,
    }
    assert found["nothing"]["held_out"]["mean_pose"] == {"epe_2d": 9.0}
    shown = {name: row["shown"] for name, row in found["comparisons"]["held_out"].items()}
    assert shown == {"equivariance": True, "simclr_taught": False, "peclr_taught": False}
    compared = found["comparisons"]["held_out"]["equivariance"]["metrics"]["epe_2d"]
    assert compared["reduction"]["value"] == pytest.approx((0.25 + 0.5) / 2)
    # A baseline without an error leaves nothing to improve.
    assert list(found["equivariance"]["equivariance"]) == ["rotation"]
    json.dumps(found, allow_nan=False)


def test_what_flags_changed_is_kept_unless_results_tell_it_otherwise(spec):
    changed = {"seeds": (0,), "networks_dir": "x", "pretrain.num_steps": 3}
    assert results.collect(spec, [], {}, changed=changed)["changed"] == {"pretrain.num_steps": 3}


def test_nothing_is_finished(spec):
    found = results.collect(dataclasses.replace(spec, seeds=(0,)), [], {})
    assert len(found["unfinished"]) == 3
    assert found["nothing"] == {}
    assert not any(row["shown"] for row in found["comparisons"]["held_out"].values())


@pytest.mark.parametrize(
    ("file", "recipe", "network"),
    [
        ("table1", "paper", "resnet50 at 128 px"),
        ("table2", "paper", "resnet50 and resnet152 at 224 px (pre-training: 128 px)"),
        ("table5", "paper", "resnet152 at 224 px (pre-training: 128 px)"),
        ("table1", "cpu", "resnet18 of width 16 at 64 px"),
    ],
)
def test_the_networks_of_all_arms_are_named(file, recipe, network):
    assert results.collect(make(file, recipe), [], {})["network"] == network
