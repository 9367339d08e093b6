"""A submission to a challenge: pred.zip, from a fine-tuned network.

    python main.py --config=configs/submission.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand
    python main.py --config=configs/submission.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=ho3d/v3 --config.data.manual_dir=HO3D_v3

The data set decides the rules: what is given of every hand, the joints' order and axes, and how
many images there must be.

    data.names   images  given of every hand, besides the intrinsics    joints
    freihand      3,960  the scale, which is used; no box               FreiHAND's order, z forward
    ho3d/v2      11,524  a box and the wrist, whose depth is used; the  MANO's order, y up and z
    ho3d/v3      20,137  size is the mean of the network's training     backward (OpenGL)

A part of the images is refused; `--config.trial=True` writes trial.zip of it, which is no
submission.

Fields: `SubmissionSpec` in peclr_jax/tasks/submission.py. Not run on FreiHAND's or HO-3D's images;
the tests run it on drawings in their layouts.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.submission import SubmissionSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/submission.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    return compose(
        "configs/submission.py", recipe, {"default": lambda: specs.to_config(SubmissionSpec())}
    )
