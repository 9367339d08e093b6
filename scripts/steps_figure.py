r"""Draws errors over the steps of pre-training, of the arms of one or several experiments.

    python -m scripts.steps_figure runs/table1/results.json runs/best/results.json \
        --evaluation=test_photos --out=docs/images/steps.png

The experiments are of the variant `course` (configs/experiments/common.py). An arm that several of
them have is drawn from the first.
"""

import argparse

from peclr_jax.errors import MissingFileError
from peclr_jax.experiments import page
from peclr_jax.experiments.metrics import METRICS
from peclr_jax.files import read_json
from peclr_jax.pages import figures
from peclr_jax.places import argument


def main() -> None:
    """Reads the results and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=argument, nargs="+", help="results.json of experiments")
    parser.add_argument("--evaluation", required=True, help="its name in the results")
    parser.add_argument("--metric", choices=METRICS, default="epe_2d")
    parser.add_argument("--out", type=argument, required=True, help="the PNG to write")
    flags = parser.parse_args()
    if missing := [str(path) for path in flags.results if not path.is_file()]:
        raise MissingFileError(f"{', '.join(missing)} not there: name results.json of experiments")
    found = [read_json(path) for path in flags.results]
    figures.save(page.over_steps(found, flags.evaluation, flags.metric), flags.out)


if __name__ == "__main__":
    main()
