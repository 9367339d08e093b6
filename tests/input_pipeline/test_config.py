import pytest

from peclr_jax import input_pipeline


@pytest.mark.parametrize("size", [10**30, float("inf"), float("nan")])
def test_sizes_beyond_floats_are_refused(size):
    config = input_pipeline.default_config()
    with config.ignore_type():
        config.source_size = size
    with pytest.raises(ValueError, match=r"data\.source_size must be positive"):
        input_pipeline.config.check(config)
