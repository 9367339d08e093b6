"""A run's directory: claimed by one run at a time, shared by all of its processes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax

from peclr_jax import outputs
from peclr_jax.devices import processes
from peclr_jax.errors import UserError
from peclr_jax.training import restoring


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Claims a run's directory while the context is open; makes it if it is missing.

    Process 0 does so for all processes of a run, which must see the same directory.
    """
    with ExitStack() as stack:
        with processes.process_zero_first():
            restoring.check_writable_name(workdir)
            if jax.process_index() == 0:
                stack.enter_context(outputs.owned(workdir))
        _check_shared(workdir)
        yield


def _check_shared(workdir: Path) -> None:
    """Checks that all processes see what process 0 writes."""
    holder, *others = processes.gather(outputs.holder_of(workdir))
    for number, seen in enumerate(others, 1):
        if seen != holder:
            raise UserError(
                f"process {number} does not find in {workdir} what process 0 writes there: choose "
                "a --workdir that all hosts share"
            )
