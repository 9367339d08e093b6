"""Recipes: a base and variants, in whatever order they are named."""

import pytest
from ml_collections import ConfigDict

from configs import finetune, pretrain, released
from configs.composition import compose
from configs.experiments import best, figure6, table1
from configs.experiments.parts.scales import steps_of
from peclr_jax.errors import UserError


def text_of(config):
    return {**config.to_dict(), "recipe": ""}


def test_variants_are_applied_in_their_own_order():
    def double(config):
        config.number *= 2

    def increase(config):
        config.number += 1

    variants = {"double": double, "increase": increase}
    bases = {"three": lambda: ConfigDict({"number": 3, "recipe": ""})}
    for recipe in ("three+double+increase", "three+increase+double"):
        config = compose("file", recipe, bases, variants)
        assert (config.number, config.recipe) == (7, recipe)
    with pytest.raises(UserError, match="'double' and 'increase' are alternatives: name one"):
        compose("file", "three+increase+double", bases, variants, [("increase", "double")])


@pytest.mark.parametrize(
    ("file", "recipe"),
    [
        (table1, "cpu_long+photos+four_times+course+one_seed"),
        (best, "cpu+photos+successors"),
        (best, "cpu+freihand+successors+course"),
        (figure6, "cpu+photos+course"),
        (pretrain, "paper_rn50+youtube+all_images"),
    ],
)
def test_the_order_makes_no_difference(file, recipe):
    scale, *variants = recipe.split("+")
    backwards = "+".join([scale, *reversed(variants)])
    assert text_of(file.get_config(backwards)) == text_of(file.get_config(recipe))


def test_all_images_are_of_the_training_split_of_frames():
    config = pretrain.get_config("paper_rn50+all_images+youtube")
    assert config.data.names == "freihand,youtube_3d_hands"
    assert config.data.split == "train+validation,train"


def test_the_official_recipe_leaves_the_frames_their_training_split():
    config = pretrain.get_config("official_rn50+youtube")
    assert config.data.split == pretrain.get_config("official_rn50+youtube+all_images").data.split
    assert config.data.split == "train+validation,train"


@pytest.mark.parametrize(
    ("file", "recipe"),
    [
        (pretrain, "quick+youtube"),
        (pretrain, "rendered_rn50+all_images"),
        (finetune, "quick+all_labels"),
    ],
)
def test_rendered_hands_have_no_splits_of_freihand(file, recipe):
    with pytest.raises(UserError, match="is of FreiHAND, and the hands of this base are rendered"):
        file.get_config(recipe)


@pytest.mark.parametrize("variant", ["versions", "frames"])
def test_versions_of_hands_take_no_more_steps(variant):
    one, several = (pretrain.get_config(name) for name in ("quick", f"quick+{variant}"))
    assert several.data.rendered.versions > 1
    assert steps_of(several) == steps_of(one)
    assert best.get_config("gpu+successors").pretrain.num_steps == 2560


def test_versions_of_records_are_those_of_the_recipe():
    config = best.get_config("paper+versions")
    assert list(config.evaluations) == ["held_out"]
    assert config.pretrain.num_epochs == best.get_config("paper").pretrain.num_epochs
    assert set(best.get_config("cpu+versions").evaluations) == {"green_screens", "clutter"}


def test_a_variant_of_another_base_is_told():
    with pytest.raises(UserError, match="'scratch' is a variant of 'full'; 'trials' has it"):
        released.get_config("trials+scratch")


def test_no_arm_moves_hands_of_records():
    for data in ("photos", "freihand"):
        config = best.get_config(f"cpu+successors+{data}")
        assert not [name for name in config.arms if "frames" in name or "moved" in name]
