"""What the commands on the `results.json` of experiments share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peclr_jax import console
from peclr_jax.errors import MissingFileError, UserError, explaining
from peclr_jax.files import read_json

# Of what today's experiments write.
_FIELDS = {
    *("experiment", "recipe", "seeds", "metrics", "compared", "labelled_by", "photographs"),
    *("arms", "comparisons", "nothing", "averaged", "equivariance"),
}


def run(
    paths: Sequence[Path], out: Path, write: Callable[[Mapping[str, dict[str, Any]]], object]
) -> int:
    """Reads results, writes what a command makes of them, and returns the exit code.

    Args:
      paths: Of `results.json` of experiments.
      out: What is written.
      write: Writes it, given the results by their files.
    """
    try:
        with explaining(out.parent, "run the same command again"):
            if missing := [str(path) for path in paths if not path.is_file()]:
                raise MissingFileError(
                    f"{', '.join(missing)} not there: name results.json of experiments"
                )
            found = {str(path): read_json(path) for path in paths}
            for name, results in found.items():
                if not (isinstance(results, dict) and results.keys() >= _FIELDS):
                    raise UserError(
                        f"{name} is no results.json of an experiment, or one of an earlier "
                        "version: check the name, or run the experiment's command again"
                    )
            out.parent.mkdir(parents=True, exist_ok=True)
            write(found)
    except UserError as error:
        console.tell(f"error: {error}")
        return 2
    console.say(f"Written: {out}")
    return 0
