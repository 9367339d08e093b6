"""The measure of Sec. 11 against networks whose equivariance is known."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import equivariance as recipes
from peclr_jax.networks import inference
from peclr_jax.networks.estimator import Estimate, Estimator
from peclr_jax.tasks import equivariance

ANGLES = np.array([-80.0, 0.0, 30.0])
SHIFTS = np.array([-25.0, 0.0, 10.0])


@pytest.fixture(scope="module")
def batches(network, given_data):
    _, _, split = inference.open_data(given_data, "train", network, "box", 16)
    return list(split.batches())


def test_a_network_that_follows_the_image_has_no_error(network, batches, monkeypatch):
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 24, (16, 21, 3)), jnp.float32)
    answer = Estimate(points, jnp.ones(16))
    monkeypatch.setattr(Estimator, "__call__", lambda *_: answer)
    measured = equivariance.measure(network, iter(batches), ANGLES, SHIFTS, 16)
    assert measured.images == 12
    np.testing.assert_array_equal(measured.rotation, 0)
    np.testing.assert_array_equal(measured.translation, np.zeros((3, 3)))


def test_a_network_that_ignores_the_image_errs_by_the_transformation(network, batches):
    """Its joints stand still in the view, so that they move by the inverse in the image."""
    params = network.variables["params"]
    blind = {**params, "head": jax.tree.map(jnp.copy, params["head"])}
    blind["head"]["pose"] = {
        **blind["head"]["pose"],
        "kernel": jnp.zeros_like(blind["head"]["pose"]["kernel"]),
    }
    blind = dataclasses.replace(network, variables={**network.variables, "params": blind})
    measured = equivariance.measure(blind, iter(batches), ANGLES, SHIFTS, 16)
    expected = np.hypot(SHIFTS[None, :], SHIFTS[:, None])
    np.testing.assert_allclose(measured.translation, expected, atol=1e-2)
    # The head is normalised to half the view's side about the centre.
    radius = 64 * np.linalg.norm(network.mean_pose[:, :2], axis=-1).mean()
    expected = 2 * np.sin(np.abs(np.deg2rad(ANGLES)) / 2) * radius
    np.testing.assert_allclose(measured.rotation, expected, rtol=1e-3, atol=1e-2)


def test_rows_are_vertical_translations(network, batches):
    wide = equivariance.measure(network, iter(batches), ANGLES[:0], np.array([0.0, 10.0]), 16)
    first = equivariance.measure(network, iter(batches), ANGLES[:0], np.array([0.0]), 16)
    assert first.translation.shape == (1, 1)
    transforms = equivariance._transforms(ANGLES, np.array([0.0, 12.8]))
    np.testing.assert_allclose(
        transforms.translation[3:], [[0, 0], [0.1, 0], [0, 0.1], [0.1, 0.1]], rtol=1e-6
    )
    assert wide.translation[0, 1] != wide.translation[1, 0]


def test_improvement():
    gain = equivariance.improvement(np.array([1.0, 3.0, 0.0]), np.array([2.0, 2.0, 0.0]))
    np.testing.assert_array_equal(gain, [50.0, -50.0, np.nan])


def configure(checkpoint, **fields):
    config = recipes.get_config()
    config.update_from_flattened_dict(
        {
            "checkpoint": str(checkpoint),
            "batch_size": 16,
            "images": 6,
            "split": "train",
            "rotation_step_deg": 40.0,
            "translation_step_px": 25.0,
            **fields,
        }
    )
    return config


def test_two_networks_are_compared(finetuned, finetuned_otherwise, places, tmp_path, capsys):
    config = configure(finetuned, baseline=str(finetuned_otherwise), **places)
    equivariance.run(config, tmp_path)
    result = json.loads((tmp_path / "equivariance.json").read_text())
    assert result["images"] == 6
    assert result["angles_deg"] == [-80, -40, 0, 40, 80]
    assert result["translations_px"] == [-25, 0, 25]
    assert result["checkpoint"]["rotation"][2] == pytest.approx(0, abs=1e-2)
    gain = result["improvement_percent"]
    assert gain["rotation"][2] is gain["translation"][1][1] is None
    ours, theirs = (result[name]["rotation"][0] for name in ("checkpoint", "baseline"))
    assert gain["rotation"][0] == pytest.approx(100 * (theirs - ours) / theirs)
    for name in ("rotation", "translation"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0
        assert (tmp_path / f"{name}_improvement.png").stat().st_size > 0
    assert "improvement" in capsys.readouterr().out


def test_one_network_alone(finetuned, places, tmp_path):
    result = equivariance.compare(configure(finetuned, images=2, **places), tmp_path)
    assert result["baseline"] is result["improvement_percent"] is None
    assert result["images"] == 2
    assert not (tmp_path / "rotation_improvement.png").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotation_step_deg": 0.0}, "rotation_step_deg must be positive"),
        ({"rotation_step_deg": 30.0}, r"rotation_deg=80\.0 is no multiple of .*step_deg=30\.0"),
        ({"images": -1}, "images must be zero or more"),
    ],
)
def test_impossible_configs(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        equivariance.compare(configure("nowhere", **fields), tmp_path)
