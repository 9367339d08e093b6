"""Figure 8: label efficiency with more unlabelled data (Sec. 4.5 and the supplement).

    python main.py --config=configs/experiments/figure8.py:cpu
    python main.py --config=configs/experiments/figure8.py:gpu

Figure 6's curves and a third one: pre-training also on YouTube3DHands (M_FH+YT3D). Where hands are
rendered, the same hands once more before cluttered backgrounds stand in for it: another look, not
other hands. Networks that figure6.py has trained are not trained again.

We do not have the paper's supplement: that Figure 8 is Figure 6 with this third curve is our
reading.

Cost and result: not run, neither on a CPU nor on a GPU. The tests train each network for two steps.
"""

from ml_collections import ConfigDict

from configs.experiments import figure6
from configs.experiments.common import add_comparison, get_experiment


def _fill(config: ConfigDict) -> None:
    config.title = "Figure 8: label efficiency with more unlabelled data"
    percents = figure6.percents_at(config.recipe)
    figure6.set_up(config, percents)
    more = {
        "data.names": "freihand,youtube_3d_hands",
        "data.rendered.versions": 2,
        "data.rendered.background": "green,clutter",
    }
    figure6.add_series(config, "more", "M_FH+YT3D, pre-trained on more", percents, pretrain=more)
    add_comparison(config, "more_at_20", "more_20", "peclr_20")


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure8", recipe, _fill)
