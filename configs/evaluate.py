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

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.networks.spec import EvaluateSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/evaluate.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    return compose(
        "configs/evaluate.py", recipe, {"default": lambda: specs.to_config(EvaluateSpec())}
    )
