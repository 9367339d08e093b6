"""Checkpoints: written in the background by Orbax, found by path, checked before they are loaded.

A checkpoint is a directory `workdir/checkpoints/<step>` with two items: `state`, the arrays of the
training state, and `config`, the JSON of the configuration that made it. Orbax writes it under a
temporary name and renames it when complete, so a run that is killed while saving leaves the last
complete one. Random keys are not stored: they are derived from seed and step.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

DIRECTORY = "checkpoints"

Path = str | os.PathLike[str]
State = TypeVar("State")

# What the folder of a damaged checkpoint is renamed to, out of the way of the steps to come.
_DAMAGED = ".damaged"


class DamagedCheckpointError(ValueError):
    """A checkpoint lacks files, or some of them are not what was written."""


class Checkpoints:
    """Saves a run's training state at an interval and keeps what the policy says.

    Use it as a context manager: leaving it waits for the last checkpoint to be complete.
    """

    def __init__(
        self,
        workdir: Path,
        config: Mapping[str, Any],
        *,
        save_every: int,
        keep_last: int = 2,
        keep_every: int | None = None,
    ) -> None:
        """Prepares `workdir/checkpoints`.

        Args:
          workdir: The run's directory; created if missing.
          config: The run's configuration, stored inside every checkpoint. Values that JSON does
            not know as they are change on the way: tuples return as lists.
          save_every: Steps between checkpoints.
          keep_last: How many of the newest checkpoints to keep.
          keep_every: Keep also every checkpoint whose step is a multiple of this, for good.
        """
        if save_every < 1 or keep_last < 1:
            raise ValueError(
                f"save_every ({save_every}) and keep_last ({keep_last}) must be at least 1."
            )
        keep: list[policies.PreservationPolicy] = [policies.LatestN(keep_last)]
        if keep_every is not None:
            keep.append(policies.EveryNSteps(keep_every))
        self._config = dict(config)
        self._save_every = save_every
        self._manager = ocp.CheckpointManager(
            _absolute(workdir) / DIRECTORY,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(keep),
                # What a killed run left behind half written.
                cleanup_tmp_directories=True,
            ),
        )

    def is_due(self, step: int) -> bool:
        """Whether the interval asks for a checkpoint after `step` steps."""
        return step % self._save_every == 0

    def save(self, step: int, state: Any) -> bool:
        """Saves the state; returns when it is copied to the host, and writes in the background.

        Args:
          step: Steps that the state has taken.
          state: Pytree of arrays. Its buffers may be donated as soon as this returns.

        Returns:
          Whether it was saved: a step that is already there is not written again.
        """
        if step in self._manager.all_steps():
            return False
        items = {"state": ocp.args.StandardSave(state), "config": ocp.args.JsonSave(self._config)}
        args = ocp.args.Composite(**items)
        with _timed_by_the_wall_clock():
            return self._manager.save(step, args=args, force=True)

    def save_and_wait(self, step: int, state: Any) -> None:
        """Saves the state, and returns once it is complete on disk.

        Args:
          step: Steps that the state has taken.
          state: Pytree of arrays.
        """
        self.save(step, state)
        with _timed_by_the_wall_clock():
            self._manager.wait_until_finished()

    def check_space(self, state: Any) -> None:
        """Checks, before training, that the disk has room for one more checkpoint of this size.

        Raises:
          OSError: It has not.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._manager.directory).free
        if jax.process_index() == 0 and free < needed:
            raise OSError(
                f"A checkpoint takes up to {needed / 2**20:.0f} MiB, but the disk that holds "
                f"{self._manager.directory} has {free / 2**20:.0f} MiB left: free some space, or "
                "choose another --workdir."
            )

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, `None` if there is none."""
        return self._manager.latest_step()

    def restore_latest(self, target: State, note: Callable[[str], None] = print) -> State | None:
        """Restores the newest checkpoint of this run that is whole, `None` if there is none.

        A damaged one is renamed to `<step>.damaged`, so that its step can be saved again.

        Args:
          target: The state to fill, see `restore_state`.
          note: Told of each damaged checkpoint, in a sentence.

        Raises:
          DamagedCheckpointError: There are checkpoints, but all of them are damaged.
          ValueError: The checkpoint is of another model, see `restore_state`.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            directory = self._manager.directory / str(step)
            try:
                return restore_state(directory, target)
            except (DamagedCheckpointError, FileNotFoundError) as error:
                note(f"{error} Going back to the one before.")
                self._set_aside(directory)
        if steps:
            raise DamagedCheckpointError(
                f"All checkpoints in {self._manager.directory} are damaged: they are kept there as "
                f"*{_DAMAGED}; start again in another workdir, or here once they are removed."
            )
        return None

    def _set_aside(self, directory: epath.Path) -> None:
        multihost_utils.sync_global_devices(f"damaged {directory.name}")
        if jax.process_index() == 0:
            aside = directory.with_name(directory.name + _DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            directory.rename(aside)
        multihost_utils.sync_global_devices(f"set aside {directory.name}")
        self._manager.reload()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._manager.close()
            return
        if jax.process_count() > 1:
            return  # closing waits for all processes, and the others have yet to hear of the error
        # What went wrong is told already: that the last write failed for the same reason is not.
        with suppress(Exception):
            self._manager.close()
        if jax.process_index() == 0:
            for unfinished in self._manager.directory.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)


