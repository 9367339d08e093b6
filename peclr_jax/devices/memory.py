"""Memory of devices and of the host."""

import contextlib
import os
from collections.abc import Iterator
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


def free_host_memory() -> int | None:
    """Returns the bytes that this process may still take, None where the system does not tell.

    What the system keeps of files is free, too: it is given up for programs. In a container or a
    job of a cluster less may be left of its own limit (control groups, version 2) than of the
    host's memory.
    """
    try:
        text = Path("/proc/meminfo").read_text()
        free = 1024 * int(text.split("MemAvailable:")[1].split()[0])
    except (OSError, ValueError, IndexError):
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError, AttributeError):
            return None
    with contextlib.suppress(OSError, IndexError):
        own = Path("/proc/self/cgroup").read_text().split("0::/")[1].splitlines()[0]
        free = min([free, *_left_of_limits(own)])
    return free


def _left_of_limits(place: str, root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yields what is left, in bytes, of the limits of a control group (version 2) and its parents.

    Args:
      place: Of the group, relative to the root.
      root: Where the system shows the groups.
    """
    for group in (root / place, *(root / place).parents):
        if not group.is_relative_to(root):
            return
        # The outermost has no files, and a group without a limit says "max".
        with contextlib.suppress(OSError, ValueError):
            limit = int((group / "memory.max").read_text())
            used = int((group / "memory.current").read_text())
            lines = map(str.split, (group / "memory.stat").read_text().splitlines())
            files = sum(int(n) for name, n in lines if name in ("active_file", "inactive_file"))
            yield max(limit - used + files, 0)


def free_device_memory(device: jax.Device) -> int | None:
    """Returns the bytes that are free on a device of this process, `None` if it does not tell."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" not in statistics:
        return None
    return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
