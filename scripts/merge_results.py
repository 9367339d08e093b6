"""Makes one page of an experiment whose seeds or arms were run on several machines.

    python -m scripts.merge_results one/results.json other/results.json --out=merged

The machines ran the same recipe, but for `+one_seed`, with different `--config.seeds` or
`--config.only`. Writes `results.json`, `results.md` and the pictures, as the experiment does.
"""

import argparse
import sys

from peclr_jax.experiments import merging, page
from peclr_jax.places import argument
from scripts import on_results


def main() -> int:
    """Reads the results and writes their page; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=argument, nargs="+", help="results.json of each machine")
    parser.add_argument("--out", type=argument, required=True, help="the folder to write to")
    flags = parser.parse_args()
    return on_results.run(
        flags.results,
        flags.out / "results.md",
        lambda found: page.write(merging.merge(found), flags.out),
    )


if __name__ == "__main__":
    sys.exit(main())
