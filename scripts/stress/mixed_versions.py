"""Whether a checkpoint of the oldest supported versions is read by the newest, and back.

    python scripts/stress/mixed_versions.py      # downloads some 2 GB into a temporary folder

Makes two virtual environments from the bounds in pyproject.toml, without TensorFlow, which rendered
hands do not need. In one, a small run is begun; in the other its parameters are read and the run is
gone on with; then the other way round. Exits with 1 if parameters differ or a run does not go on.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

from rich.console import Console
from rich.table import Table
from small_run import ENVIRONMENT, ROOT, command

LONGEST = 900  # seconds for each part
STEPS = 12
PINNED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
NOT_NEEDED = ("tensorflow", "tensorflow-cpu", "tensorflow-datasets", "array-record")
DIGEST = (
    "import sys, hashlib, jax, numpy as np;"
    "from peclr_jax.training.restoring import restore_params;"
    "leaves = jax.tree.leaves(restore_params(sys.argv[1]));"
    "print(hashlib.sha256(b''.join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest())"
)


def requirements(oldest: bool) -> list[str]:
    """The dependencies, those of JAX's world at their lower bounds or as new as there are."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chosen = []
    for requirement in project["dependencies"]:
        name = re.split(r"[\[<>=; ]", requirement, maxsplit=1)[0]
        if name in NOT_NEEDED:
            continue
        lower = re.search(r">=([\d.]+)", requirement)
        exact = oldest and name in PINNED and lower
        # "0.10" stands for 0.10.0, "0.2.8" for itself.
        full = ".".join([*lower[1].split("."), "0"][:3]) if lower else ""
        chosen.append(f"{name}=={full}" if exact else requirement)
    return chosen


def make(folder: Path, oldest: bool) -> tuple[str, str]:
    """Makes an environment; returns its interpreter and the versions in it."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin/python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", *requirements(oldest)], check=True, timeout=LONGEST)
    listed = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    found = [line for line in listed.splitlines() if line.split("==")[0] in PINNED]
    return python, ", ".join(found)


def digest(python: str, workdir: Path) -> str:
    """Reads the newest checkpoint; returns a digest of its parameters."""
    options = {"env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": LONGEST}
    done = subprocess.run([python, "-c", DIGEST, str(workdir)], **options)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def run(python: str, workdir: Path, cache: Path) -> bool:
    """Begins a run of twelve steps, or goes on with it; says whether it has ended well."""
    fields = {"checkpoint__every_steps": 1, "checkpoint__keep": STEPS}
    arguments = command(workdir, cache, STEPS, python, **fields)
    done = subprocess.run(arguments, env=ENVIRONMENT, timeout=LONGEST, stdout=subprocess.DEVNULL)
    return done.returncode == 0


def forget_second_half(workdir: Path) -> None:
    """Takes a run back to the middle, as if it had been killed there."""
    for step in range(STEPS // 2 + 1, STEPS + 1):
        shutil.rmtree(workdir / f"checkpoints/{step}", ignore_errors=True)


def main() -> int:
    """Tries both directions; returns the exit code."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    console, failed = Console(), False
    table = Table("written by", "read by", "parameters", "the run goes on")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {name: make(folder / name, oldest=name == "oldest") for name in ("oldest", "newest")}
        for label, (_, versions) in made.items():
            console.print(f"{label}: {versions}", highlight=False)
        for writer, reader in (("oldest", "newest"), ("newest", "oldest")):
            first, second = made[writer][0], made[reader][0]
            workdir = folder / f"by_{writer}"
            written = run(first, workdir, folder / f"cache_{writer}")
            same = digest(first, workdir) == digest(second, workdir)
            forget_second_half(workdir)
            went_on = run(second, workdir, folder / f"cache_{reader}")
            went_on &= "resuming after step 6 of 12" in (workdir / "train.log").read_text()
            said = ("the same bits" if same else "DIFFER", "yes" if went_on and written else "NO")
            table.add_row(writer, reader, *said)
            failed |= not (same and written and went_on)
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
