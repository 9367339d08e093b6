"""Figure 8: Figure 6 with ResNet-50 (Sec. 9).

    python main.py --config=configs/experiments/figure8.py:paper
    python main.py --config=configs/experiments/figure8.py:gpu

Below the scale `paper`, where networks are the scale's, this is Figure 6 again: networks that
figure6.py has trained are not trained once more.

Cost and result: not run, neither on a CPU nor on a GPU. The tests train each network for two steps.
"""

from ml_collections import ConfigDict

from configs.experiments import figure6
from configs.experiments.common import get_experiment


def _fill(config: ConfigDict) -> None:
    config.title = "Figure 8: label efficiency of ResNet-50"
    config.claim = (
        "M_FH and M_FH+YT3D err less than M_b at every share of the labels; with 20 % of them "
        "M_FH+YT3D has 8.6 % less 3D EPE than M_FH (Sec. 9)."
    )
    figure6.set_up(config, "resnet50")
    figure6.say_of_20(config, "more_at_20", "8.6 % less 3D EPE (Sec. 9)")


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure8", recipe, _fill, figure6.VARIANTS)
