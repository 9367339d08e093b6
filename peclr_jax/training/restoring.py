"""Checkpoints found by path, checked and restored."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from peclr_jax import files, trees
from peclr_jax.errors import MissingFileError, UserError, is_machine_fault

DIRECTORY = "checkpoints"

# Orbax finds files by `glob`, and TensorStore takes a backslash for a slash.
_PATTERNS = "*?[\\"

Path = str | os.PathLike[str]
State = TypeVar("State")


class DamagedCheckpointError(UserError):
    """A checkpoint that lacks files, or some of whose files have changed."""


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


def find(path: Path) -> epath.Path:
    """Finds the directory of a checkpoint, of the newest where there are several.

    The path is a run's directory, its `checkpoints` directory, or the directory of one step.
    """
    root = absolute(path)
    if not root.exists():
        raise MissingFileError(f"there is no checkpoint at {root}: the path does not exist")
    if _is_checkpoint(root):
        return root
    if (root / DIRECTORY).exists():
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
    return _restore_json(directory, "results") if (directory / "results").exists() else {}


def _restore_json(directory: epath.Path, item: str) -> dict[str, Any]:
    with _reading(directory) as (reader, plain):
        args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
        found = reader.restore(plain, args=args)[item]
        if not isinstance(found, dict):
            raise TypeError(f"its {item} is no object")
        return found


def restore_params(path: Path) -> dict[str, Any]:
    """Restores a model's "params" and "batch_stats" as NumPy arrays, and no optimizer's state."""
    directory = find(path)
    with _reading(directory) as (reader, plain):
        saved = reader.metadata(plain).item_metadata["state"].tree
        target = {name: saved[name] for name in ("params", "batch_stats")}
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
    with _reading(directory) as (reader, plain):
        saved = reader.metadata(plain).item_metadata["state"].tree
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


@contextmanager
def _reading(directory: epath.Path) -> Iterator[tuple[ocp.Checkpointer, epath.Path]]:
    """Yields a reader and what to read, any error of which means that the files are damaged.

    Orbax and TensorStore raise errors of any kind, even a bare Exception. A fault of the machine
    leaves open whether the files are whole, and is raised as it is.
    """
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(),
        config=ocp.JsonCheckpointHandler(),
        results=ocp.JsonCheckpointHandler(),
    )
    try:
        with _plain(directory) as plain, ocp.Checkpointer(handler) as reader:
            yield reader, plain
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise  # of this run or machine, not of the files
    except Exception as error:
        if is_machine_fault(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedCheckpointError(
            f"the checkpoint {directory} is damaged ({reason}): copy it again from its source, or "
            "use that of another step"
        ) from error


@contextmanager
def _plain(directory: epath.Path) -> Iterator[epath.Path]:
    """Yields a path to a directory that Orbax reads as it is meant, by way of a link if need be."""
    if "://" in str(directory) or not files.misread(directory, _PATTERNS):
        yield directory
        return
    with tempfile.TemporaryDirectory() as folder:
        link = epath.Path(folder) / directory.name
        os.symlink(directory, link, target_is_directory=True)
        yield link


def _by_step(root: epath.Path) -> dict[int, epath.Path]:
    return {
        int(child.name): child
        for child in (root.iterdir() if root.is_dir() else ())
        if child.name.isdecimal() and _is_checkpoint(child)
    }


def _is_checkpoint(directory: epath.Path) -> bool:
    return (directory / "state").exists() and (directory / "config").exists()


def absolute(path: Path) -> epath.Path:
    """Returns the absolute path, which Orbax needs; a URL is left alone."""
    return epath.Path(path if "://" in str(path) else os.path.abspath(path))
