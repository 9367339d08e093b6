"""Records decoded with tf.data; brings in TensorFlow, so it is imported where records are read."""

import ctypes
import functools
import itertools
import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from jaxtyping import Int

from data import schema
from peclr_jax.errors import MachineError, UserError, is_machine_fault
from peclr_jax.geometry.crop import mirror_labels, warp_labels
from peclr_jax.input_pipeline.order import Identities
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.input_pipeline.stores import IMAGES, Batch, IdentifiedStore

# Of glibc's malloc.h, and what is set: the largest that mallopt takes, or enough for any batch.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB = 2**20
_MALLOC_OPTIONS = {_TRIM_THRESHOLD: 1024 * _MIB, _TOP_PAD: 256 * _MIB, _MMAP_THRESHOLD: 32 * _MIB}
# Files that a process needs beside records.
_OTHER_FILES = 256
_READ_AT_ONCE = 1024
_STREAM_AT_ONCE = 256
# Images being decoded, or waiting for their turn, per thread: with one each, threads would mostly
# wake each other up.
_IN_FLIGHT = 4
_BOX = ("hand_box", "hand_box_valid")
_TO_DECODE = ("image", "cut")
_LEFT = schema.HANDEDNESS.index("left")
_LABELS = (
    *schema.LABELS,
    *(f"{name}_valid" for name in schema.LABELS),
    "visible",
    "visible_valid",
    "handedness",
    "score",
    "sample_id",
    "version",
)
# Records of earlier versions have none.
_DEFAULTS = {"score": 1.0}


@functools.cache
def import_tensorflow() -> Any:
    """Returns TensorFlow, kept off JAX's accelerators, the allocator being set up for images."""
    keep_freed_memory()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf


