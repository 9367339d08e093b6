"""Contrastive pre-training of a hand encoder (Spurr et al., "PeCLR", ICCV 2021).

    python main.py --config=configs/pretrain.py                  # quick start, no data needed
    python main.py --config=configs/pretrain.py:paper_rn50       # the paper's recipe on FreiHAND
    python main.py --config=configs/pretrain.py:paper_rn152
    python main.py --config=configs/pretrain.py:official_rn50    # the official code's, see below
    python main.py --config=configs/pretrain.py:rendered_rn50    # a GPU and rendered hands, no data

A recipe is a base, as above, and any of its variants, joined by "+":

    imagenet    start from torchvision's ImageNet weights in weights/, as the official code does
    youtube     FreiHAND and YouTube3DHands in equal shares (Sec. 8): Secs. 4.5 to 4.7, 9 to 11
    all_images  also the tenth of FreiHAND that Sec. 4.4 sets aside, for Tables 2 to 5 and
                Figures 9 and 10; after `youtube`
    versions    not in the paper: the two views of a pair show one hand before two backgrounds
    frames      not in the paper: before two backgrounds and moved a little, as in a film (TempCLR)
    mined       not in the paper: two hands in a similar pose (SiMHand), found by keypoints
    weighted    not in the paper: pairs weigh by how alike their keypoints are (SiMHand)
    maps        not in the paper: the encoder's maps follow the views' transformations, too (SER)
    best        not in the paper: the temperature and the ranges of the augmentations that beat the
                paper's in short runs on rendered hands, see configs/experiments/best.py

    python main.py --config=configs/pretrain.py:paper_rn152+youtube+all_images

There is no `+224px`: pre-training takes images of 128 x 128 (Sec. 4.1), also for Secs. 4.6 and 4.7,
whose 224 x 224 are fine-tuning's. The encoder's features are averaged over places, so that it takes
either.

`official_rn50` is the official code's recipe as far as it can be set: ImageNet's weights (put
torchvision's file into weights/, docs/weights.md), all of the training set, its ranges of scale and
translation, its colours and its weight decay. docs/paper_and_official_code.md lists what cannot.

FreiHAND has each hand in four versions, which differ in the background. The paper takes both views
of a pair from one version, so the background shows which views belong together. `+versions` takes
them from two versions (`data.pairs`). Of rendered hands it renders four versions, one on green and
three before clutter, in a quarter of the epochs, which are as many steps. Hands with only one
version give the paper's pairs. The other variants that are not in the paper are described in
docs/beyond.md.

Each ablation of the paper is one field:

    --config.loss.objective=simclr               # Eq. 1: the transformation is not undone
    --config.loss.objective=direct_translation   # Sec. 7, Fig. 7: translation undone in pixels

Fields, units and sources are documented in `PretrainSpec` (peclr_jax/runs/spec.py) and the specs of
its sections.

Cost and result:

    quick           4 minutes on two CPU cores (ResNet-18 of a quarter of the width at 48 px, 3,072
                    rendered hands). Top-1 retrieval of the other view among 256 held-out hands
                    rises from 1.6 % to 48.8 % (chance 0.4 %), the latent equivariance error falls
                    from 0.298 to 0.125.
    paper_rn50, paper_rn152, official_rn50
                    not run: 100 epochs of FreiHAND's 117,216 training images (of all 130,240 for
                    official_rn50) at 128 px, batch 2,048
    rendered_rn50   not run: 100 epochs of 32,768 rendered hands at 128 px, batch 512
    +imagenet, +youtube, +all_images
                    not run
    +versions       tried once in a short run on rendered hands, together with another temperature
                    (docs/results/README.md)
    +mined+weighted level with the paper's recipe in short runs on rendered hands; on photographs
                    level in 2D and worse in PA-EPE by true labels, nearer to a detector's
                    (docs/beyond.md)
    +frames, +maps  level with PeCLR after 200 steps (docs/results/successors_frames_maps)
    +best           19.6 % less 2D error than the paper's recipe in short runs on rendered hands
                    that it was not chosen by (docs/results/best_test); after 4,000 steps on
                    photographs level with it in 2D, 8 % more in PA-EPE by true labels (one
                    seed, docs/results/best_photos_course)

Nothing was run on FreiHAND or on a GPU.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.models.spec import ProjectorSpec
from peclr_jax.runs.spec import PretrainSpec
from peclr_jax.training.spec import OptimizerSpec
from peclr_jax.views.spec import ViewSpec


def _quick() -> ConfigDict:
    """Returns the quick start, small enough for two CPU cores; the other recipes change it."""
    return specs.to_config(
        PretrainSpec(
            recipe="quick",
            batch_size=64,
            num_epochs=26.0,
            model=ProjectorSpec(architecture="resnet18", width=16, stem="small"),
            data=DataSpec(
                source="rendered",
                source_size=72,
                rendered=RenderedSpec(
                    count=3072,
                    held_out=256,
                    size=72,
                    background="green",
                    cache_dir="~/.cache/peclr_jax",  # 48 MB
                ),
            ),
            views=ViewSpec(size=48),
            optimizer=OptimizerSpec(learning_rate=2.5e-4, warmup_epochs=1.0),
        )
    )


def _paper(architecture: str) -> ConfigDict:
    """Returns the recipe of Sec. 4.1 and 8; the official code's values where the paper has none."""
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
    """Returns the official code's recipe where it differs from the paper and fields can say so."""
    config = _paper("resnet50")
    _imagenet(config)
    _all_images(config)  # train_ratio is 0.9999999999
    # Crop margin 0.9..1.5 about a fixed 1.25. There the margin is uniform, here the magnification.
    config.views.scale = (1.25 / 1.5, 1.25 / 0.9)
    config.views.translation = (-14 / 128, 0.0)
    config.views.channel_order = "bgr"
    config.views.quantize = True
    config.views.sobel_wrap = True  # where `views.sobel` is switched on
    config.optimizer.decay_mask = "official"
    return config


