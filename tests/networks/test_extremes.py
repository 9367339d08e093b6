"""The hands that are shown are the best and the worst of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.networks import extremes, hand_errors


def test_extremes_are_those_of_all_batches(hands, exact, network):
    measured = hand_errors.measure_errors(network, hands, exact, "given")
    errors = np.random.default_rng(0).permutation(16) / 100.0
    for key in measured.errors:
        measured.errors[key][:] = errors[:, None]
    kept = extremes.Extremes(3, network.view_size)
    for start in (0, 5, 10, 15):
        rows = slice(start, start + 5)
        part, inferred, batch = jax.tree.map(
            lambda x, rows=rows: x[rows], (measured, exact, dict(hands))
        )
        kept.add(batch, inferred, part)
    order = np.argsort(errors)
    for name, expected in (("best", order[:3]), ("worst", order[::-1][:3])):
        for panel, i in zip(kept.panels(name), expected, strict=True):
            start = f"hand {hands['sample_id'][i]}, version {hands['version'][i]}:"
            assert panel.title.startswith(start)
    assert "PA-EPE 0.00 cm" in kept.panels("best")[0].title


@pytest.mark.parametrize(
    ("scale", "shift", "first", "size"),
    [
        (2 / 3, -3.5, (5, 5), (12, 12)),  # a view of 8 px, of the middle
        (0.5, 2.0, (0, 0), (11, 11)),  # reaching over the corner
        (1.0, -22.0, (22, 22), (2, 2)),
    ],
)
def test_what_is_shown_is_what_the_network_saw(hands, exact, network, scale, shift, first, size):
    y, x = np.mgrid[:24, :24].astype(np.uint8)
    hands = hands | {"image": np.tile(np.stack([x, y, x], -1), (16, 1, 1, 1))}
    matrix = jnp.tile(jnp.array([[scale, 0, shift], [0, scale, shift]], jnp.float32), (16, 1, 1))
    kept = extremes.Extremes(1, 8)
    measured = hand_errors.measure_errors(network, hands, exact, "given")
    kept.add(hands, exact._replace(matrix=matrix), measured)
    (panel,) = kept.panels("best")
    assert tuple(panel.image[0, 0, :2]) == first
    assert panel.image.shape[:2] == size
    shifts = panel.predicted_2d + first - np.asarray(exact.estimate.pose)[..., :2]
    assert np.abs(shifts).max((1, 2)).min() < 1e-4
