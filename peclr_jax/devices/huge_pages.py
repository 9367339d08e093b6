"""Huge pages for what is computed on a CPU: asked of glibc, which listens at a program's start."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_SETTINGS = "GLIBC_TUNABLES"
_SETTING = "glibc.malloc.hugetlb"
_POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Starts the program anew with huge pages in its allocator, unless that would change nothing.

    XLA takes the memory of a step from the system and gives it back after it, so that every page is
    mapped and zeroed at every step: 5 to 16 % of a training's time on a CPU with pages of 4 KiB
    (docs/speed.md). To be called before anything is imported, threads are started or files are
    opened, as those are lost; the process keeps its number, arguments and ignored signals.
    """
    policy = _POLICY.read_text(encoding="ascii") if _POLICY.is_file() else ""
    settings = with_huge_pages(os.environ, policy)
    if sys.platform == "linux" and settings is not None:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _SETTINGS: settings})


def with_huge_pages(environment: Mapping[str, str], policy: str) -> str | None:
    """Returns `GLIBC_TUNABLES` with huge pages, None if they are set already or not to be had.

    Args:
      environment: Variables of the environment.
      policy: The kernel's, as it writes it: only "always [madvise] never" lets programs choose.
    """
    settings = environment.get(_SETTINGS, "")
    if "[madvise]" not in policy or _SETTING in settings:
        return None
    return ":".join(filter(None, (settings, f"{_SETTING}=1")))
