"""Everything once, from nothing to a report: each part is one of the other tasks."""

import dataclasses
import operator
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from ml_collections import ConfigDict
from PIL import Image

from peclr_jax import files, outputs, specs
from peclr_jax.console import say
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.experiments import seeds
from peclr_jax.input_pipeline import open_split
from peclr_jax.models.spec import ENCODER_FIELDS
from peclr_jax.networks.spec import EquivarianceSpec, EvaluateSpec
from peclr_jax.pages import demo as demo_report
from peclr_jax.photos import read
from peclr_jax.photos.find import find_film, find_images
from peclr_jax.photos.kinds import NAMES
from peclr_jax.places import Place
from peclr_jax.prediction.spec import PredictSpec, Summary
from peclr_jax.runs.resuming import SUMMARY, run_unless_finished
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.specs import Between, Seed, Spec, check_seeds
from peclr_jax.tasks import equivariance, evaluate, finetune, predict, pretrain
from peclr_jax.terminal import Console

_PROBED = ("pretrained", "random")
_MEASURED = ("evaluate", "equivariance", "predict")
_ON_HANDS = ("pretrain", "finetune", "probe", "evaluate", "equivariance")


@dataclasses.dataclass(frozen=True)
class DemoSpec(Spec):
    """Everything once.

    Attributes:
      finetune: The fine-tuning of the network that is evaluated and predicts.
      probe, probe_seeds: Small heads on frozen encoders, pre-trained or random (Sec. 4.4); seeds.
      photos: Photos to predict, a file, a folder or a glob; "" for rendered hands in their place.
      photos_stand_in: Rendered hands that stand in for photos.
    """

    task: Literal["demo"] = "demo"
    pretrain: PretrainSpec = PretrainSpec()
    finetune: FinetuneSpec = FinetuneSpec()
    probe: FinetuneSpec = FinetuneSpec()
    probe_seeds: tuple[Seed, ...] = (0, 1, 2)
    evaluate: EvaluateSpec = EvaluateSpec(pictures=4)
    equivariance: EquivarianceSpec = EquivarianceSpec()
    predict: PredictSpec = PredictSpec()
    photos: Place = ""
    photos_stand_in: Annotated[int, Between(1, 10_000)] = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seeds("probe_seeds", self.probe_seeds)


def run(config: ConfigDict, workdir: Path) -> int:
    """Runs the demo; returns what the prediction of its photos would."""
    return predict.exit_code(demo(specs.from_config(DemoSpec, config), workdir))


def demo(spec: DemoSpec, workdir: Path) -> Summary:
    """Pre-trains, fine-tunes, probes, evaluates and predicts, and writes report.html.

    Each part has a folder in `workdir`. Trainings that are finished are not done again. Returns
    what was predicted.
    """
    began = time.perf_counter()
    console = Console()
    check_photos(spec.photos)
    for name in ("pretrain", "finetune", "probe"):
        getattr(spec, name).check_devices(jax.device_count(), f"--config.{name}")
    spec = connect(spec, workdir)
    run_unless_finished(pretrain.pretrain, spec.pretrain, workdir / "pretrain", console)
    run_unless_finished(finetune.finetune, spec.finetune, workdir / "finetune", console)
    for name, seed, probe in probes(spec):
        run_unless_finished(finetune.finetune, probe, workdir / f"probe_{name}_{seed}", console)
    console.rule("evaluation", align="left")
    folder = workdir / "evaluate"
    with outputs.held(folder):
        evaluate.tell(evaluate.evaluate(spec.evaluate, folder), folder)
    console.rule("equivariance", align="left")
    folder = workdir / "equivariance"
    with outputs.held(folder):
        equivariance.tell(equivariance.compare(spec.equivariance, folder), folder)
    console.rule("photos", align="left")
    if not spec.photos:
        draw_hands(spec, Path(spec.predict.images))
    folder = workdir / "predict"
    with outputs.held(folder):
        predicted = predict.predict(spec.predict, folder)
        predict.tell(predicted, folder)
    rendered = spec.finetune.data.rendered
    report = demo_report.Demo(
        workdir,
        hands=rendered.count,
        held_out=rendered.held_out,
        head=spec.finetune.model.head,
        probe_seeds=spec.probe_seeds,
        own_photos=bool(spec.photos),
    )
    demo_report.write(report, probe_scores(spec.probe_seeds, workdir))
    minutes = (time.perf_counter() - began) / 60
    say("", f"{minutes:.1f} minutes. Open {(workdir / 'report.html').resolve()}", console=console)
    return predicted


