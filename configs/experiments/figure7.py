"""Figure 7: translation of the latent points scaled by their range, or direct (Sec. 7).

    python main.py --config=configs/experiments/figure7.py:cpu
    python main.py --config=configs/experiments/figure7.py:gpu

Translation is the only augmentation, as in Fig. 5b; Sec. 7 says no more than "in the same manner as
in Sec 4.3". PeCLR undoes it as the same fraction of the points' range that it is of the image's
side (Eq. 10), "direct" undoes it by the same quantity, in pixels of the view, and SimCLR does not
undo it. Encoders are frozen and probed by a two-layer perceptron.

The paper, on FreiHAND: direct errs more than SimCLR, normalised least.

Cost and result of `cpu` on rendered hands (docs/results/figure7): an hour on one core for three
seeds. In 2D the normalised one errs 4.6 % less than "direct" [1.2, 8.1], which is level with SimCLR
(0.9 % less [-4.5, 6.3]). Not run: a GPU, FreiHAND.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_arm, add_comparison, get_experiment, probed
from configs.experiments.figure5 import add_pair, only


def _fill(config: ConfigDict) -> None:
    config.title = "Figure 7: normalised against direct translation"
    config.claim = (
        "translation normalised by the points' range (Eq. 10) errs less than SimCLR, direct "
        "translation errs more (Fig. 7, Sec. 7)."
    )
    probed(config)
    add_pair(config, "translation")
    config.arms.peclr_translation.label = "PeCLR, normalised (Eq. 10)"
    config.arms.simclr_translation.label = "SimCLR"
    config.comparisons.translation.paper = "less (Fig. 5b: 34 %)"
    add_arm(config, "direct", "PeCLR, direct", pretrain=only(["translation"], "direct_translation"))
    add_comparison(config, "normalised", "peclr_translation", "direct", "less")
    add_comparison(config, "direct", "direct", "simclr_translation", "more")


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure7", recipe, _fill)