def find(path: Path, step: int | None = None) -> epath.Path:
    """Finds a checkpoint.

    Args:
      path: A run's directory, its `checkpoints` directory, or the directory of one step.
      step: Which step; the newest by default.

    Returns:
      The directory of the step.

    Raises:
      FileNotFoundError: There is nothing at the path, no checkpoint in it, or not of this step.
    """
    root = _absolute(path)
    if not root.exists():
        raise FileNotFoundError(f"There is no checkpoint at {root}: the path does not exist.")
    if _is_checkpoint(root) and step is None:
        return root
    if (root / DIRECTORY).exists():
        root = root / DIRECTORY
    found = _by_step(root)
    if not found:
        raise FileNotFoundError(
            f"{root} holds no checkpoint: give a run's directory, its '{DIRECTORY}' directory, or "
            "the directory of one step in it."
        )
    if step is not None and step not in found:
        raise FileNotFoundError(
            f"{root} holds no checkpoint of step {step}; there are {sorted(found)}."
        )
    return found[max(found) if step is None else step]


def restore_run_config(workdir: Path) -> dict[str, Any] | None:
    """Restores the configuration of a run, `None` if it has left no whole checkpoint.

    Args:
      workdir: The run's directory, which need not be there.
    """
    for _, directory in sorted(_by_step(_absolute(workdir) / DIRECTORY).items(), reverse=True):
        with suppress(DamagedCheckpointError):
            return restore_config(directory)
    return None


def restore_config(path: Path) -> dict[str, Any]:
    """Restores the configuration of the run that made a checkpoint.

    Args:
      path: See `find`.

    Raises:
      FileNotFoundError: See `find`.
      DamagedCheckpointError: Its file cannot be read as it was written.
    """
    directory = find(path)
    with _reading(directory) as reader:
        args = ocp.args.Composite(config=ocp.args.JsonRestore())
        config = reader.restore(directory, args=args).config
        if not isinstance(config, dict):
            raise TypeError("its configuration is no object")
        return config


def restore_params(path: Path) -> dict[str, Any]:
    """Restores a model without knowing the structure of the state it was trained in.

    Args:
      path: See `find`.

    Returns:
      The variables for `model.apply`: `{"params": ..., "batch_stats": ...}`, trees of NumPy arrays.
      The optimizer's moments are not read.

    Raises:
      FileNotFoundError: See `find`.
      DamagedCheckpointError: Its files are not all there, or not as they were written.
    """
    directory = find(path)
    with _reading(directory) as reader:
        saved = reader.metadata(directory).item_metadata["state"].tree
        target = {name: saved[name] for name in ("params", "batch_stats")}
        args = ocp.args.PyTreeRestore(
            item=target,
            restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target),
            partial_restore=True,
        )
        return reader.restore(directory, args=ocp.args.Composite(state=args)).state


