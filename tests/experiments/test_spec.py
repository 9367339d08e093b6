import pytest

from configs.experiments import real_photos, table1
from peclr_jax import specs
from peclr_jax.experiments.spec import ExperimentSpec


def make(**fields):
    config = table1.get_config("smoke")
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return specs.from_config(ExperimentSpec, config)


def test_arms_are_chosen_by_name():
    assert make(only="peclr, simclr").chosen == ["peclr", "simclr"]
    assert make().chosen == ["random", "simclr", "peclr"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": ()}, r"--config\.seeds is empty"),
        ({"only": "pecl"}, r"--config\.only names 'pecl', no arm of 'random', .* 'peclr'\?"),
        (
            {"comparisons__equivariance__against": "nobody"},
            r"--config\.comparisons\.equivariance\.against names 'nobody', no arm",
        ),
        ({"pretrain__seed": 3}, r"--config\.pretrain\.seed is 3, .* give --config\.seeds=3,"),
        (
            {"finetune__init__torch_checkpoint": "a.pth"},
            r"--config\.finetune\.init\.torch_checkpoint would take the place of every arm's own",
        ),
        (
            {"finetune__init__checkpoint": "runs/pretrain"},
            r"--config\.finetune\.init\.checkpoint is runs/pretrain, but arms start from their",
        ),
        (
            {"evaluations__held_out__init__torch_checkpoint": "a.pth"},
            r"--config\.evaluations\.held_out names a checkpoint, but the networks of the arms",
        ),
        (
            {"evaluations__held_out__checkpoint": "released"},
            r"--config\.evaluations\.held_out names a checkpoint, but the networks of the arms",
        ),
        ({"only": ","}, r"--config\.only is ',', which names no arm"),
        ({"figure": "pie"}, r"--config\.figure is 'pie', none of 'bars'"),
        ({"metrics": ("epe",)}, r"--config\.metrics is 'epe', none of 'epe_2d'"),
        ({"paper__elsewhere": {}}, r"--config\.paper names 'elsewhere', no evaluation"),
        ({"pretrain__batch_size": 0}, r"--config\.pretrain\.batch_size must be at least 1"),
        (
            {"evaluations__held_out__crop": "all"},
            r"--config\.evaluations\.held_out\.crop is 'all', none of",
        ),
    ],
)
def test_impossible_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**fields)


def test_photographs_must_be_given():
    with pytest.raises(ValueError, match=r"--config\.photos is empty: give a folder of labelled"):
        specs.from_config(ExperimentSpec, real_photos.get_config("cpu"))
    specs.from_config(ExperimentSpec, real_photos.get_config("smoke"))
