"""The variants that all experiments have, see configs/experiments/common.py."""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference

from configs.experiments.parts.naming import RENDERED, evaluated_on_others
from configs.experiments.parts.scales import EIGHTHS, keep_course, steps_of
from peclr_jax.errors import UserError
from peclr_jax.experiments.spec import STEPS

# What hands fill of their photographs, see configs/finetune.py:...+photos.
HAND_MARGIN = 1.25
_DETECTOR = "MediaPipe"
# Of an evaluation on photographs: the folder in --config.photos, and what is in it.
_PHOTOS: dict[str, dict[str, str]] = {
    "selection_photos": {"part": "selection", "names": "image_folder", "split": "train+validation"},
    "test_photos": {"part": "test", "names": "image_folder", "split": "train+validation"},
    "labelled_photos": {
        "part": "labelled",
        "names": "freihand",
        "split": "train+validation+evaluation",
    },
}
# Eighths of a pre-training's steps after which its encoder is probed.
_COURSE = (1, 2, 4, EIGHTHS)


def on_freihand(config: ConfigDict) -> None:
    """Trains and evaluates on FreiHAND in place of rendered hands.

    Args:
      config: Of the experiment.
    """
    for training in (config.pretrain, config.finetune):
        training.data.source = "tfds"
    own = _on_the_trainings_data(config)
    for name in own:
        # Sec. 4.4: a tenth of the training set is held out.
        held_out = "validation" not in config.finetune.data.split
        config.evaluations[name].split = "validation" if held_out else "evaluation"
    if own:
        config.data_name = config.data_name.replace(RENDERED, "FreiHAND")
    else:
        config.data_name = evaluated_on_others(config)


def in_photos(config: ConfigDict, part: str) -> FieldReference:
    """Returns the place of a part of the photographs, wherever --config.photos says they are.

    Args:
      config: Of the experiment.
      part: A folder, as docs/results/real_photos.md lists them.
    """
    if config.photos is None:
        config.photos = ""  # which has no default: this repository contains no photographs
    return config.get_ref("photos") + f"/{part}"


def evaluate_on_photos(config: ConfigDict) -> None:
    """Evaluates on the photographs that no training has seen.

    Args:
      config: Of the experiment.
    """
    like = next(iter(config.evaluations.values()))
    for name, where in _PHOTOS.items():
        wanted = ConfigDict(like.to_dict())
        wanted.split = where["split"]
        wanted.data.names = where["names"]
        wanted.data.manual_dir = in_photos(config, where["part"])
        config.evaluations[name] = wanted
        if where["names"] == "image_folder":
            config.labelled_by[name] = _DETECTOR


def _freihand(config: ConfigDict) -> None:
    on_freihand(config)
    if "test" in config.evaluations and not config.evaluations.test.data.names:
        del config.evaluations.test  # FreiHAND's own test set has no labels


def _photos(config: ConfigDict) -> None:
    own = _on_the_trainings_data(config)
    if not own:
        raise UserError(
            f"configs/experiments/{config.name}.py evaluates on data sets of its own and has no "
            "variant 'photos'; figure5.py, table1.py and figure6.py have it"
        )
    for training in (config.pretrain, config.finetune):
        training.num_steps = steps_of(training)
        training.data.update(
            source="tfds",
            names="image_folder",
            manual_dir=in_photos(config, "train"),
            split="train",
            held_out_split="validation",
            hand_margin=HAND_MARGIN,
            cache="device",  # decoded once
        )
    config.pretrain.data.labels = False
    evaluate_on_photos(config)
    for name in own:
        del config.evaluations[name]
        if name in config.paper:
            del config.paper[name]
    config.data_name = f"photographs, labelled by {_DETECTOR} where it is not said otherwise"


def _one_seed(config: ConfigDict) -> None:
    config.seeds = config.seeds[:1]


def _four_times(config: ConfigDict) -> None:
    config.title += ", four times as long"
    config.pretrain.num_steps = 4 * _known_steps(config, "four_times")
    keep_course(config)


def _course(config: ConfigDict) -> None:
    """Probes every pre-training at several of its steps, in place of its end alone."""
    total = config.pretrain.num_steps = _known_steps(config, "course")
    keep_course(config)
    every = config.pretrain.checkpoint.every_steps
    parts = (max(1, total * part // EIGHTHS // every) * every for part in _COURSE)
    steps = sorted({*parts, total})
    config.title += ", over the steps of pre-training"
    config.figure = "steps"
    config.x_label = STEPS
    pretrained = [name for name, arm in config.arms.items() if arm.pretrained]
    arms = config.arms.to_dict(preserve_field_references=True)
    comparisons = config.comparisons.to_dict()
    config.arms = ConfigDict(sort_keys=False)
    config.comparisons = ConfigDict(sort_keys=False)
    for name, arm in arms.items():
        if name not in pretrained:
            # A level beside the curves: the steps of a pre-training say nothing of it.
            config.arms[name] = ConfigDict({**arm, "series": "", "x": 0.0})
    for name in pretrained:
        label = arms[name]["label"]
        for step in steps:
            # The end of the run is its newest checkpoint, as without this variant.
            at = {"step": step if step < total else 0, "series": label, "x": float(step)}
            changes = {**arms[name], **at, "label": f"{label}, {step} steps"}
            config.arms[f"{name}_{step}"] = ConfigDict(changes)
    for name, comparison in comparisons.items():
        sides = [side for side in ("arm", "against") if comparison[side] in pretrained]
        if not sides:
            config.comparisons[name] = ConfigDict(comparison)
            continue
        for step in steps:
            at_step = {side: f"{comparison[side]}_{step}" for side in sides}
            config.comparisons[f"{name}_{step}"] = ConfigDict({**comparison, **at_step})


def _known_steps(config: ConfigDict, variant: str) -> int:
    changes = [arm.pretrain for arm in config.arms.values() if arm.pretrained]
    steps = {steps_of(_changed(config.pretrain, change)) for change in changes}
    if len(steps) > 1 or 0 in steps:
        raise UserError(
            f"configs/experiments/{config.name}.py has no variant {variant!r} where the length of "
            "a pre-training follows from its data: choose another scale"
        )
    return steps_of(config.pretrain)


def _changed(training: ConfigDict, change: ConfigDict) -> ConfigDict:
    changed = ConfigDict(training.to_dict())
    changed.update(change.to_dict())
    return changed


def _on_the_trainings_data(config: ConfigDict) -> list[str]:
    """Returns the evaluations on the kind of data that networks were trained on."""
    return [name for name, wanted in config.evaluations.items() if not wanted.data.names]


DATA: Mapping[str, Callable[[ConfigDict], Any]] = {"freihand": _freihand, "photos": _photos}
"""Those that an experiment's own variants follow, which ask what the data are."""
RUNS: Mapping[str, Callable[[ConfigDict], Any]] = {
    "four_times": _four_times,
    "course": _course,
    "one_seed": _one_seed,
}
"""Those that follow its own ones, whose arms they change."""
