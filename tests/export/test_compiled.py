import jax
import numpy as np
import pytest

from peclr_jax.export import compiled
from peclr_jax.export.comparison import example_views
from peclr_jax.export.functions import explain_views, features_or_poses
from peclr_jax.networks.opening import open_network


def written(report):
    return {path.name for path in report.folder.iterdir()} - {"check.json", "README.txt"}


@pytest.mark.slow
def test_saved_model_of_features(pretrained, exported):
    import tensorflow as tf

    report = exported(pretrained, "saved_model")
    assert {"saved_model.pb", "variables"} <= written(report)
    function = tf.saved_model.load(str(report.folder)).signatures["serving_default"]
    (views,) = function.structured_input_signature[1].values()
    assert (views.name, views.dtype, views.shape.as_list()) == (
        "images",
        tf.uint8,
        [None, 16, 16, 3],
    )
    # Another number of views than that of the check.
    images = example_views(16, 7)["images"]
    ours = features_or_poses(open_network(pretrained, in_float32=True))
    answer = function(images=tf.constant(images))["features"]
    atol = report.check["tolerance"]["features"]
    np.testing.assert_allclose(answer, ours.call(images)["features"], atol=atol)


def test_saved_model_of_poses(finetuned, exported, free_sizes):
    report = exported(finetuned, "saved_model")
    assert set(report.check["tolerance"]) == {"keypoints_25d", "root_depth"}
    assert "intrinsics=intrinsics" in report.opening
    assert explain_views(open_network(finetuned)) in report.opening
    assert {"tensorflow-cpu", "tensorflow"} & set(report.check["versions"])


def test_stablehlo(finetuned, exported, free_sizes):
    report = exported(finetuned, "stablehlo")
    assert written(report) == {"network.jax_export", "network.mlirbc"}
    assert set(report.check["max_abs_difference"]) == {"network.jax_export", "network.mlirbc"}
    program = jax.export.deserialize(bytearray((report.folder / "network.jax_export").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    views = example_views(16, 5)
    answer = program.call(views["images"], views["intrinsics"])
    assert answer["keypoints_25d"].shape == (5, 21, 3)
    # Converters know no custom calls, which only a free size needs, and few know scatters.
    plain = (report.folder / "network.mlirbc").read_bytes()
    assert b"custom_call" not in plain
    assert b"scatter" not in plain
    network = open_network(finetuned, in_float32=True)
    free = compiled.lower(features_or_poses(network), 16, 0, ("cpu",))
    assert b"custom_call" in compiled.portable_module(free)
    explained = compiled.explain_stablehlo(network, batch_size=0)
    assert "bytecode, for any number of views" in explained
    assert explain_views(network) in explained
