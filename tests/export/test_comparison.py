"""That the check of an export means something."""

import jax.numpy as jnp
import pytest

from peclr_jax.export.comparison import compare, example_views
from peclr_jax.export.functions import ViewFunction


def off_by(amount, name="features"):
    """A function whose answer is not ours."""

    def call(images):
        return {name: jnp.mean(images / 255, axis=(1, 2)) + amount}

    return ViewFunction(("images",), call)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (off_by(1e-3), r"features from file differ by 0\.001 from"),
        (off_by(jnp.nan), "differ by nan"),
        (off_by(0, "poses"), r"file gives \{'poses': \(4, 3\)\} where our network gives"),
    ],
)
def test_other_answers_are_refused(other, message):
    views = example_views(16, 4)
    with pytest.raises(RuntimeError, match=message):
        compare(off_by(0), {"file": other}, views)
    found = compare(off_by(0), {"file": off_by(1e-6)}, views)
    assert 0 < found["max_abs_difference"]["file"]["features"] < 2e-6


@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "are the same for all pictures"), (jnp.nan, "are not finite")]
)
def test_a_network_that_says_nothing_proves_nothing(value, message):
    silent = ViewFunction(("images",), lambda images: {"features": jnp.full((4, 3), value)})
    with pytest.raises(ValueError, match=f"features {message}"):
        compare(silent, {"file": silent}, example_views(16, 4))
