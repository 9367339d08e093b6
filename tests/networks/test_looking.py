"""What a network is shown, and where its answer lies in the image."""

import numpy as np
from PIL import Image

from peclr_jax.geometry import crop
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Sight, look, look_at_batch
from peclr_jax.photos.crop import Window


def first_batch(opened, given, split, kind, size):
    """The only batch of a split."""
    (batch,) = open_data(given, split, opened.description, kind, size).split.batches()
    return batch


def test_rows_are_independent_of_the_batch(opened, network, given_data):
    batch = first_batch(opened, given_data, "train", "box", 12)
    twelve = look_at_batch(network, batch, "box", 16)
    three = look_at_batch(network, {k: v[:3] for k, v in batch.items()}, "box", 16)
    assert three.estimate.pose.shape == (3, 21, 3)
    np.testing.assert_allclose(three.estimate.pose, twelve.estimate.pose[:3], atol=1e-3)


def test_the_second_pass_looks_at_the_estimate_of_the_first(opened, network, given_data):
    batch = first_batch(opened, given_data, "evaluation", "two_pass", 2)
    inferred = look_at_batch(network, batch, "two_pass", 16)
    side = batch["image"].shape[1]
    first = network.looking.first(None, side, side)
    np.testing.assert_allclose(inferred.first_matrix[0], crop.to_matrix(first, 16), rtol=1e-6)
    for row in range(2):
        window = Window(Image.fromarray(batch["image"][row]), -0.5, -0.5, (1.0, 1.0))
        sight = Sight(window, first, np.asarray(inferred.intrinsics[row]))
        glimpse = look(network, [sight], passes=1, rows=16)
        second = network.looking.following(first, glimpse.pose[0, :, :2])
        assert second != first
        np.testing.assert_allclose(inferred.matrix[row], crop.to_matrix(second, 16), rtol=1e-3)


def test_missing_intrinsics_are_supposed(opened, network, given_data):
    batch = first_batch(opened, given_data, "evaluation", "box", 2)
    batch["intrinsics_valid"] = np.array([True, False])
    batch["intrinsics"] = batch["intrinsics"] * batch["intrinsics_valid"][:, None, None]
    intrinsics = np.asarray(look_at_batch(network, batch, "box", 16).intrinsics)
    np.testing.assert_array_equal(intrinsics[0], batch["intrinsics"][0])
    # The view's centre and 1.74 of its side, in the source, which has 1.5 pixels to its one.
    np.testing.assert_allclose(intrinsics[1, :2, 2], 11.5, atol=1e-4)
    np.testing.assert_allclose(intrinsics[1, 0, 0], 1.74 * 16 * (24 / 16 / 1.5), rtol=1e-5)
