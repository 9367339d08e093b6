import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.export.comparison import example_views
from peclr_jax.export.functions import (
    encoder_of,
    explain_views,
    features_or_poses,
    projection_or_poses,
)
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.opening import open_network
from peclr_jax.photos.looking import LookingRule

SHAPES = {
    "features": (3, 32),
    "projection": (3, 8, 2),
    "keypoints_25d": (3, 21, 3),
    "root_depth": (3,),
}


@pytest.mark.parametrize(
    ("function_of", "task", "outputs"),
    [
        (encoder_of, "pretrained", ["features"]),
        (encoder_of, "finetuned", ["features"]),
        (features_or_poses, "pretrained", ["features"]),
        (features_or_poses, "finetuned", ["keypoints_25d", "root_depth"]),
        (projection_or_poses, "pretrained", ["features", "projection"]),
        (projection_or_poses, "finetuned", ["keypoints_25d", "root_depth"]),
    ],
)
def test_what_a_network_says_of_views(function_of, task, outputs, request):
    network = open_network(request.getfixturevalue(task), in_float32=True)
    assert network.module.encoder.dtype == jnp.float32
    assert network.module.encoder.remat == "none"
    function = function_of(network)
    views = example_views(16, 3)
    found = function.call(*(views[name] for name in function.inputs))
    assert {name: SHAPES[name] for name in outputs} == {n: a.shape for n, a in found.items()}
    assert all(array.dtype == np.float32 for array in found.values())


@pytest.mark.parametrize("task", ["pretrained", "finetuned"])
def test_what_is_said_of_views_is_of_the_network(task, request):
    network = open_network(request.getfixturevalue(task))

    def explained(**fields):
        data = dataclasses.replace(network.description.data, **fields)
        description = dataclasses.replace(network.description, data=data)
        return explain_views(dataclasses.replace(network, description=description))

    assert "Its side is\n1.25 times the larger side of the box" in explained(hand_margin=1.25)
    assert "is\n2 times" in explained(hand_margin=2.0)
    assert "middle 1/1.4 of the image's central square" in explained(
        crop="image", source_margin=1.4
    )
    assert ("x px becomes 15 - x" in explained()) == (task == "finetuned")


def test_depths_of_heatmaps_are_in_proportion_as_those_of_a_prediction():
    network = open_network("released", in_float32=True)
    side = network.view_size
    views = example_views(side, 3)
    looks_once = dataclasses.replace(Estimator.of(network), looking=LookingRule(turns_deg=(0.0,)))
    same = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    expected = looks_once(views["images"], same, views["intrinsics"])
    found = features_or_poses(network).call(views["images"], views["intrinsics"])
    np.testing.assert_allclose(found["keypoints_25d"], expected.pose, atol=1e-3 * side)
    np.testing.assert_allclose(
        found["keypoints_25d"][..., 2], expected.pose[..., 2], rtol=1e-3, atol=1e-3
    )
