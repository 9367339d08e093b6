"""Scales of experiments, their variants, and functions that add arms and comparisons.

A recipe is a scale and variants, joined by "+". The scales:

    smoke   two steps a training, for the tests: its numbers mean nothing
    cpu     ResNet-18 of a quarter of the width at 64 px, 3,072 rendered hands; a pre-training takes
            2 minutes on one core, a probe 0.8, an experiment 0.2 to 2.5 hours; the results are in
            docs/results
    cpu_long
            `cpu` with 4,000 steps a pre-training, 8,192 rendered hands and 1,200 steps a probe:
            8 minutes a pre-training on two hyperthreads (docs/results/plan.md)
    gpu     ResNet-50 at 128 px, 32,768 rendered hands, one data centre GPU, no TensorFlow; not run
    paper   the paper's protocol on its data sets; not run. `--config.plan=True` prints it

and the variants, which may be named in any order:

    freihand     the scale's networks, on FreiHAND (`python -m data.build freihand` makes its
                 records); not of real_photos.py
    photos       the scale's networks and steps, on the photographs in --config.photos=DIR:
                 pre-trained on them without labels, probed or fine-tuned on a detector's labels,
                 and evaluated on sets that no training has seen, by a detector's labels and by true
                 ones. docs/results/real_photos.md has the layout. Not of experiments that are of
                 other data sets, nor of some at `paper`
    four_times   pre-training takes four times as many steps
    course       each encoder is probed after an eighth, a quarter, a half and all of the steps of
                 its one pre-training, at the learning rate of that time. Neither this nor
                 `four_times` where the data decide the number of steps, as at the scale `paper`
    one_seed     the first seed alone
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from flax.traverse_util import unflatten_dict
from ml_collections import ConfigDict

from configs import equivariance
from configs.composition import compose
from configs.experiments.parts import scales
from configs.experiments.parts.variants import DATA, RUNS, on_freihand
from peclr_jax import specs
from peclr_jax.experiments.spec import ArmSpec, ComparisonSpec
from peclr_jax.views.spec import NO_TRANSFORMATION

# Everything that Fig. 4 varies, switched off; an arm switches on what it is about.
NO_AUGMENTATION = {f"views.{name}": value for name, value in NO_TRANSFORMATION.items()}


def get_experiment(
    file: str,
    recipe: str,
    fill: Callable[[ConfigDict], None],
    variants: Mapping[str, Callable[[ConfigDict], None]] | None = None,
    alternatives: Iterable[Collection[str]] = (),
) -> ConfigDict:
    """Makes the config of an experiment at some scale.

    Args:
      file: Its name, without folder and ending.
      recipe: SCALE+VARIANT+...
      fill: Sets what is the experiment's own.
      variants: Those that it has beside the common ones, or in their place.
      alternatives: Sets of these of which a recipe may have one.

    Raises:
      UserError: An unknown scale or variant, or two alternatives.
    """

    def at(scale: str) -> Callable[[], ConfigDict]:
        def make() -> ConfigDict:
            config = scales.base(scale)
            config.name = file
            if scale == "paper":
                on_freihand(config)
            fill(config)
            return config

        return make

    path = f"configs/experiments/{file}.py"
    bases = {scale: at(scale) for scale in scales.SCALES}
    return compose(path, recipe, bases, {**DATA, **(variants or {}), **RUNS}, [DATA, *alternatives])


def add_arm(
    config: ConfigDict,
    name: str,
    label: str,
    *,
    pretrained: bool = True,
    pretrain: Mapping[str, Any] | None = None,
    finetune: Mapping[str, Any] | None = None,
    series: str = "",
    x: float = 0.0,
) -> None:
    """Adds an arm to an experiment.

    Args:
      config: Of the experiment.
      name: Of the arm, for flags and folders.
      label: Its name for people.
      pretrained: Whether its encoder is pre-trained; otherwise its weights are random.
      pretrain: Changes to the experiment's pre-training, by dotted names.
      finetune: Changes to its fine-tuning, by dotted names.
      series: The curve that it is a point of, where curves are drawn.
      x: Where it is on the curve.
    """
    changes = [unflatten_dict(dict(flat or {}), sep=".") for flat in (pretrain, finetune)]
    config.arms[name] = specs.to_config(ArmSpec(label, pretrained, series, float(x), *changes))


def add_comparison(config: ConfigDict, name: str, arm: str, against: str, paper: str = "") -> None:
    """Adds to an experiment the question by how much one arm errs less than another.

    Args:
      config: Of the experiment.
      name: Of the comparison, for flags and folders.
      arm: Name of the arm that should err less.
      against: Name of the other one.
      paper: What the paper says of it.
    """
    config.comparisons[name] = specs.to_config(ComparisonSpec(arm, against, paper))


def add_paper_rows(
    config: ConfigDict, evaluation: str, rows: Mapping[str, Mapping[str, float]]
) -> None:
    """Adds the paper's numbers to the table of an evaluation.

    Args:
      config: Of the experiment.
      evaluation: Its name.
      rows: By the label of each row, which has no dot, its numbers by the metrics' names.
    """
    config.paper[evaluation] = ConfigDict(rows, sort_keys=False)


def add_test_hands(config: ConfigDict) -> None:
    """Evaluates also on rendered hands by which nothing was chosen.

    Args:
      config: Of the experiment.
    """
    if config.finetune.data.source == "rendered":
        config.evaluations.test = ConfigDict(config.evaluations.held_out.to_dict())
        config.evaluations.test.split = "test"


def probed(config: ConfigDict) -> None:
    """Freezes the encoders and probes them by a two-layer perceptron (Sec. 4.4).

    Args:
      config: Of the experiment.
    """
    config.finetune.model.frozen = True
    config.finetune.model.head = "mlp"
    # Table 1's columns first; its AUC fits thresholds of 0 to 50 cm alone (Sec. 4.2 has 0 to 5).
    config.metrics = ("epe_3d", "auc_50cm", "epe_2d", "root_aligned", "pa_epe", "pa_auc")
    if scales.is_on_cpu(config):
        # In so few steps the pose in the image is asked of the features, not the hand's distance.
        config.finetune.loss.root_depth = 0.0
        config.metrics = config.metrics[2:]
    else:
        config.compared = ("epe_3d", *config.compared)
    # On the images of the pre-training, with labels.
    config.finetune.data.rendered.background = config.pretrain.data.rendered.background


def with_equivariance(config: ConfigDict) -> None:
    """Measures the equivariance for every comparison on the data of every evaluation (Sec. 11).

    Args:
      config: Of the experiment.
    """
    config.equivariance = equivariance.get_config()
    if config.recipe == "smoke":
        config.equivariance.update_from_flattened_dict(
            {
                "batch_size": 16,
                "images": 16,
                "rotation_step_deg": 40.0,
                "translation_step_px": 25.0,
            }
        )
