"""The candidates compute the same, and those that are too large are not run."""

import jax
import numpy as np

from benchmarks import harness
from benchmarks.cpu import nt_xent


def test_candidates_agree():
    z = jax.random.normal(jax.random.key(0), (24, 8))
    loss, gradient = jax.jit(nt_xent.value_and_gradient("optax", 0.5))(z)
    for name in ("ours", "ours, chunk 4"):
        ours = jax.jit(nt_xent.value_and_gradient(name, 0.5))(z)
        np.testing.assert_allclose(ours[0], loss, rtol=1e-5)
        np.testing.assert_allclose(ours[1], gradient, atol=1e-5)


def test_programs_too_large_are_not_run(in_process):
    settings = nt_xent.Settings(
        (8,), dimension=4, chunks=(4,), limit_gib=1e-9, seconds=0.0, rounds=1
    )
    benchmark = nt_xent.measure(settings)
    assert all("GiB" in row["skipped"] for row in harness.rows(benchmark).values())
    assert benchmark["ratios"] == {}
