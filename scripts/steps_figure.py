r"""Draws errors over the steps of pre-training, of the arms of one or several experiments.

    python -m scripts.steps_figure runs/table1/results.json runs/best/results.json \
        --evaluation=test_photos --out=docs/images/steps.png

The experiments are of the variant `course` (configs/experiments/common.py). An arm that several of
them have is drawn from the first.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from peclr_jax.experiments import page
from peclr_jax.experiments.metrics import METRICS
from peclr_jax.pages import figures
from peclr_jax.places import argument
from scripts import on_results


def main() -> int:
    """Reads the results and writes the picture; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=argument, nargs="+", help="results.json of experiments")
    parser.add_argument("--evaluation", required=True, help="its name in the results")
    parser.add_argument("--metric", choices=METRICS, default="epe_2d")
    parser.add_argument("--out", type=argument, required=True, help="the PNG to write")
    flags = parser.parse_args()

    def write(found: Mapping[str, dict[str, Any]]) -> None:
        figure = page.over_steps([*found.values()], flags.evaluation, flags.metric)
        figures.save(figure, flags.out)

    return on_results.run(flags.results, flags.out, write)


if __name__ == "__main__":
    sys.exit(main())
