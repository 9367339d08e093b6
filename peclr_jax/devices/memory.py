"""Memory of devices and of the host."""

import contextlib
import os
from pathlib import Path

import jax


def memory_in_use() -> dict[str, float]:
    """Returns this process's peak on its fullest device and use of the host now, GiB, if known."""
    found = {}
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [each["peak_bytes_in_use"] for each in statistics if "peak_bytes_in_use" in each]
    if peaks:
        found["device_memory_gib"] = max(peaks) / 2**30
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not Linux
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["host_memory_gib"] = pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    return found


def free_device_memory(device: jax.Device) -> int | None:
    """Returns the bytes that are free on a device of this process, `None` if it does not tell."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" not in statistics:
        return None
    return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
