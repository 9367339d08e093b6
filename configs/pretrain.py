"""Contrastive pre-training of a hand encoder (Spurr et al., "PeCLR", ICCV 2021).

    python main.py --config=configs/pretrain.py                  # quick start, no data needed
    python main.py --config=configs/pretrain.py:paper_rn50       # the paper's recipe on FreiHAND
    python main.py --config=configs/pretrain.py:paper_rn152
    python main.py --config=configs/pretrain.py:official_rn50    # the official code's recipe
    python main.py --config=configs/pretrain.py:rendered_rn50    # a GPU and no data: rendered hands

A recipe is a base, as above, and any of its variants, joined by "+":

    imagenet    start from torchvision's ImageNet weights in weights/, as the official code does
    youtube     FreiHAND and YouTube3DHands in equal shares, the paper's pre-training set (Sec. 8)
    versions    not the paper's: the two views of a pair show one hand before two backgrounds
    best        not the paper's: a temperature and ranges of the augmentations that were found to
                beat its own in short runs, see configs/experiments/best.py

    python main.py --config=configs/pretrain.py:paper_rn50+youtube+imagenet

FreiHAND has each hand in four versions, which differ in the background. The paper takes both views
from one of them, whose background then tells which views belong together. `+versions` takes them
from two (`data.pairs`); where hands are rendered it renders four versions, one on green and three
before clutter, so that an epoch has four times the steps. A data set's hands that have but one
version give pairs as the paper's.

Any field by flag: `--config.batch_size=256 --config.views.rotation_deg=90`.

The ablations of the paper are one field each:

    --config.loss.objective=simclr               # Eq. 1: the transformation is not undone
    --config.loss.objective=direct_translation   # Fig. 7: translation not scaled by the range

and others that it has not:

    --config.loss.objective=attached_range       # the range's gradient is not stopped
    --config.loss.objective=centered             # points relative to their mean

Expected of the quick start (ResNet-18 of a quarter of the width at 48 px, 3,072 rendered hands,
two CPU cores): 7 minutes, after which the other view of a held-out hand is found among 256 in 30 to
50 % of the cases (chance: 0.4 %), and the latent equivariance error has fallen from 0.30 to 0.13.
Cost of `paper_rn50`: 100 epochs of FreiHAND's 117,216 training images at 128 px.
"""

import dataclasses
from collections.abc import Callable

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.views.spec import ViewSpec


def _quick() -> ConfigDict:
    """The quick start; every other recipe is a change to it."""
    config = ConfigDict()
    config.task = "pretrain"
    config.recipe = "quick"  # only a name, for the log
    config.seed = 0
    config.batch_size = 64  # images an optimizer step; each gives two views
    config.num_epochs = 26.0
    config.num_steps = 0  # if positive, the length of the run instead of num_epochs

    config.init = ConfigDict()
    # Weights of PyTorch to start from: torchvision's, timm's or the official releases'
    # (docs/weights.md says where to get them); "": random. The recipe's variant +imagenet sets it.
    config.init.torch_checkpoint = ""
    config.init.parts = "encoder"  # or "all", with an official projection head, to go on with it

    config.model = ConfigDict()
    config.model.architecture = "resnet18"  # resnet18, 34, 50, 101, 152
    config.model.width = 16  # channels of the stem; 64 in the published networks
    config.model.stem = "small"  # "imagenet", or "small": 1/16 of the side at the end, not 1/32
    config.model.dtype = "float32"  # of the activations; "bfloat16" on accelerators
    config.model.remat = "none"  # "norm": redo BatchNorm in the backward pass; "block": all of it
    # 1x1 convolutions: as a "dot" product, a "convolution", or what is best on the "platform".
    config.model.pointwise = "platform"
    config.model.hidden = 512  # width of the projection head (official code)
    config.model.num_points = 64  # points in the plane that the projection is read as (Sec. 3.2)

    # Every field is explained in peclr_jax/input_pipeline/spec.py.
    config.data = specs.to_config(DataSpec())
    config.data.source = "rendered"  # "rendered": on the device, no files; "tfds": data sets
    config.data.source_size = 72  # px, side of the square crop around the hand
    config.data.rendered.count = 3072  # hands rendered once and kept; 0: fresh ones every step
    config.data.rendered.size = 72  # px
    config.data.rendered.held_out = 256
    # "green", "shared" (a few) or "clutter" (unique); of several versions, see +versions
    config.data.rendered.background = "green"
    config.data.rendered.cache_dir = "~/.cache/peclr_jax"  # kept for later runs (48 MB); "": not

    # Every operation of Fig. 4 with its switch, range and probability, explained in
    # peclr_jax/views/spec.py; the defaults are the paper's (Sec. 8): rotation +-45 degrees, scale
    # 0.6 to 2.0, translation +-15 px of 128, colour jitter, and the other operations switched off.
    config.views = ConfigDict(dataclasses.asdict(ViewSpec()))
    del config.views.source_margin  # config.data.source_margin
    config.views.size = 48  # px

    config.loss = ConfigDict()
    config.loss.objective = "peclr"  # others: see above
    config.loss.temperature = 0.5  # the paper gives none; this is the official code's
    config.loss.chunk = 0  # views compared at a time; 0: all (memory grows with batch_size^2)

    # Parts that an optimizer step is computed in, to save memory. Meant for accelerators: inside
    # the loop over them XLA's CPU convolutions are some 15 times slower.
    config.micro_batches = 1
    # "micro": within the micro-batch (the paper's recipe). "global": all of the batch, at the
    # same memory and one more forward pass (gradient caching, Gao et al. 2021).
    config.negatives = "micro"

    config.optimizer = ConfigDict()
    config.optimizer.name = "lars_adam"  # "lars_adam" (official order), "lamb", "adam"
    config.optimizer.learning_rate = 2.5e-4  # times sqrt(batch_size) (Sec. 4.2)
    config.optimizer.weight_decay = 1e-6  # not in the paper; the official code's
    config.optimizer.decay_mask = "kernels"  # "kernels", or "official": its name-based omissions
    config.optimizer.warmup_epochs = 1.0  # scaled with num_steps, where that is given
    # Steps that may be skipped, their loss or gradient not being finite; 0: the first ends the run.
    config.optimizer.skip_nonfinite = 0

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 200
    config.checkpoint.keep = 2  # newest ones

    config.log = ConfigDict()
    config.log.every_steps = 20
    config.log.pairs = 8  # rows of views.png

    config.profile = ""  # "10:20" writes an XProf trace of these steps beside TensorBoard's events

    config.evaluation = ConfigDict()
    config.evaluation.images = 256  # held-out images, before and after training
    config.evaluation.every_steps = 200  # and along the way, for TensorBoard
    return config


