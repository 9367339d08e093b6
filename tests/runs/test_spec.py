"""Recipes as specs: what the paper says, what is impossible, what decides a run's identity."""

import hashlib
import json
from pathlib import Path

import pytest

from configs import finetune, pretrain
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec, identity

REFERENCE = Path(__file__).parents[1] / "reference"
TASKS = {"pretrain": (pretrain, PretrainSpec), "finetune": (finetune, FinetuneSpec)}


def spec_of(task, recipe="quick", **change):
    recipes, cls = TASKS[task]
    config = recipes.get_config(recipe)
    config.update_from_flattened_dict(change)
    return specs.from_config(cls, config)


@pytest.mark.parametrize("name", pretrain.BASES)
def test_every_pretraining_is_possible_on_one_and_on_eight_devices(name):
    spec = spec_of("pretrain", name)
    spec.check_devices(1)
    spec.check_devices(8)
    assert spec.recipe == name
    versions = spec_of("pretrain", f"{name}+versions").data
    assert versions.pairs == "versions"
    if versions.source == "rendered":
        assert versions.rendered.backgrounds == ("green", "clutter", "clutter", "clutter")


@pytest.mark.parametrize("variant", ["mined", "weighted", "maps", "mined+weighted", "frames"])
@pytest.mark.parametrize("base", ["quick", "paper_rn50", "rendered_rn50"])
def test_what_came_after_is_possible(base, variant):
    if (base, variant) == ("paper_rn50", "frames"):
        with pytest.raises(UserError, match="frames moves rendered hands, not the records"):
            spec_of("pretrain", f"{base}+{variant}")
        return
    spec = spec_of("pretrain", f"{base}+best+{variant}")
    spec.check_devices(8)
    assert identity(specs.to_dict(spec)) != identity(specs.to_dict(spec_of("pretrain", base)))


@pytest.mark.parametrize("base", finetune.BASES)
@pytest.mark.parametrize("variant", ["", *finetune.VARIANTS])
def test_every_finetuning_is_possible(base, variant):
    if (base, variant) == ("quick", "all_labels"):
        with pytest.raises(UserError, match="the hands of this base are rendered"):
            spec_of("finetune", "quick+scratch+all_labels")
        return
    spec = spec_of("finetune", "+".join(filter(None, (base, "scratch", variant))))
    assert spec.data.labels
    assert not spec.model.open_fields
    spec.check_devices(8)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("pretrain", {"loss.objective": "byol"}, r"--config\.loss\.objective is 'byol', none of"),
        ("pretrain", {"model.architecture": "resnet20"}, "none of 'resnet18', 'resnet34'"),
        ("pretrain", {"batch_size": 0}, r"--config\.batch_size must be at least 1"),
        ("pretrain", {"batch_size": 8, "micro_batches": 8}, r"--config\.micro_batches .*negatives"),
        ("pretrain", {"views.size": 12}, r"--config\.views\.size is 12, too small for the encoder"),
        ("pretrain", {"views.scale": (2.0, 1.0)}, r"--config\.views\.scale must satisfy"),
        ("pretrain", {"optimizer.warmup_epochs": 99.0}, r"warmup_epochs is 99, not less than"),
        ("pretrain", {"loss.temperature": 0.0}, r"--config\.loss\.temperature must be positive"),
        ("pretrain", {"num_steps": -1}, r"--config\.num_steps must be zero or more"),
        ("pretrain", {"negatives": "all"}, "negatives is 'all', none of 'micro', 'global'"),
        ("pretrain", {"data.label_fraction": 0.0}, r"--config\.data\.label_fraction must lie in"),
        ("pretrain", {"loss.weights": "adaptive"}, r"loss\.weights is .* data\.labels=False"),
        (
            "pretrain",
            {"loss.weights": "adaptive", "data.labels": True, "loss.chunk": 64},
            r"loss\.chunk is 64, but adaptive weights compare all views at once",
        ),
        (
            "pretrain",
            {"loss.maps": 1.0, "data.pairs": "mined", "data.labels": True},
            r"loss\.maps compares the same places .* data\.pairs='mined'",
        ),
        (
            "pretrain",
            {
                "loss.maps": 1.0,
                "data.pairs": "versions",
                "data.rendered.versions": 2,
                "data.rendered.motion_deg": 5.0,
            },
            r"loss\.maps compares the same places .* data\.pairs='versions'",
        ),
        ("pretrain", {"profile": "ten"}, "profile is 'ten', which names no steps .* example 10:20"),
        ("pretrain", {"init.sha256": "0f"}, r"--config\.init\.sha256 is of weights to start from"),
        ("finetune", {"optimizer.decay_mask": "-1"}, "decay_mask is '-1', none of 'kernels'"),
        ("finetune", {"model.head": "deep"}, "'linear', 'mlp'"),
        ("finetune", {"loss.root_depth": -1.0}, "loss.root_depth must be zero or more"),
        ("finetune", {"loss.keypoints_2d": 0.0}, "nothing to find the hand by"),
        ("finetune", {"optimizer.learning_rate": 0.0}, "optimizer.learning_rate must be positive"),
        (
            "finetune",
            {"data.pairs": "versions", "data.rendered.versions": 2},
            "data.pairs is 'versions', which is for pre-training",
        ),
        ("finetune", {"data.crop": "image"}, "data.crop is 'image', which is for pre-training"),
        ("finetune", {"data.labels": False}, "data.labels is False, which leaves nothing"),
        ("finetune", {"batch_size": 1}, "batch_size is 1, of which the BatchNorm that refines"),
    ],
)
def test_the_impossible_is_named(task, change, message):
    with pytest.raises(UserError, match=message):
        spec_of(task, **change)


