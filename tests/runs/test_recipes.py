"""Recipes: a base and variants, in whatever order they are named."""

import pytest
from ml_collections import ConfigDict

from configs import pretrain
from configs.composition import compose
from configs.experiments import best, figure6, table1
from peclr_jax.errors import UserError


def text_of(config):
    return {**config.to_dict(), "recipe": ""}


def test_variants_are_applied_in_their_own_order():
    def double(config):
        config.number *= 2

    def increase(config):
        config.number += 1

    variants = {"double": double, "increase": increase}
    bases = {"three": lambda: ConfigDict({"number": 3})}
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
        (figure6, "cpu+photos+best+course"),
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


def test_no_arm_moves_hands_of_records():
    for data in ("photos", "freihand"):
        config = best.get_config(f"cpu+successors+{data}")
        assert not [name for name in config.arms if "frames" in name or "moved" in name]
