"""Errors of a network on rendered hands, by skin tone from dark to light.

    python -m scripts.skin_tones --checkpoint=released

Prints, for each sixth of the renderer's range of skin tones (about the six Fitzpatrick types), the
2D error in pixels of the view and PA-EPE, with 95 % bootstrap intervals over the hands. The hands
are held out from training by the network's own recipe; 512 of them take some four minutes to
render on two cores.
"""

import argparse
import sys
from functools import partial

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from peclr_jax import console
from peclr_jax.errors import UserError
from peclr_jax.hands import scores
from peclr_jax.hands.averages import average_of
from peclr_jax.input_pipeline.rendered import HELD_OUT
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import hand_errors
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.places import argument
from peclr_jax.synthetic.scene import Probabilities, sample_scene

TONES = 6
ROWS = 64


def lightness(seed: int, samples: np.ndarray) -> np.ndarray:
    """Returns how light the skin of held-out hands is, 0 to 1; as synthetic/render.py draws it."""
    key = jax.random.fold_in(jax.random.key(seed), np.uint32(HELD_OUT))
    keys = jax.vmap(partial(jax.random.fold_in, key))(samples)
    of_scene = jax.vmap(lambda k: jax.random.split(k, 3)[0])(keys)
    nothing = Probabilities(0.0, 0.0, 0.0)
    draw = jax.jit(jax.vmap(lambda k: sample_scene(k, nothing).appearance.lightness))
    return np.asarray(draw(of_scene))


def main() -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=argument, default="released")
    flags = parser.parse_args()
    try:
        table = measure(str(flags.checkpoint))
    except UserError as error:
        console.tell(f"error: {error}")
        return 2
    Console().print(table)
    return 0


def measure(checkpoint: str) -> Table:
    """Returns the errors of a network by skin tone.

    Args:
      checkpoint: As for `open_network`.
    """
    network = open_network(checkpoint, in_float32=True)
    given = EvaluationDataSpec(source="rendered")
    data = open_data(given, "held_out", network.description, "box", ROWS)
    estimator = Estimator.of(network)
    parts = []
    for batch in report(data.split.batches(), "Measuring", -(-data.split.num_examples // ROWS)):
        inference = look_at_batch(estimator, batch, "box", ROWS)
        found = hand_errors.measure_errors(estimator, batch, inference, "given")
        in_view = found.errors["prediction", "2d"] * found.to_view[:, None]
        kinds = [("prediction", kind) for kind in ("2d", "pa")]
        counts = (found.valid[kind] for kind in kinds)
        parts.append((batch["sample_id"], in_view, found.errors[kinds[1]], *counts))
    samples, in_view, aligned, *valid = map(np.concatenate, zip(*parts, strict=True))
    tone = lightness(network.description.data.rendered.seed, samples)
    over = " and ".join(dict.fromkeys(str(average_of(counts)) for counts in valid))
    title = f"{checkpoint}, means over {over}"
    table = Table("skin tone", "hands", "2D EPE, view px", "PA-EPE, cm", title=title)
    for number in range(TONES):
        chosen = np.minimum((tone * TONES).astype(int), TONES - 1) == number
        cells = []
        measured = zip((in_view, aligned), valid, ("2d", "pa"), (1, 100), strict=True)
        for errors, counts, kind, factor in measured:
            mean = scores.score(errors[chosen], counts[chosen], kind=kind).to_dict()["mean"]
            value, low, high = (factor * mean[name] for name in ("value", "low", "high"))
            cells.append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
        table.add_row(f"{number + 1} of {TONES}", str(chosen.sum()), *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
