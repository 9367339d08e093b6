"""How equivariant a fine-tuned network is, also beside another one (Sec. 11, Figs. 9 and 10).

    python main.py --config=configs/equivariance.py --config.checkpoint=runs/finetune \
        --config.baseline=runs/finetune_scratch

Writes equivariance.json, rotation.png and translation.png to the workdir, and the improvement over
the baseline if there is one. What is measured is told in peclr_jax/tasks/equivariance.py.
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
