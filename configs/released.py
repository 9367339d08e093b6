"""The released network: PeCLR on real photographs and rendered hands, then fine-tuning on both.

    python main.py --config=configs/released.py --config.photos=DIR --workdir=runs/released

DIR is a folder of photographs with a `boxes.json` that labels their hands, as
data/from_mediapipe.py writes it (data/image_folder/README.md). The last tenth by name of the
photographs in every folder in it is held out. Interrupted at any time, the same command goes on
where it stopped.

1. Pre-training (Sec. 3) by PeCLR, on photographs and rendered hands in equal shares, with the
   temperature and the ranges of `configs/pretrain.py:...+best`. The two views of a rendered hand
   are of two images of it, before different backgrounds.
2. Fine-tuning (Sec. 4.2) to 2.5D heatmaps, on both in equal shares, with the domain randomisation
   of `configs/finetune.py:...+photos` and rotations of up to 90 degrees either way. The labels of
   photographs are a detector's: joints in the image and depths relative to the wrist.

A recipe is a size and variants, joined by "+":

    full       the released network
    scratch    without pre-training

Cost: see docs/results/released.md.
"""

from ml_collections import ConfigDict

from configs import finetune, pretrain
from configs.composition import compose
from configs.experiments.common import add_arm
from peclr_jax import specs
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.networks.spec import EvaluateSpec, EvaluationDataSpec

_BOTH = {
    "model.architecture": "resnet18",
    "model.width": 32,
    "model.stem": "imagenet",
    "views.size": 96,
    "data.source": "tfds",
    "data.names": "rendered,image_folder",
    "data.labels": True,  # so that both trainings share the rendered hands
    "data.source_size": 144,
    "data.hand_margin": 1.25,
    "data.rendered.count": 6000,
    "data.rendered.held_out": 512,
    "data.rendered.versions": 2,
    "data.rendered.size": 128,
    "data.rendered.background": "clutter",
    "data.rendered.span": (0.45, 0.95),
    "evaluation.images": 512,
    "evaluation.every_steps": 1000,
    "checkpoint.every_steps": 500,
}
_PRETRAIN = {"data.pairs": "versions", "batch_size": 128, "num_steps": 700, "log.every_steps": 20}
_FINETUNE = {
    "batch_size": 64,
    "num_steps": 12_000,
    "model.head": "heatmap",
    "model.finest": 2,
    "optimizer.learning_rate": 2e-3,
    "views.scale": (0.8, 1.25),
    "views.translation": (-0.08, 0.08),
    "views.noise": False,  # drawing it takes longer than anything else of the augmentation
    "log.every_steps": 50,
}


def _full() -> ConfigDict:
    photos = EvaluateSpec(data=EvaluationDataSpec(names="image_folder"), split="validation")
    config = specs.to_config(
        ExperimentSpec(
            recipe="full",
            name="released",
            title="The released network",
            claim="nothing; it has no such network.",
            data_name="photographs with a detector's labels, and rendered hands",
            seeds=(0,),
            evaluations={
                "photos": photos,
                "rendered": EvaluateSpec(data=EvaluationDataSpec(source="rendered")),
            },
            figure="none",
        )
    )
    config.photos = ""  # which has no default: this repository contains no photographs
    config.pretrain = pretrain.get_config("quick+best")
    config.finetune = finetune.get_config("quick+photos")
    config.pretrain.update_from_flattened_dict({**_BOTH, **_PRETRAIN})
    config.finetune.update_from_flattened_dict({**_BOTH, **_FINETUNE})
    for part in (config.pretrain, config.finetune, config.evaluations.photos):
        part.data.manual_dir = config.get_ref("photos")
    add_arm(config, "released", "the released network")
    return config


def _scratch(config: ConfigDict) -> None:
    del config.arms["released"]
    add_arm(config, "scratch", "without pre-training", pretrained=False)


def get_config(recipe: str = "full") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/released.py:BASE+VARIANT+...`.

    Raises:
      UserError: An unknown base or variant.
    """
    return compose("configs/released.py", recipe, {"full": _full}, {"scratch": _scratch})
