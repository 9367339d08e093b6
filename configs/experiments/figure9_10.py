"""Figures 9 and 10: equivariance of fine-tuned networks to rotation and translation (Sec. 11).

    python main.py --config=configs/experiments/figure9_10.py:cpu
    python main.py --config=configs/experiments/figure9_10.py:gpu

A network that was pre-trained by PeCLR and one that was trained from scratch, both fine-tuned with
all labels, are shown images that are rotated (Fig. 9, a curve) and translated (Fig. 10, a map):
peclr_jax/tasks/equivariance.py says what is measured. Their networks are Figure 6's at 100 % of the
labels. Each measurement has a folder with its pictures beside the page of results.

The paper, on FreiHAND: the pre-trained network is the more equivariant one.

Cost and result: not run, neither on a CPU nor on a GPU. The tests train each network for two steps.
"""

from ml_collections import ConfigDict

from configs.experiments import figure6
from configs.experiments.common import get_experiment, with_equivariance


def _fill(config: ConfigDict) -> None:
    figure6.set_up(config, (100,))
    config.title = "Figures 9 and 10: equivariance after fine-tuning"
    config.claim = "pre-training makes the fine-tuned network more equivariant."
    config.figure = "none"
    with_equivariance(config)


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure9_10", recipe, _fill)
