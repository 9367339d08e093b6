"""Evaluation: numbers against their definition, streaming, and what is said where labels lack."""

import json
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from configs import evaluate as recipes
from data.ho3d import layout
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.hands import metrics, scores
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.spec import EvaluateSpec
from peclr_jax.tasks import evaluate, submission
from peclr_jax.tasks.submission import SubmissionSpec
from tests.data.records import DATA

XYZ = "evaluation_xyz.json"


def configure(checkpoint, **fields):
    fields = {"checkpoint": str(checkpoint), "batch_size": 16, "resamples": 50, **fields}
    return specs.changed(EvaluateSpec(pictures=3), fields, "the test")


@pytest.fixture
def on(finetuned, records, shared):
    """Configures an evaluation on a folder of the real sample files."""

    def make(folder, **fields):
        places = {
            "data.manual_dir": str(shared / "fixtures" / folder),
            "data.data_dir": str(records),
        }
        return configure(finetuned, **places, **fields)

    return make


@pytest.fixture(scope="module")
def evaluated(finetuned, places, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("evaluated")
    config = configure(finetuned, split="train+validation", **places)
    return workdir, evaluate.evaluate(config, workdir)


def test_an_evaluation_leaves_what_it_promises(evaluated):
    workdir, result = evaluated
    assert json.loads((workdir / "metrics.json").read_text()) == result
    for name in ("pck.png", "best.png", "worst.png"):
        assert (workdir / name).stat().st_size > 1000, name
    assert not list(workdir.glob("*.partial"))
    assert (result["data"], result["hands"]) == ("freihand (train+validation)", 16)
    assert result["notes"] == [
        "Note that the network was trained on images of freihand (train+validation), whose errors "
        "are not those of new images.",
        "Means are over all 21 joints of 16 hands.",
    ]
    found = result["prediction"]["pa"]
    # Four hands in four versions each.
    assert (found["hands"], found["samples"]) == (16, 4)
    assert found["mean"]["low"] <= found["mean"]["value"] <= found["mean"]["high"]
    assert all(ratio > 0 for ratio in result["relative"].values())


def test_the_numbers_are_their_definitions(evaluated, network, hands):
    _, result = evaluated
    assert result["scaled_bone_m"] is None
    in_view, in_224 = (result["prediction"][k]["mean"]["value"] for k in ("2d_view", "2d_224"))
    assert in_224 == pytest.approx(in_view * 224 / 16)
    inferred = look_at_batch(network, hands, "box", 16)
    bone = jnp.asarray(hands["bone_length"])
    joints = np.asarray(inferred.estimate.lift(inferred.intrinsics, bone), np.float64)
    true = hands["keypoints_3d"].astype(np.float64)
    for kind, predicted in (
        ("3d", joints),
        ("pa", metrics.procrustes_align(joints, true)),
        ("root_aligned", metrics.root_align(joints, true)),
    ):
        value = result["prediction"][kind]["mean"]["value"]
        assert value == pytest.approx(metrics.epe(predicted, true), abs=1e-5)
    pixels = np.asarray(inferred.estimate.pose)[..., :2]
    errors = metrics.joint_errors(pixels, hands["keypoints_2d"]) / hands["crop_scale"][:, None]
    assert result["prediction"]["2d"]["mean"]["value"] == pytest.approx(errors.mean(), rel=1e-4)
    mean_hand = np.broadcast_to(network.statistics.mean_hand, true.shape).astype(np.float64)
    value = result["mean_hand"]["pa"]["mean"]["value"]
    aligned = metrics.procrustes_align(mean_hand, true)
    assert value == pytest.approx(metrics.epe(aligned, true), abs=1e-7)


@pytest.mark.slow
def test_the_batch_size_does_not_matter(evaluated, finetuned, places, tmp_path):
    _, result = evaluated
    fields = {"split": "train+validation", "batch_size": 5, "pictures": 0}
    (tmp_path / "worst.png").touch()  # of an earlier evaluation
    other = evaluate.evaluate(configure(finetuned, **fields, **places), tmp_path)
    assert not (tmp_path / "worst.png").exists()
    assert not (tmp_path / "best.png").exists()
    for kind, found in result["prediction"].items():
        again = other["prediction"][kind]
        assert found["mean"]["value"] == pytest.approx(again["mean"]["value"], rel=1e-4), kind


@pytest.mark.slow
def test_two_passes_over_real_photographs(on, tmp_path, capsys):
    config = on("ge_realworld_fhlayout_mini", crop="two_pass", bone_length="mean")
    evaluate.run(specs.to_config(config), tmp_path)
    printed = capsys.readouterr().out
    assert "PA-EPE, cm" in printed
    assert "No box was given" in printed
    assert "size of the training set's mean" in printed
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert (result["hands"], result["crop"]) == (16, "two_pass")


@pytest.mark.slow
def test_labels_in_the_image_alone(on, tmp_path):
    result = evaluate.evaluate(on("freihand_mini", split="train"), tmp_path)
    assert result["prediction"]["3d"] is result["mean_hand"]["pa"] is None
    assert result["prediction"]["2d"]["samples"] == 1
    assert result["relative"]["pa_over_mean_pose"] is None
    assert result["notes"] == [
        "Means are over all 21 joints of 4 hands.",
        "4 of 4 hands lack 3D labels, intrinsics or bone length and do not count for what needs "
        "them.",
    ]
    assert (tmp_path / "pck.png").stat().st_size > 0
    assert (tmp_path / "worst.png").stat().st_size > 0


def test_the_wrist_alone_is_no_hand(finetuned, records, tmp_path, capsys):
    """HO-3D's evaluation images without the labels that were published later."""
    ho3d = Path(layout.__file__).parent / "dummy_data"
    places = {"data.manual_dir": str(ho3d), "data.data_dir": str(records)}
    config = configure(
        finetuned, bone_length="mean", **{"data.names": "ho3d/v2", "pictures": 1}, **places
    )
    evaluate.run(specs.to_config(config), tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    result = json.loads((tmp_path / "metrics.json").read_text())
    found = result["prediction"]["3d"]
    assert (found["hands"], found["joints"]) == (3, 3)
    assert found["averaged_over"] == "1 of 21 joints (wrist) of 3 hands"
    assert result["prediction"]["pa"] is None
    assert "over 1 of 21 joints (wrist) of 3 hands. Compare it only with means" in printed
    assert "joints: those averaged of each hand's 21" in printed


def test_means_are_compared_over_the_same_joints():
    """Also where the mean pose has no error of some hands."""
    errors = {
        ("prediction", "2d"): np.array([[1.0] * 21, [9.0] * 21], np.float32),
        ("mean_pose", "2d"): np.array([[2.0] * 21, [0.0] * 21], np.float32),
        ("prediction", "pa"): np.zeros((2, 21), np.float32),
        ("mean_pose", "pa"): np.zeros((2, 21), np.float32),
        ("mean_hand", "pa"): np.zeros((2, 21), np.float32),
    }
    valid = {key: np.zeros((2, 21), bool) for key in errors}
    valid["prediction", "2d"][:] = True
    valid["mean_pose", "2d"][0] = True
    ones = np.ones(2)
    known = ones > 0
    measured = evaluate._Errors(errors, valid, 3 * ones, np.arange(2), known, known, ones)
    relative = evaluate._relative(measured, 10)
    assert relative["2d_over_mean_pose"] == relative["2d_view_over_mean_pose"] == 0.5
    assert relative["2d_view_over_side"] == pytest.approx(1.5)
    assert relative["pa_over_mean_pose"] is None


@pytest.mark.slow
def test_the_leaderboards_protocol_is_the_submissions(finetuned, places, tmp_path):
    """Two passes without a label: what is measured are the very joints that are submitted."""
    result = evaluate.evaluate(
        configure(finetuned, crop="two_pass", split="evaluation", **places), tmp_path
    )
    wanted = specs.changed(
        SubmissionSpec(trial=True), {"checkpoint": str(finetuned), **places}, "the test"
    )
    path, count = submission.submit(wanted, tmp_path)
    with zipfile.ZipFile(path) as archive:
        joints = np.array(json.loads(archive.read("pred.json"))[0])
    truth = np.array(json.loads((Path(places["data.manual_dir"]) / XYZ).read_text()))
    assert (result["hands"], result["crop"]) == (count, "two_pass")
    for kind in ("3d", "pa"):
        errors, _ = scores.errors_of(joints, truth, kind=kind)
        found = result["prediction"][kind]["mean"]["value"]
        assert found == pytest.approx(errors.mean(), rel=1e-3), kind


@pytest.mark.slow
def test_meshes_without_a_camera_are_measured_after_procrustes(finetuned, records, tmp_path):
    """YouTube3DHands with a regressor: PA-EPE in cm of hands of one size, 2D in px of 224."""
    meshes = {"data.names": "youtube_3d_hands", "data.data_dir": str(records / "meshes")}
    folder = {"data.manual_dir": str(DATA / "youtube_3d_hands/dummy_data/youtube")}
    result = evaluate.evaluate(configure(finetuned, **meshes, **folder), tmp_path)
    found = result["prediction"]
    assert found["3d"] is found["root_aligned"] is found["scale_aligned"] is None
    assert found["pa"]["joints"] == found["pa_proper"]["joints"] == found["2d_224"]["joints"] == 42
    assert 0 < found["pa"]["mean"]["value"] < 0.05
    assert result["mean_pose"]["pa"] is not None
    assert result["scaled_bone_m"] == pytest.approx(0.03)
    assert result["notes"] == [
        "Means are over all 21 joints of 2 hands.",
        "2 of 2 hands lack 3D labels, intrinsics or bone length and do not count for what needs "
        "them.",
        "2 of 2 hands have joints in space, but no intrinsics: predicted ones are lifted by weak "
        "perspective, and compared after Procrustes alone.",
        "2 of 2 hands have joints in space of no known size: PA-EPE is in cm of hands with a "
        "reference bone of 3.00 cm.",
    ]


@pytest.mark.slow
def test_finger_tips_alone_have_an_aligned_auc(finetuned, records, tmp_path):
    """Dexter+Object, whose labels have no bone: Table 5's column, and no unaligned error."""
    tips = {
        "data.names": "dexter_object",
        "data.manual_dir": str(DATA / "dexter_object/dummy_data"),
        "data.data_dir": str(records),
    }
    found = evaluate.evaluate(configure(finetuned, **tips), tmp_path)["prediction"]
    assert found["3d"] is None
    assert "(the fingertips)" in found["pa"]["averaged_over"]
    assert 0 <= found["pa"]["auc"]["value"] <= 1


def test_no_labels_at_all(on, tmp_path):
    with pytest.raises(ValueError, match=r"none of the 8 images .* configs/submission\.py"):
        evaluate.evaluate(on("freihand_mini"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_impossible_configs_are_told_first(tmp_path):
    config = recipes.get_config()
    config.crop = "hand"
    with pytest.raises(UserError, match=r"--config\.crop is 'hand'"):
        evaluate.run(config, tmp_path)
