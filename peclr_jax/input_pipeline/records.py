"""Decodes stored records with tf.data. TensorFlow is imported here, and nowhere below."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from jaxtyping import Int

from data import schema
from peclr_jax.input_pipeline.reporting import report

Batch = dict[str, np.ndarray]

_READ_AT_ONCE = 1024
_STREAM_AT_ONCE = 256
_BOX = ("hand_box", "hand_box_valid")
_LEFT = schema.HANDEDNESS.index("left")
_LABELS = (
    *schema.LABELS,
    *(f"{name}_valid" for name in schema.LABELS),
    "visible",
    "visible_valid",
    "handedness",
    "sample_id",
    "version",
)


@functools.cache
def import_tensorflow() -> Any:
    """Returns TensorFlow, kept away from the accelerators, which are JAX's."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf


class RecordStore:
    """Records of one or several data sets as one sequence of square crops, decoded on demand.

    Left hands are mirrored, images as well as labels: what comes out are right hands, as the paper
    trains on.

    Args:
      parts: TFDS builder and split of each data set, prepared as ArrayRecord.
      size: side of the crops in pixels.
      margin: side of a crop over the larger side of the hand's box; `None` for the central square
        of the image.
      labels: whether to deliver labels beside the images.
      threads: for decoding; 0 means one per core.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Any, str]],
        *,
        size: int,
        margin: float | None,
        labels: bool = False,
        threads: int = 0,
    ):
        self.sizes = tuple(builder.info.splits[split].num_examples for builder, split in parts)
        self._records = ArrayRecordDataSource(
            [
                instruction
                for builder, split in parts
                for instruction in builder.info.splits[split].file_instructions
            ]
        )
        self._size, self._margin, self._labels = size, margin, labels
        self._threads = threads or os.cpu_count() or 1
        self._decoders = {"image": tfds.decode.SkipDecoding()}
        wanted = {"image", "handedness", *_BOX, *(_LABELS if labels else ())}
        everything = schema.features()
        self._features = tfds.features.FeaturesDict({name: everything[name] for name in wanted})

    def __len__(self) -> int:
        return sum(self.sizes)

    def sample_ids(self) -> Int[np.ndarray, " examples"]:
        """Reads which hand each record shows, showing progress; no image is decoded."""
        tf = import_tensorflow()
        starts = range(0, len(self), _READ_AT_ONCE)
        feature = {"sample_id": tf.io.FixedLenFeature((), tf.int64)}
        parts = []
        for start in report(starts, f"Reading the labels of {len(self)} images", len(starts)):
            rows = range(start, min(start + _READ_AT_ONCE, len(self)))
            serialized = tf.constant(self._records.__getitems__(list(rows)))
            parts.append(tf.io.parse_example(serialized, feature)["sample_id"].numpy())
        return np.concatenate(parts)

    def stream(self, indices: Iterable[Int[np.ndarray, "_"]]) -> Iterator[Batch]:
        """Yields the records of each array of indices, decoding ahead in parallel.

        Args:
          indices: arrays of equal length (the last may be shorter).

        Yields:
          image (B, size, size, 3) uint8 and, if wanted, the labels in crop pixels, with
          `crop_scale` (B,) and `crop_shift` (B, 2): the point p of the image lies at
          `scale * p + shift` in the crop, before that is `mirrored` (B,) bool. `handedness` is the
          record's.
        """
        tf = import_tensorflow()
        indices = iter(indices)
        first = next(indices, None)
        if first is None:
            return
        batches = itertools.chain([first], indices)
        # A small batch's records would take twice as long to read alone.
        batches_at_once = max(1, _STREAM_AT_ONCE // max(1, len(first)))

        def read() -> Iterator[Sequence[bytes]]:
            while rows := list(itertools.islice(batches, batches_at_once)):
                yield self._records.__getitems__(np.concatenate(rows).tolist())

        dataset = tf.data.Dataset.from_generator(
            read, output_signature=tf.TensorSpec((None,), tf.string)
        )
        dataset = dataset.prefetch(1).flat_map(tf.data.Dataset.from_tensor_slices)
        dataset = dataset.map(
            tf.autograph.experimental.do_not_convert(self._decode),
            num_parallel_calls=self._threads,
            deterministic=True,
        )
        dataset = dataset.batch(len(first))
        if self._labels:
            dataset = dataset.map(tf.autograph.experimental.do_not_convert(self._finish))
        options = tf.data.Options()
        options.threading.private_threadpool_size = self._threads
        # One core an image; the images are what runs in parallel.
        options.threading.max_intra_op_parallelism = 1
        options.deterministic = True
        yield from dataset.prefetch(1).with_options(options).as_numpy_iterator()

    def _decode(self, serialized: Any) -> dict[str, Any]:
        from peclr_jax.input_pipeline import crop

        tf = import_tensorflow()
        example = self._features.deserialize_example(serialized, decoders=self._decoders)
        image = example.pop("image")
        shape = tf.io.extract_jpeg_shape(image)[:2]
        box, valid = (example[name] for name in _BOX)
        wanted, margin = (valid, self._margin) if self._margin else (tf.constant(False), 1.0)
        window = crop.window_around(box, wanted, shape, margin, self._size)
        mirrored = example["handedness"] == _LEFT
        result = {"image": crop.cut_out(image, shape, window, self._size, mirrored)}
        if not self._labels:
            return result
        scale, shift = crop.scale_and_shift(window, self._size)
        return result | example | {"crop_scale": scale, "crop_shift": shift, "mirrored": mirrored}

    def _finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        from peclr_jax.input_pipeline import crop

        tf = import_tensorflow()
        batch = crop.adapt_labels(batch, batch["crop_scale"], batch["crop_shift"])
        batch = crop.mirror_labels(batch, batch["mirrored"], self._size)
        # JAX has no 64-bit integers by default, and no data set needs them.
        return {
            name: tf.cast(label, tf.int32) if label.dtype == tf.int64 else label
            for name, label in batch.items()
        }
