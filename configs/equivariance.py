"""Equivariance of a fine-tuned network, also compared with another one (Sec. 11, Figs. 9 and 10).

    python main.py --config=configs/equivariance.py --config.checkpoint=runs/finetune \
        --config.baseline=runs/finetune_scratch

Writes equivariance.json, rotation.png and translation.png to the workdir, with the improvement over
the baseline if one is given. peclr_jax/tasks/equivariance.py defines what is measured.

Fields: `EquivarianceSpec` in peclr_jax/networks/spec.py. Cost: each image passes the network 138
times. Not run on FreiHAND or on a GPU; the paper's figures are configs/experiments/figure9_10.py.
"""

from ml_collections import ConfigDict

from configs.composition import compose
from peclr_jax import specs
from peclr_jax.networks.spec import EquivarianceSpec


def get_config(recipe: str = "default") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: What follows the colon in `--config=configs/equivariance.py:RECIPE`; there is one.

    Raises:
      UserError: An unknown recipe.
    """
    bases = {"default": lambda: specs.to_config(EquivarianceSpec())}
    return compose("configs/equivariance.py", recipe, bases)
