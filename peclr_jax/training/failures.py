"""What ends a run: each failure in one sentence, with where to go on from and what to try."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import SupportsFloat

import jax

from peclr_jax.errors import (
    MachineError,
    OutOfMemoryError,
    explain_machine_fault,
    is_machine_fault,
)

# Times the first loss seen: no recipe of ours gets there but by coming apart.
_EXPLODED = 1e4
# Mistakes in the program, not in what it is given; and memory, which has its own sentence.
BUGS = (TypeError, AttributeError, NameError, AssertionError, LookupError, MemoryError)


class NonFiniteLossError(FloatingPointError):
    """The loss, its gradient or the parameters are no longer finite, or the loss has exploded."""


class OutOfDeviceMemoryError(OutOfMemoryError):
    """The training step does not fit into the device's memory."""


class LostDataError(MachineError):
    """The data could no longer be read; the state has been saved."""


class LossGuard:
    """Stops a run whose numbers have come apart.

    Remembers the first loss that it saw, which says what size is to be expected.
    """

    def __init__(self) -> None:
        self._first: float | None = None

    def check(
        self, step: int, metrics: Mapping[str, SupportsFloat], last_saved: int | None
    ) -> None:
        """Looks at the metrics of a step.

        Args:
          step: Steps taken.
          metrics: With `loss`, `gradient_norm` and `parameter_norm`; a step that was skipped on
            purpose, as `skipped` tells, is passed over.
          last_saved: Step of the newest checkpoint, `None` if there is none.

        Raises:
          NonFiniteLossError: A number is NaN or infinite, or the loss is 10,000 times the first.
        """
        names = ("loss", "gradient_norm", "parameter_norm")
        loss, gradient, parameters = (float(metrics[name]) for name in names)
        if float(metrics.get("skipped", 0.0)) and math.isfinite(parameters):
            return
        if self._first is None:
            self._first = abs(loss)
        exploded = abs(loss) > _EXPLODED * max(self._first, 1.0)
        if math.isfinite(loss + gradient + parameters) and not exploded:
            return
        what = "has exploded to" if exploded and math.isfinite(loss) else "is"
        saved = (
            "no checkpoint had been saved before"
            if last_saved is None
            else f"the last good checkpoint is that of step {last_saved}"
        )
        raise NonFiniteLossError(
            f"The loss {what} {loss:.4g}, with gradients of norm {gradient:.4g} and parameters of "
            f"norm {parameters:.4g}, at step {step}; {saved}, and nothing was saved since. Try a "
            "lower --config.optimizer.learning_rate, a longer --config.optimizer.warmup_epochs or "
            "--config.model.dtype=float32 in a new --workdir; if the data are to blame, "
            "--config.optimizer.skip_nonfinite=10 leaves such steps out and counts them."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device could not allocate what a program asked for."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


@contextmanager
def fitting(step: int) -> Iterator[None]:
    """Names the step whose program does not fit into the device's memory.

    Raises:
      OutOfDeviceMemoryError: It does not.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfDeviceMemoryError(
            f"The device's memory does not hold training step {step} "
            f"({' '.join(str(error).split())[:160]})."
        ) from error


def lost_data(error: Exception, step: int, saved: int | None) -> LostDataError:
    """Says that a batch could not be read.

    Args:
      error: What reading it has raised.
      step: The step that it was for.
      saved: Step of the newest checkpoint, `None` if there is none.
    """
    kept = "nothing was saved yet" if saved is None else f"the state after step {saved} is saved"
    return LostDataError(
        f"The batch of step {step} could not be read ({' '.join(str(error).split())[:300]}); "
        f"{kept}: put the data back and run the same command again to go on."
    )


def means_damage(error: BaseException) -> bool:
    """Whether reading failed for what the files are, not for rights or for a disk out of reach."""
    return not is_machine_fault(error)


def explain(error: BaseException, workdir: Path) -> str | None:
    """Says in one sentence what a failure of the machine, not of the program, was about.

    Args:
      error: What was raised, by whatever library.
      workdir: Of the run.

    Returns:
      The sentence; `None` if the error is of another kind.
    """
    if is_machine_fault(error):
        again = "run the same command again: it goes on from the last checkpoint"
        return explain_machine_fault(error, workdir, again)
    if is_out_of_memory(error):
        return (
            "the device has no memory left: no other program may use it, or see docs/faults.md "
            "for what to make smaller"
        )
    return None
