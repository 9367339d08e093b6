"""Photos whose hands are looked at together come out one by one, in their order."""

import numpy as np
import pytest

from peclr_jax.networks.photographs import predict_photos
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.prepare import Options, Prepared, Skipped, prepare_all
from tests.marked_photos import BONE, SIZE, TRUTH, mark_finder, marked


@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 2, 3, 0, 5], [7, 1], [0, 1, 0, 0, 0, 0, 0, 1]])
def test_every_hand_returns_with_its_photo(counts, tmp_path):
    photo = tmp_path / "photo.png"
    marked().save(photo)
    network, hand = mark_finder(), Hand("right", (240.0, 220.0, 390.0, 320.0))
    requests = [Request((hand,) * count) for count in counts]
    options = Options(SIZE, network.looking, 64, 0.0, 40.0)
    missing = tmp_path / "missing.png"
    missing.write_text("no image")
    paths = [*[photo] * len(counts), missing]
    prepared = prepare_all(paths, [*requests, Request(())], options, 1)
    *found, skipped = predict_photos(network, prepared, BONE, passes=1, rows=3)
    assert isinstance(skipped, Skipped)
    assert [len(predictions) for _, predictions in found] == counts
    for prepared, predictions in found:
        assert isinstance(prepared, Prepared)
        for prediction in predictions:
            np.testing.assert_allclose(prediction.keypoints_2d, TRUTH, atol=1.5)
    assert all(len(views) == 3 for views in network.seen)
