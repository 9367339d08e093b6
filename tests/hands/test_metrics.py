from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from peclr_jax.hands import metrics, skeleton

TOLERANCE = 1e-6  # metres, or a fraction

HOST = pytest.param(lambda a: np.asarray(a, np.float64), id="host, float64")
DEVICE = pytest.param(lambda a: jnp.array(a, jnp.float32), id="device, float32")
everywhere = pytest.mark.parametrize("put", [HOST, DEVICE])
alignments = pytest.mark.parametrize(("prefix", "reflection"), [("fh", True), ("peclr", False)])


@pytest.fixture(scope="module")
def reference(parity):
    return parity("metrics")


def hands(seed: int, batch: tuple[int, ...] = (4,)) -> np.ndarray:
    """Joints of about a hand's size, half a metre to a metre away."""
    generator = np.random.default_rng(seed)
    joints = generator.uniform(-0.08, 0.08, (*batch, 21, 3))
    joints[..., 2] += generator.uniform(0.5, 1.0, (*batch, 1))
    return joints


def freihand_measures(errors: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
    """FreiHAND's protocol joint by joint and threshold by threshold, as its README tells it."""
    curves = [[np.mean([e <= limit for e in joint]) for limit in thresholds] for joint in errors.T]
    steps, width = np.diff(thresholds), thresholds[-1] - thresholds[0]
    areas = [sum(steps * np.add(curve[:-1], curve[1:])) / 2 / width for curve in curves]
    return {"pck": np.mean(curves, axis=0), "auc": np.mean(areas)}


@everywhere
def test_epe_is_the_official_one(reference, put):
    predicted, target = put(reference["pred"]), put(reference["true"])
    errors = metrics.joint_errors(predicted, target)
    assert errors.dtype == predicted.dtype
    np.testing.assert_allclose(errors.mean(1), reference["epe_per_hand"], atol=TOLERANCE, rtol=0)
    epe = metrics.epe(predicted, target)
    assert epe.dtype == predicted.dtype
    assert epe == pytest.approx(reference["epe_per_hand"].mean(), abs=TOLERANCE)


@everywhere
@alignments
def test_procrustes_is_the_official_one(reference, put, prefix, reflection):
    predicted, target = put(reference["pred"]), put(reference["true"])
    aligned = metrics.procrustes_align(predicted, target, reflection=reflection)
    assert aligned.dtype == predicted.dtype
    np.testing.assert_allclose(aligned, reference[f"{prefix}_aligned"], atol=TOLERANCE, rtol=0)
    errors = metrics.joint_errors(aligned, target).mean(1)
    expected = reference[f"{prefix}_pa_epe_per_hand"]
    np.testing.assert_allclose(errors, expected, atol=TOLERANCE, rtol=0)


def test_the_two_alignments_differ_on_mirrored_hands_alone(reference):
    predicted, target = (reference[name].astype(np.float64) for name in ("pred", "true"))
    both = [metrics.procrustes_align(predicted, target, reflection=r) for r in (True, False)]
    assert np.flatnonzero(np.abs(both[0] - both[1]).max((1, 2)) > 1e-8).tolist() == [2, 3]


@everywhere
@pytest.mark.parametrize("name", ["pred", "fh_aligned"])
def test_pck_and_auc_follow_freihands_protocol(reference, put, name):
    errors = np.linalg.norm(reference[name].astype(np.float64) - reference["true"], axis=-1)
    expected = freihand_measures(errors, metrics.THRESHOLDS)
    pck = metrics.pck_curve(put(errors))
    np.testing.assert_allclose(pck, expected["pck"], atol=TOLERANCE, rtol=0)
    assert metrics.auc(pck) == pytest.approx(expected["auc"], abs=TOLERANCE)


@everywhere
def test_auc_over_50_cm_is_that_of_cal_auc_joints(reference, put):
    """The official repository's formula, joint by joint; Table 1's numbers fit only this range."""
    errors = 4 * np.linalg.norm(reference["pred"].astype(np.float64) - reference["true"], axis=-1)
    limits = np.arange(0, 0.5, 0.005)
    within = np.array([[np.mean(joint < limit) for limit in limits] for joint in errors.T])
    width = np.trapezoid(np.ones(100), limits)
    expected = np.mean([np.trapezoid(curve, limits) / width for curve in within])
    pck = metrics.pck_curve(put(errors), metrics.THRESHOLDS_50CM, strict=True)
    assert metrics.auc(pck, metrics.THRESHOLDS_50CM) == pytest.approx(expected, abs=TOLERANCE)


def test_an_error_at_a_threshold_is_not_below_it():
    """By hand: 16.05 cm, the error of Table 1, is below the last 67 of 100 thresholds."""
    limits = metrics.THRESHOLDS_50CM
    constant = np.full((2, 21), 0.1605)
    pck = metrics.pck_curve(constant, limits, strict=True)
    assert metrics.auc(pck, limits) == pytest.approx(66.5 / 99)
    at = np.full((2, 21), limits[20])
    assert metrics.auc(metrics.pck_curve(at, limits, strict=True), limits) == pytest.approx(
        78.5 / 99
    )
    assert metrics.auc(metrics.pck_curve(at, limits), limits) == pytest.approx(79.5 / 99)


def test_host_and_device_agree_to_a_micrometre(reference):
    host = [reference[name].astype(np.float64) for name in ("pred", "true")]
    device = [jnp.array(reference[name]) for name in ("pred", "true")]

    def measures(predicted, target):
        aligned = metrics.procrustes_align(predicted, target)
        # Hands 0 to 2 are exact once aligned: at the threshold 0 rounding alone would decide.
        pck = metrics.pck_curve(metrics.joint_errors(aligned, target)[3:])
        return {
            "epe": metrics.epe(predicted, target),
            "pa_epe": metrics.epe(aligned, target),
            "root": metrics.epe(metrics.root_align(predicted, target), target),
            "scale": metrics.epe(metrics.scale_align(predicted, target), target),
            "pck": pck,
            "auc": metrics.auc(pck),
        }

    on_host, on_device = measures(*host), jax.jit(measures)(*device)
    for name, value in on_host.items():
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
        assert on_device[name].dtype == jnp.float32
        np.testing.assert_allclose(on_device[name], value, atol=TOLERANCE, rtol=0, err_msg=name)


def test_thresholds_are_freihands():
    np.testing.assert_array_equal(metrics.THRESHOLDS, np.linspace(0, 0.05, 100))
    with pytest.raises(ValueError, match="read-only"):
        metrics.THRESHOLDS[0] = 1


@everywhere
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.2, 5),
    shift=st.floats(-0.5, 0.5),
    mirrored=st.booleans(),
)
def test_procrustes_undoes_any_similarity(put, seed, scale, shift, mirrored):
    target = hands(seed)
    rotation = Rotation.random(4, rng=np.random.default_rng(seed)).as_matrix()
    moved = scale * target @ rotation + shift
    if mirrored:
        moved[..., 0] *= -1
    exact = metrics.procrustes_align(put(moved), put(target))
    np.testing.assert_allclose(exact, target, atol=2e-6)
    proper = metrics.procrustes_align(put(moved), put(target), reflection=False)
    error = float(metrics.epe(proper, put(target)))
    assert error > 5e-3 if mirrored else error < 2e-6


