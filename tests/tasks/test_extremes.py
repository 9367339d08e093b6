"""The hands that are shown are the best and the worst of all."""

import numpy as np

from peclr_jax.tasks import extremes, hand_errors
from peclr_jax.tasks.estimator import Estimate


def test_extremes_are_those_of_all_batches(hands, exact, network):
    measured = hand_errors.measure(network, hands, exact, "given")
    errors = np.random.default_rng(0).permutation(16) / 100.0
    for key in measured.errors:
        measured.errors[key][:] = errors[:, None]
    kept = extremes.Extremes(3)
    for start in (0, 5, 10, 15):
        rows = slice(start, start + 5)
        part = hand_errors.Measured(
            {key: value[rows] for key, value in measured.errors.items()},
            {key: value[rows] for key, value in measured.valid.items()},
            measured.to_view[rows],
            measured.joints[rows],
        )
        inferred = exact._replace(estimate=Estimate(*(part_[rows] for part_ in exact.estimate)))
        kept.add({name: array[rows] for name, array in hands.items()}, inferred, part)

    def titles(order):
        return [f"hand {hands['sample_id'][i]}, version {hands['version'][i]}:" for i in order]

    order = np.argsort(errors)
    for panels, expected in ((kept.best, order[:3]), (kept.worst, order[::-1][:3])):
        assert len(panels) == 3
        for panel, start in zip(panels, titles(expected), strict=True):
            assert panel.title.startswith(start)
    assert "PA-EPE 0.00 cm" in kept.best[0].title