def check_photos(photos: str) -> None:
    """Checks that photos are there, before anything is trained."""
    try:
        found = find_images(photos) if photos else []
    except MissingFileError:
        raise MissingFileError(
            f"--config.photos={photos} names no photos: give a file, a folder or a glob of images "
            f"({NAMES}), or leave it out for rendered hands"
        ) from None
    if photos and find_film(photos):
        raise UserError(
            f"--config.photos={photos} is a film, which the report does not show: give photos "
            "here, and the film to configs/predict.py"
        )
    if photos and not any(map(read.seen_size, found)):
        raise UserError(
            f"none of the {len(found)} image(s) of --config.photos={photos} can be read: give "
            f"others ({NAMES}), or leave it out for rendered hands"
        )


def connect(spec: DemoSpec, workdir: Path) -> DemoSpec:
    """Returns a spec whose parts use each other's networks and the same hands.

    Raises:
      UserError: One of them was given others, which would be passed over.
    """
    start = {"init.checkpoint": str(workdir / "pretrain"), "init.torch_checkpoint": ""}
    network = {"checkpoint": str(workdir / "finetune"), "init.torch_checkpoint": ""}
    given = {
        **{f"{part}.{name}": start[name] for part in ("finetune", "probe") for name in start},
        **{f"{part}.{name}": network[name] for part in _MEASURED for name in network},
        "predict.images": spec.photos or str(workdir / f"hands_{spec.photos_stand_in}"),
    }
    for field in given:
        of_field = operator.attrgetter(field)
        if of_field(spec) != of_field(DemoSpec()):
            remedy = "name your photos by --config.photos"
            if field != "predict.images":
                remedy = "leave it out, for the parts use each other's networks"
            raise UserError(
                f"--config.{field} is {of_field(spec)!r}, which the demo chooses: {remedy}"
            )
    hands = str(workdir / "rendered")
    rendered = {f"{part}.data.rendered.cache_dir": hands for part in _ON_HANDS}
    return specs.changed(spec, given | rendered, "--config")


def probes(spec: DemoSpec) -> list[tuple[str, int, FinetuneSpec]]:
    """Returns the frozen encoders to compare: name, seed and spec of each."""
    encoder = {field: getattr(spec.pretrain.model, field) for field in ENCODER_FIELDS}
    changes = {"pretrained": {}, "random": {"init.checkpoint": "", "model": encoder}}
    return [
        (name, seed, specs.changed(spec.probe, {**changes[name], "seed": seed}, "--config.probe"))
        for seed in spec.probe_seeds
        for name in _PROBED
    ]


def probe_scores(probe_seeds: Sequence[int], workdir: Path) -> dict[str, Any]:
    """Returns the 2D EPE in px of the view of the probes, one a seed, and of the mean pose.

    "reduction" is 1 - pretrained / random, the mean over the seeds, and "reduction_interval" its
    95 % interval by Student's t (None with a single seed).
    """
    summaries = {
        name: [files.read_json(workdir / f"probe_{name}_{seed}" / SUMMARY) for seed in probe_seeds]
        for name in _PROBED
    }
    errors = {name: [s["epe_2d_px"] for s in found] for name, found in summaries.items()}
    reduction = seeds.compare(errors["pretrained"], errors["random"]).reduction
    return {
        **errors,
        "mean_pose": summaries["random"][-1]["epe_2d_px_of_mean_pose"],
        "reduction": reduction.value,
        "reduction_interval": None if reduction.low is None else list(reduction[1:]),
    }


def draw_hands(spec: DemoSpec, folder: Path) -> None:
    """Writes rendered hands that are never trained on to a folder, if it is not there."""
    if folder.exists():
        return
    split = open_split(spec.finetune.data, "held_out", batch_size=spec.photos_stand_in)
    with files.writing_folder(folder) as unfinished:
        for index, image in enumerate(next(split.batches())["image"]):
            Image.fromarray(image).save(unfinished / f"hand_{index:02d}.png")
