"""Table 5: networks fine-tuned on FreiHAND, on Dexter+Object, which they have never seen (Sec. 10).

    python main.py --config=configs/experiments/table5.py:paper
    python main.py --config=configs/experiments/table5.py:gpu \
        --config.evaluations.dexter_object.data.manual_dir=DIR

"The same network as in Sec. 4.5", which must mean Sec. 4.6, as the supplement counts the sections
one lower: Table 2's ResNet-152, supervised alone and pre-trained. The AUC is aligned. Finger tips
alone are labelled, and the crop is our choice (docs/datasets.md).

Cost and result: not run; it needs the data sets and a GPU. The tests train each network for two
steps and evaluate it on drawings in the data set's layout.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_paper_rows, get_experiment
from configs.experiments.protocol import add_networks, evaluate_on, fully_supervised

# Rows with a star report unaligned results, which are no numbers of this column.
_TABLE_5 = {
    "Spurr 2018 (Table 5)": {"pa_auc": 0.51},
    "Zimmermann and Brox 2018 (Table 5)": {"pa_auc": 0.57},
    "Boukhayma 2019 (Table 5)": {"pa_auc": 0.76},
    "Zhang 2019 (Table 5)": {"pa_auc": 0.82},
    "Spurr 2020 (Table 5)": {"pa_auc": 0.82},
    "supervised (Table 5)": {"pa_auc": 0.77},
    "PeCLR (Table 5)": {"pa_auc": 0.81},
    "Mueller 2018, unaligned (Table 5)": {"auc": 0.48},
    "Baek 2019, unaligned (Table 5)": {"auc": 0.61},
    "Iqbal 2018, unaligned (Table 5)": {"auc": 0.67},
}


def _fill(config: ConfigDict) -> None:
    config.title = "Table 5: Dexter+Object"
    config.claim = "pre-training improves the aligned AUC by 4.9 % (Table 5, Sec. 10)."
    fully_supervised(config)
    add_networks(config, ("resnet152",))
    config.comparisons.pretraining.paper = "4.9 % more aligned AUC"
    # Its labels have no bone of the hand, whose length unaligned errors need.
    wanted = {"data.names": "dexter_object", "split": "test", "bone_length": "mean"}
    evaluate_on(config, dexter_object=wanted)
    config.metrics = ("pa_auc", "pa_epe", "auc")
    config.compared = ("pa_epe",)
    add_paper_rows(config, "dexter_object", _TABLE_5)


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table5", recipe, _fill)
