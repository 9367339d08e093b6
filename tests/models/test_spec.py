"""Specs of networks; `tests/runs/test_spec.py` has them in a task's config."""

import jax
import jax.numpy as jnp
import pytest

from peclr_jax import specs
from peclr_jax.models import resnet
from peclr_jax.models.spec import EncoderSpec, PoseModelSpec, PoseNetworkSpec, ProjectorSpec


def test_specs_build_what_they_describe():
    small = {"architecture": "resnet18", "width": 4, "stem": "small"}
    projector = ProjectorSpec(**small, num_points=3, dtype="bfloat16").build()
    images, intrinsics = jnp.zeros((2, 16, 16, 3)), jnp.tile(jnp.eye(3), (2, 1, 1))
    points, variables = jax.eval_shape(projector.init_with_output, jax.random.key(0), images)
    assert points.shape == (2, 3, 2)
    assert variables["params"]["encoder"]["conv1"]["kernel"].shape == (3, 3, 3, 4)
    for refined in (True, False):
        network = PoseNetworkSpec(**small, head="mlp", hidden=7).build(refine_root_depth=refined)
        params = jax.eval_shape(network.init, jax.random.key(0), images, intrinsics)["params"]
        assert params["head"]["hidden1"]["kernel"].shape[1] == 7
        assert ("refiner" in params) == refined


def test_heatmaps_end_at_the_stage_that_is_named():
    spec = PoseNetworkSpec("resnet18", width=4, stem="small", head="heatmap", channels=6, finest=3)
    images, intrinsics = jnp.zeros((2, 16, 16, 3)), jnp.tile(jnp.eye(3), (2, 1, 1))
    network = spec.build(refine_root_depth=False)
    head = jax.eval_shape(network.init, jax.random.key(0), images, intrinsics)["params"]["head"]
    assert set(head) == {"lateral4", "smooth4", "lateral3", "smooth3", "heatmaps"}
    assert head["smooth3"]["kernel"].shape == (3, 3, 6, 6)


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 32), ("small", 16)])
def test_the_smallest_view_ends_as_one_pixel(stem, side):
    spec = EncoderSpec("resnet18", width=4, stem=stem)
    assert spec.smallest_view == side
    assert spec.build_encoder().block is resnet.BasicBlock


def test_fields_are_open_until_the_checkpoint_gives_them():
    spec = PoseModelSpec(width=8, frozen=True)
    assert spec.open_fields == ("architecture", "stem")
    given = specs.changed(spec, {"architecture": "resnet34", "stem": "small"}, "test")
    assert given.open_fields == ()
    expected = PoseNetworkSpec("resnet34", width=8, stem="small", frozen=True)
    assert given.network == expected
    assert list(specs.to_dict(spec)) == list(specs.to_dict(expected))
