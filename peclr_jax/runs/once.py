"""Trainings that are parts of something larger, each done once."""

from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax.runs import pose_recipe, recipe

SUMMARY = "summary.json"
"""What a training writes last of all."""


def run_once(
    task: Callable[[ConfigDict, Path], None], config: ConfigDict, workdir: Path, console: Console
) -> None:
    """Runs a training unless it is finished; an unfinished one is resumed.

    Args:
      task: runs it, for example `pretrain.run`.
      config: of the training.
      workdir: of the training.
      console: for its headline.

    Raises:
      ValueError: the workdir holds a run of another config; or what `task` raises.
    """
    console.rule(workdir.name, align="left")
    if (workdir / SUMMARY).exists():
        resolved = pose_recipe.resolve(config)[0] if config.task == "finetune" else config
        recipe.check_resumable(resolved, workdir)
        console.print(f"finished before: {workdir}", highlight=False, soft_wrap=True)
        return
    task(config, workdir)
