"""What a network is shown, and where its answer lies in the image."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.geometry import affine
from peclr_jax.input_pipeline import DataSpec
from peclr_jax.networks import inference


def given(**fields):
    config = inference.default_data_config()
    config.update_from_flattened_dict(fields)
    return config


def test_what_is_not_given_is_as_in_training(network, given_data):
    data = inference.resolve_data(given_data, network, "box")
    stored = network.config.data
    for name in ("source", "names", "manual_dir", "data_dir", "source_size", "hand_margin"):
        assert data[name] == stored[name], name
    assert (data.labels, data.crop, data.label_fraction) == (True, "hand", 1.0)
    assert inference.default_split(data) == "evaluation"
    data = inference.resolve_data(given(names="freihand"), network, "box")
    assert data.manual_dir == data.data_dir == ""


def test_places_that_only_a_checkpoint_names_are_not_gone_to(network, places):
    with pytest.raises(ValueError, match="may be anybody's: if they are yours, add") as raised:
        inference.resolve_data(given(), network, "box")
    for name, place in places.items():
        assert f"--config.{name}={place!r}" in str(raised.value)
    config = ConfigDict(network.config.to_dict())
    config.data.rendered.cache_dir = "/somewhere"
    hostile = dataclasses.replace(network, config=config)
    data = inference.resolve_data(given(source="rendered"), hostile, "box")
    assert data.rendered.cache_dir == "~/.cache/peclr_jax"
    assert data.manual_dir == data.data_dir == ""


def test_other_data_do_not_inherit_raw_files(network):
    data = inference.resolve_data(given(names="synthetic_hands/64px_4k"), network, "box")
    assert (data.names, data.manual_dir) == ("synthetic_hands/64px_4k", "")
    assert inference.default_split(data) == "test"
    data = inference.resolve_data(given(manual_dir="elsewhere"), network, "box")
    assert (data.names, data.manual_dir) == ("freihand", "elsewhere")
    fields = {"source": "rendered", "rendered.held_out": 7, "rendered.background": "clutter"}
    data = inference.resolve_data(given(**fields), network, "box")
    assert (data.source, data.rendered.held_out, data.rendered.background) == (
        *("rendered", 7, "clutter"),
    )
    assert inference.default_split(data) == "held_out"
    assert inference.describe_data(data, "held_out") == "rendered hands (held_out)"


def test_versions_are_evaluated_one_by_one(network):
    """Also by networks of before there were versions; on any background."""
    trained = ConfigDict(network.config.to_dict())
    trained.data.update(source="rendered", pairs="versions")
    trained.data.rendered.update(versions=4, background="green,clutter")
    for background in ("", "clutter"):
        data = inference.resolve_data(
            given(**{"rendered.background": background}),
            dataclasses.replace(network, config=trained),
            "box",
        )
        specs.from_mapping(DataSpec, data.to_dict(), "--config.data")
        assert data.pairs == "image"
    del trained.data["pairs"], trained.data.rendered["versions"]
    trained.data.rendered.background = "green"
    data = inference.resolve_data(given(), dataclasses.replace(network, config=trained), "box")
    specs.from_mapping(DataSpec, data.to_dict(), "--config.data")
    assert data.rendered.versions == 1


def test_of_a_mixture_the_records_are_evaluated_on(network, places):
    config = ConfigDict(network.config.to_dict())
    config.data.names = "rendered,freihand"
    mixed = dataclasses.replace(network, config=config)
    of_raw = {name.removeprefix("data."): place for name, place in places.items()}
    for fields in (of_raw, {"names": "freihand"}):
        data = inference.resolve_data(given(**fields), mixed, "box")
        assert (data.names, data.manual_dir) == ("freihand", fields.get("manual_dir", ""))
    assert inference.describe_data(data, "evaluation") == "freihand (evaluation)"


def test_whole_images_are_read_at_the_resolution_of_the_view(network, given_data):
    data = inference.resolve_data(given_data, network, "two_pass")
    assert data.crop == "image"
    matrix = inference.central_matrix(network, data.source_size, 1)[0]
    np.testing.assert_allclose(matrix[0, 0], 1.0, atol=0.03)
    center = jnp.full((1, 2), (data.source_size - 1) / 2)
    np.testing.assert_allclose(affine.apply_to_points(matrix, center), 7.5, atol=1e-4)


def test_rows_are_independent_of_the_batch(network, given_data):
    _, _, split = inference.open_data(given_data, "train", network, "box", 12)
    (batch,) = split.batches()
    twelve = inference.infer(network, batch, "box", 16)
    three = inference.infer(network, {k: v[:3] for k, v in batch.items()}, "box", 16)
    assert three.estimate.pose.shape == (3, 21, 3)
    np.testing.assert_allclose(three.estimate.pose, twelve.estimate.pose[:3], atol=1e-3)


def test_the_second_pass_looks_at_the_estimate_of_the_first(network, given_data):
    _, _, split = inference.open_data(given_data, "evaluation", network, "two_pass", 2)
    (batch,) = split.batches()
    inferred = inference.infer(network, batch, "two_pass", 16)
    filled = [inference.fill(np.asarray(array), 16) for array in inferred[2:]]
    glimpse = network(inference.fill(batch["image"], 16), *filled)
    glimpse = jax.tree.map(lambda array: array[:2], glimpse)
    points = np.asarray(affine.apply_to_points(inferred.matrix, glimpse.pose[..., :2]))
    low, high = points.min(1), points.max(1)
    np.testing.assert_allclose((low + high) / 2, 7.5, atol=1e-3)
    np.testing.assert_allclose((high - low).max(-1), 16 / network.hand_margin, rtol=1e-3)


def test_missing_intrinsics_are_supposed(network, given_data):
    _, _, split = inference.open_data(given_data, "evaluation", network, "box", 2)
    (batch,) = split.batches()
    batch["intrinsics_valid"] = np.array([True, False])
    batch["intrinsics"] = batch["intrinsics"] * batch["intrinsics_valid"][:, None, None]
    intrinsics = np.asarray(inference.infer(network, batch, "box", 16).intrinsics)
    np.testing.assert_array_equal(intrinsics[0], batch["intrinsics"][0])
    # The view's centre and 1.74 of its side, in the source, which has 1.5 pixels to its one.
    np.testing.assert_allclose(intrinsics[1, :2, 2], 11.5, atol=1e-4)
    np.testing.assert_allclose(intrinsics[1, 0, 0], 1.74 * 16 * (24 / 16 / 1.5), rtol=1e-5)
