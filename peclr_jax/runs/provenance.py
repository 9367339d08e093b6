"""What a run was started with, kept beside its results: enough to start it again."""

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from peclr_jax import __version__, files
from peclr_jax.versions import ask_git, version_of

FILE = "provenance.jsonl"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# Only if they are used: records are read by them.
_IF_LOADED = ("tensorflow", "tensorflow_datasets", "array_record")
_ENVIRONMENT = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "CUDA_VISIBLE_DEVICES")
# What the numbers of a run depend on, beside its config.
_MATTERS = ("data", "versions", "devices", "platform", "commit", "environment")


def describe(config: Mapping[str, Any], data: str) -> dict[str, Any]:
    """Collects what decides the result of a run, fit for JSON; `data` is its fingerprint."""
    changes = ask_git("status", "--porcelain", "--untracked-files=no")
    packages = [*_PACKAGES, *(name for name in _IF_LOADED if name in sys.modules)]
    devices = jax.devices()
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "peclr_jax": __version__,
        "commit": ask_git("rev-parse", "HEAD"),
        "uncommitted_changes": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in packages},
        "platform": jax.default_backend(),
        "devices": [len(devices), devices[0].device_kind],
        "processes": jax.process_count(),
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name in _ENVIRONMENT or name.startswith("JAX_")
        },
        "data": data,
        "config": json.loads(json.dumps(config)),
    }


def keep(
    workdir: Path, described: Mapping[str, Any], note: Callable[[str], None] = print
) -> tuple[list[str], str | None]:
    """Adds a run's start to `FILE`; returns lines to log, and a change of the data to show.

    The lines are about this start, and what has changed since the first one.

    Args:
      workdir: Of the run.
      described: As `describe` returns it.
      note: Told of lines that are broken and left out.
    """
    path = workdir / FILE
    before, broken = files.read_json_lines(path)
    if broken:
        note(f"{path} had {broken} broken line(s), now left out")
    with files.writing(path) as file:
        file.writelines(json.dumps(start) + "\n" for start in (*before, described))
    first = before[0] if before else {}
    changed = {
        name: f"since the run was first started, {name} has changed from {json.dumps(first[name])} "
        f"to {json.dumps(described[name])}"
        for name in _MATTERS
        if name in first and first[name] != described[name]
    }
    data = changed.pop("data", None)
    lines = [
        f"# {text}: the result need not be the same to the last bit" for text in changed.values()
    ]
    told = f"{data}: it goes on with these; for a run of these alone choose another --workdir"
    return [*_lines(described), *lines], told if data else None


def _lines(described: Mapping[str, Any]) -> list[str]:
    count, kind = described["devices"]
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    settings = " ".join(f"{name}={value}" for name, value in described["environment"].items())
    changes = " with uncommitted changes" if described["uncommitted_changes"] else ""
    return [
        f"# started {described['started']}: {described['command']}",
        f"# peclr_jax {described['peclr_jax']}, commit {described['commit']}{changes}",
        f"# python {described['python']}, {versions}",
        f"# {count} x {kind} ({described['platform']}), {described['processes']} process(es) "
        f"{settings}".rstrip(),
        f"# data {described['data']}",
        f"# config {json.dumps(described['config'])}",
    ]
