"""A fine-tuned network in one file, with errors to expect that were calibrated on held-out hands.

    python main.py --config=configs/release.py --config.checkpoint=runs/finetune \
        --workdir=runs/release
    python main.py --config=configs/predict.py --config.images='photos/*.jpg' \
        --config.checkpoint=runs/release/released.safetensors

The hands are held-out ones of the kind that the network was trained on; others are named as in
configs/evaluate.py. On half of them the heatmaps are calibrated, on the other half the calibration
is checked. The parameters are written in float16 unless that changes the 2D error by more than 1 %.

Writes released.safetensors, release.json (the numbers) and reliability.png to the workdir. A file
named peclr_jax/weights/released.safetensors is part of the package, under the name "released".

Fields: `ReleaseSpec` in peclr_jax/tasks/release.py. Cost: that of three evaluations.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.tasks.release import ReleaseSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of the only recipe.

    Args:
      recipe: What follows the colon in `--config=configs/release.py:RECIPE`.

    Raises:
      UserError: An unknown recipe.
    """
    bases = {"default": lambda: specs.to_config(ReleaseSpec())}
    return compose("configs/release.py", recipe, bases)
