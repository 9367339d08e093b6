"""Checks of raw files, before anything is written: each failure names the file and the remedy."""

import io
import json
import os
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from tqdm import auto as tqdm


def read_label_file(
    path: Path, shape: tuple[int, ...], remedy: str
) -> Float[np.ndarray, "samples ..."]:
    """Reads a JSON list with one array of numbers per sample.

    Args:
      path: the JSON file.
      shape: the shape of one sample's entry.
      remedy: what to do about a broken file, a full sentence.

    Returns:
      float64 array of shape ``(samples, *shape)``.

    Raises:
      ValueError: broken JSON, an entry of another shape, NaN or infinity.
    """
    try:
        # json accepts NaN and Infinity, which are reported below with their index.
        entries = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). {remedy}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} must be a JSON list with one entry per sample. {remedy}")
    try:
        array = np.asarray(entries, np.float64)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.shape != (len(entries), *shape):
        raise ValueError(f"{path}: {_first_wrong_shape(entries, shape)} {remedy}")
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        index = bad[0].tolist()
        joint = f", joint {index[1]}" if array.ndim > 1 and shape[0] == 21 else ""
        raise ValueError(
            f"{path}: entry {index[0]}{joint} is {array[tuple(index)]}, not a finite number. "
            f"{remedy}"
        )
    return array


def _first_wrong_shape(entries: Sequence[object], shape: tuple[int, ...]) -> str:
    for index, entry in enumerate(entries):
        try:
            found: object = np.asarray(entry, np.float64).shape
        except (ValueError, TypeError):
            found = "ragged or not numeric"
        if found != shape:
            return f"entry {index} has shape {found}, expected {shape}."
    return f"entries differ from the expected shape {shape}."


def check_equal_lengths(labels: dict[Path, np.ndarray], remedy: str) -> int:
    """Returns the common number of entries of several label files.

    Raises:
      ValueError: the files have different numbers of entries.
    """
    lengths = {path: len(array) for path, array in labels.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path.name} has {length}" for path, length in lengths.items())
        folder = next(iter(lengths)).parent
        raise ValueError(f"Label files in {folder} differ in length: {listed}. {remedy}")
    return next(iter(lengths.values()))


def check_jpeg(path: Path) -> str | None:
    """Decodes a JPEG to its last byte.

    Returns:
      What is wrong with it, or ``None``.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.format != "JPEG":
                return f"is a {image.format} image, not a JPEG"
            # One eighth of the size: every entropy-coded byte is still read, which is what tells
            # a truncated file, at half the time.
            image.draft("L", (max(image.width // 8, 1), max(image.height // 8, 1)))
            image.load()
    except OSError as error:
        reason = "not a JPEG" if "cannot identify" in str(error) else str(error)
        return f"is corrupt or truncated ({reason})"
    return None


def check_jpegs(paths: Sequence[Path], description: str, remedy: str) -> None:
    """Decodes every file, showing progress, and fails with the first few that are broken.

    Raises:
      ValueError: at least one file is missing, corrupt or truncated.
    """
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = tqdm.tqdm(
            pool.map(check_jpeg, paths, chunksize=64),
            total=len(paths),
            desc=description,
            unit=" images",
            leave=False,
        )
        broken = [(path, problem) for path, problem in zip(paths, found, strict=True) if problem]
    if broken:
        path, problem = broken[0]
        others = f" So are {len(broken) - 1} others." if len(broken) > 1 else ""
        raise ValueError(f"{path} {problem}.{others} {remedy}")
