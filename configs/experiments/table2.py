"""Table 2: networks fine-tuned with all labels, on FreiHAND.

    python main.py --config=configs/experiments/table2.py:paper
    python main.py --config=configs/experiments/table2.py:gpu \
        --config.evaluations.freihand.data.manual_dir=DIR

The rows of the released networks are those of the official README, from FreiHAND's leaderboard.
The paper: pre-training improves PA-EPE on FreiHAND by up to 14.5 %.
configs/experiments/protocol.py says what is trained on which data.

Cost and result: not run; it needs the data set, FreiHAND and a GPU. The tests train each network
for two steps and evaluate it on drawings in the data set's layout.
"""

from ml_collections import ConfigDict

from configs.experiments.common import get_experiment
from configs.experiments.protocol import add_networks, evaluate_on

# Official README: leaderboard results of the released networks.
RELEASED = {
    "RN50 + PeCLR, released": {"epe_3d": 4.71, "auc": 0.357, "pa_epe": 0.71, "pa_auc": 0.860},
    "RN152 + PeCLR, released": {"epe_3d": 4.56, "auc": 0.360, "pa_epe": 0.66, "pa_auc": 0.868},
}


def _fill(config: ConfigDict) -> None:
    config.title = "Table 2: FreiHAND"
    config.claim = "pre-training improves PA-EPE on FreiHAND by up to 14.5 %."
    add_networks(config)
    evaluate_on(config, "freihand", "evaluation")
    for name, numbers in RELEASED.items():
        config.paper[name] = numbers


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table2", recipe, _fill)
