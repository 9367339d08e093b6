"""A pre-training that takes seconds, for scripts that need many of them."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of a run: the CPU alone.
ENVIRONMENT = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
FIELDS = {
    "batch_size": 16,
    "model.width": 4,
    "model.hidden": 16,
    "model.num_points": 8,
    "data.source_size": 24,
    "data.rendered.size": 24,
    "data.rendered.count": 64,
    "data.rendered.held_out": 16,
    "data.rendered.chunk": 16,
    "views.size": 16,
    "log.every_steps": 1,
    "log.pairs": 2,
    "evaluation.images": 16,
    "evaluation.every_steps": 1000,
    "checkpoint.every_steps": 5,
}


def command(
    workdir: Path, cache: Path, num_steps: int, python: str = sys.executable, **fields: object
) -> list[str]:
    """Returns the command line of the run.

    Args:
      workdir: The run's directory.
      cache: Folder in which rendered hands and compiled programs are kept for the next run.
      num_steps: Length of the run.
      python: The interpreter.
      **fields: Other fields of the config, with "__" for ".".
    """
    given = {name.replace("__", "."): value for name, value in fields.items()}
    chosen = {**FIELDS, "num_steps": num_steps, "data.rendered.cache_dir": cache, **given}
    flags = [f"--config.{name}={value}" for name, value in chosen.items()]
    main = [python, str(ROOT / "main.py"), f"--config={ROOT}/configs/pretrain.py"]
    return [*main, *flags, f"--workdir={workdir}", f"--cache_dir={cache}"]
