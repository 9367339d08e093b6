"""FreiHAND at its full size: how long it takes, and how much room, before training can start.

    python -m benchmarks.cpu.full_size [--folder DIR]

The files are a stand-in in FreiHAND's layout and of its numbers, 4 x 32,560 images of training and
3,960 of evaluation, whose JPEGs are `--hands` rendered hands, linked as often as is needed: nothing
of FreiHAND is in them. They are made once, in `--folder` if it is given, where they stay, as do the
records (2 GB). FreiHAND's own photographs are of 10 to 15 kB; "kb_a_file" says what these have.

* records built: `python -m data.build freihand`, to the end of the command;
* one epoch: all training images in random order, as training reads them without its network;
* paper_rn50: `--steps` steps of `configs/pretrain.py:paper_rn50` at its micro-batch of `--pairs`.
"""

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import harness, machine, process, report
from benchmarks.harness import ON_CPU, Benchmark, Candidate, Figures
from benchmarks.report import Column

VERSIONS = 4
QUALITY = 90
BUILT, EPOCH, TRAINED = "records built", "one epoch", "paper_rn50"


@dataclass(frozen=True)
class Settings:
    """Numbers of samples are FreiHAND's; `flags` are added to the command that trains."""

    folder: str = ""
    training: int = 32_560
    evaluation: int = 3_960
    hands: int = 256
    image_size: int = 224
    batch: int = 128
    pairs: int = 128
    steps: int = 10
    flags: str = ""


TOY = Settings(
    training=4,
    evaluation=2,
    hands=2,
    image_size=24,
    batch=2,
    pairs=2,
    steps=1,
    flags="--config.model.architecture=resnet18 --config.model.width=4 --config.model.hidden=8 "
    "--config.views.size=32 --config.data.source_size=48 --config.evaluation.images=2 "
    "--config.log.pairs=1 --config.model.dtype=float32",
)


def make_stand_in(root: Path, settings: Settings) -> None:
    """Writes the files of a data set in FreiHAND's layout; a folder that is complete stays."""
    if (root / "evaluation_scale.json").exists():
        return
    import jax
    import numpy as np
    from PIL import Image

    from peclr_jax.geometry import camera
    from peclr_jax.synthetic.render import RenderSpec, render_indices

    spec = RenderSpec(size=settings.image_size, background="clutter")
    hands = render_indices(jax.random.key(0), jax.numpy.arange(settings.hands), spec)
    originals = root / "originals"
    originals.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(np.asarray(hands.images)):
        Image.fromarray(image).save(originals / f"{number}.jpg", quality=QUALITY)
    labels = {
        "K": np.asarray(hands.intrinsics),
        "xyz": np.asarray(hands.keypoints_3d),
        "scale": np.asarray(camera.bone_length(hands.keypoints_3d)),
    }
    splits = {
        "training": (settings.training, VERSIONS),
        "evaluation": (settings.evaluation, 1),
    }
    for split, (samples, copies) in splits.items():
        target = root / split / "rgb"
        target.mkdir(parents=True, exist_ok=True)
        # Versions of a sample show one hand.
        shown = np.tile(np.arange(samples) % settings.hands, copies)
        for number, hand in enumerate(shown.tolist()):
            with contextlib.suppress(FileExistsError):
                os.link(originals / f"{hand}.jpg", target / f"{number:08d}.jpg")
        for name, values in labels.items():
            (root / f"{split}_{name}.json").write_text(json.dumps(values[shown[:samples]].tolist()))


def prepare_epoch(data_dir: str, source_size: int, batch: int) -> Callable[[], Figures]:
    """Reads every training image once."""
    import numpy as np

    from data import build
    from peclr_jax.input_pipeline.records import RecordStore

    builder = build.make_builder("freihand", Path(data_dir))
    store: Any = RecordStore(
        [(builder, "train+validation")], size=source_size, margin=None, threads=0, canvases=True
    )

    order = np.random.default_rng(0).permutation(len(store))
    batches = np.split(order, range(batch, len(store), batch))

    def measure_once() -> Figures:
        start, busy = time.perf_counter(), harness.core_seconds()
        images = sum(len(found["image"]) for found in store.stream(batches))
        seconds, worked = time.perf_counter() - start, harness.core_seconds() - busy
        return {
            "seconds": seconds,
            "per_second": images / seconds,
            "per_core_second": images / max(worked, 1e-3),
        }

    return measure_once


def measure(settings: Settings) -> Benchmark:
    with contextlib.ExitStack() as stack:
        scratch = Path(
            settings.folder or stack.enter_context(tempfile.TemporaryDirectory())
        ).absolute()
        raw, records = scratch / "FreiHAND_pub_v2", scratch / "records"
        make_stand_in(raw, settings)
        images = VERSIONS * settings.training + settings.evaluation
        places = (f"--manual_dir={raw}", f"--data_dir={records}")
        on_cpu = {**os.environ, **ON_CPU}
        build = [sys.executable, "-m", "data.build", "freihand", "--overwrite", *places]
        figures = {BUILT: process.run(build, environment=on_cpu)}
        figures[BUILT] |= {
            "per_second": images / figures[BUILT]["seconds"],
            "kb_a_file": _kilobytes(raw / "originals") / settings.hands,
            "records_gb": _kilobytes(records) / 1e6,
        }
        reading = {"data_dir": str(records), "source_size": 192, "batch": settings.batch}
        epoch = Candidate(prepare_epoch, reading, environment=ON_CPU)
        measured = harness.measure_in_turn({EPOCH: epoch}, 1)
        workdir = stack.enter_context(tempfile.TemporaryDirectory())
        command = [
            *(sys.executable, "main.py", "--config=configs/pretrain.py:paper_rn50"),
            f"--config.batch_size={settings.pairs}",
            *("--config.micro_batches=1", f"--config.num_steps={settings.steps}"),
            *("--config.log.every_steps=1", f"--config.data.data_dir={records}"),
            *(f"--workdir={workdir}/run", *settings.flags.split()),
        ]
        figures[TRAINED] = process.run(command, environment=on_cpu)
        figures[TRAINED] |= _images_per_second(Path(workdir) / "run")
        measured |= {
            name: {figure: harness.spread([value]) for figure, value in one.items()}
            for name, one in figures.items()
        }
    # The folder is of no interest to others.
    return harness.with_ratios(measured, [], dataclasses.replace(settings, folder=""))


def _kilobytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1000


def _images_per_second(workdir: Path) -> dict[str, float]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    rates = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return {"per_second": rates[-1]} if rates else {}


def table(benchmark: Benchmark) -> Table:
    columns = [
        Column("seconds", "s", 0),
        Column("per_second", "images/s", 0),
        Column("per_core_second", "images/s a core", 0),
        Column("peak_memory_mib", "peak MiB", 0),
        Column("kb_a_file", "kB a file", 1),
        Column("records_gb", "GB of records", 2),
    ]
    return report.table(f"FreiHAND at full size, {machine.cores()} cores", benchmark, columns)


if __name__ == "__main__":
    report.run_alone(__doc__, Settings(), TOY, measure, table)
