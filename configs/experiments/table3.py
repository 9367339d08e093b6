"""Table 3: networks fine-tuned with all labels, on YouTube3DHands.

    python main.py --config=configs/experiments/table3.py:paper
    python main.py --config=configs/experiments/table3.py:gpu \
        --config.evaluations.youtube_3d_hands.data.manual_dir=DIR

Labels are two-dimensional: 2D EPE.
configs/experiments/protocol.py says what is trained on which data.

Cost and result: not run; it needs the data set, FreiHAND and a GPU. The tests train each network
for two steps and evaluate it on drawings in the data set's layout.
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
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table3", recipe, _fill)
