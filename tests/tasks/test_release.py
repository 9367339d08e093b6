"""A release: calibrated on one half, checked on the other, and no worse for being rounded."""

import dataclasses
import json

import numpy as np
import pytest

from configs import release as recipes
from peclr_jax import files, specs
from peclr_jax.errors import UserError
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.opening import open_network
from peclr_jax.tasks import evaluate, release
from peclr_jax.tasks.release import ReleaseSpec


def configure(checkpoint, places, **fields):
    config = recipes.get_config()
    fields = {"checkpoint": str(checkpoint), "split": "train+validation", **places, **fields}
    config.update_from_flattened_dict({"batch_size": 16, **fields})
    return specs.from_config(ReleaseSpec, config)


@pytest.fixture(scope="module", autouse=True)
def new_images():
    """Takes our few drawings for new ones, although the networks were trained on all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "open_data", lambda *a: open_data(*a)._replace(trained_on=""))
        yield


def test_images_that_were_trained_on_are_refused(heatmapped, places, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "open_data", open_data)
    with pytest.raises(UserError, match=r"trained on images of freihand .*config\.split"):
        release.release(configure(heatmapped, places), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def released(heatmapped, places, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("released")
    return workdir, release.release(configure(heatmapped, places), workdir)


def test_a_release_leaves_what_it_promises(released):
    workdir, result = released
    assert {path.name for path in workdir.iterdir()} == {
        release.FILE,
        release.NUMBERS,
        release.CHART,
    }
    assert json.loads((workdir / release.NUMBERS).read_text()) == result
    assert (workdir / release.CHART).stat().st_size > 1000
    assert result["sha256"] == files.digest(workdir / release.FILE)
    assert result["bytes"] == (workdir / release.FILE).stat().st_size
    assert (result["data"], result["hands"]) == ("freihand (train+validation)", 16)
    assert result["precision"] == "float16"
    assert "changed the error by" in result["notes"][-1]


def test_half_of_the_hands_calibrate_and_the_other_half_checks(released):
    _, result = released
    checked = result["reliability"]
    # Two of the four hands, in four versions each.
    assert (result["calibration"]["hands"], checked["hands"]) == (8, 8)
    assert result["calibration"]["joints"] + checked["joints"] == result["joints"]
    assert sum(b["joints"] for b in checked["bins"]) == checked["joints"]


def test_its_error_is_the_evaluation_s(released, heatmapped, places, tmp_path):
    _, result = released
    fields = {"checkpoint": str(heatmapped), "split": "train+validation", "resamples": 0, **places}
    spec = specs.changed(evaluate.EvaluateSpec(pictures=0, batch_size=16), fields, "the test")
    scores = evaluate.evaluate(spec, tmp_path)["prediction"]
    assert result["error_view_px"]["float32"] == pytest.approx(
        scores["2d_view"]["mean"]["value"], rel=1e-4
    )
    assert result["error_image_px"] == pytest.approx(scores["2d"]["mean"]["value"], rel=1e-4)


@pytest.mark.slow
def test_its_file_is_calibrated_and_can_be_released_again(released, places, tmp_path):
    workdir, result = released
    calibration = open_network(workdir / release.FILE).description.calibration
    assert calibration.joints == result["calibration"]["joints"]
    again = release.release(configure(workdir / release.FILE, places), tmp_path)
    assert again["calibration"] == pytest.approx(result["calibration"], rel=0.05, abs=0.05)


@pytest.mark.slow
def test_rounding_that_does_harm_is_refused(heatmapped, places, tmp_path, monkeypatch):
    monkeypatch.setattr(release, "MOST_CHANGE", -1.0)
    result = release.release(configure(heatmapped, places), tmp_path)
    assert result["precision"] == "float32"
    assert set(result["error_view_px"]) == {"float32", "float16"}
    assert "so it is not used" in result["notes"][-1]
    found, kept = (
        open_network(p).variables["params"] for p in (tmp_path / release.FILE, heatmapped)
    )
    np.testing.assert_array_equal(
        found["head"]["heatmaps"]["kernel"], kept["head"]["heatmaps"]["kernel"]
    )


def test_a_head_without_heatmaps_is_not_calibrated(finetuned, places, tmp_path):
    (tmp_path / release.CHART).touch()  # of an earlier network
    result = release.release(configure(finetuned, places), tmp_path)
    assert (result["calibration"], result["reliability"]) == (None, None)
    assert "has no heatmaps" in result["notes"][0]
    assert not (tmp_path / release.CHART).exists()
    assert open_network(tmp_path / release.FILE).description.calibration is None


def test_too_few_labels_leave_nothing(heatmapped, places, tmp_path):
    spec = configure(heatmapped, places, split="validation")
    spec = dataclasses.replace(spec, split="validation[:1]")
    with pytest.raises(UserError, match="too few to calibrate on"):
        release.release(spec, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_said(released, capsys, monkeypatch):
    workdir, result = released
    monkeypatch.setattr(release, "release", lambda *_: result)
    release.run(recipes.get_config(), workdir)
    said = capsys.readouterr().out
    assert "float16" in said
    assert f"--config.checkpoint={workdir / release.FILE}" in said
