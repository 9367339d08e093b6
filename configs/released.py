"""The released network: PeCLR on real photographs and rendered hands, then fine-tuning on both.

    python main.py --config=configs/released.py --config.photos=DIR --workdir=runs/released

DIR is a folder of photographs with a `boxes.json` that labels their hands, as
data/from_mediapipe.py writes it (data/image_folder/README.md). The last tenth by name of the
photographs in every folder in it is held out. Interrupted at any time, the same command goes on
where it stopped.

1. Pre-training (Sec. 3) by PeCLR, on photographs and rendered hands in equal shares, with the
   temperature and the ranges of `configs/pretrain.py:...+best`. The two views of a rendered hand
   are of two images of it, before different backgrounds.
2. Fine-tuning (Sec. 3.3) to 2.5D heatmaps, three of every five images being photographs, with the
   domain randomisation of `configs/finetune.py:...+photos` and rotations of up to 90 degrees either
   way. The labels of photographs are a detector's: joints in the image and depths relative to the
   wrist.

A recipe is a base and variants, joined by "+":

    full       the recipe of the network in the package
    trials     what it was chosen by: small networks (width 16, 64 px), each of its choices against
               another one, at equal time where they cost differently
    scratch    of `full`: without pre-training
    smoke      two steps a training, for the tests: its numbers mean nothing

    python main.py --config=configs/released.py:trials --config.photos=DIR --workdir=runs/trials

Each trial is of three seeds, which takes long: `--config.only=base,scratch` runs two of them, and
`--config.seeds='(0,)'` one seed.

Cost and result: docs/results/released.md.
"""

from ml_collections import ConfigDict

from configs import finetune, pretrain
from configs.composition import compose
from configs.experiments.common import add_arm, add_comparison
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.networks.spec import EvaluateSpec, EvaluationDataSpec

_BOTH = {
    "model.architecture": "resnet18",
    "model.width": 32,
    "model.stem": "imagenet",
    "views.size": 96,
    "data.source": "tfds",
    "data.names": "rendered,image_folder",
    "data.labels": True,  # so that trainings share the rendered hands that they have in common
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
    "num_steps": 28_000,
    "model.head": "heatmap",
    "model.finest": 2,
    "data.weights": "2,3",
    "data.rendered.count": 12_000,
    "optimizer.learning_rate": 2e-3,
    "views.scale": (0.8, 1.25),
    "views.translation": (-0.08, 0.08),
    "views.noise": False,  # drawing it takes longer than anything else of the augmentation
    "log.every_steps": 50,
}


# At 64 px and half of the width: what costs as much time as 800 steps of it.
_SMALL = {"model.width": 16, "views.size": 64, "data.rendered.count": 6000}
_EQUAL_SHARES = {"data.weights": ""}
_TRIAL_STEPS = 800
_AT_96PX = {"views.size": 96, "num_steps": 400}
_AT_WIDTH_32 = {"model.width": 32, "num_steps": 330}


def _full() -> ConfigDict:
    config = _experiment("full", "The released network")
    add_arm(config, "released", "the released network")
    return config


