"""Checkpoints of a run: written in the background by Orbax, kept by a policy, resumed from.

A checkpoint is a directory `workdir/checkpoints/<step>` with three items: `state`, the arrays of
the training state; `config`, the JSON of the config that made it; and `results`, the JSON of what
the run has found out. Orbax writes it under a temporary name and renames it when complete, so a run
that is killed while saving leaves the last complete one. Random keys are not stored: they are
derived from seed and step.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from peclr_jax.errors import MachineError, UserError
from peclr_jax.training.restoring import (
    DIRECTORY,
    DamagedCheckpointError,
    Path,
    State,
    absolute,
    restore_state,
)

# What the folder of a damaged checkpoint is renamed to, out of the way of the steps to come.
_DAMAGED = ".damaged"


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
        results: Mapping[str, Any] | None = None,
        keep_last: int = 2,
        keep_every: int | None = None,
    ) -> None:
        """Prepares `workdir/checkpoints`.

        Args:
          workdir: The run's directory; created if missing.
          config: The run's configuration, stored inside every checkpoint. Values that JSON does
            not know as they are change on the way: tuples return as lists.
          save_every: Steps between checkpoints.
          results: What the run has found out that its network needs, stored inside every
            checkpoint; fit for JSON.
          keep_last: How many of the newest checkpoints to keep.
          keep_every: Keep also every checkpoint whose step is a multiple of this, for good.
        """
        if save_every < 1 or keep_last < 1:
            raise UserError(
                f"save_every ({save_every}) and keep_last ({keep_last}) must be at least 1."
            )
        keep: list[policies.PreservationPolicy] = [policies.LatestN(keep_last)]
        if keep_every is not None:
            keep.append(policies.EveryNSteps(keep_every))
        self._config, self._results = dict(config), dict(results or {})
        self._save_every = save_every
        self._manager = ocp.CheckpointManager(
            absolute(workdir) / DIRECTORY,
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
        items = {
            "state": ocp.args.StandardSave(state),
            "config": ocp.args.JsonSave(self._config),
            "results": ocp.args.JsonSave(self._results),
        }
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
          MachineError: It has not.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._manager.directory).free
        if jax.process_index() == 0 and free < needed:
            raise MachineError(
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
          UserError: The checkpoint is of another model, see `restore_state`.
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
