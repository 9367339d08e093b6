"""Speed of the input pipeline next to bare JPEG decoding of the same files, on the host.

    python -m benchmarks.pipeline --manual_dir DIR

DIR is in FreiHAND's layout (a few images suffice, they are read again and again). Prints images/s
of `tf.io.decode_jpeg` alone in a parallel tf.data map, of the whole pipeline (random access,
decoding, crop, batching) and of the decoded cache, and the ratio. Median of several rounds, taken
in turn.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from peclr_jax.input_pipeline import default_config, make_source
from peclr_jax.input_pipeline.records import import_tensorflow
from peclr_jax.training.mesh import make_mesh


def bare_decoding(files: list[Path], batch_size: int, threads: int) -> Iterator[np.ndarray]:
    """Decodes the files over and over and yields batches of whole images."""
    tf = import_tensorflow()
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    encoded = [file.read_bytes() for file in files]
    dataset = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    dataset = dataset.map(
        lambda data: tf.io.decode_jpeg(data, channels=3), num_parallel_calls=threads
    )
    dataset = dataset.batch(batch_size).prefetch(1).with_options(options)
    return dataset.as_numpy_iterator()


def images_per_second(
    open_batches: Callable[[], Iterator], batch_size: int, seconds: float
) -> float:
    """Counts the images that come in a given time, after two batches to warm up."""
    batches = open_batches()
    for _ in range(2):
        next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        jax.block_until_ready(next(batches))
        count += batch_size
    rate = count / (time.perf_counter() - start)
    if hasattr(batches, "close"):
        batches.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manual_dir", required=True)
    parser.add_argument("--split", default="train+validation")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--source_size", type=int, default=160)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    config: ConfigDict = default_config()
    config.source = "tfds"
    config.names, config.manual_dir = "freihand", arguments.manual_dir
    config.split, config.held_out_split = arguments.split, arguments.split
    config.source_size, config.decode_threads = arguments.source_size, arguments.threads
    files = sorted(Path(arguments.manual_dir).glob("training/rgb/*.jpg"))
    with tempfile.TemporaryDirectory() as data_dir:
        config.data_dir = data_dir

        def pipeline(cache: str) -> Callable[[], Iterator]:
            config.cache = cache
            source = make_source(
                config, train=True, batch_size=arguments.batch_size, seed=0, mesh=make_mesh()
            )
            return source.batches

        candidates = {
            "bare decode_jpeg": lambda: bare_decoding(
                files, arguments.batch_size, arguments.threads or os.cpu_count() or 1
            ),
            "pipeline": pipeline("none"),
            "cached on the host": pipeline("host"),
        }
        rates: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(arguments.rounds):
            for name, candidate in candidates.items():
                rates[name].append(
                    images_per_second(candidate, arguments.batch_size, arguments.seconds)
                )
    bare = statistics.median(rates["bare decode_jpeg"])
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{name:<20} {rate:10.0f} images/s   {rate / bare:6.2f} of bare decoding")


if __name__ == "__main__":
    main()