def restore_state(path: Path, target: State) -> State:
    """Restores a whole training state, on whatever devices the target lives.

    Args:
      path: See `find`.
      target: Pytree of arrays, or of `jax.ShapeDtypeStruct`s with shardings, that gives structure,
        shapes and placement. The number of devices may differ from that of the run that saved.

    Returns:
      A pytree like `target`.

    Raises:
      FileNotFoundError: See `find`.
      DamagedCheckpointError: Its files are not all there, or not as they were written.
      ValueError: The checkpoint's tensors are not those of the target; the message names the
        first that differs, and both shapes.
    """
    directory = find(path)
    with _reading(directory) as reader:
        saved = _shapes(reader.metadata(directory).item_metadata["state"].tree)
    _check_same_shapes(saved, _shapes(target), directory)
    with _reading(directory) as reader:
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
        args = ocp.args.PyTreeRestore(
            item=abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract)
        )
        return reader.restore(directory, args=ocp.args.Composite(state=args)).state


@contextmanager
def _reading(directory: epath.Path) -> Iterator[ocp.Checkpointer]:
    """Offers a reader; whatever it trips over means that the files are damaged.

    Orbax and TensorStore have no error of their own for that: depending on the file, it is a
    ValueError, an AttributeError, a JSONDecodeError or a bare Exception.
    """
    handler = ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(), config=ocp.JsonCheckpointHandler()
    )
    try:
        with ocp.Checkpointer(handler) as reader:
            yield reader
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise  # of this machine, not of the files
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedCheckpointError(
            f"The checkpoint {directory} is damaged ({reason}): copy it anew from where it came, "
            "or use that of another step."
        ) from error


@contextmanager
def _timed_by_the_wall_clock() -> Iterator[None]:
    """Says what is likely if Orbax runs out of time, of which it gives itself twenty minutes."""
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(
            "A checkpoint was not complete in time, by the wall clock: the disk is too slow, or "
            "the clock has been set forward. Run the same command again: it goes on from the one "
            "before."
        ) from error


def _by_step(root: epath.Path) -> dict[int, epath.Path]:
    return {
        int(child.name): child
        for child in (root.iterdir() if root.is_dir() else ())
        if child.name.isdecimal() and _is_checkpoint(child)
    }


def _is_checkpoint(directory: epath.Path) -> bool:
    return (directory / "state").exists() and (directory / "config").exists()


def _absolute(path: Path) -> epath.Path:
    """The path as Orbax wants it, which takes no relative ones."""
    return epath.Path(path if "://" in str(path) else os.path.abspath(path))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


def _check_same_shapes(
    saved: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], directory: epath.Path
) -> None:
    # Parameters say most clearly what is wrong; the optimizer's tensors only mirror them.
    order = ("params", "batch_stats", "step", "opt_state")

    def rank(name: str) -> tuple[int, str]:
        group = name.split("/")[0]
        return (order.index(group) if group in order else len(order), name)

    for name in sorted(saved.keys() | wanted.keys(), key=rank):
        if saved.get(name) == wanted.get(name):
            continue
        if name not in saved:
            difference = f"lacks {name}, {wanted[name]} in this run"
        elif name not in wanted:
            difference = f"has {name}, {saved[name]}, which this run lacks"
        else:
            difference = f"has {name} as {saved[name]}, this run as {wanted[name]}"
        raise ValueError(
            f"The checkpoint {directory} {difference}: it was made with another model or "
            "optimizer; use its own config, or another workdir."
        )
