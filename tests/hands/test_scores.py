import json
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.hands import metrics, scores, skeleton
from tests.hands.test_bootstrap import some_errors

EVERY_3D_KIND = sorted(set(scores.KINDS) - {"2d"})


def test_a_wrist_alone_is_not_aligned_with_itself():
    wrist = np.zeros((2, 21), bool)
    wrist[:, 0] = True
    joints = np.random.default_rng(0).normal(size=(2, 2, 21, 3))
    for kind in ("root_aligned", "scale_aligned", "pa"):
        _, counts = scores.errors_of(*joints, wrist, kind=kind)
        assert not counts.any(), kind
    _, counts = scores.errors_of(*joints, wrist, kind="3d")
    assert counts.sum() == 2


@pytest.fixture(scope="module")
def reference(parity):
    arrays = parity("metrics")
    # Their joints are in the official code's order.
    return {
        name: skeleton.reorder(arrays[name], skeleton.FROM_AIT) for name in ("pred", "true")
    } | {name: arrays[name] for name in arrays if name.endswith("per_hand")}


@pytest.mark.parametrize(
    ("kind", "name"), [("3d", "epe"), ("pa", "fh_pa_epe"), ("pa_proper", "peclr_pa_epe")]
)
def test_means_are_the_official_ones(reference, kind, name):
    errors, valid = scores.errors_of(reference["pred"], reference["true"], kind=kind)
    assert errors.dtype == np.float64
    assert valid.all()
    per_hand = reference[f"{name}_per_hand"]
    np.testing.assert_allclose(errors.mean(1), per_hand, atol=1e-6, rtol=0)
    report = scores.score(errors, valid, kind=kind)
    assert report.mean.value == pytest.approx(per_hand.mean(), abs=1e-6)
    assert report.auc.value == pytest.approx(metrics.auc(metrics.pck_curve(errors)))
    assert (report.hands, report.samples, report.joints) == (100, 100, 2100)
    within = metrics.pck_curve(errors, metrics.THRESHOLDS_50CM, strict=True)
    wide = metrics.auc(within, metrics.THRESHOLDS_50CM)
    assert report.auc_50cm == (pytest.approx(wide), None, None)
    assert report.auc_50cm.value > report.auc.value


@pytest.mark.parametrize(
    ("kind", "align"),
    [
        ("root_aligned", metrics.root_align),
        ("scale_aligned", metrics.scale_align),
        ("pa", metrics.procrustes_align),
        ("pa_proper", partial(metrics.procrustes_align, reflection=False)),
    ],
)
def test_every_kind_of_alignment(reference, kind, align):
    predicted, target = (reference[name].astype(np.float64) for name in ("pred", "true"))
    errors, _ = scores.errors_of(jnp.array(predicted), jnp.array(target), kind=kind)
    expected = metrics.joint_errors(align(predicted, target), target)
    np.testing.assert_allclose(errors, expected, atol=1e-6)
    assert scores.score(errors, kind=kind, resamples=0).unit == "m"
    assert errors.mean() < metrics.epe(predicted, target)


def test_pixels():
    target = np.random.default_rng(0).uniform(0, 128, (3, 21, 2))
    errors, valid = scores.errors_of(target + np.array([3.0, 4.0]), target, kind="2d")
    np.testing.assert_allclose(errors, 5.0)
    report = scores.score(errors, valid, kind="2d")
    assert (report.unit, report.thresholds[-1]) == ("px", 30)
    assert report.auc_50cm is report.to_dict()["auc_50cm"] is None


@given(st.integers(0, 2**31))
def test_the_report_is_what_its_fields_say(seed):
    errors, valid = some_errors(seed)
    report = scores.score(errors, valid, kind="pa", resamples=50)
    assert report.mean.value == pytest.approx(errors[valid].mean())
    medians = [np.median(errors[valid[:, joint], joint]) for joint in range(21)]
    assert report.median == pytest.approx(np.mean(medians))
    for joint, name in enumerate(skeleton.JOINT_NAMES):
        assert report.per_joint[name] == pytest.approx(errors[valid[:, joint], joint].mean())
    thumb = list(skeleton.FINGERS["thumb"])
    assert report.per_finger["thumb"] == pytest.approx(errors[:, thumb][valid[:, thumb]].mean())
    assert list(report.per_finger) == list(skeleton.FINGERS)
    for interval in (report.mean, report.auc):
        assert interval.low < interval.value < interval.high


