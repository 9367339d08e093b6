import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.export.comparison import example_views
from peclr_jax.export.functions import encoder_of, features_or_poses, projection_or_poses
from peclr_jax.networks.opening import open_network

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
