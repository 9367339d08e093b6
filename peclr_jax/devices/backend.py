"""Whether JAX can start as the environment says: told in a sentence, not by an abort."""

import contextlib
import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from peclr_jax import console, places
from peclr_jax.errors import MachineError, UserError

# XLA ends the process over flags that it does not know, hence another one.
_READ_FLAGS = "import jaxlib.xla_client as client; client.make_cpu_client()"
# An error in XLA's log, after its time and place.
_LINE = re.compile(r"^[EF]\d{4} [^]]*\] (.+?)\.?$", re.MULTILINE)


# Known to jaxlib 0.10 to 0.12. By default YNNPACK computes the convolutions of 0.10, too, those of
# 64 channels on one thread alone; and loops use half of AVX-512's registers.
CPU_FLAGS = (
    "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE",
    "--xla_cpu_prefer_vector_width=512",
)
"""What makes XLA's programs for CPUs fast (docs/speed.md)."""


def start() -> None:
    """Imports JAX, set for fast programs on CPUs, unless the environment is wrong.

    Flags that the environment gives stay as they are.

    Raises:
      UserError: An environment variable is wrong.
    """
    given = [flag for flag in _given_flags() if flag not in CPU_FLAGS]
    _check_flags(" ".join(given))
    named = {flag.partition("=")[0] for flag in given}
    ours = [flag for flag in CPU_FLAGS if flag.partition("=")[0] not in named]
    os.environ["XLA_FLAGS"] = " ".join((*ours, *given))
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise UserError(f"JAX does not start: {error}; mend or unset that variable") from error


def ask_for_determinism() -> None:
    """Makes XLA leave out sums in an order that depends on timing, and choices by speed.

    To be called before the first use of a device, when XLA reads its flags.
    """
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_deterministic_ops=true".strip()


def keep_compiled_programs(folder: str) -> None:
    """Makes JAX keep what it compiles, unless its own settings name a place.

    Where the folder cannot be used, that is said, and nothing is kept.

    Args:
      folder: Folder of the compiled programs; "" for none.
    """
    import jax

    if not folder or jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    try:
        compiled = Path(places.expanded(folder), "compiled")
        compiled.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=compiled):
            pass
    except (UserError, OSError) as error:
        console.tell(
            f"note: compiled programs are not kept for later runs, as --cache_dir={folder} cannot "
            f"be used ({error}): name another folder, or none by --cache_dir="
        )
        return
    from peclr_jax.devices import programs

    programs.keep_in(compiled)
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    # A start compiles dozens of small programs, which take as long together as a large one.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _given_flags() -> list[str]:
    """Returns the flags of `XLA_FLAGS`, which instead may name a file of them, as XLA has it."""
    text = os.environ.get("XLA_FLAGS", "").strip()
    if text and not text.startswith("-"):
        with contextlib.suppress(OSError):  # of a file that is not there XLA speaks
            return Path(text).read_text(errors="replace").split()
    return text.split()


@functools.cache
def _check_flags(flags: str) -> None:
    """Checks `XLA_FLAGS`, which end the program without a way to catch it if they are wrong."""
    if not flags:
        return
    done = subprocess.run(
        [sys.executable, "-c", _READ_FLAGS],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    # Of whatever else goes wrong JAX speaks for itself.
    if done.returncode and "parse_flags" in done.stderr and (told := _LINE.search(done.stderr)):
        raise UserError(
            f"the environment variable XLA_FLAGS={flags} is not as XLA wants it ({told[1]}): mend "
            "or unset it"
        )


def check_devices() -> None:
    """Opens the devices.

    Raises:
      MachineError: There are none of the kind that `JAX_PLATFORMS` asks for.
    """
    import jax

    try:
        jax.devices()
    # JAX raises errors of several kinds, assertions among them.
    except Exception as error:
        wanted = jax.config.jax_platforms  # type: ignore[attr-defined]
        asked = f"the environment variable JAX_PLATFORMS={wanted} asks for" if wanted else "it is"
        told = " ".join(str(error).partition(" (set ")[0].split())[:200] or "there is none"
        raise MachineError(
            f"JAX cannot open the device that {asked} ({told}): set JAX_PLATFORMS to cpu, or to "
            "another device of this machine, or unset it"
        ) from error
