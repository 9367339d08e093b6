"""Versions of packages, and what git knows of this checkout."""

import contextlib
import hashlib
import importlib.metadata
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version_of(package: str) -> str | None:
    """Returns the version of a distribution, or of the one that installs a module of this name."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    distributions = importlib.metadata.packages_distributions().get(package)
    return importlib.metadata.version(distributions[0]) if distributions else None


def ask_git(*arguments: str) -> str | None:
    """Returns what git answers about this checkout; None without git, or outside a checkout."""
    # Asking for the status would write git's index, half of it on a full disk.
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def digest_of_code() -> str:
    """Returns a digest of the programs of this checkout, which tells it from others without git."""
    digest = hashlib.sha256()
    for folder in ("peclr_jax", "data"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
