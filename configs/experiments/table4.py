"""Table 4: networks fine-tuned on HO-3D (Sec. 10).

    python main.py --config=configs/experiments/table4.py:paper
    python main.py --config=configs/experiments/table4.py:gpu \
        --config.evaluations.ho3d.data.manual_dir=DIR

ResNet-50, trained on HO-3D alone, and pre-trained on FreiHAND and YouTube3DHands, then fine-tuned
on HO-3D, as Sec. 10's text has it; the table's caption has PeCLR fine-tuned on FreiHAND. Joints of
the evaluation split are in our records where `evaluation_xyz.json` was fetched; without it only the
root is labelled, and `configs/submission.py` with `--config.data.names=ho3d/v2` writes what the
data set's challenge evaluates. Hands are lifted by the training set's mean bone, and at the depth
that the network estimates, where the submission takes the wrist's depth, which the challenge gives.

Cost and result: not run; it needs the data sets and a GPU. The tests train each network for two
steps on rendered hands and evaluate it on drawings in the data set's layout.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_paper_rows, get_experiment
from configs.experiments.protocol import add_networks, evaluate_on, fully_supervised

_TABLE_4 = {
    "Hasson (Table 4)": {"pa_epe": 3.18, "pa_auc": 0.46, "epe_3d": 3.27, "auc": 0.44},
    "Hampali (Table 4)": {"pa_epe": 3.04, "pa_auc": 0.49, "epe_3d": 8.42, "auc": 0.27},
    "supervised (Table 4)": {"pa_epe": 1.33, "pa_auc": 0.74, "epe_3d": 2.85, "auc": 0.50},
    "PeCLR (Table 4)": {"pa_epe": 1.09, "pa_auc": 0.78, "epe_3d": 2.26, "auc": 0.58},
}


def _fill(config: ConfigDict) -> None:
    config.title = "Table 4: HO-3D"
    config.claim = "pre-training improves PA-EPE by 18 % (Table 4, Sec. 10)."
    fully_supervised(config)
    # Below the paper's scale rendered hands stand in for HO-3D's training set, too.
    config.finetune.data.names = "ho3d/v2"
    add_networks(config, ("resnet50",))
    config.comparisons.pretraining.paper = "18 % less PA-EPE"
    # The evaluation split of the tests' stand-in has no joints' labels.
    split = "validation" if config.recipe == "smoke" else "evaluation"
    # The challenge, which the paper's numbers are from, gives no joints to take a size from.
    wanted = {"data.names": "ho3d/v2", "split": split, "bone_length": "mean"}
    evaluate_on(config, ho3d=wanted)
    config.metrics = ("pa_epe", "pa_auc", "epe_3d", "auc")
    config.compared = ("pa_epe", "epe_3d")
    add_paper_rows(config, "ho3d", _TABLE_4)


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table4", recipe, _fill)
