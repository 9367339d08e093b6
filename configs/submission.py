"""A submission to a challenge: pred.zip, from a fine-tuned network.

    python main.py --config=configs/submission.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand
    python main.py --config=configs/submission.py:ho3d --config.checkpoint=runs/rn50_finetuned \
        --config.data.manual_dir=HO3D_v2

FreiHAND's evaluation images come with intrinsics and the hand's scale, which are used, and without
boxes. Those of HO-3D (v2; `--config.data.names=ho3d/v3` for v3) come with intrinsics, a box and the
wrist's position, of which the depth is used; the hand's size is the mean of the network's training.

Fields: `SubmissionSpec` in peclr_jax/tasks/submission.py. Not run on FreiHAND's or HO-3D's images;
the tests run it on drawings in their layouts.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.tasks.submission import SubmissionSpec


def _freihand() -> ConfigDict:
    return specs.to_config(SubmissionSpec())


def _ho3d() -> ConfigDict:
    data = EvaluationDataSpec(names="ho3d/v2")
    return specs.to_config(SubmissionSpec(challenge="ho3d", data=data, crop="box"))


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/submission.py:RECIPE`; nothing, for
        FreiHAND's challenge, or "ho3d".

    Raises:
      UserError: An unknown recipe.
    """
    return compose("configs/submission.py", recipe, {"default": _freihand, "ho3d": _ho3d})
