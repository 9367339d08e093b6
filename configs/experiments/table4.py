"""Table 4: networks fine-tuned with all labels, on HO-3D.

    python main.py --config=configs/experiments/table4.py:paper
    python main.py --config=configs/experiments/table4.py:gpu \
        --config.evaluations.ho3d.data.manual_dir=DIR

Joints of its evaluation split are in our records where `evaluation_xyz.json` was fetched; without
it only the root is labelled, and configs/submission.py:ho3d writes what its challenge evaluates.
configs/experiments/protocol.py says what is trained on which data.

Cost and result: not run; it needs the data set, FreiHAND and a GPU. The tests train each network
for two steps and evaluate it on drawings in the data set's layout.
"""

from ml_collections import ConfigDict

from configs.experiments.common import get_experiment
from configs.experiments.protocol import add_networks, evaluate_on


def _fill(config: ConfigDict) -> None:
    config.title = "Table 4: HO-3D"
    config.claim = "its table was not at hand."
    add_networks(config)
    evaluate_on(config, "ho3d/v2", "evaluation")


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table4", recipe, _fill)