@given(st.integers(0, 2**31), st.booleans())
def test_procrustes_is_the_best_similarity(seed, reflection):
    target, predicted = hands(seed), hands(seed + 1)

    def squares(points):
        return ((points - target) ** 2).sum((-2, -1))

    aligned = metrics.procrustes_align(predicted, target, reflection=reflection)
    best = squares(aligned)
    generator = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(generator.normal(0, 0.05, (4, 3))).as_matrix()
    center = aligned.mean(1, keepdims=True)
    turned = (aligned - center) @ turn + center
    scaled = (aligned - center) * generator.uniform(0.9, 1.1) + center
    for other in (turned, scaled, aligned + generator.normal(0, 1e-3, 3)):
        assert (squares(other) >= best - 1e-15).all()
    # A mirrored prediction is no further away only where mirroring is allowed.
    flipped = metrics.procrustes_align(predicted * (-1, 1, 1), target, reflection=reflection)
    assert np.allclose(squares(flipped), best) == reflection


@everywhere
@pytest.mark.parametrize("reflection", [True, False])
def test_procrustes_of_degenerate_hands_is_finite(put, reflection):
    target = hands(0)
    line = np.linspace(0, 0.1, 21)[:, None] * (1.0, 2.0, 3.0)
    plane = hands(1, ()) * (1, 1, 0)
    for predicted in (np.full((21, 3), 0.7), np.zeros((21, 3)), line, plane):
        for one, other in ((predicted, target[0]), (target[0], predicted)):
            aligned = metrics.procrustes_align(put(one), put(other), reflection=reflection)
            assert np.isfinite(aligned).all()
    collapsed = metrics.procrustes_align(put(np.full_like(target, 0.7)), put(target))
    np.testing.assert_allclose(collapsed - target.mean(1, keepdims=True), 0, atol=1e-6)


