"""Beyond the paper: what beats its recipe at equal compute, and which part of it does.

    python main.py --config=configs/experiments/best.py:cpu
    python main.py --config=configs/experiments/best.py:gpu

Every hand comes in four versions, as in FreiHAND: one before a green screen, three before clutter
of their own. The paper takes both views of a pair from one image, so that its background tells
which views belong together, a shortcut past the hand. The arms change PeCLR's recipe one thing at a
time, all with the same steps, batch, network and images:

    versions      the two views show two versions of the hand (`data.pairs`)
    temperature   0.1 instead of 0.5
    both          the two together: what `configs/pretrain.py:...+best` does
    centered      both, and the points relative to their mean

Encoders are frozen and probed by a two-layer perceptron on all versions, and tested on green
screens and on clutter. What came out here, and what it cost: docs/results/README.md.
"""

from ml_collections import ConfigDict

from configs.experiments.common import add_arm, add_comparison, get_experiment, probed

VERSIONS = {"data.pairs": "versions"}
TEMPERATURE = {"loss.temperature": 0.1}
ARMS = {
    "versions": ("pairs of versions", VERSIONS),
    "temperature": ("temperature 0.1", TEMPERATURE),
    "both": ("pairs of versions, temperature 0.1", {**VERSIONS, **TEMPERATURE}),
    "centered": (
        "pairs of versions, temperature 0.1, centred",
        {**VERSIONS, **TEMPERATURE, "loss.objective": "centered"},
    ),
}


def _fill(config: ConfigDict) -> None:
    config.title = "Beyond the paper: pairs of versions, and temperature"
    config.claim = "nothing; these are changes to its recipe."
    config.data_name = "rendered hands, each before a green screen and three cluttered backgrounds"
    for training in (config.pretrain, config.finetune):
        training.data.rendered.update(versions=4, background="green,clutter")
    probed(config)
    on_green = config.evaluations.held_out
    on_clutter = ConfigDict(on_green.to_dict())
    on_clutter.data.rendered.background = "clutter"
    config.evaluations = ConfigDict({"green_screens": on_green, "clutter": on_clutter})
    # As many steps as on one version of each hand.
    if not config.finetune.num_steps:
        config.finetune.num_epochs /= 4
    if not config.pretrain.num_steps:
        config.pretrain.num_epochs /= 4
        config.pretrain.optimizer.warmup_epochs /= 4
    config.finetune.optimizer.warmup_epochs /= 4
    add_arm(config, "random", "random encoder", pretrained=False)
    add_arm(config, "peclr", "PeCLR as in the paper")
    for name, (label, changes) in ARMS.items():
        add_arm(config, name, label, pretrain=changes)
        add_comparison(config, name, name, "peclr")


def get_config(recipe: str = "cpu") -> ConfigDict:
    """The configuration of one recipe.

    Args:
      recipe: what follows the colon, SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      ValueError: an unknown scale or variant.
    """
    return get_experiment("best", recipe, _fill)
