"""What Tables 2 to 5 share: networks fine-tuned with all labels, then evaluated on data sets.

At the scale `paper` encoders are pre-trained on all of FreiHAND and YouTube3DHands at 128 px, and
fine-tuned at 224 px (Sec. 4.1, 4.6 and 4.7); below it rendered hands stand in for what is trained
on, the networks are the scale's, and only what is evaluated on is the table's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from configs import finetune, pretrain
from configs.experiments.common import add_arm, add_comparison
from configs.experiments.parts.naming import evaluated_on_others

_DATA = Path(__file__).parents[2] / "data"


def on_both(config: ConfigDict) -> None:
    """Pre-trains on all of FreiHAND and on YouTube3DHands, in equal shares (Sec. 8).

    Args:
      config: Of the experiment.
    """
    names = pretrain.FREIHAND_AND_YOUTUBE
    config.pretrain.data.update(
        names=names,
        split=pretrain.ALL_IMAGES[names],
        held_out_split="test",  # of YouTube3DHands
    )


def fully_supervised(config: ConfigDict) -> None:
    """Fine-tunes with all labels, at the paper's scale at 224 px (Sec. 4.1, 4.6 and 4.7).

    Args:
      config: Of the experiment.
    """
    config.figure = "none"
    if config.recipe == "paper":
        finetune.VARIANTS["224px"](config.finetune)
    config.finetune.data.update(split=finetune.ALL_LABELS, held_out_split="evaluation")
    if config.recipe == "cpu":
        config.finetune.num_epochs = 20.0
    on_both(config)


def add_networks(config: ConfigDict, depths: Sequence[str]) -> None:
    """Adds a network from scratch and a pre-trained one of each depth, and compares them.

    Args:
      config: Of the experiment.
      depths: Architectures at the paper's scale; below it there is one, the scale's.
    """
    if config.recipe == "paper":
        config.pretrain.model.architecture = depths[0]
    for depth in depths if config.recipe == "paper" and len(depths) > 1 else ("",):
        suffix, named = (f"_{depth}", f"{depth}, ") if depth else ("", "")
        encoder = {"model.architecture": depth} if depth else {}
        for name, label in (("scratch", "supervised alone"), ("peclr", "PeCLR")):
            add_arm(
                config,
                f"{name}{suffix}",
                f"{named}{label}",
                pretrained=name == "peclr",
                pretrain=encoder,
            )
        add_comparison(config, f"pretraining{suffix}", f"peclr{suffix}", f"scratch{suffix}")


def evaluate_on(config: ConfigDict, **evaluations: Mapping[str, Any]) -> None:
    """Evaluates the networks on data sets in place of held-out hands of the training's kind.

    Args:
      config: Of the experiment.
      **evaluations: By the name of each the changes to its `EvaluateSpec`, by dotted names. The raw
        files of a data set are given by `--config.evaluations.NAME.data.manual_dir=DIR`, unless its
        records are there.
    """
    held_out = config.evaluations.held_out
    config.evaluations = ConfigDict(sort_keys=False)
    for name, changes in evaluations.items():
        wanted = ConfigDict(held_out.to_dict())
        wanted.update_from_flattened_dict(changes)
        if config.recipe == "smoke":
            folder = _DATA / wanted.data.names.partition("/")[0] / "dummy_data"
            meshes = folder / "youtube"  # with a regressor of their joints
            wanted.data.manual_dir = str(meshes if meshes.is_dir() else folder)
        config.evaluations[name] = wanted
    config.data_name = evaluated_on_others(config)
