"""Hands rendered by `peclr_jax.synthetic`, as TFDS records."""

import dataclasses
import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import auto as tqdm

try:
    from data import base, images, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, images, schema

from data.raw import meaning
from peclr_jax.geometry import camera
from peclr_jax.synthetic import render

_SEED = 2021
_CHUNK = 64


@dataclasses.dataclass(kw_only=True)
class HandsConfig(tfds.core.BuilderConfig):
    """What to render.

    Attributes:
      size: Side of the square images in pixels.
      count: Images of the train split.
      held_out: Images of the validation and of the test split.
      background: As in `peclr_jax.synthetic.render.RenderSpec`.
    """

    size: int = 64
    count: int = 4096
    held_out: int = 512
    background: str = "shared"


def _configs() -> list[HandsConfig]:
    return [
        HandsConfig(
            name=f"{size}px_{thousands}k" + ("" if background == "shared" else f"_{background}"),
            description=f"{thousands * 1024} images of {size} px, background: {background}.",
            size=size,
            count=thousands * 1024,
            held_out=min(thousands * 128, 2048),
            background=background,
        )
        for size, thousands, background in itertools.product(
            (64, 128, 224), (4, 32, 128), ("shared", "green", "clutter")
        )
    ]


class Builder(base.HandDatasetBuilder):
    """Splits train, validation and test, which share no hand."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS's own interface.
    BUILDER_CONFIGS = _configs()

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        counts = {
            "train": self.builder_config.count,
            "validation": self.builder_config.held_out,
            "test": self.builder_config.held_out,
        }
        key = jax.random.key(_SEED)
        return self.counted(
            {
                split: self._generate_examples(split, jax.random.fold_in(key, number), count)
                for number, (split, count) in enumerate(counts.items())
            }
        )

    def _generate_examples(
        self, split: str, key: jax.Array, count: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        spec = render.RenderSpec(
            size=self.builder_config.size,
            background=self.builder_config.background,
            rays_per_block=render.rays_per_block(),
        )
        with tqdm.tqdm(total=count, desc=f"Rendering {split}", unit=" images", leave=False) as bar:
            index = 0
            for hands in render.render_dataset(key, count, spec, chunk=min(_CHUNK, count)):
                _check(hands, index, split)
                for row in range(len(hands.images)):
                    yield index, _record(hands, row, index).encode()
                    index += 1
                    bar.update()


def _check(hands: Any, first: int, split: str) -> None:
    """Refuses labels that no hand or camera can have: of a renderer that is broken here."""

    def where(row: int) -> str:
        return f"rendered hand {first + row} of {split}"

    remedy = "run the tests of peclr_jax/synthetic on this machine"
    sizes = np.array([hands.images.shape[2:0:-1]], np.float64)
    meaning.check_intrinsics(np.asarray(hands.intrinsics), sizes, where, remedy)
    meaning.check_pixels(np.asarray(hands.keypoints_2d), None, sizes, where, remedy)


def _record(hands: Any, row: int, index: int) -> schema.Record:
    joints = hands.keypoints_3d[row]
    return schema.Record(
        image=images.encode(Image.fromarray(hands.images[row])),
        sample_id=index,
        keypoints_2d=hands.keypoints_2d[row],
        keypoints_3d=joints,
        intrinsics=hands.intrinsics[row],
        bone_length=float(camera.bone_length(joints)),
        visible=hands.visible[row],
        handedness="right",
        hand_mask=_as_png(hands.mask[row]),
    )


def _as_png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()
