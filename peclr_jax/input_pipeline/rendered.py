"""Hands rendered on the device: no files, and TensorFlow is never imported.

The image of hand i is a pure function of (seed, i), whatever the batch, the step or the devices.
The crop around the hand is cut as from photographs, so that views of both have the same margins.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key, UInt8, UInt32

from peclr_jax.devices.mesh import DATA_AXIS, data_sharding, replicated
from peclr_jax.geometry import camera
from peclr_jax.geometry import crop as cropping
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.input_pipeline.stores import Batch, MemoryStore, Store, check_host_memory

# A renderer: PRNG key and indices -> peclr_jax.synthetic.render.Hands of each version.
Render = Callable[[Key[Array, ""], Int[Array, " batch"]], Sequence[Any]]
# What hands are for, which keeps their keys apart; `ENDLESS` with a run's own seed.
TRAIN, HELD_OUT, ENDLESS, TEST = range(4)
_RIGHT = 1  # in data.schema.HANDEDNESS, which is out of reach without TensorFlow


def check_pool(spec: DataSpec, hands: int) -> None:
    """Checks that the host's memory holds all versions of so many hands."""
    check_host_memory(hands * spec.rendered.versions * 3 * spec.source_size**2)


class Renderer:
    """Renders batches of hands by `render`, cropped, each device its share."""

    def __init__(self, render: Render, spec: DataSpec, mesh: Mesh):
        self.mesh = mesh
        self._spec = spec

        def make(
            purpose: UInt32[Array, " numbers"], indices: Int[Array, " batch"]
        ) -> list[dict[str, Array]]:
            key = jax.random.key(spec.rendered.seed)
            for number in purpose:
                key = jax.random.fold_in(key, number)
            return [
                _example(spec, hands, indices, version)
                for version, hands in enumerate(render(key, indices))
            ]

        # Each device renders its own hands: nothing is left to the partitioner to find out.
        on_each = jax.shard_map(
            make,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(DATA_AXIS)),
            out_specs=PartitionSpec(DATA_AXIS),
            check_vma=False,  # the renderer is free to start loops from constants
        )
        self._make_split = jax.jit(on_each)
        self._make_whole = jax.jit(on_each, out_shardings=replicated(mesh))

    def endless(self, indices: Int[np.ndarray, " batch"], seed: int) -> dict[str, Array]:
        """Returns version 0 of a run's own hands, which are in no split, over the devices.

        Args:
          indices: Numbers of the hands.
          seed: Of the run, modulo 2^32.
        """
        purpose = np.array([ENDLESS, seed % 2**32], np.uint32)
        return self._make_split(purpose, self._place(indices))[0]

    def pool(
        self, indices: Int[np.ndarray, " hands"], purpose: int, chunk: int, description: str
    ) -> MemoryStore:
        """Renders all versions of hands into host memory, showing progress: version 0 of all first.

        Args:
          indices: Numbers of the hands.
          purpose: `TRAIN`, `HELD_OUT` or `TEST`, which share no hand.
          chunk: How many to render at once, over all devices; rounded up to a multiple of them.
          description: Text of the progress bar.
        """
        spec = self._spec
        check_pool(spec, len(indices))
        chunk = min(chunk, len(indices))
        starts = range(0, len(indices), chunk)
        parts = [
            self.chunk(indices[start : start + chunk], purpose, chunk)
            for start in report(starts, description, len(starts))
        ]
        versions = zip(*parts, strict=True)
        return MemoryStore(_concatenate(itertools.chain.from_iterable(versions)))

    def chunk(self, indices: Int[np.ndarray, " hands"], purpose: int, size: int) -> list[Batch]:
        """Renders at most `size` hands, each version, into host memory by the one program for it.

        Args:
          indices: Numbers of the hands.
          purpose: `TRAIN`, `HELD_OUT` or `TEST`.
          size: How many hands the program renders, over all devices.
        """
        size = -(-size // self.mesh.size) * self.mesh.size
        # More hands than wanted are rendered, so that one program serves all, and dropped.
        padded = np.pad(indices, (0, size - len(indices)), mode="edge")
        hands = self._make_whole(np.array([purpose], np.uint32), self._place(padded))
        return jax.tree.map(lambda array: np.asarray(array)[: len(indices)], hands)

    def _place(self, indices: Int[np.ndarray, " batch"]) -> Int[Array, " batch"]:
        rows = indices.astype(np.int32)
        sharding = data_sharding(self.mesh)
        return jax.make_array_from_callback(rows.shape, sharding, lambda at: rows[at])


class RenderedStore(Store):
    """Version 0 of hands, rendered each time they are read, `chunk` at once; none is kept."""

    def __init__(self, renderer: Renderer, count: int, purpose: int, chunk: int):
        self.sizes = (count,)
        self._renderer, self._purpose, self._chunk = renderer, purpose, min(chunk, count)

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the examples of each array of rows."""
        for rows in indices:
            yield _concatenate(
                self._renderer.chunk(rows[at : at + self._chunk], self._purpose, self._chunk)[0]
                for at in range(0, len(rows), self._chunk)
            )


def _concatenate(batches: Iterable[Batch]) -> Batch:
    batches = list(batches)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _example(
    spec: DataSpec, hands: Any, indices: Int[Array, " batch"], version: int
) -> dict[str, Array]:
    box = cropping.bounding_box(hands.keypoints_2d)
    if spec.crop_margin is None:
        height, width = hands.images.shape[1:3]
        square = cropping.central(width, height)
    else:
        square = cropping.around(box, spec.crop_margin)
    count, size = len(indices), spec.source_size
    matrix = jnp.asarray(cropping.to_matrix(square, size), jnp.float32)
    matrix = jnp.broadcast_to(matrix, (count, 2, 3))
    image = crop(hands.images, matrix, size)
    if not spec.labels:
        return {"image": image}
    per_joint, per_hand = jnp.ones((count, 21), bool), jnp.ones(count, bool)
    in_crop = cropping.warp_labels(
        {"keypoints_2d": hands.keypoints_2d, "hand_box": box, "intrinsics": hands.intrinsics},
        matrix,
    )
    return {
        "image": image,
        **in_crop,
        "crop_scale": matrix[:, 0, 0],
        "crop_shift": matrix[:, :, 2],
        "mirrored": ~per_hand,
        "keypoints_2d_valid": per_joint,
        "keypoints_3d": hands.keypoints_3d,
        "keypoints_3d_valid": per_joint,
        "intrinsics_valid": per_hand,
        "bone_length": camera.bone_length(hands.keypoints_3d),
        "bone_length_valid": per_hand,
        "hand_box_valid": per_hand,
        "visible": hands.visible,
        "visible_valid": per_joint,
        "handedness": jnp.full(count, _RIGHT, jnp.int32),
        "score": jnp.ones(count),
        "sample_id": indices,
        "version": jnp.full(count, version, jnp.int32),
    }


def crop(
    images: UInt8[Array, "batch height width 3"], matrix: Float[Array, "batch 2 3"], size: int
) -> UInt8[Array, "batch {size} {size} 3"]:
    """Cuts squares out, antialiased, black outside the image.

    Args:
      images: Pictures of hands.
      matrix: Image pixels to crop pixels, without rotation, equal along both axes.
      size: Side of the crops in pixels.
    """

    def resample(
        image: UInt8[Array, "height width 3"], matrix: Float[Array, "2 3"]
    ) -> Float[Array, "size size 3"]:
        scale, shift = matrix[0, 0], matrix[:, 2]
        # JAX measures from the corner of the first pixel, we from its centre.
        corner = shift + 0.5 - 0.5 * scale
        return jax.image.scale_and_translate(
            image.astype(jnp.float32),
            (size, size, 3),
            (0, 1),
            jnp.stack([scale, scale]),
            corner[::-1],
            method="linear",
        )

    pixels = jax.vmap(resample)(images, matrix)
    return jnp.round(jnp.clip(pixels, 0, 255)).astype(jnp.uint8)
