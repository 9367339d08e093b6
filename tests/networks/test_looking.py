"""What a network is shown, and where its answer lies in the image."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from peclr_jax.geometry import crop
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Sight, look, look_at_batch
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.photos.boxes import Request, requests
from peclr_jax.photos.crop import Window
from peclr_jax.photos.prepare import Options, prepare_all
from peclr_jax.prediction.photographs import predict_photos
from tests.marked_photos import BONE, SIZE, TRUTH, mark_finder, marked


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
        glimpse, _ = look(network, [sight], passes=1, rows=16)
        second = network.looking.following(first, np.asarray(glimpse.pose)[0, :, :2])
        assert second != first
        np.testing.assert_allclose(inferred.matrix[row], crop.to_matrix(second, 16), rtol=1e-3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with a right hand and a left one, and records of it."""
    folder = tmp_path_factory.mktemp("photos")
    hands = {}
    for handedness in ("right", "left"):
        marked().save(folder / f"{handedness}.png")
        hands[f"{handedness}.png"] = [{"keypoints": TRUTH.tolist(), "handedness": handedness}]
    (folder / "boxes.json").write_text(json.dumps(hands))
    return folder, tmp_path_factory.mktemp("photo_records")


@pytest.mark.parametrize("kind", ["box", "two_pass"])
def test_what_evaluation_measures_is_what_prediction_does(photos, opened, kind):
    """The same photos by way of records and of files, with boxes and without."""
    folder, records = photos
    network = mark_finder()
    trained = dataclasses.replace(opened.description.data, source_size=96)
    description = dataclasses.replace(opened.description, view_size=SIZE, data=trained)
    given = EvaluationDataSpec(names="image_folder", manual_dir=str(folder), data_dir=str(records))
    (batch,) = open_data(given, "train+validation", description, kind, 2).split.batches()
    answer = np.asarray(look_at_batch(network, batch, kind, 2).estimate.pose)[..., :2]
    sides = np.where(batch["mirrored"][:, None, None], [-1, 1], 1)
    offsets = sides * (answer - batch["keypoints_2d"]) / batch["crop_scale"][:, None, None]
    evaluated = dict(zip(batch["mirrored"].tolist(), TRUTH + offsets, strict=True))
    views_of_evaluation = dict(zip(batch["mirrored"].tolist(), network.seen[-1], strict=True))

    paths = sorted(folder.glob("*.png"))
    boxes = str(folder / "boxes.json")
    wanted = [
        request if kind == "box" else Request(tuple(h._replace(box=None) for h in request.hands))
        for request in requests(paths, boxes, "right")
    ]
    options = Options(SIZE, network.looking, 64, 0.0, 40.0)
    prepared = prepare_all(paths, wanted, options, 1)
    passes = 1 if kind == "box" else 2
    found = list(predict_photos(network, prepared, BONE, passes=passes, rows=2))
    pixel = found[0][1][0].square.side / SIZE
    for (photo, (prediction,)), view in zip(found, network.seen[-1], strict=True):
        mirrored = photo.path.stem == "left"
        difference = np.abs(prediction.keypoints_2d - evaluated[mirrored]).max()
        # Records are cut at whole pixels of the image.
        assert difference < 0.1 * pixel, (difference, pixel)
        greys = np.abs(view.astype(int) - views_of_evaluation[mirrored]).mean()
        assert greys < 2, greys


def test_missing_intrinsics_are_supposed(opened, network, given_data):
    batch = first_batch(opened, given_data, "evaluation", "box", 2)
    batch["intrinsics_valid"] = np.array([True, False])
    batch["intrinsics"] = batch["intrinsics"] * batch["intrinsics_valid"][:, None, None]
    intrinsics = np.asarray(look_at_batch(network, batch, "box", 16).intrinsics)
    np.testing.assert_array_equal(intrinsics[0], batch["intrinsics"][0])
    # The view's centre and 1.74 of its side, in the source, which has 1.5 pixels to its one.
    np.testing.assert_allclose(intrinsics[1, :2, 2], 11.5, atol=1e-4)
    np.testing.assert_allclose(intrinsics[1, 0, 0], 1.74 * 16 * (24 / 16 / 1.5), rtol=1e-5)
