"""What the tests of `benchmarks/gpu.sh` share: a clock, fake candidates, results."""

import pytest

from benchmarks import harness
from benchmarks.gpu.plan import BEST, CEILINGS, OFFICIAL, OPENCV, OURS, Attempt
from benchmarks.harness import Candidate


class Clock:
    """A clock that a candidate can turn on."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fake(rate=100.0, fails="", calls=None, clock=None, lasts=0.0):
    """A candidate's `prepare`."""
    if fails:
        raise RuntimeError(fails)

    def measure():
        if calls is not None:
            calls.append(rate)
        if clock is not None:
            clock.now += lasts
        facts = {"program_mib": 1.0, "compile_seconds": 1.0}
        return {"pairs_per_second": rate, "step_ms": 1e5 / rate, **facts}

    return measure


@pytest.fixture
def candidate():
    """Makes a fake candidate of keywords."""
    return lambda **kwargs: Candidate(fake, kwargs)


@pytest.fixture
def attempt(candidate):
    """Makes an attempt at a fake candidate."""
    return lambda label="", **kwargs: Attempt(label, candidate(**kwargs))


@pytest.fixture
def spreads():
    """Makes a row whose rounds are all alike."""
    return lambda **figures: {name: harness.spread([value] * 2) for name, value in figures.items()}


@pytest.fixture
def results(spreads):
    """What the suite might measure on an H100."""
    times = {"pairs_per_second": 8000.0, "step_ms": 64.0, "constant_batch_ms": 63.68}
    ours = spreads(**times, model_tflop=8.0, fused_gb=117.0)
    best = spreads(pairs_per_second=5000.0, step_ms=102.4, views_given_ms=100.0)
    official = spreads(pairs_per_second=1000.0, step_ms=512.0, views_given_ms=512.0)
    opencv = spreads(pairs_per_second=900.0)
    beside = {OURS: ours, BEST: best, OFFICIAL: official, OPENCV: opencv}
    pairs = [(OURS, peer, "pairs_per_second") for peer in (BEST, OFFICIAL)]
    shares = {"augmentation": 3.0, "forward": 30.0, "loss": 1.0, "backward": 64.0, "optimizer": 2.0}
    parts = spreads(step_ms=64.0, **{f"{name}_percent": one for name, one in shares.items()})
    return {
        CEILINGS: {"attained": spreads(matmul_tflops=800.0, copy_tbs=3.0)},
        "resnet50, 512 pairs": harness.with_ratios(beside, pairs),
        "parts of resnet50, 512 pairs": {OURS: parts},
    }
