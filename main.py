"""The command line: `python main.py --config=configs/pretrain.py --workdir=runs/pretrain`.

Reads the flags and calls `peclr_jax.tasks.<config.task>.run(config, workdir)`.

Exit codes: 0 done; 1 a fault of the program, with its traceback; 2 a mistake in flags, config or
data, or a fault of the machine, in one sentence; 3 the loss is no longer finite; 4 done, but for
some of the input; 5 other processes of the run did not come to its start; 130 interrupted, state
saved; 134 ended by JAX, because another process of the run is gone (docs/many_hosts.md). SIGTERM,
by which schedulers ask for an end, saves the state and exits with 0: whether a run is finished is
told by its summary.json.
"""

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
    "Folder where compiled programs are kept, so that later runs start sooner; '' keeps none.",
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

DETERMINISTIC = flags.DEFINE_bool(
    "deterministic",
    False,
    "Whether a GPU is to compute the same bits in every run, at some cost; a CPU does so anyway.",
)

# Before anything imports TensorFlow, which otherwise greets the user with its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

ROOT = Path(__file__).resolve().parent


def main(argv: list[str]) -> int:
    """Runs the task that the config names; returns the exit code."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; flags begin with --")
    from peclr_jax.devices import processes
    from peclr_jax.errors import UserError

    if DETERMINISTIC.value:
        ask_for_determinism()
    keep_compiled_programs(CACHE_DIR.value)
    logging.set_verbosity(logging.WARNING)  # Orbax and TFDS narrate every file they touch
    config = CONFIG.value
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
    if exit_code:
        processes.fail(exit_code)
    processes.finish()
    return exit_code


def run(config: ConfigDict, workdir: Path) -> int:
    """Runs the config's task; prints the sentence that ends it and returns the exit code."""
    from peclr_jax.errors import UserError
    from peclr_jax.training.failures import NonFiniteLossError, explain
    from peclr_jax.training.preemption import Preempted

    task = importlib.import_module(f"peclr_jax.tasks.{config.task}")
    try:
        return task.run(config, workdir) or 0
    except Preempted as stop:
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
    """Has JAX keep what it compiles, unless it was told where to by its own means."""
    import jax

    if folder and jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        compiled = Path(folder).expanduser() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(compiled))
        # A start compiles dozens of small programs, which take as long together as a large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def ask_for_determinism() -> None:
    """Has XLA leave out programs whose sums depend on timing, and the choice among them by speed.

    To be called before the first use of a device, which is when XLA reads its flags.
    """
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_deterministic_ops=true".strip()


def default_name() -> str:
    """The name of a run that was given none: its file's, and the recipe if one was asked for."""
    file, _, recipe = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    name = Path(file).stem
    return f"{name}_{recipe}" if recipe else name


def fail(sentence: str) -> NoReturn:
    """Ends the program over a mistake of the user's."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; every mistake in it ends in one sentence."""
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
        lines = str(error).strip().splitlines()
        raised = [line for line in lines if line.strip().startswith("ValueError: ")]
        fail(raised[-1].split(": ", 1)[1] if raised else str(error))
    except OSError:
        named = next((a for a in argv if a.startswith("--config=")), "--config")
        fail(f"{named} cannot be read; the recipes are in {ROOT / 'configs'}")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
