"""Real photographs: networks fine-tuned on rendered hands, alone and with a few photographs.

    python main.py --config=configs/experiments/real_photos.py:cpu --config.photos=DIR

DIR holds labelled photographs in FreiHAND's layout, with a training and an evaluation split. It has
no default, because this repository contains no photographs. Networks start from random weights or
from an encoder that PeCLR has pre-trained on rendered hands by best.py's recipe. They are
fine-tuned with the domain randomisation of configs/finetune.py:...+photos:

    rendered    on rendered hands alone: the photographs are never seen
    mixed       on rendered hands and the training photographs, three to one

and evaluated on the photographs, on those of the training split too (which `mixed` has seen).
Pictures of the best and the worst hands are in the networks' folders, under evaluations/. The paper
has no such experiment.

Cost and result of `cpu+one_seed` with 48 photographs of Ge et al. (CVPR 2019), 32 and 16
(docs/results/real_photos): 1.4 hours on one core. In 2D, on the 16, from scratch and after
pre-training: 12.3 and 11.9 px of the view by rendered hands alone, 10.1 and 10.3 px with the 32
photographs; the mean pose has 16.0 px. Not run: a GPU.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs import finetune
from configs.experiments.best import BEST
from configs.experiments.common import add_arm, add_comparison, get_experiment
from configs.experiments.parts.scales import is_on_cpu
from peclr_jax.errors import UserError

_DUMMY = str(Path(__file__).parents[2] / "data/freihand/dummy_data")


def _fill(config: ConfigDict) -> None:
    config.title = "From rendered hands to photographs"
    config.claim = "nothing; it has no such experiment."
    config.data_name = "photographs in FreiHAND's layout, not FreiHAND's own"
    config.photos = _DUMMY if config.recipe == "smoke" else ""
    for training in (config.pretrain, config.finetune):
        training.data.source = "rendered"  # at every scale
    finetune.VARIANTS["photos"](config.finetune)
    config.finetune.data.rendered.background = "clutter"
    if is_on_cpu(config):
        # Hands fill the pictures now, so that smaller ones will do.
        config.finetune.data.rendered.update(count=4096, size=80)
        config.finetune.num_steps = 2000
        config.finetune.batch_size = 32
        config.finetune.optimizer.learning_rate = 3e-3
    mixed = {
        "data.source": "tfds",
        "data.names": "rendered,freihand",
        "data.weights": "3,1",
        "data.manual_dir": config.get_ref("photos"),
        "data.split": "train+validation",
        "data.held_out_split": "evaluation",
    }
    for start, label in (("scratch", "from scratch"), ("peclr", "PeCLR")):
        pretrained = start == "peclr"
        add_arm(
            config,
            f"{start}_rendered",
            f"{label}, rendered hands",
            pretrained=pretrained,
            pretrain=BEST,
        )
        add_arm(
            config,
            f"{start}_mixed",
            f"{label}, rendered hands and photos",
            pretrained=pretrained,
            pretrain=BEST,
            finetune=mixed,
        )
    add_comparison(config, "photos", "scratch_mixed", "scratch_rendered")
    add_comparison(config, "pretraining", "peclr_rendered", "scratch_rendered")
    held_out = config.evaluations.held_out.to_dict()
    config.evaluations = ConfigDict(sort_keys=False)
    for name, split in (("photos", "evaluation"), ("training_photos", "train+validation")):
        wanted = ConfigDict(held_out)
        wanted.split = split
        wanted.data.names = "freihand"
        wanted.data.manual_dir = config.get_ref("photos")
        config.evaluations[name] = wanted
    config.on_training = ("training_photos",)


def _freihand(config: ConfigDict) -> None:
    raise UserError(
        "configs/experiments/real_photos.py fine-tunes on rendered hands and has no variant "
        "'freihand': for FreiHAND's photographs give --config.photos=DIR"
    )


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("real_photos", recipe, _fill, {"freihand": _freihand})
