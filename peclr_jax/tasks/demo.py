"""Everything once, from nothing to a report: each part is one of the other tasks."""

import json
import time
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from PIL import Image
from rich.console import Console

from peclr_jax import specs
from peclr_jax.experiments import seeds
from peclr_jax.input_pipeline import DataSpec, open_split
from peclr_jax.pages import demo as demo_report
from peclr_jax.photos.find import find_images
from peclr_jax.runs.initialisation import ENCODER_FIELDS
from peclr_jax.runs.once import run_once
from peclr_jax.tasks import equivariance, evaluate, finetune, predict, pretrain

REPORT = "report.html"


def run(config: ConfigDict, workdir: Path) -> None:
    """Pre-trains, fine-tunes, probes, evaluates and predicts, and writes report.html.

    Writes to `workdir`: a folder for each part, and `report.html`. Parts that are finished are not
    done again.

    Raises:
      ValueError: an impossible config, or a workdir that holds a run of another one.
    """
    began = time.perf_counter()
    console = Console()
    config = prepare(config, workdir)
    run_once(pretrain.run, config.pretrain, workdir / "pretrain", console)
    run_once(finetune.run, config.finetune, workdir / "finetune", console)
    for name, seed, probe in probes(config):
        run_once(finetune.run, probe, workdir / f"probe_{name}_{seed}", console)
    console.rule("evaluation", align="left")
    evaluate.run(config.evaluate, workdir / "evaluate")
    console.rule("equivariance", align="left")
    equivariance.run(config.equivariance, workdir / "equivariance")
    console.rule("photos", align="left")
    predict.run(config.predict, workdir / "predict")
    hands = config.finetune.data.rendered
    demo = demo_report.Demo(
        workdir,
        hands=hands.count,
        held_out=hands.held_out,
        head=config.finetune.model.head,
        probe_seeds=config.probe_seeds,
        own_photos=config.predict.images == config.photos,
    )
    demo_report.write(demo, probe_scores(config, workdir))
    console.print(
        f"\n{(time.perf_counter() - began) / 60:.1f} minutes. Open {(workdir / REPORT).resolve()}",
        highlight=False,
        soft_wrap=True,
    )


def prepare(config: ConfigDict, workdir: Path) -> ConfigDict:
    """Ties the parts together: whose checkpoint, which hands, which photos.

    Args:
      config: as in configs/demo.py.
      workdir: of the whole.

    Returns:
      A copy in which every part can be run.
    """
    config = ConfigDict(config.to_dict())
    for part in (
        config.pretrain,
        config.finetune,
        config.probe,
        config.evaluate,
        config.equivariance,
    ):
        part.data.rendered.cache_dir = str(workdir / "rendered")
    for part in (config.finetune, config.probe):
        part.init.checkpoint = str(workdir / "pretrain")
    for part in (config.evaluate, config.equivariance, config.predict):
        part.checkpoint = str(workdir / "finetune")
    config.predict.images = config.photos
    try:
        find_images(config.photos)
    except (FileNotFoundError, ValueError):
        config.predict.images = str(workdir / "hands")
        draw_hands(config, workdir / "hands")
    return config


def probes(config: ConfigDict) -> list[tuple[str, int, ConfigDict]]:
    """The frozen encoders to compare: name, seed and config of each."""
    arms = []
    for seed in config.probe_seeds:
        pretrained = ConfigDict(config.probe.to_dict())
        pretrained.seed = seed
        random = ConfigDict(pretrained.to_dict())
        random.init.checkpoint = ""
        for field in ENCODER_FIELDS:
            random.model[field] = config.pretrain.model[field]
        arms += [("pretrained", seed, pretrained), ("random", seed, random)]
    return arms


def probe_scores(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """What the probes come to: 2D errors, and how much smaller those of the pre-trained are.

    Returns:
      "pretrained" and "random": 2D EPE in px of the view, one a seed; "mean_pose": the training
      set's mean pose's; "reduction": 1 - pretrained / random, the mean over the seeds, and
      "reduction_interval", its 95 % interval by Student's t (None with a single seed).
    """
    scores: dict[str, Any] = {"pretrained": [], "random": []}
    for name, seed, _ in probes(config):
        summary = json.loads((workdir / f"probe_{name}_{seed}" / "summary.json").read_text())
        scores[name].append(summary["epe_2d_px"])
        scores["mean_pose"] = summary["epe_2d_px_of_mean_pose"]
    reduction = seeds.compare(scores["pretrained"], scores["random"]).reduction
    scores["reduction"] = reduction.value
    scores["reduction_interval"] = None if reduction.low is None else list(reduction[1:])
    return scores


def draw_hands(config: ConfigDict, folder: Path) -> None:
    """Writes rendered hands, never trained on, as pictures to predict."""
    if folder.exists():
        return
    split = open_split(
        specs.from_mapping(DataSpec, config.finetune.data.to_dict(), "--config.finetune.data"),
        "held_out",
        batch_size=config.photos_stand_in,
    )
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(next(split.batches())["image"]):
        Image.fromarray(image).save(partial / f"hand_{index:02d}.png")
    partial.rename(folder)
