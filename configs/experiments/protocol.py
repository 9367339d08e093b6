"""What Tables 2 to 5 share: networks fine-tuned with all labels, then evaluated on some data set.

At the scale `paper` they are pre-trained on FreiHAND and YouTube3DHands and fine-tuned on all of
FreiHAND; below it rendered hands stand in for both, and only what is evaluated on is the table's.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs.experiments.common import add_arm, add_comparison

_DATA = Path(__file__).parents[2] / "data"


def add_networks(config: ConfigDict) -> None:
    """Adds networks from scratch and pre-trained ones, at the paper's scale of both depths.

    Args:
      config: Of the experiment.
    """
    config.figure = "none"
    config.finetune.data.split = "train+validation"
    config.finetune.data.held_out_split = "evaluation"
    config.pretrain.data.names = "freihand,youtube_3d_hands"
    if config.recipe == "cpu":
        config.finetune.num_epochs = 20.0
    depths = ("resnet50", "resnet152") if config.recipe == "paper" else ("",)
    for depth in depths:
        suffix, named = (f"_{depth}", f"{depth}, ") if depth else ("", "")
        pretrain = {"model.architecture": depth} if depth else {}
        finetune = {"model.architecture": "auto", "model.width": 0, "model.stem": "auto"}
        for name, label in (("scratch", "from scratch"), ("peclr", "PeCLR")):
            add_arm(
                config,
                f"{name}{suffix}",
                f"{named}{label}",
                pretrained=name == "peclr",
                pretrain=pretrain,
                finetune=finetune,
            )
        add_comparison(config, f"pretraining{suffix}", f"peclr{suffix}", f"scratch{suffix}")


def evaluate_on(config: ConfigDict, names: str, split: str) -> None:
    """Evaluates the networks on a data set in place of held-out hands of the training's kind.

    Args:
      config: Of the experiment.
      names: TFDS name; its raw files are given by
        `--config.evaluations.NAME.data.manual_dir=DIR`, unless its records are there.
      split: TFDS split.
    """
    wanted = ConfigDict(config.evaluations.held_out.to_dict())
    wanted.data.names = names
    wanted.split = split
    config.data_name = f"{names}, by networks trained on {config.data_name}"
    if config.recipe == "smoke":
        wanted.data.manual_dir = str(_DATA / names.partition("/")[0] / "dummy_data")
    config.evaluations = ConfigDict({names.partition("/")[0]: wanted})
