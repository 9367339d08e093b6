"""Checkpoints found by path, checked and restored."""

import errno
import json
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import jax
import numpy as np

from peclr_jax import files, trees
from peclr_jax.errors import (
    MachineError,
    MissingFileError,
    OutOfMemoryError,
    UserError,
    system_code,
)
from peclr_jax.training import digests

DIRECTORY = "checkpoints"

# Orbax finds files by `glob`, and TensorStore takes a backslash for a slash.
_PATTERNS = "*?[\\"

# What a missing or a broken file does: codes of the system, errors of Python, words of TensorStore.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_STATUS = re.compile(r"([A-Z]+(?:_[A-Z]+)*): ")
_BROKEN_STATUS = (
    "DATA_LOSS",
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
)

# A ResNet-152 with its optimizer has a fifth of it.
_MOST_ARRAYS = 20_000
# Of numbers over the bytes that they are read from; what training has changed cannot be compressed.
_MOST_COMPRESSED, _SMALL = 16, 2**26

Path = str | os.PathLike[str]
State = TypeVar("State")


class DamagedCheckpointError(UserError):
    """A checkpoint that lacks files, or some of whose files have changed, as is known for sure."""


def check_writable_name(workdir: Path, option: str = "--workdir") -> None:
    """Refuses a run's directory below which checkpoints would be written that cannot be read.

    Args:
      workdir: The directory.
      option: That names it.
    """
    if reason := files.misread(workdir, _PATTERNS):
        raise UserError(
            f"no checkpoint can be kept in {os.path.abspath(workdir)}, because {reason}: choose "
            f"another {option}"
        )


def find(path: Path) -> pathlib.Path:
    """Finds the directory of a checkpoint, of the newest where there are several.

    The path is a run's directory, its `checkpoints` directory, or the directory of one step.
    """
    root = absolute(path)
    if not _exists(root):
        raise MissingFileError(f"there is no checkpoint at {root}: the path does not exist")
    if _is_checkpoint(root):
        return root
    if _exists(root / DIRECTORY):
        root = root / DIRECTORY
    found = _by_step(root)
    if not found:
        raise MissingFileError(
            f"{root} holds no checkpoint: give a run's directory, its '{DIRECTORY}' directory, or "
            "the directory of one step in it"
        )
    return found[max(found)]


def latest_step(workdir: Path) -> int | None:
    """Returns the step of a run's newest checkpoint, `None` if there is none."""
    return max(_by_step(absolute(workdir) / DIRECTORY), default=None)


def restore_run_config(workdir: Path) -> dict[str, Any] | None:
    """Restores the config of a run from its newest whole checkpoint, `None` if there is none."""
    for _, directory in sorted(_by_step(absolute(workdir) / DIRECTORY).items(), reverse=True):
        with suppress(DamagedCheckpointError):
            return restore_config(directory)
    return None


def restore_config(path: Path) -> dict[str, Any]:
    """Restores the config of the run that made a checkpoint."""
    return _restore_json(find(path), "config")


def restore_results(path: Path) -> dict[str, Any]:
    """Restores what the run that made a checkpoint had found out, {} if it stored nothing."""
    directory = find(path)
    # Checkpoints of earlier versions have none.
    return _restore_json(directory, "results") if _exists(directory / "results") else {}


def _restore_json(directory: pathlib.Path, item: str) -> dict[str, Any]:
    with _reading(directory, item) as (ocp, reader, plain):
        args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
        found = reader.restore(plain, args=args)[item]
        if not isinstance(found, dict):
            raise TypeError(f"its {item} is no object")
        return found


def restore_params(path: Path, wanted: Any = None) -> dict[str, Any]:
    """Restores a model's "params" and "batch_stats" as NumPy arrays, and no optimizer's state.

    Args:
      path: As of `find`.
      wanted: What the network has, a tree of shapes, which those of the checkpoint are compared
        with before any is read; None for whatever is there.
    """
    directory = find(path)
    with _reading(directory, "state") as (ocp, reader, plain):
        saved = _metadata(reader, plain)
        target = {name: saved[name] for name in ("params", "batch_stats")}
        if wanted is not None and (difference := trees.first_difference(target, wanted)):
            raise UserError(
                f"the checkpoint {directory} holds {difference.name[:200]} as {difference.found}, "
                f"but the network that its config describes has {difference.wanted}: it is "
                "damaged, or put together from several; get it again from where it was made"
            )
        _check_sizes(directory, target)
        args = ocp.args.PyTreeRestore(
            item=target,
            restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target),
            partial_restore=True,
        )
        return reader.restore(plain, args=ocp.args.Composite(state=args)).state