@everywhere
@given(seed=st.integers(0, 2**31))
def test_procrustes_reads_nothing_under_a_false_mask(put, seed):
    target, predicted = hands(seed), hands(seed + 1)
    valid = np.random.default_rng(seed).random((4, 21)) < 0.6
    valid[:, :4] = True
    valid[3] = False
    junk = [put(np.where(valid[..., None], x, np.nan)) for x in (predicted, target)]
    aligned = metrics.procrustes_align(*junk, valid=jnp.array(valid))
    for hand, seen in enumerate(valid[:3]):
        alone = metrics.procrustes_align(predicted[hand, seen], target[hand, seen])
        np.testing.assert_allclose(aligned[hand][seen], alone, atol=2e-6)
    # A hand without labels moves nothing else and breaks nothing.
    whole = metrics.procrustes_align(put(predicted), put(target), valid=jnp.array(valid))
    assert np.isfinite(whole).all()


def test_procrustes_in_the_image_and_with_any_leading_axes():
    target, predicted = hands(0, (2, 3)), hands(1, (2, 3))
    together = metrics.procrustes_align(predicted, target)
    alone = metrics.procrustes_align(predicted[1, 2], target[1, 2])
    np.testing.assert_allclose(together[1, 2], alone, atol=1e-12)
    flat = target[..., :2]
    quarter = np.stack([flat[..., 1], -flat[..., 0]], -1) * 3 + 7
    aligned = metrics.procrustes_align(quarter, flat, reflection=False)
    np.testing.assert_allclose(aligned, flat, atol=1e-12)


@everywhere
def test_root_alignment_puts_the_wrists_together(put):
    predicted, target = hands(0), hands(1)
    aligned = np.asarray(metrics.root_align(put(predicted), put(target)))
    np.testing.assert_allclose(aligned[:, skeleton.WRIST], target[:, skeleton.WRIST], atol=1e-6)
    np.testing.assert_allclose(aligned - aligned[:, :1], predicted - predicted[:, :1], atol=1e-6)


@everywhere
@given(seed=st.integers(0, 2**31), scale=st.floats(0.2, 5), shift=st.floats(-0.5, 0.5))
def test_scale_alignment_undoes_scale_and_translation_alone(put, seed, scale, shift):
    target = hands(seed)
    aligned = metrics.scale_align(put(scale * target + shift), put(target))
    # The length of one bone decides, so what float32 leaves of it is magnified.
    np.testing.assert_allclose(aligned, target, atol=2e-5)
    turned = target @ Rotation.from_euler("z", 30, degrees=True).as_matrix()
    assert metrics.epe(metrics.scale_align(put(turned), put(target)), put(target)) > 5e-3


