"""The command line: `python main.py --config=configs/pretrain.py --workdir=runs/pretrain`.

Reads the flags and calls `peclr_jax.tasks.<config.task>.run(config, workdir)`.

Exit codes: 0 done; 1 a fault of the program, with its traceback; 2 a mistake in flags, config or
data, or a fault of the machine, in one sentence; 3 the loss is no longer finite; 4 done, except for
some of the input; 5 other processes of the run did not start in time; 129 the terminal was closed,
130 Ctrl-C, 143 SIGTERM, of a training with its state saved; 134 aborted by JAX because another
process of the run is gone (docs/many_hosts.md). SIGTERM and SIGUSR1, by which schedulers stop a
program, end with 0 what has lost nothing: a training, which goes on with the same command, and any
other task before its first step. A training is finished when its summary.json is there.
"""

import signal

from peclr_jax.devices.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback, until Ctrl-C is obeyed below
    restart_with_huge_pages()

from peclr_jax import (  # which imports little; the rest is imported with signals obeyed
    console,
    stopping,
)

PROGRAM = stopping.start(__name__)
PROGRAM.resumes = True  # nothing is done yet that a stop could lose

import contextlib
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import ConfigDict, config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The recipe, FILE or FILE:RECIPE; any of its fields by --config.FIELD=VALUE."
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of checkpoints, logs and pictures. Default: runs/FILE in the current folder, after the "
    "recipe's file, or runs/FILE_RECIPE if a recipe is named.",
)

CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    "~/.cache/peclr_jax",
    "Folder of compiled programs, with which later runs start sooner; '' for none.",
)

COORDINATOR_ADDRESS = flags.DEFINE_string(
    "coordinator_address",
    None,
    "HOST:PORT of process 0 in a run of several processes (docs/many_hosts.md); under SLURM this "
    "and the next two are known.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes of the run, over all hosts.", lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0.", lower_bound=0
)
INITIALIZATION_TIMEOUT = flags.DEFINE_float(
    "initialization_timeout", 60.0, "Seconds that processes wait for one another."
)

# Tasks that several processes can share.
SHARED_TASKS = ("pretrain", "finetune")
# Tasks whose command, run again, goes on where it was stopped.
RESUMED_TASKS = (*SHARED_TASKS, "demo", "experiment")
TASKS_WITHOUT_OUTPUT = ("serve",)
# What the processes of a run must agree on beside their config and the code.
ALIKE_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
ALIKE_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl")
# Fields that each host may have in its own way.
OF_A_HOST = ("data.rendered.cache_dir",)

DETERMINISTIC = flags.DEFINE_bool(
    "deterministic",
    False,
    "Whether a GPU computes the same bits in every run, at some cost; a CPU always does.",
)

# Before anything imports TensorFlow, which otherwise greets the user with its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

ROOT = Path(__file__).resolve().parent


