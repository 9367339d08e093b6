"""The scaling benchmark at toy size, on the virtual devices of the tests."""

import pytest

from benchmarks import harness, report
from benchmarks.compiled import scaling
from benchmarks.compiled.collectives import Collective
from benchmarks.compiled.operand import Operand

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(whole_module_in_process, shallow):
    return scaling.measure(scaling.TOY)


def test_eight_devices_learn_what_one_does(measured):
    one, eight = (measured[f"trained on {devices}"] for devices in (1, 8))
    assert one["loss_difference"]["max"] == 0
    assert eight["loss_difference"]["max"] < 1e-4
    # Relative to how far the parameters have come.
    assert eight["parameter_difference"]["max"] < 1e-2


def test_nothing_is_sent_but_gradients_statistics_and_points(measured):
    """The network has three BatchNorms and the head one."""
    whole, in_parts = measured["cpu: 8 x 2 pairs"], measured["cpu: 8 x 2 pairs x 2 micro-batches"]
    assert whole["gradients_operations"]["median"] == 1
    assert whole["statistics_operations"]["median"] == 2 * 4
    # Encoded twice, forward, forward and backward, in each of the two micro-batches; where there is
    # no loop, XLA takes some of the second pass from the first.
    assert 2 * 2 * 4 <= in_parts["statistics_operations"]["median"] <= 2 * 3 * 4


def test_the_table_shows_every_row(measured):
    written = report.markdown([scaling.table(measured)], "Scaling")
    for row in harness.rows(measured):
        assert f"| {row} " in written


def test_what_a_collective_is_for():
    def of(shape, name, dtype="f32"):
        return scaling.part(Collective("all-reduce", (Operand(dtype, shape),), 1, name))

    assert of((64,), "jvp(Projector)/encoder/bn1/reduce_sum") == "statistics"
    assert of((), "") == "statistics"
    assert of((3, 3, 64, 64), "transpose(jvp(Projector))/conv1") == "gradients"
    assert of((9_000_000,), "", "bf16") == "gradients"
    assert of((4096, 128), "jvp()/gather") == "loss"


def test_bytes_of_two_devices_are_counted():
    gathered = Collective("all-gather", (Operand("f32", (2**18,)),), 3, "jvp()/gather")
    reduced = Collective("all-reduce", (Operand("bf16", (2**20,)),), 1, "")
    figures = scaling.count([gathered, reduced], devices=4)
    assert figures["loss_operations"] == 3
    assert figures["loss_mib"] == 3 * 3  # to three others, or on behalf of them
    assert figures["gradients_mib"] == 2 * 2 * 3 / 4  # to be summed, then to be told
