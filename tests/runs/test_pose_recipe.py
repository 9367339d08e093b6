import pytest

from configs import finetune
from peclr_jax.runs import pose_recipe


def test_an_unknown_mask_of_the_decay_is_refused():
    config = finetune.get_config("quick+scratch")
    config.optimizer.decay_mask = "-1"
    with pytest.raises(ValueError, match=r"optimizer\.decay_mask='-1' is none of 'kernels'"):
        pose_recipe.check_finetuning(config, 1)