def test_batches_divide_over_the_devices():
    for task, change, message in (
        ("pretrain", {"batch_size": 63}, "choose a multiple of 8"),
        ("pretrain", {"batch_size": 96, "micro_batches": 8}, "8 device.s. x 8 micro-batch"),
        ("finetune", {"batch_size": 12}, "choose a multiple of 8"),
    ):
        with pytest.raises(UserError, match=message):
            spec_of(task, **change).check_devices(8)


def test_endless_data_need_a_number_of_steps():
    with pytest.raises(UserError, match="num_steps=10000"):
        spec_of("pretrain").schedule(None, 1.0)
    assert spec_of("pretrain", num_steps=50).schedule(None, 1.0).total_steps == 50


@pytest.mark.parametrize("recipes", [pretrain, finetune])
def test_unknown_recipes_are_named(recipes):
    with pytest.raises(UserError, match="has no recipe 'papre'"):
        recipes.get_config("papre")
    with pytest.raises(UserError, match="has no variant 'labels_15'"):
        recipes.get_config("quick+labels_15")


def test_only_what_decides_the_result_is_a_runs_identity():
    def identity_of(**change):
        return identity(specs.to_dict(spec_of("pretrain", **change)))

    for same in ({"log.every_steps": 1}, {"profile": "1:2"}, {"checkpoint.keep": 5}):
        assert identity_of(**same) == identity_of()
    for other in ({"seed": 1}, {"views.scale": (0.5, 2.0)}, {"optimizer.skip_nonfinite": 1}):
        assert identity_of(**other) != identity_of()
    # A field that older runs lack, at the value that means what they did.
    older = specs.to_dict(spec_of("pretrain"))
    del older["optimizer"]["skip_nonfinite"], older["profile"]
    assert identity(older) == identity_of()
    # A place as the user wrote it, which earlier versions kept so.
    older["init"]["torch_checkpoint"] = "~/weights.pth"
    assert identity(older) == identity_of(**{"init.torch_checkpoint": "~/weights.pth"})


@pytest.mark.parametrize("epochs", [26.0, 25.999, 13.0, 1.0, 0.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
def test_a_warmup_is_shorter_than_its_run_or_refused(epochs, steps):
    change = {"num_epochs": 26.0, "num_steps": steps, "optimizer.warmup_epochs": epochs}
    if epochs == 26:
        with pytest.raises(UserError, match=r"--config\.optimizer\.warmup_epochs is 26, not less"):
            spec_of("pretrain", **change)
    else:
        assert spec_of("pretrain", **change).schedule(None, 1.0).total_steps == steps


def test_a_run_of_more_steps_than_can_be_counted_is_refused():
    with pytest.raises(UserError, match=r"--config\.num_epochs=1e\+09 makes a run of"):
        spec_of("pretrain", num_epochs=1e9).schedule(1000, 1.0)
    with pytest.raises(UserError, match=r"--config\.num_epochs must be at most 2147483647"):
        spec_of("pretrain", num_epochs=1e20)  # before any data are opened


@pytest.mark.parametrize(
    ("recipe", "recorded"),
    json.loads((REFERENCE / "recorded_digests.json").read_text())["identities"].items(),
)
def test_identities_are_those_of_earlier_versions(recipe, recorded):
    """Otherwise none of their runs could be resumed."""
    found = identity(specs.to_dict(spec_of(*recipe.split(":"))))
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    assert digest[:16] == recorded
