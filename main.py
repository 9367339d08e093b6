"""The command line: `python main.py --config=configs/pretrain.py --workdir=runs/pretrain`.

Reads the flags and calls `peclr_jax.tasks.<config.task>.run(config, workdir)`.

Exit codes: 0 done; 1 a fault of the program, with its traceback; 2 a mistake in flags, config or
data, or a fault of the machine, in one sentence; 3 the loss is no longer finite; 4 done, except for
some of the input; 5 other processes of the run did not start in time; 129 the terminal was closed,
130 Ctrl-C, 143 SIGTERM, of a training with its state saved; 134 aborted by JAX because another
process of the run is gone (docs/many_hosts.md). SIGTERM and SIGUSR1, by which schedulers stop a
program, end what the same command goes on with, such as a training, with 0: a run is finished when
its summary.json is there.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback, until Ctrl-C is obeyed below

from peclr_jax import stopping  # which imports little; the rest is imported with signals obeyed

PROGRAM = stopping.start(__name__)

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The recipe, FILE or FILE:RECIPE; any of its fields by --config.FIELD=VALUE."
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of checkpoints, logs and pictures. Default: runs/FILE, after the recipe's file, or "
    "runs/FILE_RECIPE if a recipe is named.",
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
    "initialization_timeout", 60.0, "Seconds that processes wait for one another.", lower_bound=1
)

# Tasks that several processes can share.
SHARED_TASKS = ("pretrain", "finetune")
# Tasks whose command, run again, goes on where it was stopped.
RESUMED_TASKS = (*SHARED_TASKS, "demo", "experiment")

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
        raise app.UsageError(f"unknown argument {argv[1]!r}; flags begin with --")
    from peclr_jax.devices import processes
    from peclr_jax.errors import UserError

    if DETERMINISTIC.value:
        ask_for_determinism()
    keep_compiled_programs(CACHE_DIR.value)
    logging.set_verbosity(logging.WARNING)  # Orbax and TFDS narrate every file they touch
    config = CONFIG.value
    PROGRAM.resumes = config.task in RESUMED_TASKS
    workdir = Path(WORKDIR.value or ROOT / "runs" / default_name())
    try:
        several = processes.settings(
            os.environ, COORDINATOR_ADDRESS.value, NUM_PROCESSES.value, PROCESS_ID.value
        )
        if several is None:
            return run(config, workdir)
        if config.task not in SHARED_TASKS:
            fail(f"the task {config.task!r} is done by one process: start but one")
        processes.start(several, INITIALIZATION_TIMEOUT.value)
    except UserError as error:
        fail(str(error))
    exit_code = 1
    try:
        exit_code = run(config, workdir)
    except BaseException:
        traceback.print_exc()
    if PROGRAM.received is not None:  # by this process alone; after 0 it would wait for the others
        exit_code = 128 + PROGRAM.received
    if exit_code:
        processes.fail(exit_code)
    processes.finish()
    return exit_code


def run(config: ConfigDict, workdir: Path) -> int:
    """Runs the config's task; an error that the user can mend is printed in one sentence.

    Args:
      config: The recipe.
      workdir: The run's directory.

    Returns:
      The exit code.
    """
    from peclr_jax.errors import UserError
    from peclr_jax.training.failures import NonFiniteLossError, explain

    task = importlib.import_module(f"peclr_jax.tasks.{config.task}")
    try:
        with PROGRAM.running():
            return task.run(config, workdir) or 0
    except stopping.Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except NonFiniteLossError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except BaseException as error:
        sentence = str(error) if isinstance(error, UserError) else explain(error, workdir)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2


def keep_compiled_programs(folder: str) -> None:
    """Makes JAX keep what it compiles, unless its own settings name a place.

    Args:
      folder: Folder of the compiled programs; "" for none.
    """
    import jax

    if folder and jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        compiled = Path(folder).expanduser() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(compiled))
        # A start compiles dozens of small programs, which take as long together as a large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def ask_for_determinism() -> None:
    """Makes XLA leave out sums in an order that depends on timing, and choices by speed.

    To be called before the first use of a device, when XLA reads its flags.
    """
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_deterministic_ops=true".strip()


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
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a mistake in it ends the program with one sentence.

    Args:
      argv: The command line.

    Returns:
      The program and the arguments that are no flags.
    """
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is None:
            fail("name a recipe: --config=configs/pretrain.py")
        _ = CONFIG.value.task  # a file that could not be loaded says so at the first use
        return rest
    except (AttributeError, KeyError) as error:
        # ml_collections knows the nearest name, and quotes its sentence twice over.
        sentence = str(error).replace("\\n", "; ").translate({ord(c): None for c in "\\'"})
        fail(f"--config has no field {sentence.strip(chr(34))}")
    except flags.Error as error:
        from peclr_jax.errors import UserError, chain

        # absl and ml_collections raise their own errors, with tracebacks in them, after a recipe's.
        mistakes = [cause for cause in chain(error) if isinstance(cause, UserError)]
        fail(str(mistakes[-1] if mistakes else error))
    except OSError:
        named = next((a for a in argv if a.startswith("--config=")), "--config")
        fail(f"{named} cannot be read; the recipes are in {ROOT / 'configs'}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
