"""Table 2: networks fine-tuned with all labels, on FreiHAND (Sec. 4.6).

    python main.py --config=configs/experiments/table2.py:paper
    python main.py --config=configs/experiments/table2.py:gpu \
        --config.evaluations.leaderboard.data.manual_dir=DIR \
        --config.evaluations.labelled_boxes.data.manual_dir=DIR

ResNet-50 and ResNet-152, supervised alone and after pre-training on FreiHAND and YouTube3DHands
(configs/experiments/protocol.py). "leaderboard" looks at an image twice and knows no box, as the
released code does; "labelled_boxes", of which the paper has no numbers, crops by the labels. The
rows of the released networks are those of the official README, from FreiHAND's leaderboard.

Cost and result: not run; it needs the data sets and a GPU. The tests train each network for two
steps and evaluate it on drawings in the data set's layout.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_paper_rows, get_experiment
from configs.experiments.protocol import add_networks, evaluate_on, fully_supervised

_TABLE_2 = {
    "Spurr 2020 (Table 2)": {"pa_epe": 0.90, "pa_auc": 0.82},
    "Kulon 2020 (Table 2)": {"pa_epe": 0.84, "pa_auc": 0.83},
    "Li 2020 (Table 2)": {"pa_epe": 0.80, "pa_auc": 0.84},
    "Pose2Mesh (Table 2)": {"pa_epe": 0.77},
    "I2L-MeshNet (Table 2)": {"pa_epe": 0.74},
    "RN50 (Table 2)": {"pa_epe": 0.83, "pa_auc": 0.84},
    "RN50 + PeCLR (Table 2)": {"pa_epe": 0.71, "pa_auc": 0.86},
    "RN152 (Table 2)": {"pa_epe": 0.74, "pa_auc": 0.85},
    "RN152 + PeCLR (Table 2)": {"pa_epe": 0.66, "pa_auc": 0.87},
    "RN50 + PeCLR, released (README)": {
        "epe_3d": 4.71,
        "auc": 0.357,
        "pa_epe": 0.71,
        "pa_auc": 0.860,
    },
    "RN152 + PeCLR, released (README)": {
        "epe_3d": 4.56,
        "auc": 0.360,
        "pa_epe": 0.66,
        "pa_auc": 0.868,
    },
}
_GAINS = {"resnet50": "14.5 % less PA-EPE", "resnet152": "10.8 % less PA-EPE"}


def _fill(config: ConfigDict) -> None:
    config.title = "Table 2: FreiHAND"
    config.claim = (
        "pre-training improves PA-EPE by 14.5 % for ResNet-50 and by 10.8 % for ResNet-152 "
        "(Table 2, Sec. 4.6)."
    )
    fully_supervised(config)
    add_networks(config, tuple(_GAINS))
    for depth, gain in _GAINS.items() if config.recipe == "paper" else ():
        config.comparisons[f"pretraining_{depth}"].paper = gain
    freihand = {"data.names": "freihand", "split": "evaluation"}
    evaluate_on(config, leaderboard={**freihand, "crop": "two_pass"}, labelled_boxes=freihand)
    config.metrics = ("pa_epe", "pa_auc", "epe_3d", "auc")
    config.compared = ("pa_epe", "epe_3d")
    add_paper_rows(config, "leaderboard", _TABLE_2)


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table2", recipe, _fill)
