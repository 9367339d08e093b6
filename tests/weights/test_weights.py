"""Names of weights files, and the network in the package."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import peclr_jax
from peclr_jax import weights
from peclr_jax.errors import MissingFileError
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluateSpec
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.weights import RELEASED

MOST_BYTES = 25e6


@pytest.fixture
def shipped():
    """The file in the package, where there is one."""
    path = Path(weights.__file__).with_name("released.safetensors")
    if not path.is_file():
        pytest.skip("this checkout has no released network (peclr_jax/weights)")
    return path


def test_released_names_the_file_in_the_package_and_a_path_names_itself(
    monkeypatch, tmp_path, one_file
):
    monkeypatch.setattr(weights, "_FILE", one_file)
    assert weights.find("released") == one_file
    assert weights.find("./released") is None
    assert weights.find(Path("released")) is None
    assert weights.find(str(one_file)) == weights.find(one_file) == one_file
    (tmp_path / "run.safetensors").mkdir()
    for folder in ("", "runs/finetune", tmp_path / "run.safetensors"):
        assert weights.find(folder) is None


def test_a_missing_file_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "_FILE", tmp_path / "released.safetensors")
    with pytest.raises(
        MissingFileError, match=r"this installation has no released network .*: train one"
    ):
        weights.find("released")
    with pytest.raises(MissingFileError, match=r"no weights file .*x\.safetensors: check"):
        weights.find(tmp_path / "x.safetensors")


def test_prediction_uses_it_when_no_checkpoint_is_named():
    assert PredictSpec().checkpoint == RELEASED
    # What is evaluated is one's own.
    assert EvaluateSpec().checkpoint != RELEASED


def test_the_shipped_network_is_small_calibrated_and_names_no_folder(shipped):
    assert shipped.stat().st_size <= MOST_BYTES
    assert (shipped.parent / "README.md").is_file()
    description = open_network("released").description
    assert description.calibration.joints >= 1000
    assert description.statistics.bone_length == pytest.approx(0.037, abs=0.01)
    data = description.data
    assert (data.data_dir, data.manual_dir, data.rendered.cache_dir) == ("", "", "")


def test_the_shipped_network_finds_a_hand(shipped):
    image = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    (hand,) = peclr_jax.load().predict(Image.fromarray(image))
    assert np.isfinite(hand.keypoints_3d).all()
    assert (hand.expected_error > 0).all()