def _paper(architecture: str) -> ConfigDict:
    """Sec. 4.2 and Sec. 8, word for word; where the paper is silent, the official code's value."""
    config = _quick()
    config.batch_size = 2048
    config.micro_batches = 16  # of 128 pairs, negatives within each
    config.num_epochs = 100.0
    config.optimizer.learning_rate = 1e-4  # 4.5e-3 at this batch
    config.optimizer.warmup_epochs = 10.0
    config.model.architecture = architecture
    config.model.width = 64
    config.model.stem = "imagenet"
    config.model.dtype = "bfloat16"
    config.data.source = "tfds"
    config.data.names = "freihand"
    config.data.source_size = 192
    config.views.size = 128
    config.checkpoint.every_steps = 500
    return config


def _official_rn50() -> ConfigDict:
    """What the official code does where it parts from the paper; its start is `+imagenet`."""
    config = _paper("resnet50")
    config.views.scale = (1.25 / 1.5, 1.25 / 0.9)  # crop margin 0.9..1.5 about a fixed 1.25
    config.views.translation = (-14 / 128, 0.0)
    config.views.channel_order = "bgr"
    config.views.quantize = True
    config.optimizer.decay_mask = "official"
    return config


def _rendered_rn50() -> ConfigDict:
    """ResNet-50 at 128 px on hands rendered on the device: a GPU, no data and no TensorFlow."""
    config = _paper("resnet50")
    config.batch_size = 512
    config.micro_batches = 1
    config.num_epochs = 100.0
    config.data.source = "rendered"
    config.data.rendered.count = 32_768
    config.data.rendered.size = 160
    config.data.rendered.cache_dir = ""  # they would take 3.6 GB
    return config


def _imagenet(config: ConfigDict) -> None:
    if config.model.architecture not in IMAGENET_FILES:
        raise UserError(
            f"the variant +imagenet needs {' or '.join(IMAGENET_FILES)}, not the "
            f"{config.model.architecture} of this base: name another base"
        )
    config.init.torch_checkpoint = f"weights/{IMAGENET_FILES[config.model.architecture]}"


def _youtube(config: ConfigDict) -> None:
    config.data.names = "freihand,youtube_3d_hands"


def _best(config: ConfigDict) -> None:
    config.loss.temperature = BEST_TEMPERATURE
    config.views.update(GENTLE_VIEWS)


def _versions(config: ConfigDict) -> None:
    config.data.pairs = "versions"
    if config.data.source == "rendered":
        config.data.rendered.versions = 4
        config.data.rendered.background = "green,clutter"


BASES: dict[str, Callable[[], ConfigDict]] = {
    "quick": _quick,
    "paper_rn50": lambda: _paper("resnet50"),
    "paper_rn152": lambda: _paper("resnet152"),
    "official_rn50": _official_rn50,
    "rendered_rn50": _rendered_rn50,
}
VARIANTS: dict[str, Callable[[ConfigDict], None]] = {
    "imagenet": _imagenet,
    "youtube": _youtube,
    "versions": _versions,
    "best": _best,
}
# What configs/experiments/best.py found to beat the paper's recipe.
BEST_TEMPERATURE = 0.1
# The paper's augmentations in narrower ranges: no fingers cut off, and colours either way.
GENTLE_VIEWS = {
    "scale": (0.8, 1.25),
    "hue": (0.7, 1.3),
    "saturation": (0.5, 1.5),
    "value_gain": (0.7, 1.2),
    "value_offset": (-10.0, 20.0),
}
# torchvision's first weights, those that the official code starts from, by their own names.
IMAGENET_FILES = {
    "resnet50": "resnet50-0676ba61.pth",
    "resnet152": "resnet152-394f9c45.pth",
}


def get_config(recipe: str = "quick") -> ConfigDict:
    """The configuration of one recipe.

    Args:
      recipe: what follows the colon in `--config=configs/pretrain.py:BASE+VARIANT+...`.

    Raises:
      UserError: an unknown base or variant.
    """
    return compose("configs/pretrain.py", recipe, BASES, VARIANTS)
