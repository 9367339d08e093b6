"""One pass through a split: everything once, in order, with the way back to the image."""

import json

import numpy as np
import pytest

from peclr_jax.input_pipeline import make_source, open_split


def read(config, split, batch_size):
    opened = open_split(config, split, batch_size=batch_size)
    batches = list(opened.batches())
    sizes = [len(batch["image"]) for batch in batches]
    assert sum(sizes) == opened.num_examples
    assert all(size == batch_size for size in sizes[:-1])
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


def test_records_come_once_in_stored_order(record_config):
    record_config.labels = True
    whole = read(record_config, "train+validation", 5)
    assert len(whole["image"]) == 16
    one_by_one = read(record_config, "train+validation", 1)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, one_by_one[name], err_msg=name)


def test_the_evaluation_comes_in_the_order_of_its_files(record_config, shared):
    folder = shared / "fixtures/freihand_mini"
    record_config.manual_dir, record_config.labels = str(folder), True
    images = read(record_config, "evaluation", 3)
    np.testing.assert_array_equal(images["sample_id"], np.arange(8))
    scale = json.loads((folder / "evaluation_scale.json").read_text())
    np.testing.assert_allclose(images["bone_length"], np.ravel(scale), rtol=1e-6)
    assert images["intrinsics_valid"].all()
    assert not images["keypoints_3d_valid"].any()


@pytest.mark.parametrize("crop", ["hand", "image"])
def test_points_find_back_into_the_image(record_config, shared, crop):
    folder = shared / "fixtures/ge_realworld_fhlayout_mini"
    record_config.manual_dir, record_config.labels = str(folder), True
    record_config.crop = crop
    hands = read(record_config, "evaluation", 16)
    intrinsics = np.asarray(json.loads((folder / "evaluation_K.json").read_text()))
    joints = np.asarray(json.loads((folder / "evaluation_xyz.json").read_text()))
    projected = np.einsum("nij,nkj->nki", intrinsics, joints)
    expected = projected[..., :2] / projected[..., 2:]
    scale, shift = hands["crop_scale"], hands["crop_shift"]
    points = (hands["keypoints_2d"] - shift[:, None]) / scale[:, None, None]
    np.testing.assert_allclose(points, expected, atol=2e-3)
    if crop == "image":  # of 224 px
        np.testing.assert_allclose(scale, 24 / 224, rtol=1e-6)
        np.testing.assert_allclose(shift, 11.5 - 111.5 * 24 / 224, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_rendered_hands_are_those_of_training(rendered_config, mesh, split):
    rendered_config.labels = True
    hands = read(rendered_config, split, 7)
    train = split == "train"
    source = make_source(rendered_config, train=train, batch_size=8, seed=0, mesh=mesh)
    count = 40 if train else 24
    np.testing.assert_array_equal(hands["sample_id"], np.arange(count))
    if not train:
        for name, array in source.sample(count).items():
            # Programs for batches of other sizes may round otherwise.
            np.testing.assert_allclose(hands[name], array, rtol=1e-5, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("background", ["green,clutter", "clutter"])
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_a_pass_sees_a_rendered_hand_once(rendered_config, split, background):
    rendered_config.labels = True
    single = read(rendered_config, split, 8)
    rendered_config.rendered.update(versions=4, background=background)
    hands = read(rendered_config, split, 8)
    assert hands.keys() == single.keys()
    for name, array in single.items():
        np.testing.assert_array_equal(hands[name], array, err_msg=name)


def test_the_whole_rendered_image(rendered_config):
    rendered_config.labels, rendered_config.crop = True, "image"
    hands = read(rendered_config, "held_out", 12)
    np.testing.assert_allclose(hands["crop_scale"], 16 / 32)
    np.testing.assert_allclose(hands["crop_shift"], 7.5 - 0.5 * 15.5)
    # The stand-in paints all of its image: nothing black is seen, and nothing is cut away.
    np.testing.assert_array_equal(hands["image"].min((1, 2, 3)), hands["sample_id"])


def test_rendered_splits_have_their_own_names(rendered_config):
    with pytest.raises(ValueError, match="no split 'validation'; they have: train, held_out"):
        open_split(rendered_config, "validation", batch_size=2)
    rendered_config.rendered.count = 0
    with pytest.raises(ValueError, match=r"count=0 renders hands for training without end"):
        open_split(rendered_config, "train", batch_size=2)


def test_a_mixture_is_no_split(record_config):
    record_config.names = "freihand,rendered"
    with pytest.raises(ValueError, match=r"by themselves: set data\.source='rendered', or leave"):
        open_split(record_config, "train", batch_size=2)


def test_unknown_split_and_impossible_batch(record_config):
    with pytest.raises(ValueError, match=r"no split 'test'; it has: .*evaluation"):
        open_split(record_config, "test", batch_size=2)
    with pytest.raises(ValueError, match="at least one image"):
        open_split(record_config, "train", batch_size=0)


def test_what_to_crop_is_checked(rendered_config):
    rendered_config.crop = "box"
    with pytest.raises(ValueError, match=r"data\.crop is 'box'; choose one of hand, image"):
        open_split(rendered_config, "held_out", batch_size=2)