def _rendered_rn50() -> ConfigDict:
    """Returns ResNet-50 at 128 px on hands rendered on the device; needs no TensorFlow."""
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
    _check_records(config, "youtube")
    config.data.names = FREIHAND_AND_YOUTUBE
    if config.data.split != "train":  # that of official_rn50, which is of FreiHAND alone
        _all_images(config)


def _all_images(config: ConfigDict) -> None:
    _check_records(config, "all_images")
    config.data.split = ALL_IMAGES[config.data.names]


def _check_records(config: ConfigDict, variant: str) -> None:
    if config.data.source == "rendered":
        raise UserError(
            f"the variant +{variant} is of FreiHAND, and the hands of this base are rendered: name "
            "another base"
        )


def _best(config: ConfigDict) -> None:
    config.loss.temperature = BEST_TEMPERATURE
    config.views.update(GENTLE_VIEWS)


def _versions(config: ConfigDict) -> None:
    config.data.pairs = "versions"
    if config.data.source == "rendered":
        render_versions(config, 4)
        config.data.rendered.background = "green,clutter"


def _frames(config: ConfigDict) -> None:
    if config.data.source != "rendered":
        raise UserError(
            "the variant +frames moves rendered hands, not the records of this base: name another "
            "base"
        )
    config.data.pairs = "versions"
    render_versions(config, 2)
    config.data.rendered.motion_deg = MOTION_DEG


def render_versions(training: ConfigDict, versions: int) -> None:
    """Renders several images of each hand, of which a run takes as many steps as of one.

    Args:
      training: Config of a pre-training or a fine-tuning.
      versions: Images of each hand.
    """
    training.data.rendered.versions = versions
    training.num_epochs /= versions
    training.optimizer.warmup_epochs /= versions


def _mined(config: ConfigDict) -> None:
    config.data.pairs = "mined"
    config.data.labels = True


def _weighted(config: ConfigDict) -> None:
    config.loss.weights = "adaptive"
    config.data.labels = True


def _maps(config: ConfigDict) -> None:
    config.loss.maps = 1.0


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
    "all_images": _all_images,
    "versions": _versions,
    "frames": _frames,
    "mined": _mined,
    "weighted": _weighted,
    "maps": _maps,
    "best": _best,
}
FREIHAND_AND_YOUTUBE = "freihand,youtube_3d_hands"
# YouTube3DHands' 47,125 frames (Sec. 4.3) are its training split alone.
ALL_IMAGES = {"freihand": "train+validation", FREIHAND_AND_YOUTUBE: "train+validation,train"}
"""By the data sets: the splits that Tables 2 to 5 and Figures 9 and 10 pre-train on."""
# Of a hand between neighbouring frames; a guess.
MOTION_DEG = 10.0
# From configs/experiments/best.py.
BEST_TEMPERATURE = 0.1
# The paper's augmentations in narrower ranges: no fingers cut off, and colours either way.
GENTLE_VIEWS = {
    "scale": (0.8, 1.25),
    "hue": (0.7, 1.3),
    "saturation": (0.5, 1.5),
    "value_gain": (0.7, 1.2),
    "value_offset": (-10.0, 20.0),
}
# torchvision's IMAGENET1K_V1, which the official code starts from.
IMAGENET_FILES = {
    "resnet50": "resnet50-0676ba61.pth",
    "resnet152": "resnet152-394f9c45.pth",
}


def get_config(recipe: str = "quick") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/pretrain.py:BASE+VARIANT+...`.

    Raises:
      UserError: An unknown base or variant.
    """
    return compose(
        "configs/pretrain.py", recipe, BASES, VARIANTS, [("versions", "frames", "mined")]
    )
