"""A submission to a challenge: pred.zip, from a fine-tuned network.

    python main.py --config=configs/submission.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand
    python main.py --config=configs/submission.py:ho3d --config.checkpoint=runs/rn50_finetuned \
        --config.data.manual_dir=HO3D_v2

FreiHAND's evaluation images come with intrinsics and the hand's scale, which are used, and without
boxes. Those of HO-3D (v2; `--config.data.names=ho3d/v3` for v3) come with intrinsics, a box and the
wrist's position, of which the depth is used; the hand's size is the mean of the network's training.
"""

from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.networks.inference import default_data_config

RECIPES = ("default", "ho3d")


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of one recipe.

    Args:
      recipe: what follows the colon in `--config=configs/submission.py:RECIPE`: nothing, for
        FreiHAND's challenge, or "ho3d".

    Raises:
      UserError: an unknown recipe.
    """
    if recipe not in RECIPES:
        raise UserError(
            f"configs/submission.py has no recipe {recipe!r}; leave it out, or choose 'ho3d'"
        )
    config = ConfigDict()
    config.task = "submission"
    config.recipe = recipe
    config.checkpoint = "runs/finetune"  # a fine-tuning run's directory, or one step of it
    config.init = ConfigDict()
    # Instead of it, an official fine-tuned release or what configs/export.py wrote in its layout.
    config.init.torch_checkpoint = ""
    # Whose rules: "freihand" or "ho3d". They say what is given of every hand besides its image, and
    # the order and axes of the joints.
    config.challenge = "freihand"
    config.data = default_data_config()
    config.data.names = "freihand"
    config.split = "evaluation"
    config.batch_size = 64  # images at a time
    # "two_pass": the middle of the image, then the surroundings of the network's own estimate.
    # "box": of the labels; FreiHAND has them once FreiHAND_pub_v2_eval.zip lies beside the images.
    config.crop = "two_pass"
    if recipe == "ho3d":
        config.challenge = "ho3d"
        config.data.names = "ho3d/v2"
        config.crop = "box"
    return config
