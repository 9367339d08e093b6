"""A picture of a data set: crops as training sees them, with all labels drawn."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from peclr_jax import input_pipeline, pages, specs
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import describe_data
from peclr_jax.specs import PositiveInt, Spec

PICTURE = "hands.png"


@dataclasses.dataclass(frozen=True)
class ShowSpec(Spec):
    """A look at a data set.

    Attributes:
      task: Its name.
      recipe: Only a name.
      data: The data set; the splits of source "rendered" are "train" and "held_out".
      split: TFDS split to show.
      count: Hands to show.
      columns: Of the picture.
    """

    task: Literal["show"] = "show"
    recipe: str = "default"
    data: DataSpec = DataSpec(source="tfds", source_size=192)
    split: str = "train"
    count: PositiveInt = 24
    columns: PositiveInt = 6


def run(config: ConfigDict, workdir: Path) -> None:
    """Draws hands from all over a split to `hands.png`, and prints which labels they have."""
    spec = specs.from_config(ShowSpec, config)
    total, batch = show(spec, workdir)
    console = Console()
    name = describe_data(spec.data, spec.split)
    console.print(f"{name}: {total:,} images", highlight=False, soft_wrap=True)
    table = Table()
    table.add_column(f"of the {len(batch['image'])} shown")
    table.add_column("hands", justify="right")
    for label, count in count_labels(batch).items():
        table.add_row(label, str(count))
    console.print(table)
    console.print(f"Look at {workdir / PICTURE}.", highlight=False, soft_wrap=True)


def show(spec: ShowSpec, workdir: Path) -> tuple[int, Batch]:
    """Draws `hands.png`; returns the number of images in the split, and those shown."""
    data = dataclasses.replace(spec.data, labels=True)
    split = input_pipeline.open_split(data, spec.split, batch_size=spec.count)
    rows = spread(split.num_examples, spec.count)
    (batch,) = split.store.stream([rows])
    batch = {name: np.asarray(array) for name, array in batch.items()}
    name = describe_data(spec.data, spec.split)
    figure = pages.skeletons(
        batch["image"],
        batch["keypoints_2d"],
        batch["keypoints_2d_valid"],
        boxes=np.where(batch["hand_box_valid"][:, None], batch["hand_box"], np.nan),
        titles=[f"{row:,}" for row in rows],
        title=f"{name}: {len(rows)} of {split.num_examples:,}",
        columns=spec.columns,
    )
    pages.save(figure, workdir / PICTURE)
    return split.num_examples, batch


def spread(total: int, count: int) -> Int[np.ndarray, " rows"]:
    """Returns the numbers of rows that lie evenly among all rows."""
    count = min(count, total)
    return (np.arange(count) * total + total // 2) // count


def count_labels(batch: Batch) -> dict[str, int]:
    """Returns how many hands of a batch have which label."""
    joints = {name: batch[f"keypoints_{name}_valid"] for name in ("2d", "3d")}
    counts = {
        f"{name.upper()} keypoints, all 21": int(valid.all(-1).sum())
        for name, valid in joints.items()
    }
    counts |= {
        f"{name.upper()} keypoints, some": int((valid.any(-1) & ~valid.all(-1)).sum())
        for name, valid in joints.items()
    }
    counts |= {
        label: int(batch[name].sum())
        for label, name in (
            ("box", "hand_box_valid"),
            ("intrinsics", "intrinsics_valid"),
            ("bone length", "bone_length_valid"),
            ("left hand, shown mirrored", "mirrored"),
        )
    }
    return counts
