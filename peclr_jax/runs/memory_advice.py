"""What to make smaller when a training step does not fit into the device's memory."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from peclr_jax.devices.memory import free_device_memory
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.training.failures import OutOfDeviceMemoryError

_ASKED = re.compile(r"allocat\w*\s+([\d.]+)\s*(bytes|[KMGT]i?B)?")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# By what factor each policy shrinks a step of ResNet-50, as measured: docs/speed.md.
_REMAT_SAVES = {"norm": 1.19, "block": 2.7}
# Of the memory that is free; the rest goes to fragments and to what is not the step's.
_USABLE = 0.9


@contextmanager
def advising(spec: PretrainSpec | FinetuneSpec) -> Iterator[None]:
    """Adds to the error of a step that does not fit which option would make it fit."""
    try:
        yield
    except OutOfDeviceMemoryError as error:
        excess = how_many_times_too_large(str(error), free_device_memory(jax.local_devices()[0]))
        raise OutOfDeviceMemoryError(
            f"{error}: {advise(spec, excess, jax.device_count())}"
        ) from error


def advise(spec: PretrainSpec | FinetuneSpec, excess: float, num_devices: int) -> str:
    """Names the options that shrink a step's activations by some factor.

    Args:
      spec: Of the run.
      excess: The factor.
      num_devices: Over which a batch is split.
    """
    remat = ""
    policies = (policy for policy, factor in _REMAT_SAVES.items() if excess <= factor)
    if spec.model.remat == "none" and (policy := next(policies, None)):
        remat = f", or --config.model.remat={policy}, which computes some activations twice"
    if isinstance(spec, PretrainSpec) and (parts := _micro_batches(spec, excess, num_devices)):
        negatives = (
            ""
            if spec.negatives == "global"
            else " (its negatives then come from a smaller part of the batch, unless "
            "--config.negatives=global)"
        )
        return f"Set --config.micro_batches={parts}{negatives}{remat}."
    # Every device takes a share of every micro-batch, none of which may be of a single image.
    unit = num_devices * spec.parts
    smaller = max(int(spec.batch_size / excess) // unit, 1 + (num_devices == 1)) * unit
    if smaller >= spec.batch_size:
        return f"Set a smaller --config.views.size or --config.model.width{remat}."
    return f"Set --config.batch_size={smaller}{remat}."


def how_many_times_too_large(error: str, free: int | None) -> float:
    """Returns by what factor an allocation exceeds the free bytes, at least 1.1; 2 if unknown."""
    found = _ASKED.search(error)
    if not found or not free:
        return 2.0
    unit = found[2] or "bytes"
    asked = float(found[1]) * (1 if unit == "bytes" else _UNITS[unit[0]])
    return max(1.1, asked / (_USABLE * free))


def _micro_batches(spec: PretrainSpec, excess: float, num_devices: int) -> int | None:
    """Returns the smallest number of micro-batches that is enough and divides the batch."""
    least = math.ceil(excess * spec.micro_batches)
    enough = range(max(least, spec.micro_batches), spec.batch_size // 2 + 1)
    return next((n for n in enough if spec.batch_size % (n * num_devices) == 0), None)
