"""The trainings of each scale of experiments, see configs/experiments/common.py."""

from typing import Any

from ml_collections import ConfigDict

from configs import finetune, pretrain
from configs.experiments.parts.naming import RENDERED
from peclr_jax import specs
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.networks.spec import EvaluateSpec

SCALES = ("smoke", "cpu", "cpu_long", "gpu", "paper")
# Parts of a pre-training, in whose multiples its encoder is probed; and steps between checkpoints.
EIGHTHS = 8
_MOST_APART = 500
# Each of which leaves a checkpoint of its own.
_MOST_INTERRUPTIONS = 50


def base(scale: str) -> ConfigDict:
    """Returns an experiment without arms."""
    # Intervals are taken over seeds, not over hands.
    held_out = EvaluateSpec(resamples=0, pictures=0 if scale == "smoke" else 4)
    config = specs.to_config(
        ExperimentSpec(recipe=scale, data_name=RENDERED, evaluations={"held_out": held_out})
    )
    config.pretrain, config.finetune = _TRAININGS[scale]()
    config.pretrain.recipe = config.finetune.recipe = scale
    if scale == "cpu_long":
        keep_course(config)
    return config


def is_on_cpu(config: ConfigDict) -> bool:
    """Returns whether an experiment is of a scale for CPUs, which does less.

    Args:
      config: Of the experiment, before its variants.
    """
    return config.recipe in ("cpu", "cpu_long")


def steps_of(training: ConfigDict) -> int:
    """Returns the steps of a training on rendered hands; 0 if the data decide.

    Args:
      training: Its config.
    """
    if training.num_steps or training.data.source != "rendered":
        return training.num_steps
    images = training.data.rendered.count * training.data.rendered.versions
    return round(training.num_epochs * (images // training.batch_size))


def keep_course(config: ConfigDict) -> None:
    """Keeps all checkpoints of each pre-training, those at the eighths of its steps among them.

    Args:
      config: Of the experiment.
    """
    total = steps_of(config.pretrain)
    eighth = max(1, total // EIGHTHS)
    every = next(n for n in range(min(eighth, _MOST_APART), 0, -1) if eighth % n == 0)
    keep = total // every + _MOST_INTERRUPTIONS
    config.pretrain.checkpoint.update(every_steps=every, keep=keep)


def _smoke() -> tuple[ConfigDict, ConfigDict]:
    small = {
        "batch_size": 16,
        "num_steps": 2,
        "model.width": 4,
        "model.stem": "small",
        "views.size": 16,
        "data.source_size": 24,
        "data.labels": True,
        "data.rendered.size": 24,
        "data.rendered.count": 32,
        "data.rendered.held_out": 16,
        "data.rendered.chunk": 16,
        "log.every_steps": 1,
        "evaluation.images": 16,
    }
    return _trainings(
        "quick",
        small,
        {"model.hidden": 16, "model.num_points": 8, "log.pairs": 2},
        {"model.hidden": 8, "log.images": 2},
    )


def _cpu() -> tuple[ConfigDict, ConfigDict]:
    small = {
        "batch_size": 64,
        "model.width": 16,
        # A small stem would take three times as long at this size.
        "model.stem": "imagenet",
        "views.size": 64,
        "data.source_size": 96,
        "data.labels": True,  # so that all trainings share the rendered hands
        "data.rendered.size": 96,
        "data.rendered.count": 3072,
        "data.rendered.held_out": 512,
        "evaluation.images": 256,
        "evaluation.every_steps": 100_000,  # at the end alone
        "checkpoint.every_steps": 100,
    }
    return _trainings(
        "quick",
        small,
        {"num_steps": 200},
        {"num_epochs": 12.0, "optimizer.learning_rate": 4e-3},
    )


def _cpu_long() -> tuple[ConfigDict, ConfigDict]:
    first, second = _cpu()
    for training in (first, second):
        training.data.rendered.count = 8192
    first.num_steps = 4000
    second.num_steps = 1200
    return first, second


def _gpu() -> tuple[ConfigDict, ConfigDict]:
    large = {
        "model.width": 64,
        "model.stem": "imagenet",
        "model.dtype": "bfloat16",
        "views.size": 128,
        "data.source_size": 192,
        "data.labels": True,
        "data.rendered.size": 160,
        "data.rendered.count": 32_768,
        "data.rendered.held_out": 2048,
        "data.rendered.chunk": 256,
        "data.rendered.cache_dir": "",
        "evaluation.images": 1024,
        "evaluation.every_steps": 100_000,
        "checkpoint.every_steps": 2000,
    }
    return _trainings(
        "rendered_rn50",
        large,
        {"num_epochs": 40.0},
        {"batch_size": 256, "num_epochs": 15.0, "optimizer.learning_rate": 1e-3},
    )


def _paper() -> tuple[ConfigDict, ConfigDict]:
    return pretrain.get_config("paper_rn50"), _as_arms_say(finetune.get_config("paper_rn50"))


def _trainings(
    base: str, both: dict[str, Any], pretraining: dict[str, Any], tuning: dict[str, Any]
) -> tuple[ConfigDict, ConfigDict]:
    first, second = pretrain.get_config(base), finetune.get_config("quick")
    first.update_from_flattened_dict({**both, **pretraining})
    second.update_from_flattened_dict({**both, **tuning})
    return first, _as_arms_say(second)


def _as_arms_say(tuning: ConfigDict) -> ConfigDict:
    """Leaves open what a fine-tuning starts from, and that one's encoder."""
    tuning.init.checkpoint = ""
    tuning.model.update(architecture="auto", stem="auto", width=0)
    return tuning


_TRAININGS = {"smoke": _smoke, "cpu": _cpu, "cpu_long": _cpu_long, "gpu": _gpu, "paper": _paper}
