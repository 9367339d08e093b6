"""A submission to the FreiHAND challenge: pred.zip, from a fine-tuned network.

    python main.py --config=configs/submission.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand

The evaluation images come with intrinsics and the hand's scale, which are used, and without boxes.
"""

from ml_collections import ConfigDict

from peclr_jax.tasks.inference import default_data_config


def get_config(recipe: str = "default") -> ConfigDict:
    """The configuration of the one recipe there is.

    Args:
      recipe: what follows the colon in `--config=configs/submission.py:RECIPE`.

    Raises:
      ValueError: an unknown recipe.
    """
    if recipe != "default":
        raise ValueError(f"configs/submission.py has no recipe {recipe!r}; leave it out")
    config = ConfigDict()
    config.task = "submission"
    config.recipe = recipe
    config.checkpoint = "runs/finetune"  # a fine-tuning run's directory, or one step of it
    config.data = default_data_config()
    config.data.names = "freihand"
    config.split = "evaluation"
    config.batch_size = 64  # images at a time
    # "two_pass": the middle of the image, then the surroundings of the network's own estimate.
    # "box": of the labels, once FreiHAND_pub_v2_eval.zip lies beside the images.
    config.crop = "two_pass"
    return config
