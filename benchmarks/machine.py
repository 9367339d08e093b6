"""The environment of a measurement: machine, versions, commit and date."""

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peclr_jax.versions import ask_git, version_of

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow", "torch", "cv2")


def environment(packages: Sequence[str] = PACKAGES, device: str | None = None) -> dict[str, Any]:
    """Returns where, when and with what something is measured.

    Args:
      packages: Names of distributions, or of the modules they install.
      device: JAX's name of its first device; `None` to ask JAX, in a process of its own so that
        this one does not hold the accelerator.
    """
    changes = ask_git("status", "--porcelain")
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "vectors": _widest_vectors(),
        "cores": cores(),
        "memory_gib": round(memory_gib(), 1),
        "device": device or _ask_for_device(),
        "python": platform.python_version(),
        "versions": {package: version_of(package) for package in packages},
        "commit": ask_git("rev-parse", "HEAD"),
        "clean": None if changes is None else not changes,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def cores() -> int:
    """Returns the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float:
    """Returns the memory of the machine in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _widest_vectors() -> str | None:
    """Returns the widest vector instructions, which processors of one name do not share."""
    with contextlib.suppress(OSError):
        words = set(Path("/proc/cpuinfo").read_text().split())
        return next((name for name in ("avx512f", "avx2", "sve", "asimd") if name in words), None)
    return None


def _ask_for_device() -> str:
    code = "import jax; print(jax.devices()[0].device_kind)"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results' environments say that their times may be compared."""
    keys = ("processor", "vectors", "cores", "device")
    return all(one.get(key) == other.get(key) for key in keys)
