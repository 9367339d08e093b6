"""Table 3: across data sets, FreiHAND and YouTube3DHands (Sec. 4.7).

    python main.py --config=configs/experiments/table3.py:paper
    python main.py --config=configs/experiments/table3.py:gpu \
        --config.evaluations.freihand.data.manual_dir=DIR \
        --config.evaluations.youtube_3d_hands.data.manual_dir=DIR

Table 2's ResNet-152, supervised alone and after pre-training on both data sets, fine-tuned on
FreiHAND alone (configs/experiments/protocol.py). YouTube3DHands has meshes without cameras: its 3D
errors are Procrustes-aligned, its 2D error is by weak perspective (Sec. 4.3), here in pixels of a
view of 224 px, which its networks see (Sec. 4.1); the paper does not say of which image.

Cost and result: not run; it needs the data sets and a GPU. The tests train each network for two
steps and evaluate it on drawings in the data sets' layouts.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_paper_rows, get_experiment
from configs.experiments.protocol import add_networks, evaluate_on, fully_supervised


def _fill(config: ConfigDict) -> None:
    config.title = "Table 3: FreiHAND and YouTube3DHands"
    config.claim = (
        "pre-training improves 3D EPE by 9.7 % and AUC by 5.6 % on FreiHAND, PA-EPE by 5.6 % and "
        "2D EPE by 23.5 % on YouTube3DHands (Table 3, Sec. 4.7)."
    )
    fully_supervised(config)
    add_networks(config, ("resnet152",))
    config.comparisons.pretraining.paper = (
        "FreiHAND: 9.7 % less 3D EPE; YouTube3DHands: 5.6 % less PA-EPE, 23.5 % less 2D EPE"
    )
    evaluate_on(
        config,
        freihand={"data.names": "freihand", "split": "evaluation", "crop": "two_pass"},
        youtube_3d_hands={"data.names": "youtube_3d_hands", "split": "test"},
    )
    config.metrics = ("epe_3d", "auc", "pa_epe", "epe_2d_224")
    config.compared = ("epe_3d", "pa_epe", "epe_2d_224")
    add_paper_rows(
        config,
        "freihand",
        {
            "RN152 (Table 3)": {"epe_3d": 5.05, "auc": 0.34},
            "RN152 + PeCLR (Table 3)": {"epe_3d": 4.56, "auc": 0.36},
        },
    )
    add_paper_rows(
        config,
        "youtube_3d_hands",
        {
            "RN152 (Table 3)": {"pa_epe": 3.05, "epe_2d_224": 22.1},
            "RN152 + PeCLR (Table 3)": {"pa_epe": 2.88, "epe_2d_224": 16.9},
        },
    )


def get_config(recipe: str = "paper") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("table3", recipe, _fill)
