"""What a data set holds, as a picture: crops as training sees them, with all labels drawn."""

from pathlib import Path

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from peclr_jax import input_pipeline, pages, specs
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks import inference
from peclr_jax.runs import recipe

PICTURE = "hands.png"


def run(config: ConfigDict, workdir: Path) -> None:
    """Draws hands from all over a split to `hands.png`, and prints which labels they have.

    Raises:
      ValueError: an impossible config, no such split, or broken raw files.
      FileNotFoundError: no records and no raw files to write them from.
    """
    total, batch = show(config, workdir)
    console = Console()
    name = inference.describe_data(config.data, config.split)
    console.print(f"{name}: {total:,} images", highlight=False, soft_wrap=True)
    table = Table()
    table.add_column(f"of the {len(batch['image'])} shown")
    table.add_column("hands", justify="right")
    for label, count in count_labels(batch).items():
        table.add_row(label, str(count))
    console.print(table)
    console.print(f"Look at {workdir / PICTURE}.", highlight=False, soft_wrap=True)


def show(config: ConfigDict, workdir: Path) -> tuple[int, Batch]:
    """Draws what `run` promises.

    Args:
      config: as in configs/show.py.
      workdir: where to write.

    Returns:
      The number of images in the split, and those shown with their labels.
    """
    recipe.check_positive(config, "count", "columns")
    data = config.data.copy_and_resolve_references()
    data.labels = True
    spec = specs.from_mapping(DataSpec, data.to_dict(), "--config.data")
    split = input_pipeline.open_split(spec, config.split, batch_size=config.count)
    rows = spread(split.num_examples, config.count)
    (batch,) = split.store.stream([rows])
    batch = {name: np.asarray(array) for name, array in batch.items()}
    name = inference.describe_data(config.data, config.split)
    figure = pages.skeletons(
        batch["image"],
        batch["keypoints_2d"],
        batch["keypoints_2d_valid"],
        boxes=np.where(batch["hand_box_valid"][:, None], batch["hand_box"], np.nan),
        titles=[f"{row:,}" for row in rows],
        title=f"{name}: {len(rows)} of {split.num_examples:,}",
        columns=config.columns,
    )
    pages.save(figure, workdir / PICTURE)
    return split.num_examples, batch


def spread(total: int, count: int) -> Int[np.ndarray, " rows"]:
    """Returns the numbers of `count` rows that lie evenly among `total`, or of all."""
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
