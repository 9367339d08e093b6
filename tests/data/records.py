"""Made-up raw files of the data sets, and what their records are compared with."""

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from data import build

DATA = Path(build.__file__).parent
ENCODED = {"image": tfds.decode.SkipDecoding()}


def write(name, manual_dir, data_dir):
    """Writes records and returns their builder."""
    return build.prepare(build.make_builder(name, data_dir), manual_dir).builder


def read(builder, split, decoders=None):
    return list(builder.as_data_source(split, decoders=decoders))


def counts(builder):
    return {split: info.num_examples for split, info in builder.info.splits.items()}


def assert_projected(pixels, points, intrinsics):
    """Checks keypoints against points that a camera of these intrinsics sees."""
    projected = points @ np.transpose(intrinsics)
    np.testing.assert_allclose(pixels, projected[:, :2] / projected[:, 2:], rtol=1e-5)
