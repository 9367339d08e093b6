"""What a command line says: its paths, its recipe's file, and what is wrong with them."""

import itertools
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from peclr_jax import places
from peclr_jax.errors import FieldError, UserError, chain
from peclr_jax.reading import bounded

_PACKAGE = Path(__file__).resolve().parent
# What ml_collections says of a flag for a field that is None.
_UNUSED = re.compile(r"Type <class 'NoneType'> of field config\.(\S+) is not supported")
_OF_CONFIG = re.compile(r"--?(?:no)?config\.([^=]*)")
_FIELD = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CONFIG = re.compile(r"(--?config=)(.*)", re.DOTALL)
# How ml_collections names a field below one that is no section.
_LOOKED_UP = re.compile(r"Attempting to lookup: ([\w.]+)")


def with_home(argument: str) -> str:
    """Returns an argument; in that of the recipe's file, which absl reads, `~` is the home."""
    found = _CONFIG.fullmatch(argument)
    return found[1] + places.named("--config", found[2]) if found else argument


def config_file(argv: Sequence[str]) -> str:
    """Returns the recipe's file that a command line names, "" if it names none."""
    given = []
    for argument, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
        if argument in ("--config", "-config"):
            given.append(following)
        elif found := _CONFIG.fullmatch(argument):
            given.append(found[2])
    return os.path.expanduser(given[-1].partition(":")[0]) if given else ""


def changed_fields() -> dict[str, Any]:
    """Returns what flags have set of the recipe, by dotted names; nothing if none was read."""
    if "config" not in flags.FLAGS:
        return {}
    return dict(config_flags.get_override_values(flags.FLAGS["config"]))


def check_file(file: str) -> None:
    """Refuses a recipe's file that is none, or too large for one, before it is read and run."""
    if os.path.exists(file) and not os.path.isdir(file):
        bounded.opened(Path(file), bounded.CONFIG, "name a recipe by --config=").close()


def explain(error: Exception, file: str) -> str | None:
    """Says in one sentence what is wrong with a command line or a recipe's file.

    Args:
      error: What reading them has raised.
      file: The recipe's file; "" if it is not known.

    Returns:
      The sentence; None if the error is a fault of the program.
    """
    if isinstance(error, flags.Error | UserError):
        # absl and ml_collections raise their own errors, with tracebacks in them, after a recipe's.
        mistakes = [cause for cause in chain(error) if isinstance(cause, UserError)]
        if mistakes:
            mistake = mistakes[-1]
            return f"{file}: {mistake}" if isinstance(mistake, FieldError) else str(mistake)
    for cause in chain(error):
        if place := _place(cause, file):
            return f"{place}: {type(cause).__name__}: {_words(cause)}"
    if not isinstance(error, OSError) and any(map(_passed_our_code, chain(error))):
        return None
    if isinstance(error, flags.Error):
        if unused := _UNUSED.search(str(error)):
            return (
                f"--config.{unused[1]} is without use in this recipe of {file}: leave it out, or "
                "choose one that uses it (the file lists its variants)"
            )
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        if os.path.isfile(file):
            return f"{file}: {str(error).splitlines()[-1].strip()}"
        recipes = _PACKAGE.parent / "configs"
        return f"--config={file} cannot be read; the recipes are in {recipes}"
    if isinstance(error, ValueError | IndexError | TypeError) and _is_of_a_path(error):
        given = [found[1] for flag in sys.argv[1:] if (found := _OF_CONFIG.match(flag))]
        odd = [name for name in given if not _FIELD.fullmatch(name)] or given
        return (
            f"--config.{odd[0] if odd else ''} names no field: a name is of letters, digits and _, "
            "and dots lead into a section, as in --config.optimizer.learning_rate"
        )
    if isinstance(error, AttributeError | KeyError):
        if "get_config" in str(error):
            return f"{file} has no function get_config(), which returns the config of a recipe"
        words = _words(error)
        known = _LOOKED_UP.search(words)
        return f"--config has no field {known[1] if known else words}"
    return None


def _words(error: BaseException) -> str:
    """Returns what an error says; ml_collections quotes the nearest name's sentence twice over."""
    words = str(getattr(error, "msg", error))
    frames = traceback.extract_tb(error.__traceback__)
    if not any(Path(frame.filename).name == "config_dict.py" for frame in frames):
        return words
    return words.replace("\\n", "; ").translate({ord(c): None for c in "\\'"}).strip('"')


def _is_of_a_path(error: BaseException) -> bool:
    """Returns whether ml_collections has failed at the name of a field."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).name == "config_path.py" for frame in frames)


def _is_ours(file: str) -> bool:
    """Returns whether a file is of this repository's packages."""
    ours = (_PACKAGE, *(_PACKAGE.parent / name for name in ("configs", "data")))
    return any(folder in Path(file).parents for folder in ours)


def _passed_our_code(error: BaseException) -> bool:
    """Returns whether an error came through code that a recipe calls, or of our own recipes."""
    return any(_is_ours(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def _place(error: BaseException, file: str) -> str | None:
    """Returns "FILE, line N", where a recipe's own file is at fault; None if it is not."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if file and os.path.abspath(frame.filename) == os.path.abspath(file):
            return f"{file}, line {frame.lineno}"
        # What fails further in is a fault of the program, but for modules that are not there.
        if _is_ours(frame.filename) and not isinstance(error, ImportError):
            return None
    return None