def keep_freed_memory() -> bool:
    """Makes glibc keep memory for the next image rather than return it; tells whether it does.

    By default the system maps every page of every image anew: half of the pipeline's time.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    accepted = [mallopt(option, value) == 1 for option, value in _MALLOC_OPTIONS.items()]
    return all(accepted)


def allow_open_files(count: int) -> None:
    """Lets this process open so many files more: those of records stay open once they are read.

    From 64 GiB on records lie in 1,024 files or more, as many as a process may open by default.

    Raises:
      MachineError: If the system allows fewer than these.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY:
        return
    wanted = max(now, _OTHER_FILES) + count
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if wanted < count + _OTHER_FILES:
        raise MachineError(
            f"the records lie in {count:,} files, but the system lets a process open {most:,}: "
            "raise its hard limit of open files (`ulimit -Hn` shows it)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class RecordStore(IdentifiedStore):
    """Records of one or several data sets as one sequence of square crops, decoded on demand.

    Left hands are mirrored, images as well as labels: what comes out are right hands, as in
    the official code. `_locate` finds a crop (`crop` or `canvas`) from the record's `hand_box` and
    moves the labels, `_decode` makes the pixels. data/schema.py lists the fields of a record.

    Args:
      parts: TFDS builder and split of each data set, prepared as ArrayRecord.
      size: Side of the crops, pixels.
      margin: Side of a crop over the larger side of the hand's box; None for the central square.
      canvases: Whether to deliver canvases, with their matrices to the crops (see `canvas`).
      threads: Threads that decode; 0 for one per core.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Any, str]],
        *,
        size: int,
        margin: float | None,
        labels: bool = False,
        canvases: bool = False,
        threads: int = 0,
    ):
        self.sizes = tuple(builder.info.splits[split].num_examples for builder, split in parts)
        self._failure: UserError | None = None
        self._files = [
            (instruction, builder)
            for builder, split in parts
            for instruction in builder.info.splits[split].file_instructions
        ]
        allow_open_files(len(self._files))
        self._records = ArrayRecordDataSource([instruction for instruction, _ in self._files])
        self._size, self._margin = size, margin
        self._labels, self._canvases = labels, canvases
        self._threads = threads or os.cpu_count() or 1
        self._wanted = {"image", "handedness", *_BOX, *(_LABELS if labels else ())}

    def identities(self) -> Identities:
        """Returns which hand each record shows, read without its image; shows progress."""
        names = ("sample_id", "version")
        parts = [_parse(serialized, names) for serialized in self._read()]
        return Identities(*(np.concatenate([part[name] for part in parts]) for name in names))

    def labels(self) -> Batch:
        """Returns what all crops have beside their images, which are not decoded."""
        parts = [self._locate(serialized) for serialized in self._read()]
        names = parts[0].keys() - {*IMAGES, *_TO_DECODE}
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _read(self) -> Iterator[Any]:
        """Yields all records as they are stored, many at once; shows progress."""
        tf = import_tensorflow()
        starts = range(0, len(self), _READ_AT_ONCE)
        for start in report(starts, f"Reading the labels of {len(self)} images", len(starts)):
            rows = range(start, min(start + _READ_AT_ONCE, len(self)))
            yield tf.constant(self._fetch(list(rows)))

    def _fetch(self, rows: Sequence[int]) -> list[bytes]:
        """Returns records as they are stored; names the file of one that is damaged."""
        try:
            return list(self._records.__getitems__(rows))
        except RuntimeError as error:
            if is_machine_fault(error):
                raise
            damaged = next(filter(self._is_damaged, rows), rows[0])
            ends = np.cumsum([instruction.take for instruction, _ in self._files])
            file, builder = self._files[int(np.searchsorted(ends, damaged, side="right"))]
            told = f"{file.filename} is damaged ({error}): {builder.how_to_write_again}"
            self._failure = UserError(told)
            raise self._failure from error

    def _is_damaged(self, row: int) -> bool:
        try:
            self._records[row]
        except RuntimeError:
            return True
        return False

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the records of each array of indices, decoding ahead in parallel.

        `image` is (B, size, size, 3) uint8, or a canvas of another size with `to_source`
        (B, 2, 3), the matrices from its pixels to those of crops. Labels are in crop pixels: the
        point p of the image lies at `crop_scale` (B,) * p + `crop_shift` (B, 2) in the crop,
        before that is `mirrored` (B,) bool. `handedness` is the record's. Only the last array of
        indices may be shorter than the others.
        """
        tf = import_tensorflow()
        indices = iter(indices)
        first = next(indices, None)
        if first is None:
            return
        # A small batch's records would take twice as long to read alone.
        batches_at_once = max(1, _STREAM_AT_ONCE // max(1, len(first)))
        batches = itertools.chain([first], indices)
        groups = iter(lambda: list(itertools.islice(batches, batches_at_once)), [])
        first_group = next(groups)
        group_size = sum(map(len, first_group))

        def read() -> Iterator[tuple[Sequence[bytes], int]]:
            for group in itertools.chain([first_group], groups):
                records = self._fetch(np.concatenate(group).tolist())
                count = len(records)
                # One graph for all groups: the last one is filled up.
                yield records + records[-1:] * (group_size - count), count

        def examples(serialized: Any, count: Any) -> Any:
            return tf.data.Dataset.from_tensor_slices(self._locate(serialized)).take(count)

        signature = (tf.TensorSpec((group_size,), tf.string), tf.TensorSpec((), tf.int64))
        dataset = tf.data.Dataset.from_generator(read, output_signature=signature)
        as_written = tf.autograph.experimental.do_not_convert
        dataset = dataset.prefetch(1).flat_map(as_written(examples))
        dataset = dataset.map(
            as_written(self._decode),
            num_parallel_calls=_IN_FLIGHT * self._threads,
            deterministic=True,
        )
        dataset = self._batch(dataset, len(first))
        options = tf.data.Options()
        options.threading.private_threadpool_size = self._threads
        # One core an image; the images are what runs in parallel.
        options.threading.max_intra_op_parallelism = 1
        options.deterministic = True
        try:
            yield from dataset.prefetch(1).with_options(options).as_numpy_iterator()
        except tf.errors.OpError as error:
            if self._failure:  # of which TensorFlow has made another error
                raise self._failure from error
            raise

    def _locate(self, serialized: Any) -> dict[str, Any]:
        """Parses records, and does all that is not about pixels: many at once, for speed."""
        from peclr_jax.input_pipeline import canvas, crop

        tf = import_tensorflow()
        example = _parse(serialized, self._wanted)
        image = example.pop("image")
        shape = crop.jpeg_shapes(image)
        box, valid = (example[name] for name in _BOX)
        wanted, margin = (valid, self._margin) if self._margin else (tf.zeros_like(valid), 1.0)
        window = crop.window_around(box, wanted, shape, margin, self._size)
        mirrored = example["handedness"] == _LEFT
        result = {"image": image}
        if self._canvases:
            result["cut"], result["to_source"] = canvas.lay_out(window, shape, self._size, mirrored)
        else:
            result["cut"] = window, crop.inside(window, shape), mirrored
        if self._labels:
            matrix = crop.to_matrix(window, self._size)
            labels = mirror_labels(warp_labels(example, matrix), mirrored, self._size)
            place = {"crop_scale": matrix[:, 0, 0], "crop_shift": matrix[:, :, 2]}
            result |= labels | place | {"mirrored": mirrored}
        return result

    def _decode(self, example: dict[str, Any]) -> dict[str, Any]:
        from peclr_jax.input_pipeline import canvas, crop

        image = example["image"]
        if self._canvases:
            pixels = canvas.decode(image, example["cut"])
        else:
            window, part, mirrored = example["cut"]
            pixels = crop.cut_out(image, window, part, self._size, mirrored)
        others = {name: value for name, value in example.items() if name not in _TO_DECODE}
        return {"image": pixels, **others}

    def _batch(self, dataset: Any, batch_size: int) -> Any:
        from peclr_jax.input_pipeline import canvas

        tf = import_tensorflow()
        if not self._canvases:
            return dataset.batch(batch_size)
        side = canvas.canvas_side(self._size)
        shapes = {name: spec.shape for name, spec in dataset.element_spec.items()}
        batches = dataset.padded_batch(batch_size, {**shapes, "image": (side, 3 * side)})
        return batches.map(
            lambda batch: {**batch, "image": tf.reshape(batch["image"], (-1, side, side, 3))}
        )


def _parse(serialized: Any, names: Iterable[str]) -> dict[str, Any]:
    """Reads fields of serialized records; integers as 32 bits, images as they are encoded."""
    tf = import_tensorflow()
    features = schema.features()

    def feature(name: str) -> Any:
        info = features[name].get_tensor_info()
        if name == "image":
            return tf.io.FixedLenFeature((), tf.string)
        dtype = tf.float32 if np.issubdtype(info.np_dtype, np.floating) else tf.int64
        return tf.io.FixedLenFeature(info.shape, dtype, _DEFAULTS.get(name))

    def read(name: str, value: Any) -> Any:
        if value.dtype != tf.int64:
            return value
        # JAX has no 64-bit integers by default, and no data set needs them.
        dtype = features[name].get_tensor_info().np_dtype
        return tf.cast(value, tf.bool if dtype == np.bool_ else tf.int32)

    example = tf.io.parse_example(serialized, {name: feature(name) for name in names})
    return {name: read(name, value) for name, value in example.items()}
