"""Rendering: the same hand in any chunk and on any devices, with the labels of records."""

import jax
import numpy as np
import pytest

from peclr_jax.devices.mesh import make_mesh
from peclr_jax.input_pipeline import open_split
from peclr_jax.input_pipeline.from_rendered import make_renderer
from peclr_jax.input_pipeline.rendered import HELD_OUT, TRAIN


@pytest.mark.parametrize(("devices", "chunk"), [(1, 20), (8, 3), (8, 16)])
def test_a_hand_depends_on_its_number_alone(rendered_spec, devices, chunk):
    def render(devices, chunk, purpose=TRAIN):
        renderer = make_renderer(rendered_spec(labels=True), make_mesh(jax.devices()[:devices]))
        return renderer.pool(np.arange(20), purpose, chunk, "").arrays

    expected = render(1, 7)
    for name, array in render(devices, chunk).items():
        # Programs for batches of other sizes may round otherwise.
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-4, err_msg=name)
    others = render(devices, chunk, HELD_OUT)
    assert not np.isclose(others["keypoints_3d"], expected["keypoints_3d"]).any()


def test_labels_are_those_of_records(rendered_spec, record_spec, open_source):
    rendered = open_source(rendered_spec(labels=True)).sample(2)
    records = open_source(record_spec(labels=True)).sample(2)
    assert set(rendered) == set(records)
    for name in rendered:
        assert rendered[name].dtype == records[name].dtype, name
        assert rendered[name].shape[1:] == records[name].shape[1:] or name == "image"
    points = rendered["keypoints_2d"]
    projected = np.einsum("nij,nkj->nki", rendered["intrinsics"], rendered["keypoints_3d"])
    np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], points, atol=1e-2)
    np.testing.assert_allclose((points.min(1) + points.max(1)) / 2, 7.5, atol=1e-3)


def test_the_whole_rendered_image(rendered_spec):
    hands = next(
        open_split(rendered_spec(labels=True, crop="image"), "held_out", batch_size=24).batches()
    )
    np.testing.assert_allclose(hands["crop_scale"], 16 / 32)
    np.testing.assert_allclose(hands["crop_shift"], 7.5 - 0.5 * 15.5)
    # The stand-in paints all of its image: nothing black is seen, and nothing is cut away.
    np.testing.assert_array_equal(hands["image"].min((1, 2, 3)), hands["sample_id"])
