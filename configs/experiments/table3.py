"""Table 3: networks fine-tuned with all labels, on YouTube3DHands.

    python main.py --config=configs/experiments/table3.py:paper
    python main.py --config=configs/experiments/table3.py:gpu \
        --config.evaluations.youtube_3d_hands.data.manual_dir=DIR

Labels are two-dimensional: 2D EPE.
configs/experiments/protocol.py says what is trained on which data. What came out here, and what it
cost: docs/results/README.md.
"""

from ml_collections import ConfigDict

from configs.experiments.common import get_experiment
from configs.experiments.protocol import add_networks, evaluate_on


def _fill(config: ConfigDict) -> None:
    config.title = "Table 3: YouTube3DHands"
    config.claim = "its table was not at hand."
    add_networks(config)
    evaluate_on(config, "youtube_3d_hands", "test")


def get_config(recipe: str = "paper") -> ConfigDict:
    """The configuration of one recipe.

    Args:
      recipe: what follows the colon, SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      ValueError: an unknown scale or variant.
    """
    return get_experiment("table3", recipe, _fill)
