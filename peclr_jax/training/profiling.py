"""A trace of some steps, for XProf and TensorBoard's profile page."""

import contextlib
import re
from pathlib import Path

import jax
from jax.profiler import StepTraceAnnotation

from peclr_jax.errors import FieldError

_STEPS = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


def parse_steps(text: str) -> tuple[int, int] | None:
    """Reads the first and last step to trace from "FIRST:LAST"; `None` from ""."""
    if not text:
        return None
    found = _STEPS.fullmatch(text)
    first, last = map(int, found.groups()) if found else (0, 0)
    if not 1 <= first <= last:
        raise FieldError(
            "profile",
            f"is {text!r}, which names no steps to trace: write FIRST:LAST, for example 10:20",
        )
    return first, last


class Profiler:
    """Traces steps, first to last, into `folder/plugins/profile/`; its end writes in any case."""

    def __init__(self, folder: Path, steps: tuple[int, int] | None) -> None:
        self._folder, self._steps = folder, steps
        self._running = False

    def step(self, step: int) -> contextlib.AbstractContextManager:
        """Names a step in the trace, which begins here if it is the first."""
        if self._steps and step == self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        return StepTraceAnnotation("train", step_num=step)

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def ends_after(self, step: int) -> bool:
        """Tells whether the trace is to be written once a step is complete."""
        return self._running and self._steps is not None and step == self._steps[1]

    def stop(self) -> None:
        """Writes the trace if one has begun."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