def _trials() -> ConfigDict:
    config = _experiment("trials", "Trials for the released network")
    config.seeds = (0, 1, 2)
    config.figure = "bars"
    config.pretrain.update_from_flattened_dict({**_SMALL, "batch_size": 64, "num_steps": 300})
    config.finetune.update_from_flattened_dict(
        {**_SMALL, **_EQUAL_SHARES, "num_steps": _TRIAL_STEPS}
    )
    add_arm(config, "base", "as released, in equal shares")
    add_arm(config, "scratch", "without pre-training", pretrained=False)
    add_arm(config, "pairs", "pre-trained on pairs of one image", pretrain={"data.pairs": "image"})
    longer = {"num_steps": 1500}
    add_arm(config, "pretrain_5x", "pre-trained five times longer", pretrain=longer)
    add_comparison(config, "pretrain_5x", "pretrain_5x", "scratch")
    little = {
        "tenth": ("a tenth of the labels", {"data.label_fraction": 0.1}),
        "short": ("a quarter of the steps", {"num_steps": _TRIAL_STEPS // 4}),
    }
    for name, (label, changes) in little.items():
        add_arm(config, name, label, finetune=changes)
        without = f"{label}, without pre-training"
        add_arm(config, f"{name}_scratch", without, pretrained=False, finetune=changes)
        longest = f"{label}, pre-trained five times longer"
        add_arm(config, f"{name}_5x", longest, pretrain=longer, finetune=changes)
        for arm in (name, f"{name}_5x"):
            add_comparison(config, arm, arm, f"{name}_scratch")
    others = {
        "linear": ("linear head", {"model.head": "linear"}),
        "stride4": ("heatmaps of twice the side", {"model.finest": 1}),
        "photos_0": ("rendered hands alone", {"data.source": "rendered", "data.manual_dir": ""}),
        "photos_25": ("a quarter of photographs", {"data.weights": "3,1"}),
        "photos_75": ("three quarters of photographs", {"data.weights": "1,3"}),
        "longer": ("twice the steps", {"num_steps": 2 * _TRIAL_STEPS}),
    }
    for name, (label, changes) in others.items():
        add_arm(config, name, label, finetune=changes)
    for name, label, changes in (
        ("px96", "96 px at equal time, from scratch", _AT_96PX),
        ("width32", "twice the width at equal time, from scratch", _AT_WIDTH_32),
    ):
        encoder = {k: v for k, v in changes.items() if k != "num_steps"}
        add_arm(config, name, label, pretrained=False, pretrain=encoder, finetune=changes)
        add_comparison(config, name, name, "scratch")
    for name in ("scratch", "pairs", *others):
        add_comparison(config, name, "base", name)
    return config


def _experiment(recipe: str, title: str) -> ConfigDict:
    photos = EvaluateSpec(data=EvaluationDataSpec(names="image_folder"), split="validation")
    rendered = EvaluateSpec(data=EvaluationDataSpec(source="rendered"))
    config = specs.to_config(
        ExperimentSpec(
            recipe=recipe,
            name="released",
            title=title,
            claim="nothing; it has no such network.",
            data_name="photographs with a detector's labels, and rendered hands",
            seeds=(0,),
            evaluations={"photos": photos, "rendered": rendered},
            figure="none",
        )
    )
    config.photos = ""  # which has no default: this repository contains no photographs
    config.pretrain = pretrain.get_config("quick+best")
    config.finetune = finetune.get_config("quick+photos")
    config.pretrain.update_from_flattened_dict({**_BOTH, **_PRETRAIN})
    config.finetune.update_from_flattened_dict({**_BOTH, **_FINETUNE})
    config.finetune.init.checkpoint = ""  # arms say what they start from
    for part in (config.pretrain, config.finetune, config.evaluations.photos):
        part.data.manual_dir = config.get_ref("photos")
    return config


def _scratch(config: ConfigDict) -> None:
    if "released" not in config.arms:
        raise UserError("configs/released.py: 'scratch' is a variant of 'full'; 'trials' has it")
    del config.arms["released"]
    add_arm(config, "scratch", "without pre-training", pretrained=False)


def _smoke(config: ConfigDict) -> None:
    """Makes everything so small that only its workings are tested."""
    small = {
        "model.width": 4,
        "batch_size": 8,
        "num_steps": 2,
        "views.size": 32,
        "data.source_size": 48,
        "data.rendered.count": 16,
        "data.rendered.held_out": 8,
        "data.rendered.size": 32,
        "data.rendered.chunk": 16,
        "data.rendered.cache_dir": "",
        "evaluation.images": 8,
    }
    config.pretrain.update_from_flattened_dict(small)
    config.finetune.update_from_flattened_dict(small)
    for evaluation in config.evaluations.values():
        evaluation.update(resamples=0, pictures=0, batch_size=8)


def get_config(recipe: str = "full") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/released.py:BASE+VARIANT+...`.

    Raises:
      UserError: An unknown base or variant.
    """
    bases = {"full": _full, "trials": _trials}
    return compose("configs/released.py", recipe, bases, {"scratch": _scratch, "smoke": _smoke})
