"""Checkpoints of a run, which Orbax writes in the background.

A checkpoint is a directory `workdir/checkpoints/<step>` with three items: `state`, the arrays of
the training state; `config`, the JSON of the run's config; and `results`, the JSON of what the run
has found out. Beside them are the digests of their files. Orbax renames it when it is complete, so
that a run that is killed while saving leaves the last complete one. Random keys are not stored:
they follow from seed and step.
"""

import functools
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jax
from jax.experimental import multihost_utils

from peclr_jax.devices import processes
from peclr_jax.errors import MachineError
from peclr_jax.training import digests, restoring
from peclr_jax.training.restoring import DamagedCheckpointError, Path, State

if TYPE_CHECKING:  # a start does not wait for it: nothing is saved before the first step
    import orbax.checkpoint as ocp

# Suffix of the folder of a damaged checkpoint, whose step can then be saved again.
_DAMAGED = ".damaged"
# Of the folder that Orbax writes a checkpoint to.
_UNFINISHED = ".orbax-checkpoint-tmp"
# Of removing it, and seconds between them: a thread of Orbax's may still be adding files.
_MOST_TRIES, _PAUSE_S = 40, 0.05


class Checkpoints:
    """The checkpoints of a run; leaving the context waits until the last one is complete."""

    def __init__(
        self,
        workdir: Path,
        config: Mapping[str, Any],
        *,
        save_every: int,
        results: Mapping[str, Any] | None = None,
        keep_last: int = 2,
    ) -> None:
        """Prepares `workdir/checkpoints`.

        Config and results are stored in every checkpoint as JSON: tuples return as lists. A
        checkpoint is due every `save_every` steps, and the newest `keep_last` are kept.
        """
        restoring.check_writable_name(workdir)
        self._config, self._results = dict(config), dict(results or {})
        self._save_every, self._saving = save_every, -1
        self._workdir, self._keep_last = workdir, keep_last
        self._root = restoring.absolute(workdir) / restoring.DIRECTORY
        _check_listed(self._root)
        self._root.mkdir(parents=True, exist_ok=True)

    @functools.cached_property
    def _manager(self) -> "ocp.CheckpointManager":
        import orbax.checkpoint as ocp
        from orbax.checkpoint import checkpoint_managers as policies

        return ocp.CheckpointManager(
            self._root,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.LatestN(self._keep_last),
                cleanup_tmp_directories=True,  # those that a killed run left half written
                # In the background, by process 0 once all have written, before the renaming.
                async_options=ocp.options.AsyncOptions(post_finalization_callback=self._seal),
            ),
        )

    @property
    def _saves(self) -> bool:
        """Whether anything was to be saved yet."""
        return "_manager" in vars(self)

    def is_due(self, step: int) -> bool:
        """Tells whether the interval asks for a checkpoint after a step."""
        return step % self._save_every == 0

    def save(self, step: int, state: Any, *, wait: bool = False) -> None:
        """Copies the state to the host and writes it in the background, unless its step is there.

        Args:
          step: Steps that the state has taken.
          state: Arrays, whose buffers may be donated as soon as this returns.
          wait: Whether to return only once the checkpoint is complete on disk.
        """
        import orbax.checkpoint as ocp

        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            config=ocp.args.JsonSave(self._config),
            results=ocp.args.JsonSave(self._results),
        )
        try:
            if step not in self._manager.all_steps():
                self._manager.wait_until_finished()
                self._saving = step
                self._manager.save(step, args=args, force=True)
            if wait:
                self._manager.wait_until_finished()
        except TimeoutError as error:  # Orbax's, of twenty minutes by the wall clock
            raise MachineError(
                "a checkpoint was not complete in time, because the disk is too slow or the clock "
                "has been set forward: run the same command again to go on from the checkpoint "
                "before"
            ) from error

    def check_space(self, state: Any) -> None:
        """Raises a `MachineError` if the disk has no room for a checkpoint of this state."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._root).free
        if jax.process_index() == 0 and free < needed:
            raise MachineError(
                f"a checkpoint takes up to {needed / 2**20:.0f} MiB, but the disk that holds "
                f"{self._root} has {free / 2**20:.0f} MiB left: free some space, or "
                "choose another --workdir"
            )

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, `None` if there is none."""
        return self._manager.latest_step() if self._saves else restoring.latest_step(self._workdir)

    def restore_latest(self, target: State, note: Callable[[str], None] = print) -> State | None:
        """Restores the newest whole checkpoint of this run, `None` if there is none.

        A damaged one is noted and renamed to `<step>.damaged`: its step can be saved again. Of
        several processes, all go on from the same one: it is whole if all of them find it so.

        Raises:
          DamagedCheckpointError: If there are checkpoints, but all of them are damaged.
        """
        steps = sorted(restoring.steps_in(self._root).items(), reverse=True)
        names = processes.gather(" ".join(path.name for _, path in steps))[0].split()
        for directory in map(self._root.joinpath, names):
            problem = _damage_seen(directory)
            if not problem:
                try:
                    return restoring.restore_state(directory, target)
                except (DamagedCheckpointError, FileNotFoundError) as error:
                    problem = str(error)
            note(f"{problem}; going back to the one before")
            self._set_aside(directory)
        if names:
            raise DamagedCheckpointError(
                f"all checkpoints in {self._root} are damaged, and kept there as "
                f"*{_DAMAGED}: start again in another --workdir, or here once they are removed"
            )
        return None

    def _seal(self) -> None:
        for unfinished in self._root.glob(f"{self._saving}{_UNFINISHED}*"):
            digests.write(unfinished)

    def _set_aside(self, directory: pathlib.Path) -> None:
        multihost_utils.sync_global_devices(f"damaged {directory.name}")
        if jax.process_index() == 0:
            aside = directory.with_name(directory.name + _DAMAGED)
            shutil.rmtree(aside, ignore_errors=True)
            directory.rename(aside)
        multihost_utils.sync_global_devices(f"set aside {directory.name}")
        if self._saves:
            self._manager.reload()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if not self._saves:
            return
        if kind is None:
            self._manager.close()
            return
        if jax.process_count() > 1:
            return  # closing waits for all processes, and the others do not know of the error
        # The last write may fail for the same reason, which is told already.
        for end in (self._manager.close, self._manager.wait_until_finished):
            with suppress(Exception):
                end()
        if jax.process_index() == 0:
            for _ in range(_MOST_TRIES):
                for unfinished in self._root.glob(f"*{_UNFINISHED}*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
                time.sleep(_PAUSE_S)
                if not any(self._root.glob(f"*{_UNFINISHED}*")):
                    break


def _damage_seen(directory: pathlib.Path) -> str:
    """Returns what some process finds wrong with a checkpoint, "" if there is only one process.

    Each reads the files itself, and all must know before the first restores, which waits for them.
    """
    if jax.process_count() == 1:
        return ""
    problem, failure = "", None
    try:
        digests.check(directory, "state")
    except (digests.ChangedError, FileNotFoundError, NotADirectoryError) as error:
        problem = f"the checkpoint {directory} is damaged ({error})"
    except OSError as error:
        failure = MachineError(
            f"the checkpoint {directory} cannot be reached now ({error.strerror}): see to its disk "
            "and run the same command again"
        )
    processes.raise_together(failure)
    return next(filter(None, processes.gather(problem)), "")


def _check_listed(root: pathlib.Path) -> None:
    """Refuses checkpoints that Orbax would wait for when it lists them."""
    for directory in restoring.steps_in(root).values():
        try:
            if directory.is_dir():
                digests.check_beside(directory)
        except digests.ChangedError as error:
            raise DamagedCheckpointError(
                f"the checkpoint {directory} is damaged ({error}): remove it, and run the same "
                "command again to go on from the one before"
            ) from error
