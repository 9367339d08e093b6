"""How equivariant a fine-tuned network is, also beside another one (Sec. 11, Figs. 9 and 10).

    python main.py --config=configs/equivariance.py --config.checkpoint=runs/finetune \
        --config.baseline=runs/finetune_scratch

Writes equivariance.json, rotation.png and translation.png to the workdir, and the improvement over
the baseline if there is one. What is measured is told in peclr_jax/tasks/equivariance.py.
"""

from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.networks.inference import default_data_config


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/equivariance.py:RECIPE`.

    Raises:
      UserError: an unknown recipe.
    """
    if recipe != "default":
        raise UserError(f"configs/equivariance.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "equivariance"
    config.recipe = recipe
    config.checkpoint = "runs/finetune"  # a fine-tuning run's directory, or one step of it
    config.init = ConfigDict()
    # Instead of it, an official fine-tuned release or what configs/export.py wrote in its layout.
    config.init.torch_checkpoint = ""
    config.baseline = ""  # another one to compare with; "": none
    config.data = default_data_config()  # labels are not needed
    config.split = ""  # as in configs/evaluate.py
    config.batch_size = 64  # images at a time
    config.images = 256  # the first of the split; 0: all (each passes the network 138 times)
    # From minus to plus these, in steps of these: Fig. 9 and Fig. 10.
    config.rotation_deg = 80.0
    config.rotation_step_deg = 10.0
    config.translation_px = 25.0  # of a view of 128 px
    config.translation_step_px = 5.0
    return config
