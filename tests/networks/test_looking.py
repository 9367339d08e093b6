"""What a network is shown, and where its answer lies in the image."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from peclr_jax.geometry import crop
from peclr_jax.geometry.crop import Square
from peclr_jax.labels.requests import requests
from peclr_jax.models.heads import Localisation
from peclr_jax.models.pose_network import PoseOutput
from peclr_jax.networks.description import HEATMAP_TURNS_DEG, from_json
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Sight, look, look_at_batch, look_once
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.photos.boxes import Request
from peclr_jax.photos.crop import Window
from peclr_jax.photos.looking import LookingRule
from peclr_jax.photos.prepare import Options, prepare_all
from peclr_jax.prediction.photographs import predict_photos
from tests.marked_photos import BONE, SIZE, TRUTH, WRIST, mark_finder, marked

CROPS = ("box", "two_pass")


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


def test_pixels_of_the_view_are_those_of_the_labelled_hand(opened, network, given_data):
    batches = {name: first_batch(opened, given_data, "train", name, 12) for name in CROPS}
    zooms = {
        name: look_at_batch(network, batch, name, 16).zoom * batch["crop_scale"]
        for name, batch in batches.items()
    }
    # Crops have whole pixels of the image.
    np.testing.assert_allclose(zooms["two_pass"], zooms["box"], rtol=0.03)
    unboxed = batches["two_pass"] | {"hand_box_valid": np.zeros(12, bool)}
    first = network.looking.first(None, *unboxed["image"].shape[1:3])
    zoom = look_at_batch(network, unboxed, "two_pass", 16).zoom
    np.testing.assert_allclose(zoom, 16 / first.side, rtol=1e-5)


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


@pytest.mark.parametrize("kind", CROPS)
def test_what_evaluation_measures_is_what_prediction_does(photos, opened, kind):
    """The same photos by way of records and of files, with boxes and without."""
    folder, records = photos
    network = mark_finder()
    trained = dataclasses.replace(opened.description.data, source_size=96)
    description = dataclasses.replace(opened.description, view_size=SIZE, data=trained)
    given = EvaluationDataSpec(names="image_folder", manual_dir=str(folder), data_dir=str(records))
    (batch,) = open_data(given, "train", description, kind, 2).split.batches()
    answer = np.asarray(look_at_batch(network, batch, kind, 2).estimate.pose)[..., :2]
    sides = np.where(batch["mirrored"][:, None, None], [-1, 1], 1)
    offsets = sides * (answer - batch["keypoints_2d"]) / batch["crop_scale"][:, None, None]
    evaluated = dict(zip(batch["mirrored"].tolist(), TRUTH + offsets, strict=True))
    views_of_evaluation = dict(zip(batch["mirrored"].tolist(), network.seen[-1], strict=True))

    paths = sorted(folder.glob("*.png"))
    boxes = str(folder / "boxes.json")
    wanted = [
        request if kind == "box" else Request(tuple(h._replace(box=None) for h in request.hands))
        for request in requests(paths, boxes, "right").of_photos
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


class _Spot(nn.Module):
    """Puts all joints where a view is red; less sure the further that is from the middle column."""

    def __call__(self, views, intrinsics):
        side = views.shape[1]
        red = jnp.maximum(views[..., 0] - views[..., 2] - 1.0, 0.0)
        total = red.sum((1, 2)) + 1e-6
        x, y = ((red.sum(axis) * jnp.arange(side)).sum(-1) / total for axis in (1, 2))
        pose = jnp.stack([x, y, 2.0 + 0 * x], -1)[:, None].repeat(21, 1)
        spread = (0.01 + jnp.abs(x - side / 2) / side)[:, None].repeat(21, 1)
        localisation = Localisation(spread, jnp.full_like(spread, 0.5))
        depth = jnp.full(len(views), 12.0)
        return PoseOutput(pose, depth, localisation)


@dataclasses.dataclass(frozen=True)
class _SpotFinder(Estimator):
    @property
    def _folded(self):
        return self.module, self.variables


def spot_finder(turns_deg):
    rule = LookingRule(turns_deg=turns_deg)
    return _SpotFinder(_Spot(), {}, 64, 1.5, looking=rule)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns_deg", [(0.0,), (0.0, -30.0, 30.0), (90.0,)])
def test_turned_views_say_the_same_of_the_photo(turns_deg, mirrored):
    window = Window(marked(), -0.5, -0.5, (1.0, 1.0))
    camera = np.array([[900.0, 0, 319.5], [0, 900.0, 239.5], [0, 0, 1]])
    sight = Sight(window, Square(280.0, 290.0, 200.0), camera, mirrored)
    estimate = look_once(spot_finder(turns_deg), [sight], 2)
    assert estimate.pose.shape == (1, 21, 3)
    np.testing.assert_allclose(estimate.pose[0, :, :2], np.tile(WRIST, (21, 1)), atol=1.0)
    np.testing.assert_allclose(estimate.pose[0, :, 2], 2.0, atol=1e-5)
    assert estimate.expected_error.shape == estimate.localisation.spread.shape == (1, 21)
    assert (estimate.expected_error > 0).all()


def test_of_several_turns_the_sure_one_counts_most():
    """The spot is right of the middle; the turn that brings it there is nearly all of the mean."""
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[0, 29:32, 44:47] = [255, 0, 0]
    identity, camera = np.eye(2, 3, dtype=np.float32)[None], np.eye(3, dtype=np.float32)[None]
    alone = spot_finder((0.0,))(images, identity, camera).localisation.spread[0, 0]
    turned = spot_finder((90.0,))(images, identity, camera).localisation.spread[0, 0]
    assert turned < alone / 5
    both = spot_finder((0.0, 90.0))(images, identity, camera)
    np.testing.assert_allclose(both.localisation.spread[0, 0], np.sqrt(alone * turned), rtol=1e-4)
    np.testing.assert_allclose(both.pose[0, 0, :2], [45, 30], atol=0.3)


def test_networks_with_heatmaps_look_at_three_turns(opened):
    note = opened.description.to_json()
    assert from_json(**note, source="a test").looking.turns_deg == (0.0,)
    note["config"]["model"]["head"] = "heatmap"
    assert from_json(**note, source="a test").looking.turns_deg == HEATMAP_TURNS_DEG
