import pytest

from peclr_jax.errors import UserError
from peclr_jax.training.profiling import parse_steps
from tests.training import toy_run as toy


def test_chosen_steps_are_traced(tmp_path):
    toy.train(tmp_path, 6, profile=(2, 4))
    assert list((tmp_path / "tensorboard/plugins/profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["ten", "20:10", "0:5", "10", "1:" + "9" * 5000])
def test_what_names_no_steps_is_refused(text):
    with pytest.raises(
        UserError, match=f"profile is '{text[:9]}.*, which names no steps .* example 10:20"
    ):
        parse_steps(text)
