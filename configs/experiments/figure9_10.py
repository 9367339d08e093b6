"""Figures 9 and 10: equivariance of fine-tuned networks to rotation and translation (Sec. 11).

    python main.py --config=configs/experiments/figure9_10.py:cpu
    python main.py --config=configs/experiments/figure9_10.py:gpu

A network that was pre-trained by PeCLR and one that was pre-trained by SimCLR, both on FreiHAND and
YouTube3DHands and fine-tuned on all of FreiHAND, are shown images that are rotated (Fig. 9, a
curve) and translated (Fig. 10, a map): all of both data sets' test splits, where Sec. 11 has "the
whole dataset". peclr_jax/tasks/equivariance.py says what is measured. Each has its best
augmentations (Sec. 4.4); Sec. 11 names neither these nor the depth, which is ResNet-50 here. Each
measurement has a folder with its pictures beside the page of results.

Below the scale `paper` hands are rendered, also those that are measured on.

Cost and result: `cpu_long+photos+four_times` (docs/results/figure9_10_photos), from Table 1's
encoders: 45 minutes on two hyperthreads beside other work, three seeds. PeCLR is not shown to be
more equivariant, by Eq. 12 -9.7 % [-24.1, 4.8] under rotation and -1.6 % [-11.9, 8.7] under
translation on 681 photographs, to whose labels its network is 5.2 % nearer in 2D [3.8, 6.5]. Not
run: rendered hands, a GPU, FreiHAND.
"""

from ml_collections import ConfigDict

from configs import finetune
from configs.experiments.common import (
    add_arm,
    add_comparison,
    get_experiment,
    with_equivariance,
)
from configs.experiments.protocol import evaluate_on, on_both
from configs.experiments.table1 import SIMCLR


def _fill(config: ConfigDict) -> None:
    config.title = "Figures 9 and 10: equivariance after fine-tuning"
    config.claim = (
        "after fine-tuning, the network that PeCLR has pre-trained is more equivariant than "
        "SimCLR's at every rotation and translation, on FreiHAND and on YouTube3DHands (Sec. 11)."
    )
    config.figure = "none"
    config.finetune.data.rendered.background = config.pretrain.data.rendered.background
    on_both(config)
    config.finetune.data.update(split=finetune.ALL_LABELS, held_out_split="evaluation")
    if config.recipe == "cpu":
        config.finetune.num_steps = 300
    add_arm(config, "simclr", "SimCLR (scale, colour)", pretrain=SIMCLR)
    add_arm(config, "peclr", "PeCLR (scale, rotation, translation, colour)")
    add_comparison(config, "equivariance", "peclr", "simclr")
    if config.recipe == "paper":
        evaluate_on(
            config,
            freihand={"data.names": "freihand", "split": "evaluation"},
            youtube_3d_hands={"data.names": "youtube_3d_hands", "split": "test"},
        )
    with_equivariance(config)


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    return get_experiment("figure9_10", recipe, _fill)