def restore_state(path: Path, target: State) -> State:
    """Restores a whole training state onto the devices of a target.

    The target's arrays, or `jax.ShapeDtypeStruct`s with shardings, give structure, shapes and
    placement. The number of devices may differ from that of the run that saved.

    Raises:
      DamagedCheckpointError: If files are missing or not as they were written.
    """
    directory = find(path)
    with _reading(directory, "state") as (ocp, reader, plain):
        saved = _metadata(reader, plain)
        if difference := trees.first_difference(saved, target):
            name, found, wanted = difference
            raise UserError(
                f"the checkpoint {directory} has {name} as {found}, this run as {wanted}: it was "
                "made with another model or optimizer; use its own config, or another workdir"
            )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
        args = ocp.args.PyTreeRestore(
            item=abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract)
        )
        return reader.restore(plain, args=ocp.args.Composite(state=args)).state


def _metadata(reader: Any, directory: pathlib.Path) -> Any:
    """Returns the shapes and types of a checkpoint's arrays, as a tree.

    Raises:
      ValueError: If there are far too many to look at, or one is kept in pieces larger than itself,
        each of which would be made whole.
    """
    text = (directory / "state" / "_METADATA").read_text()
    if len(json.loads(text)["tree_metadata"]) > _MOST_ARRAYS:
        raise ValueError(f"it has more than {_MOST_ARRAYS} arrays")
    tree = reader.metadata(directory).item_metadata["state"].tree
    for leaf in jax.tree.leaves(tree):
        piece = getattr(getattr(leaf, "storage", None), "chunk_shape", None) or ()
        if math.prod(side or 1 for side in piece) > max(math.prod(leaf.shape), 1):
            raise ValueError(f"{leaf.name[:200]} of shape {leaf.shape} is in pieces of {piece}")
    return tree


def _check_sizes(directory: pathlib.Path, tree: Any) -> None:
    """Refuses arrays that no training has filled, and that would take all of the memory."""
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    held = sum(path.stat().st_size for _, path in digests.files_of(directory / "state"))
    if needed > _MOST_COMPRESSED * held + _SMALL:
        raise UserError(
            f"the checkpoint {directory} declares arrays of {needed} bytes, but its files have "
            f"{held}: it is none that a training has written; get it again from where it was made"
        )


@contextmanager
def _reading(directory: pathlib.Path, item: str) -> Iterator[tuple[Any, Any, pathlib.Path]]:
    """Yields Orbax, a reader and what to read, once the item's files are as they were written.

    Orbax and TensorStore raise errors of any kind. Only a file that is missing, or that cannot be
    parsed, says that a checkpoint is damaged; all else leaves open whether it is.
    """
    import orbax.checkpoint as ocp  # here, as most starts have nothing to restore

    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(),
        config=ocp.JsonCheckpointHandler(),
        results=ocp.JsonCheckpointHandler(),
    )
    whole = False
    try:
        whole = digests.check(directory, item)
        with _plain(directory) as plain, ocp.Checkpointer(handler) as reader:
            yield ocp, reader, plain
    except (UserError, jax.errors.JaxRuntimeError):
        raise  # of this run or machine, not of the files
    except MemoryError as error:
        raise OutOfMemoryError(
            f"the memory does not hold the checkpoint {directory}: end other programs, or use a "
            "larger machine"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if _is_damage(error) and not whole:
            raise DamagedCheckpointError(
                f"the checkpoint {directory} is damaged ({reason}): copy it again from its source, "
                "or use that of another step"
            ) from error
        name = errno.errorcode.get(system_code(error) or 0, type(error).__name__)
        raise MachineError(
            f"the checkpoint {directory} cannot be reached now ({name}): {reason}; it may be "
            "whole and was left as it is, so see to its disk and run the same command again"
        ) from error


def _is_damage(error: Exception) -> bool:
    code, status = system_code(error), _STATUS.match(str(error))
    if code is not None:
        return code in _ABSENT
    return isinstance(error, _BROKEN) and (status is None or status[1] in _BROKEN_STATUS)


@contextmanager
def _plain(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path to a directory that Orbax reads as it is meant, by way of a link if need be."""
    if not files.misread(directory, _PATTERNS):
        yield directory
        return
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder) / directory.name
        os.symlink(directory, link, target_is_directory=True)
        yield link


def steps_in(root: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns what a run's `checkpoints` directory has by the name of a step, complete or not."""
    try:
        return {int(child.name): child for child in root.iterdir() if child.name.isdecimal()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _by_step(root: pathlib.Path) -> dict[int, pathlib.Path]:
    return {step: child for step, child in steps_in(root).items() if _is_checkpoint(child)}


def _is_checkpoint(directory: pathlib.Path) -> bool:
    return _exists(directory / "state") and _exists(directory / "config")


def _exists(path: pathlib.Path) -> bool:
    """Whether something is there; that its disk is away is an error, and does not mean no."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def absolute(path: Path) -> pathlib.Path:
    """Returns the absolute path, which Orbax needs."""
    return pathlib.Path(os.path.abspath(path))