def test_scale_alignment_by_hand_as_ho3ds_evaluation():
    predicted, target = hands(2, ()), hands(3, ())
    to_mano = np.argsort(skeleton.FROM_MANO)
    theirs, true = (skeleton.reorder(x, to_mano) for x in (predicted, target))
    # HO-3D's joints 0 and 4 are wrist and middle MCP.
    assert skeleton.FROM_MANO[skeleton.MIDDLE_MCP] == 4
    factor = np.linalg.norm(true[4] - true[0]) / np.linalg.norm(theirs[4] - theirs[0])
    expected = skeleton.reorder((theirs - theirs[0]) * factor + true[0], skeleton.FROM_MANO)
    np.testing.assert_allclose(metrics.scale_align(predicted, target), expected, atol=1e-12)


@everywhere
def test_scale_alignment_without_a_palm_moves_only(put):
    target, collapsed = hands(0), hands(1)
    collapsed[:, skeleton.MIDDLE_MCP] = collapsed[:, skeleton.WRIST]
    moved = metrics.scale_align(put(collapsed), put(target))
    np.testing.assert_allclose(moved, metrics.root_align(collapsed, target), atol=1e-6)


@everywhere
def test_epe_reads_nothing_under_a_false_mask(put):
    target, predicted = hands(0), hands(1)
    valid = np.random.default_rng(0).random((4, 21)) < 0.5
    expected = np.linalg.norm(predicted - target, axis=-1)[valid].mean()
    junk = np.where(valid[..., None], predicted, np.nan)
    assert metrics.epe(put(junk), put(target), valid) == pytest.approx(expected, abs=TOLERANCE)
    assert np.isnan(metrics.epe(put(predicted), put(target), np.zeros((4, 21), bool)))
    assert metrics.epe(put(predicted[..., :2]), put(target[..., :2])).shape == ()


@everywhere
def test_pck_is_a_mean_over_the_joints_that_are_labelled(put):
    errors = np.full((3, 21), 0.01)
    errors[:, 0] = [0.0, 0.02, 0.04]
    valid = np.zeros((3, 21), bool)
    valid[:2, 0] = True
    valid[2, 1] = True
    errors[~valid] = np.nan
    thresholds = np.array([0.0, 0.01, 0.02])
    pck = metrics.pck_curve(put(errors), thresholds, valid)
    # Joint 0: half, half, all of its two hands. Joint 1: at most 1 cm.
    np.testing.assert_allclose(pck, [0.25, 0.75, 1.0], atol=1e-6)
    assert pck.dtype == put(errors).dtype


@everywhere
def test_auc_of_simple_curves(put):
    for curve, area in ((np.ones(100), 1), (np.zeros(100), 0), (np.linspace(0, 1, 100), 0.5)):
        assert metrics.auc(put(curve)) == pytest.approx(area, abs=1e-6)
    thresholds = np.array([10.0, 20.0, 40.0])
    assert metrics.auc(put(np.array([0.0, 1.0, 1.0])), thresholds) == pytest.approx(25 / 30)


def test_diverged_predictions_are_never_correct():
    errors = np.full((2, 21), np.nan)
    errors[0] = 0.0
    np.testing.assert_allclose(metrics.pck_curve(errors), 0.5)


def test_integers_are_measured_as_floats():
    thresholds = np.array([0.5, 1.5, 2.5, 3.5])
    pck = metrics.pck_curve(np.array([[1, 2, 3]]), thresholds)
    np.testing.assert_allclose(pck, [0, 1 / 3, 2 / 3, 1])
    assert metrics.auc(np.array([0, 1, 1]), np.array([0.0, 1.0, 2.0])) == pytest.approx(0.75)


@pytest.mark.parametrize("masked", [False, True])
def test_unsigned_pixels_do_not_wrap_around(masked):
    target = np.tile(np.array([10, 5], np.uint16), (2, 21, 1))
    predicted = np.tile(np.array([5, 10], np.uint16), (2, 21, 1))
    valid = np.ones((2, 21), bool) if masked else None
    assert metrics.epe(predicted, target, valid) == pytest.approx(np.hypot(5, 5))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("library", [np, jnp])
