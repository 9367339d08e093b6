"""Fine-tuning to 3D hand pose (PeCLR, Sec. 4.1, 4.4 to 4.7 and 8), and training from scratch.

    python main.py --config=configs/finetune.py                        # after the quick start
    python main.py --config=configs/finetune.py:paper_rn50 --config.init.checkpoint=runs/rn50

A recipe is a base and any of its variants, joined by "+". Each arm of the paper has a name:

    BASE: quick, paper_rn50, paper_rn152
    scratch                        from random weights
    probe                          frozen encoder, two-layer perceptron (Sec. 4.4)
    labels_10, _20, _40, _80       per cent of the labelled hands (Sec. 4.5); smaller sets are
                                   subsets of larger ones, drawn by config.data.label_seed, and
                                   gone through as often: 20 % take a fifth of the steps
    all_labels                     also the tenth that is otherwise held out for validation (Tables
                                   2, 3 and 5, Figures 9 and 10)
    224px                          views of 224 px instead of 128 (Sec. 4.1: for Sec. 4.6 and 4.7);
                                   translated by up to 20/128 of the side, as at 128 px
    photos                         from rendered hands to photographs: random colours, blur, noise
                                   and occlusion, and hands that fill their pictures

    python main.py --config=configs/finetune.py:paper_rn50+all_labels+224px  # Table 2
    python main.py --config=configs/finetune.py:paper_rn50+labels_20+scratch
    python main.py --config=configs/finetune.py:quick+probe --config.init.checkpoint=runs/pretrain

Fields, units and sources are documented in `FinetuneSpec` (peclr_jax/runs/spec.py) and the specs of
its sections.

Cost and result:

    quick           after the quick start of pre-training: 2D EPE 4.62 px of 48 [4.47, 4.78] on 512
                    rendered test hands (mean pose 10.51), PA-EPE 1.73 cm [1.67, 1.79] (mean hand
                    1.78). In the demo, after quick+best and with smaller ranges: 4.33 px, 1.69 cm,
                    5 minutes on two CPU cores
    quick+probe     in the demo, six heads in 1.4 minutes: 2D EPE 8.05 px with the pre-trained
                    encoder, 10.76 px with a random one (docs/results/demo.md)
    quick+scratch+photos
                    8 minutes on one core with the settings of docs/results/real_photos.md: 48.7 px
                    of the photograph on 16 photographs (mean pose 61.2)
    paper_rn50, paper_rn152
                    not run: 100 epochs of FreiHAND's 117,216 training images at 128 px, batch 128
    +labels_20, +labels_40
                    configs/experiments/figure6.py on rendered hands
    +all_labels, +224px
                    not run

Nothing was run on FreiHAND or on a GPU.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.runs.spec import FinetuneSpec, InitSpec
from peclr_jax.training.spec import OptimizerSpec
from peclr_jax.views.spec import ViewSpec


def _quick() -> ConfigDict:
    """Returns the quick start, small enough for two CPU cores; the other recipes change it."""
    return specs.to_config(
        FinetuneSpec(
            recipe="quick",
            batch_size=64,
            num_epochs=60.0,  # 2,880 steps
            init=InitSpec(checkpoint="runs/pretrain"),
            # The hands of pre-training's quick start, now with labels and, where they would be a
            # shortcut there, with backgrounds of their own.
            data=DataSpec(
                labels=True,
                source="rendered",
                source_size=72,
                rendered=RenderedSpec(
                    count=3072,
                    held_out=256,
                    size=72,
                    background="clutter",
                    cache_dir="~/.cache/peclr_jax",  # 48 MB
                ),
            ),
            # The paper's supervised augmentation (Sec. 8), in shares of the side at any size.
            views=ViewSpec(
                size=48,
                rotation_deg=90.0,
                scale=(0.7, 1.3),
                translation=(-20 / 128, 20 / 128),
                color_jitter=False,
            ),
            optimizer=OptimizerSpec(
                name="adam",
                learning_rate=4e-3,  # few steps, hence large ones; the paper's is 5e-4
                weight_decay=0.0,
                warmup_epochs=2.0,
            ),
        )
    )


def _paper(architecture: str) -> ConfigDict:
    """Returns the recipe of Sec. 4.1 and 8: Adam, 5e-4, cosine, 100 epochs, batch 128, 128 px."""
    config = _quick()
    config.batch_size = 128
    config.num_epochs = 100.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_epochs = 0.0
    config.model.architecture = architecture
    config.model.width = 64
    config.model.stem = "imagenet"
    config.model.dtype = "bfloat16"
    config.data.source = "tfds"
    config.data.names = "freihand"
    config.data.source_size = 192
    config.views.size = 128
    config.checkpoint.every_steps = 500
    config.evaluation.every_steps = 1000
    return config


def _scratch(config: ConfigDict) -> None:
    config.init.checkpoint = config.init.torch_checkpoint = ""
    if config.model.architecture == "auto":  # the quick start's
        config.model.update(architecture="resnet18", width=16, stem="small")


def _probe(config: ConfigDict) -> None:
    config.model.frozen = True
    config.model.head = "mlp"


def _224px(config: ConfigDict) -> None:
    config.data.source_size = 336
    config.views.size = 224


def _photos(config: ConfigDict) -> None:
    """Adds domain randomisation: varies what differs between rendered hands and photographs."""
    # People fill the picture with a hand, so that crops reach over its border, into black.
    config.data.hand_margin = 1.25
    config.data.rendered.span = (0.45, 0.95)
    config.views.update(
        # The usual error of boxes.
        scale=(0.85, 1.15),
        translation=(-0.05, 0.05),
        # White balance and exposure, either way; pre-training's ranges darken and redden.
        color_jitter=True,
        hue=(0.6, 1.4),
        saturation=(0.5, 1.5),
        value_gain=(0.6, 1.3),
        value_offset=(-30.0, 30.0),
        color_drop=True,
        color_drop_probability=0.1,
        # Lenses, sensors, compression.
        blur=True,
        blur_sigma=(0.1, 1.2),
        noise=True,
        noise_deviation=8.0,
        # Objects before the hand.
        cutout=True,
        cutout_side=(0.0, 0.3),
    )


def _all_labels(config: ConfigDict) -> None:
    if config.data.source == "rendered":
        raise UserError(
            "the variant +all_labels is of FreiHAND, and the hands of this base are rendered: name "
            "another base"
        )
    config.data.split = ALL_LABELS


def _labels(fraction: float) -> Callable[[ConfigDict], None]:
    def change(config: ConfigDict) -> None:
        config.data.label_fraction = fraction

    return change


ALL_LABELS = "train+validation"
"""The split of FreiHAND that Tables 2, 3 and 5 and Figures 9 and 10 fine-tune on."""
_SHARES = {f"labels_{percent}": _labels(percent / 100) for percent in (10, 20, 40, 80)}
BASES: dict[str, Callable[[], ConfigDict]] = {
    "quick": _quick,
    "paper_rn50": lambda: _paper("resnet50"),
    "paper_rn152": lambda: _paper("resnet152"),
}
VARIANTS: dict[str, Callable[[ConfigDict], None]] = {
    "scratch": _scratch,
    "probe": _probe,
    **_SHARES,
    "all_labels": _all_labels,
    "224px": _224px,
    "photos": _photos,
}


def get_config(recipe: str = "quick") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/finetune.py:BASE+VARIANT+...`.

    Raises:
      UserError: An unknown base or variant.
    """
    return compose("configs/finetune.py", recipe, BASES, VARIANTS, [_SHARES])
