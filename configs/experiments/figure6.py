"""Figure 6: how many labels pre-training saves (Sec. 4.5).

    python main.py --config=configs/experiments/figure6.py:cpu
    python main.py --config=configs/experiments/figure6.py:gpu

Networks are trained on a fraction of the labelled hands, from random weights (M_b) and from an
encoder that PeCLR has pre-trained on all images without labels (M_FH; here on rendered hands unless
the data are FreiHAND's). Smaller fractions are subsets of larger ones, and all arms take the same
number of steps. A third series, not in the paper, is pre-trained by best.py's recipe.

The paper, on FreiHAND: pre-trained with 20 % of the labels about as good as from scratch with 40 %.

Cost and result of `cpu` on rendered hands (docs/results/figure6): an hour on one core for three
arms (`--config.only=scratch_40,peclr_20,best_20`), three seeds each. Level, as in the paper:
9.41 px with 20 % of the labels and pre-training against 9.43 px with 40 % from scratch, 0.2 % less
[-4.0, 4.4]. Not run: the other arms, a GPU, FreiHAND.
"""

from ml_collections import ConfigDict

from configs.experiments.best import BEST
from configs.experiments.common import add_arm, add_comparison, get_experiment

Percents = tuple[int, ...]

_FRACTIONS: dict[str, Percents] = {"smoke": (20, 40), "cpu": (20, 40)}
_ALL: Percents = (10, 20, 40, 80, 100)


def add_series(
    config: ConfigDict,
    name: str,
    label: str,
    percents: Percents,
    *,
    pretrained: bool = True,
    pretrain: dict | None = None,
) -> None:
    """Adds an arm for each fraction of the labels.

    Args:
      config: Of the experiment.
      name: Of the series, for flags and folders.
      label: Its name for people.
      percents: Share of the labels in per cent, one for each arm.
      pretrained: Whether the encoder is pre-trained.
      pretrain: Changes to its pre-training, by dotted names.
    """
    for percent in percents:
        add_arm(
            config,
            f"{name}_{percent}",
            f"{label}, {percent} % of the labels",
            pretrained=pretrained,
            pretrain=pretrain,
            finetune={"data.label_fraction": percent / 100},
            series=label,
            x=percent,
        )


def percents_at(scale: str) -> Percents:
    """Returns the shares of the labels, in per cent, that a scale has time for.

    Args:
      scale: Of the experiment.
    """
    return _FRACTIONS.get(scale, _ALL)


def set_up(config: ConfigDict, percents: Percents) -> None:
    """Sets all but the title: the series and their comparisons.

    Args:
      config: Of the experiment.
      percents: Shares of the labels in per cent.
    """
    config.claim = "pre-trained with 20 % of the labels about level with from scratch on 40 %."
    config.figure = "curves"
    config.x_label = "labelled hands used (%)"
    config.finetune.data.rendered.background = config.pretrain.data.rendered.background
    if config.recipe == "smoke":
        config.finetune.data.rendered.count = 96  # a fifth of them must still fill a batch
    if config.recipe == "cpu":
        config.finetune.num_steps = 300
    add_series(config, "scratch", "M_b, from scratch", percents, pretrained=False)
    add_series(config, "peclr", "M_FH, pre-trained", percents)
    add_series(config, "best", "pre-trained by best.py's recipe", percents, pretrain=BEST)
    if {20, 40} <= set(percents):
        add_comparison(config, "efficiency", "peclr_20", "scratch_40", "about level")
        add_comparison(config, "efficiency_best", "best_20", "scratch_40")
    for percent in percents:
        add_comparison(config, f"at_{percent}", f"peclr_{percent}", f"scratch_{percent}", "better")


def _fill(config: ConfigDict) -> None:
    config.title = "Figure 6: label efficiency"
    set_up(config, percents_at(config.recipe))


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure6", recipe, _fill)
