"""The parts of a step: told from the text of a compiled program."""

import pytest

from benchmarks import harness
from benchmarks.cpu.step_time import CONVOLUTIONS, TOY, measure, parts_of

PROGRAM = """HloModule jit_step

%fused.1 (p: f32[2,8]) -> f32[2,8] {
  %p = f32[2,8]{1,0} parameter(0)
  ROOT %max = f32[2,8]{1,0} maximum(%p), metadata={op_name="jit(s)/jvp(Projector)/encoder/layer1_0/bn1/max"}
}

%fused.2 (q: f32[2,8]) -> f32[64,3,3,128] {
  ROOT %convolution.3 = f32[64,3,3,128]{3,2,1,0} convolution(%q)
}

ENTRY %main (x: f32[2,8]) -> f32[2,8] {
  %ynn_fusion.1 = f32[2,8]{1,0} fusion(%x), metadata={op_name="jit(s)/transpose(jvp(Projector))/encoder/layer2_1/conv2/conv"}
  %fusion.7 = f32[2,8]{1,0} fusion(%x), kind=kLoop, calls=%fused.1
  %transpose_copy_fusion.2 = f32[8,2]{1,0} fusion(%x), kind=kLoop, calls=%fused.1
  %ynn_fusion.3 = f32[64,3,3,128]{3,2,1,0} fusion(%transpose_copy_fusion.2), calls=%fused.2
  ROOT %add.1 = f32[2,8]{1,0} add(%x, %x), metadata={op_name="jit(s)/add"}
}
"""  # noqa: E501


def test_operations_belong_to_their_layer():
    parts = parts_of(PROGRAM)
    assert parts["ynn_fusion.1"] == CONVOLUTIONS
    assert parts["fusion.7"] == "layer1, BatchNorm, ReLU and sums"
    assert parts["transpose_copy_fusion.2"].startswith("copies")
    assert parts["ynn_fusion.3"] == CONVOLUTIONS
    assert parts["add.1"] == "update and reports"


@pytest.mark.slow
def test_all_parts_of_a_step_are_timed():
    rows = harness.rows(measure(TOY))
    assert {CONVOLUTIONS, "pooling", "projection and loss", "update and reports"} <= rows.keys()
    assert sum(row["share"]["median"] for row in rows.values()) == pytest.approx(100)
    assert all(row["core_ms"]["median"] >= 0 for row in rows.values())
