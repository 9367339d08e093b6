"""A picture of a data set: crops as training sees them, labelled or transformed."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from ml_collections import ConfigDict

from peclr_jax import input_pipeline, specs
from peclr_jax.console import say
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import describe_data
from peclr_jax.pages import figures
from peclr_jax.specs import Between, Spec
from peclr_jax.terminal import Console, table
from peclr_jax.views.augment import augment, denormalize
from peclr_jax.views.spec import NO_TRANSFORMATION, TRANSFORMATIONS, ViewSpec

PICTURE = {"labels": "hands.png", "transformations": "transformations.png"}


@dataclasses.dataclass(frozen=True)
class ShowSpec(Spec):
    """A look at a data set.

    Attributes:
      show: The "labels" of hands, or what each of the "transformations" of Fig. 4 makes of them.
      split: TFDS split to show; of source "rendered", "train", "held_out" or "test".
      count, columns: Hands to show, and columns of the picture.
    """

    task: Literal["show"] = "show"
    data: DataSpec = DataSpec(source="tfds", source_size=192)
    show: Literal["labels", "transformations"] = "labels"
    split: str = "train"
    count: Annotated[int, Between(1, 10_000)] = 24
    columns: Annotated[int, Between(1, 100)] = 6


def run(config: ConfigDict, workdir: Path) -> None:
    """Draws hands from all over a split, and prints which labels they have."""
    spec = specs.from_config(ShowSpec, config)
    total, batch = show(spec, workdir)
    say(f"{describe_data(spec.data, spec.split)}: {total:,} images")
    rows = [(label, str(count)) for label, count in count_labels(batch).items()]
    Console().print(table(None, (f"of the {len(batch['image'])} shown", "hands"), rows))
    say(f"Look at {workdir / PICTURE[spec.show]}.")


def show(spec: ShowSpec, workdir: Path) -> tuple[int, Batch]:
    """Draws `PICTURE`; returns the number of images in the split, and those shown."""
    data = dataclasses.replace(spec.data, labels=True)
    split = input_pipeline.open_split(data, spec.split, batch_size=spec.count)
    rows = spread(split.num_examples, spec.count)
    (batch,) = split.store.stream([rows])
    batch = {name: np.asarray(array) for name, array in batch.items()}
    if spec.show == "transformations":
        figure = figures.in_columns(transformed(batch["image"], spec.data))
    else:
        name = describe_data(spec.data, spec.split)
        figure = figures.skeletons(
            batch["image"],
            batch["keypoints_2d"],
            batch["keypoints_2d_valid"],
            boxes=np.where(batch["hand_box_valid"][:, None], batch["hand_box"], np.nan),
            titles=[f"{row:,}" for row in rows],
            title=f"{name}: {len(rows)} of {split.num_examples:,}",
            columns=spec.columns,
        )
    figures.save(figure, workdir / PICTURE[spec.show])
    return split.num_examples, batch


def transformed(
    images: UInt8[np.ndarray, "hands side side 3"], data: DataSpec
) -> dict[str, Float[np.ndarray, "hands size size 3"]]:
    """Returns by its name what each transformation of Fig. 4, alone and always on, makes of images.

    Args:
      images: Sources, RGB.
      data: How they were cut.
    """
    views = {}
    for number, (name, switch) in enumerate({"none": {}, **TRANSFORMATIONS}.items()):
        always = {f"{name}_probability": 1.0} if hasattr(ViewSpec, f"{name}_probability") else {}
        spec = ViewSpec(
            size=round(images.shape[1] / data.source_margin),
            source_margin=data.source_margin,
            **{**NO_TRANSFORMATION, **switch, **always},
        )
        view = augment(jax.random.key(number), jnp.asarray(images), spec)
        views[name.replace("_", " ")] = np.asarray(denormalize(view.images))
    return views


def spread(total: int, count: int) -> Int[np.ndarray, " rows"]:
    """Returns the numbers of rows that lie evenly among all rows."""
    count = min(count, total)
    return (np.arange(count) * total + total // 2) // count


def count_labels(batch: Batch) -> dict[str, int]:
    """Returns how many hands of a batch have which label."""
    counts = {}
    for name in ("2d", "3d"):
        valid = batch[f"keypoints_{name}_valid"]
        counts[f"{name.upper()} keypoints, all 21"] = valid.all(-1)
        counts[f"{name.upper()} keypoints, some"] = valid.any(-1) & ~valid.all(-1)
    counts |= {
        "box": batch["hand_box_valid"],
        "intrinsics": batch["intrinsics_valid"],
        "bone length": batch["bone_length_valid"],
        "left hand, shown mirrored": batch["mirrored"],
    }
    return {label: int(has.sum()) for label, has in counts.items()}