def test_narrow_floats_are_summed_in_wider_ones(library, dtype):
    """4,000 hands have more joints than float16 has numbers."""
    target = library.asarray(hands(0, (4000,)), dtype)
    predicted = library.asarray(hands(0, (4000,)) + 0.01, dtype)
    wide = [np.asarray(joints, np.float64) for joints in (predicted, target)]
    valid = np.ones((4000, 21), bool)
    for mask in (None, valid):
        assert float(metrics.epe(predicted, target, mask)) == pytest.approx(
            metrics.epe(*wide, mask), rel=1e-4
        )
    aligned = metrics.procrustes_align(predicted[:4], target[:4])
    expected = metrics.procrustes_align(wide[0][:4], wide[1][:4])
    np.testing.assert_allclose(aligned, expected, atol=TOLERANCE)


@everywhere
@pytest.mark.parametrize("strict", [False, True])
def test_no_threshold_counts_what_is_masked_or_diverged(put, strict):
    errors = put([[1.0, 2.0], [np.nan, 3.0], [5.0, 4.0]])
    valid = np.array([[True, True], [True, False], [False, True]])
    pck = metrics.pck_curve(errors, put([2.5, np.inf]), valid, strict=strict)
    np.testing.assert_allclose(pck, [0.5, 0.75])


@everywhere
def test_a_mask_may_be_shared_by_all_hands(put):
    target, predicted, valid = hands(0), hands(1), np.arange(21) < 15
    whole = np.tile(valid, (4, 1))
    epe = metrics.epe(put(predicted), put(target), valid)
    assert epe == metrics.epe(put(predicted), put(target), whole)
    assert epe == pytest.approx(np.linalg.norm(predicted - target, axis=-1)[:, :15].mean())
    errors = put(np.random.default_rng(0).uniform(0, 0.06, (4, 21)))
    pck = metrics.pck_curve(errors, valid=valid)
    np.testing.assert_array_equal(pck, metrics.pck_curve(errors, valid=whole))
    assert pck.max() <= 1


@everywhere
@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("reflection", [True, False])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_one_diverged_hand_leaves_the_others_aligned(put, broken, reflection):
    target, predicted = hands(0), hands(1)
    alone = metrics.procrustes_align(put(predicted), put(target), reflection=reflection)
    predicted[2, 5, 1] = broken
    aligned = metrics.procrustes_align(put(predicted), put(target), reflection=reflection)
    assert np.isnan(aligned[2]).all()
    np.testing.assert_array_equal(np.delete(aligned, 2, 0), np.delete(alone, 2, 0))


def test_a_perfect_joint_has_a_gradient():
    target = jnp.array(hands(0), jnp.float32)
    predicted = target.at[0, 0, 2].add(1.0)
    gradient = jax.grad(lambda p: metrics.epe(p, target))(predicted)
    np.testing.assert_allclose(gradient, np.zeros_like(target) + (predicted - target) / 84)


def test_what_is_under_a_false_mask_has_no_part_in_the_gradient():
    target = jnp.array(hands(0), jnp.float32).at[0, 0].set(jnp.nan)
    predicted = jnp.array(hands(1), jnp.float32)
    valid = jnp.ones((4, 21), bool).at[0, 0].set(False)
    gradient = jax.grad(lambda p: metrics.epe(p, target, valid))(predicted)
    assert np.isfinite(gradient).all()
    assert (gradient[0, 0] == 0).all()


def test_a_palm_of_no_length_has_a_gradient():
    predicted = jnp.zeros((1, 21, 3))
    target = jnp.array(hands(0, (1,)), jnp.float32)
    gradient = jax.grad(lambda p: metrics.epe(metrics.scale_align(p, target), target))(predicted)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["epe", "procrustes_align", "pck_curve"])
def test_a_mask_may_be_traced_where_the_rest_is_not(name):
    predicted, target = (hands(seed).astype(np.float32) for seed in (0, 1))
    if name == "pck_curve":
        arguments = np.linalg.norm(predicted - target, axis=-1), metrics.THRESHOLDS
    else:
        arguments = predicted, target
    valid = np.broadcast_to(np.arange(21) % 3 > 0, (4, 21))
    measure = partial(getattr(metrics, name), *arguments)
    np.testing.assert_allclose(jax.jit(measure)(valid), measure(valid), rtol=1e-4, atol=1e-6)