def main(argv: list[str]) -> int:
    """Starts the processes and runs the config's task.

    Args:
      argv: The program and the arguments that are no flags, of which there must be none.

    Returns:
      The exit code.
    """
    if len(argv) > 1:
        fail(f"the argument {argv[1]!r} belongs to no flag; flags are written --NAME=VALUE")
    from peclr_jax import console, places
    from peclr_jax.devices import backend
    from peclr_jax.errors import UserError

    console.shorten_logs()
    config = CONFIG.value
    PROGRAM.loses_steps = config.task not in RESUMED_TASKS
    try:
        folder = places.named("--workdir", WORKDIR.value or "")
        workdir = Path(folder or Path("runs", default_name()))
        if DETERMINISTIC.value:
            backend.ask_for_determinism()
        backend.keep_compiled_programs(CACHE_DIR.value)
        from peclr_jax.devices import processes

        several = processes.settings(
            os.environ, COORDINATOR_ADDRESS.value, NUM_PROCESSES.value, PROCESS_ID.value
        )
        if several is None:
            return run(config, workdir)
        if config.task not in SHARED_TASKS:
            fail(f"the task {config.task!r} is done by one process: start but one")
    except UserError as error:
        fail(str(error))
    exit_code = 1
    try:
        processes.start(several, INITIALIZATION_TIMEOUT.value, lambda: describe_start(config))
        exit_code = run(config, workdir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        exit_code = 2
    except BaseException:
        traceback.print_exc()
    # After a signal to this process alone it would wait for the others.
    if exit_code or PROGRAM.received is not None:
        processes.fail(exit_code)
    processes.finish()
    return exit_code


def describe_start(config: ConfigDict) -> dict[str, Any]:
    """Returns what all processes of a run must have been started with, by its name for people."""
    import jax
    from flax.traverse_util import flatten_dict

    from peclr_jax import versions

    fields = flatten_dict(config.to_dict(), sep=".")
    return {
        **{f"--config.{name}": fields[name] for name in fields if name not in OF_A_HOST},
        "--deterministic": DETERMINISTIC.value,
        "the code of peclr_jax": versions.digest_of_code(),
        **{f"the version of {name}": versions.version_of(name) for name in ALIKE_PACKAGES},
        **{name: getattr(jax.config, name) for name in ALIKE_SETTINGS},
    }


def run(config: ConfigDict, workdir: Path) -> int:
    """Runs the config's task; an error that the user can mend is printed in one sentence.

    Args:
      config: The recipe.
      workdir: The run's directory.

    Returns:
      The exit code.
    """
    import jax

    from peclr_jax import outputs
    from peclr_jax.devices import backend
    from peclr_jax.training.failures import NonFiniteLossError, explain

    task = importlib.import_module(f"peclr_jax.tasks.{config.task}")
    try:
        backend.check_devices()
        # Tasks that several processes share claim it together.
        writes = config.task not in TASKS_WITHOUT_OUTPUT and not config.get("plan")
        claims = writes and jax.process_count() == 1
        with (
            PROGRAM.running(),
            outputs.owned(workdir) if claims else contextlib.nullcontext(),
        ):
            return task.run(config, workdir) or 0
    except stopping.Stopped as stop:
        console.tell(stop)
        return stop.exit_code
    except NonFiniteLossError as error:
        console.tell(f"error: {error}")
        return 3
    except BaseException as error:
        sentence = explain(error, workdir)
        if sentence is None:
            raise
        console.tell(f"error: {sentence}")
        return 2


def default_name() -> str:
    """Returns the name of a run without --workdir: FILE or FILE_RECIPE."""
    file, _, recipe = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    name = Path(file).stem
    return f"{name}_{recipe}" if recipe else name


def fail(sentence: str) -> NoReturn:
    """Ends the program with exit code 2.

    Args:
      sentence: What is wrong, and the remedy.
    """
    console.tell(f"error: {sentence}")
    sys.exit(2)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a mistake in it ends the program with one sentence.

    Args:
      argv: The command line.

    Returns:
      The program and the arguments that are no flags.
    """
    from peclr_jax import commandline
    from peclr_jax.devices import backend

    try:
        backend.start()
        commandline.check_file(commandline.config_file(argv))
        rest = flags.FLAGS([commandline.with_home(argument) for argument in argv])
        # A file that could not be loaded says so at the first use.
        check_config(CONFIG.value, commandline.config_file(argv))
        return rest
    except Exception as error:
        sentence = commandline.explain(error, commandline.config_file(argv))
        if sentence is None:
            raise
        fail(sentence)


def check_config(config: object, file: str) -> None:
    """Checks that a recipe's file gave a config of one of the tasks.

    Args:
      config: What the file gave; None if none was named.
      file: The file.
    """
    from peclr_jax.errors import UserError, nearest

    if config is None:
        raise UserError("name a recipe: --config=configs/pretrain.py")
    if not isinstance(config, ConfigDict):
        getattr(config, "task", None)  # raises what a file that could not be loaded has raised
        raise UserError(
            f"get_config() of {file} returns {type(config).__name__}: have it return an "
            "ml_collections.ConfigDict"
        )
    task = config.get("task")
    tasks = sorted(path.stem for path in (ROOT / "peclr_jax/tasks").glob("[a-z]*.py"))
    if task not in tasks:
        known = ", ".join(tasks)
        shown = " ".join(repr(task).split())  # that of a section has lines
        raise UserError(f"--config.task is {shown}, none of {known}{nearest(str(task), tasks)}")


if __name__ == "__main__":
    PROGRAM.end(lambda: app.run(main, flags_parser=parse_flags))
