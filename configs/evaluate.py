"""Evaluation of a fine-tuned network on a labelled split.

    python main.py --config=configs/evaluate.py --config.checkpoint=runs/finetune
    python main.py --config=configs/evaluate.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand --config.split=evaluation

The first evaluates on held-out data of the kind that the network was trained on. Any data set that
we read will do: `--config.data.names`, and `--config.data.manual_dir` if its records are to be
written. Writes metrics.json, pck.png, best.png and worst.png to the workdir; what the metrics mean
is told in docs/metrics.md.
"""

from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.networks.inference import default_data_config


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/evaluate.py:RECIPE`.

    Raises:
      UserError: an unknown recipe.
    """
    if recipe != "default":
        raise UserError(f"configs/evaluate.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "evaluate"
    config.recipe = recipe
    config.checkpoint = "runs/finetune"  # a fine-tuning run's directory, or one step of it
    config.init = ConfigDict()
    # Instead of it, an official fine-tuned release or what configs/export.py wrote in its layout.
    config.init.torch_checkpoint = ""
    config.data = default_data_config()
    # "": "held_out" of rendered hands, "test" of synthetic_hands, "evaluation" of other data sets
    config.split = ""
    config.batch_size = 64  # images at a time; nothing but speed and memory depends on it
    # What the network is shown. "box": the surroundings of the labelled hand's box, as in training.
    # "two_pass": no box is used; the middle of the image, then the surroundings of the network's
    # own estimate, as the released network does at test time.
    config.crop = "box"
    # Whose length makes the 3D metric: "given" by the labels, as FreiHAND's challenge does, or the
    # "mean" of the training set.
    config.bone_length = "given"
    config.resamples = 1000  # of the bootstrap; 0 for no intervals
    config.seed = 0  # of the bootstrap
    config.pictures = 8  # hands in best.png and in worst.png
    return config
