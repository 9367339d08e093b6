"""Beyond the paper: changes that beat its recipe at equal compute, one by one and together.

    python main.py --config=configs/experiments/best.py:cpu
    python main.py --config=configs/experiments/best.py:cpu+versions
    python main.py --config=configs/experiments/best.py:cpu+successors
    python main.py --config=configs/experiments/best.py:cpu+photos+successors --config.photos=DIR
    python main.py --config=configs/experiments/best.py:gpu

The arms change PeCLR's recipe (Table 1's) one thing at a time, all with the same hands, steps,
batch and network; encoders are frozen and probed by a two-layer perceptron:

    temperature   0.1 instead of 0.5, the official code's
    gentle        the same augmentations in narrower ranges: scale 0.8 to 1.25 instead of 0.6 to
                  2.0, which cuts fingers off, and colours that vary either way instead of fading
    both          the two together: `configs/pretrain.py:...+best`
    simclr        Table 1's SimCLR with the two together, to compare PeCLR with

What was chosen by its error on the held-out hands is reported on others, "test", with five seeds,
as many as were planned.

The variant `versions` measures what pairs of versions add. Every hand then has four versions, as in
FreiHAND: one before a green screen, three before different clutter. The paper takes both views of a
pair from one image, so the background shows which views belong together without a look at the hand;
`data.pairs=versions` takes them from two images. Probes are tested on green screens and on clutter.

The variant `successors` puts what came after PeCLR beside it and beside `both`, here `best`, at
equal compute: as many steps of as many views through the same network (docs/beyond.md). An arm is
one change of the paper's recipe, and the arm `best_...` the same change of `best`:

    mined, weighted   pairs of similar hands, and weights by how similar they are (SiMHand);
                      `simhand` is the two together
    frames            the same hand, moved a little (TempCLR); `moved`, its control, sees the same
                      images, two views of one image a pair
    maps              the third stage's maps follow the transformations (SER)

Cost and result of `cpu` on rendered hands, five seeds: on "test" (docs/results/best_test,
20 minutes on two cores) `both` errs 19.6 % less than the paper's recipe in 2D [15.8, 23.4], and is
level with `simclr` (4.3 % less [-1.8, 10.5]). On the held-out hands by which they were chosen
(docs/results/best) `gentle` alone errs 15.0 % less [5.1, 25.0] and `temperature` 2.7 % [1.4, 4.0].
Of `cpu+successors` SiMHand's arms (docs/results/successors, 41 minutes): `simhand` is level with
PeCLR, 0.7 % less in 2D [-2.9, 4.3]; so it is on photographs with true labels, -0.8 % [-3.2, 1.6],
where it errs 3.3 % more in PA-EPE [0.4, 6.2] (docs/results/successors_photos, 13 minutes).
`best_simhand` is level with `best` in 2D, 2.3 % less [-0.8, 5.4], and errs 3.7 % more in PA-EPE
[1.7, 5.7]. `frames` and `maps` are level with PeCLR, 1.6 % less in 2D [-0.3, 3.5] and 0.6 % [-1.8,
3.0] (docs/results/successors_frames_maps). After 4,000 steps on photographs `both` is level with
PeCLR in 2D and errs 8 % more in PA-EPE (one seed, `cpu_long+photos+course+one_seed`,
docs/results/best_photos_course). Not run: `temperature` and `gentle` on "test", `versions`,
`best_weighted`, the other arms on photographs, a GPU, FreiHAND.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import pretrain
from configs.experiments.common import (
    add_arm,
    add_comparison,
    add_test_hands,
    get_experiment,
    probed,
)
from configs.experiments.parts.scales import steps_of
from configs.experiments.table1 import SIMCLR
from peclr_jax.errors import UserError

TEMPERATURE = {"loss.temperature": pretrain.BEST_TEMPERATURE}
GENTLE = {f"views.{name}": value for name, value in pretrain.GENTLE_VIEWS.items()}
BEST: dict[str, Any] = {**TEMPERATURE, **GENTLE}
PAIRS = {"data.pairs": "versions"}
MINED = {"data.pairs": "mined", "data.labels": True}
WEIGHTED = {"loss.weights": "adaptive", "data.labels": True}
MAPS = {"loss.maps": 1.0}
MOVED = {"data.rendered.versions": 2, "data.rendered.motion_deg": pretrain.MOTION_DEG}
FRAMES = {**MOVED, **PAIRS}


def _fill(config: ConfigDict) -> None:
    config.title = "Beyond the paper: temperature and gentler augmentations"
    config.claim = "nothing; these are changes to its recipe."
    probed(config)
    _add_arms(
        config,
        {
            "temperature": ("PeCLR, temperature 0.1", TEMPERATURE),
            "gentle": ("PeCLR, gentle augmentations", GENTLE),
            "both": ("PeCLR, temperature 0.1 and gentle augmentations", BEST),
        },
    )
    config.seeds = (0, 1, 2, 3, 4)
    add_test_hands(config)
    add_arm(config, "simclr", "SimCLR (scale, colour) by both", pretrain={**SIMCLR, **BEST})
    add_comparison(config, "equivariance", "both", "simclr")


def _add_arms(config: ConfigDict, arms: dict[str, tuple[str, dict[str, Any]]]) -> None:
    add_arm(config, "random", "random encoder", pretrained=False)
    add_arm(config, "peclr", "PeCLR as in the paper")
    for name, (label, changes) in arms.items():
        add_arm(config, name, label, pretrain=changes)
        add_comparison(config, name, name, "peclr")


def _versions(config: ConfigDict) -> None:
    if config.photos is not None:
        raise UserError(
            "configs/experiments/best.py has no variant 'versions' on photographs, of which there "
            "is one a hand: leave out 'photos' or 'versions'"
        )
    config.title = "Beyond the paper: pairs of versions"
    if config.pretrain.data.source == "rendered":  # FreiHAND has its four versions anyway
        _render_versions(config)
    config.arms = ConfigDict(sort_keys=False)
    config.comparisons = ConfigDict(sort_keys=False)
    _add_arms(
        config,
        {
            "versions": ("PeCLR, pairs of versions", PAIRS),
            "best": ("best of one image", BEST),
            "best_versions": ("best, pairs of versions", {**BEST, **PAIRS}),
        },
    )
    add_comparison(config, "versions_of_best", "best_versions", "best")


def _render_versions(config: ConfigDict) -> None:
    config.data_name = "rendered hands, each before a green screen and three cluttered ones"
    for training in (config.pretrain, config.finetune):
        pretrain.render_versions(training, 4)
        training.data.rendered.background = "green,clutter"
    # By which nothing was chosen.
    on_green = config.evaluations.test
    on_clutter = ConfigDict(on_green.to_dict())
    on_clutter.data.rendered.background = "clutter"
    config.evaluations = ConfigDict({"green_screens": on_green, "clutter": on_clutter})


def _successors(config: ConfigDict) -> None:
    config.title = "Beyond the paper: what came after PeCLR, at equal compute"
    config.claim = "nothing; SiMHand says 15 % less error than PeCLR's on FreiHAND."
    # Of arms with two versions of each hand an epoch has twice the steps.
    config.pretrain.num_steps = steps_of(config.pretrain)
    config.arms = ConfigDict(sort_keys=False)
    config.comparisons = ConfigDict(sort_keys=False)
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "mined": ("mined pairs", MINED),
        "weighted": ("adaptive weights", WEIGHTED),
        "simhand": ("mined pairs and adaptive weights", {**MINED, **WEIGHTED}),
        "maps": ("equivariant maps", MAPS),
    }
    if config.pretrain.data.source == "rendered":
        changes |= {
            "moved": ("images of moved hands", MOVED),
            "frames": ("pairs of moved hands", FRAMES),
        }
    _add_arms(config, {name: (f"PeCLR, {of}", change) for name, (of, change) in changes.items()})
    add_arm(config, "best", "PeCLR, best of one image", pretrain=BEST)
    add_comparison(config, "best", "best", "peclr")
    for name, (label, change) in changes.items():
        add_arm(config, f"best_{name}", f"best, {label}", pretrain={**BEST, **change})
        add_comparison(config, f"best_{name}", f"best_{name}", "best")
    if "frames" in changes:
        for prefix in ("", "best_"):
            arm = f"{prefix}frames"
            add_comparison(config, f"{arm}_of_moved", arm, f"{prefix}moved")


def get_config(recipe: str = "cpu") -> ConfigDict:
    """Returns the config of a recipe.

    Args:
      recipe: SCALE+VARIANT+..., see configs/experiments/common.py.

    Raises:
      UserError: An unknown scale or variant.
    """
    variants = {"versions": _versions, "successors": _successors}
    return get_experiment("best", recipe, _fill, variants, [variants])
