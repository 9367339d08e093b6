"""A step that the device's memory does not hold: what would fit."""

import jax
import pytest

from peclr_jax import specs
from peclr_jax.runs import memory_advice
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.training.failures import OutOfDeviceMemoryError
from tests.training import toy_run as toy


def test_a_step_that_does_not_fit_is_told_what_would(tmp_path, monkeypatch):
    mesh, init, step_fn = toy.compiled(6)
    error = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 90.00GiB."

    def failing(state, batch, key):
        if int(state.step) == 2:
            raise jax.errors.JaxRuntimeError(error)
        return step_fn(state, batch, key)

    monkeypatch.setattr(toy, "compiled", lambda *_: (mesh, init, failing))
    monkeypatch.setattr(memory_advice, "free_device_memory", lambda device: 40 * 2**30)
    with (
        pytest.raises(OutOfDeviceMemoryError, match=r"training step 3 .*90\.00GiB.*") as info,
        memory_advice.advising(PretrainSpec(batch_size=2048)),
    ):
        toy.train(tmp_path, 6)
    advice = str(info.value)
    assert "--config.micro_batches=4 " in advice  # 90 of 36: 2.5 times; 8 devices divide 512
    assert "--config.negatives=global" in advice
    assert "--config.model.remat=block" in advice


@pytest.mark.parametrize(
    ("change", "excess", "expected"),
    [
        ({}, 1.15, "--config.micro_batches=2 (its negatives"),
        ({}, 1.15, "--config.model.remat=norm,"),
        ({"negatives": "global"}, 2.0, "--config.micro_batches=2, or --config.model.remat=block,"),
        ({"model.remat": "block"}, 5.0, "--config.micro_batches=8 (its negatives"),
        ({"batch_size": 40}, 6.0, "Set --config.batch_size=8."),
        ({"batch_size": 8}, 2.0, "Set a smaller --config.views.size or --config.model.width, or"),
    ],
)
def test_advice_is_made_of_options_that_work(change, excess, expected):
    spec = specs.changed(PretrainSpec(), {"batch_size": 256, **change}, "the test")
    assert expected in memory_advice.advise(spec, excess, num_devices=8)


@pytest.mark.parametrize(
    ("spec", "excess", "expected"),
    [
        (PretrainSpec(batch_size=64, micro_batches=16), 3.0, "Set --config.batch_size=32"),
        (PretrainSpec(batch_size=3), 3.0, "Set --config.batch_size=2"),
        (PretrainSpec(batch_size=2), 2.0, "Set a smaller --config.views.size"),
        (FinetuneSpec(batch_size=2), 2.0, "Set a smaller --config.views.size"),
    ],
)
def test_advised_batches_have_two_images_a_micro_batch(spec, excess, expected):
    assert memory_advice.advise(spec, excess, num_devices=1).startswith(expected)


def test_advice_for_fine_tuning_is_a_smaller_batch():
    advice = memory_advice.advise(FinetuneSpec(batch_size=100), 2.4, 1)
    assert advice.startswith("Set --config.batch_size=41, or --con")


@pytest.mark.parametrize(
    ("text", "free", "expected"),
    [
        ("Out of memory while trying to allocate 9000 bytes.", 1000, 10.0),
        ("Out of memory allocating 1.00GiB!", 2**29, 1 / 0.45),
        ("Out of memory.", 1000, 2.0),
        ("Out of memory while trying to allocate 9000 bytes.", None, 2.0),
    ],
)
def test_the_size_of_an_allocation_is_read(text, free, expected):
    assert memory_advice.how_many_times_too_large(text, free) == pytest.approx(expected)