def test_the_dictionary_is_plain_json():
    errors, valid = some_errors(0)
    valid[:, skeleton.FINGERS["ring"]] = False
    report = scores.score(errors, valid, kind="3d").to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["per_joint"]["ring_tip"] is None
    assert report["per_finger"]["ring"] is None
    assert set(report["mean"]) == {"value", "low", "high"}
    assert len(report["pck"]) == len(report["thresholds"]) == 100


@pytest.mark.parametrize("kind", EVERY_3D_KIND)
def test_masked_joints_are_never_read(reference, kind):
    predicted, target = (reference[name][:6].astype(np.float64) for name in ("pred", "true"))
    valid = np.ones((6, 21), bool)
    valid[1, skeleton.WRIST] = False
    valid[2, skeleton.MIDDLE_MCP] = False
    valid[3, 2:] = False
    valid[4] = False
    junk = [np.where(valid[..., None], x, np.nan) for x in (predicted, target)]
    errors, counts = scores.errors_of(*junk, valid, kind=kind)
    whole, _ = scores.errors_of(predicted, target, kind=kind)
    assert np.isfinite(errors).all()
    # Which hands can be aligned at all; two joints would always fit after Procrustes.
    aligned = {
        "3d": [True, True, True, True, False, True],
        "root_aligned": [True, False, True, True, False, True],
        "scale_aligned": [True, False, False, False, False, True],
    }.get(kind, [True, True, True, False, False, True])
    assert counts.any(1).tolist() == aligned
    np.testing.assert_array_equal(counts, valid & np.array(aligned)[:, None])
    np.testing.assert_allclose(errors[[0, 5]], whole[[0, 5]])
    assert scores.score(errors, counts, kind=kind).hands == sum(aligned)


@pytest.mark.parametrize("dtype", [int, np.uint8, float])
def test_masks_of_ones_and_zeros_count_as_those_of_truths(dtype):
    predicted, target = np.random.default_rng(0).uniform(size=(2, 6, 21, 3))
    valid = np.random.default_rng(1).random((6, 21)) < 0.5
    errors, counts = scores.errors_of(predicted, target, valid, kind="3d")
    numbers, counted = scores.errors_of(predicted, target, valid.astype(dtype), kind="3d")
    np.testing.assert_array_equal(counted, counts)
    assert counted.dtype == bool
    report = scores.score(numbers, counted, kind="3d").to_dict()
    for masked in (valid, valid.astype(dtype)):
        np.testing.assert_equal(scores.score(errors, masked, kind="3d").to_dict(), report)
    predicted[3] = np.nan
    with pytest.raises(ValueError, match="predicted joints are not finite"):
        scores.errors_of(predicted, target, valid.astype(dtype), kind="3d")


def test_errors_are_one_sentence():
    errors, valid = some_errors(0)
    joints = np.zeros((2, 21, 3))
    with pytest.raises(ValueError, match=r"unknown kind of error 'PA': choose one of 3d, .*pa"):
        scores.score(errors, valid, kind="PA")
    with pytest.raises(ValueError, match=r"nothing to score \(pa\): no joint of 40 hands"):
        scores.score(errors, np.zeros_like(valid), kind="pa")
    infinite, unknown = joints.copy(), joints.copy()
    infinite[0, :, 2] = np.inf
    unknown[1, 3] = np.nan
    with pytest.raises(ValueError, match="21 of 42 predicted joints are not finite"):
        scores.errors_of(infinite, joints, kind="pa")
    with pytest.raises(ValueError, match=r"1 of 42 true joints .* check the labels"):
        scores.errors_of(joints, unknown, kind="3d")
    with pytest.raises(ValueError, match="must be finite"):
        scores.score(errors * np.nan, kind="3d")
