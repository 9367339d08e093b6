"""Evaluation of a fine-tuned network on a labelled split.

    python main.py --config=configs/evaluate.py --config.checkpoint=runs/finetune
    python main.py --config=configs/evaluate.py --config.checkpoint=runs/rn50_finetuned \
        --config.data.names=freihand --config.split=evaluation

The first command evaluates on held-out data of the kind that the network was trained on. Any of our
data sets can be named by `--config.data.names`; `--config.data.manual_dir` names its raw files if
the records are not written yet. Writes metrics.json, pck.png, best.png and worst.png to the
workdir. docs/metrics.md defines the metrics.

Fields: `EvaluateSpec` in peclr_jax/networks/spec.py. Cost: part of the last minute of the demo, on
two CPU cores. Results on rendered hands are in
docs/results/demo.md, on 48 photographs in docs/results/real_photos.md. Not run on FreiHAND or on a
GPU.
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
