"""Failures that end a run, each in one sentence with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from peclr_jax import errors
from peclr_jax.errors import MachineError, OutOfMemoryError, UserError

# Faults of the program, not of its data; and a lack of memory, which has its own sentence.
BUGS = (TypeError, AttributeError, NameError, AssertionError, LookupError, MemoryError)


class NonFiniteLossError(UserError, FloatingPointError):
    """The loss, its gradient or the parameters are no longer finite, or the loss has exploded."""


class OutOfDeviceMemoryError(OutOfMemoryError):
    """The training step does not fit into the device's memory."""


class LostDataError(MachineError):
    """The data could no longer be read; the state has been saved."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether a device could not allocate what a program asked for."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


@contextmanager
def explaining_memory(step: int) -> Iterator[None]:
    """Turns a device's lack of memory into an `OutOfDeviceMemoryError` that names the step."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfDeviceMemoryError(
            f"the device's memory does not hold training step {step} "
            f"({' '.join(str(error).split())[:160]})"
        ) from error


def lost_data(error: Exception, step: int, saved: int | None) -> LostDataError:
    """Returns the error that a batch could not be read.

    Args:
      error: Error that reading has raised.
      step: Step that the batch was for.
      saved: Step of the newest checkpoint, `None` if there is none.
    """
    kept = "nothing was saved yet" if saved is None else f"the state after step {saved} is saved"
    return LostDataError(
        f"the batch of step {step} could not be read ({' '.join(str(error).split())[:300]}); "
        f"{kept}: put the data back and run the same command again to go on"
    )


def explain(error: BaseException, workdir: Path) -> str | None:
    """Explains what ends a run in one sentence; `None` if it is a fault of the program."""
    if is_out_of_memory(error):
        return (
            "the device has no memory left: no other program may use it, or see docs/faults.md "
            "for what to make smaller"
        )
    return errors.explain(error, workdir, "run the same command again")
