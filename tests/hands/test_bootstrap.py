import numpy as np
import pytest
from scipy import stats

from peclr_jax.hands import bootstrap, metrics, scores


def some_errors(seed: int, hands: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    errors = np.abs(generator.normal(0, 0.03, (hands, 21)))
    valid = generator.random((hands, 21)) < 0.8
    valid[0] = True
    return errors, valid


def test_credits_are_the_area_under_the_curve():
    errors, valid = some_errors(0)
    credit = bootstrap.auc_credit(errors, metrics.THRESHOLDS)
    per_joint = [credit[valid[:, joint], joint].mean() for joint in range(21)]
    area = metrics.auc(metrics.pck_curve(errors, valid=valid))
    assert np.mean(per_joint) == pytest.approx(float(area))


def test_intervals_are_scipys_percentile_bootstrap():
    errors, _ = some_errors(1, 200)
    ours = scores.score(errors, kind="3d", resamples=4000).mean
    theirs = stats.bootstrap(
        (errors.mean(1),), np.mean, n_resamples=4000, method="percentile", rng=0
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_intervals_depend_on_the_seed_alone(monkeypatch):
    errors, valid = some_errors(2)

    def report():
        return scores.score(errors, valid, kind="pa", resamples=100).to_dict()

    first = report()
    assert report() == first
    other = scores.score(errors, valid, kind="pa", resamples=100, seed=1)
    assert other.mean.value == first["mean"]["value"]
    assert other.mean.low != first["mean"]["low"]
    # Chunks bound the memory and change nothing.
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 300)
    assert report() == first


def test_versions_of_a_hand_are_no_independent_evidence():
    errors, valid = some_errors(3)
    once = scores.score(errors, valid, kind="3d")
    copies, copies_valid = np.tile(errors, (4, 1)), np.tile(valid, (4, 1))
    samples = np.tile(np.arange(40), 4)
    grouped = scores.score(copies, copies_valid, kind="3d", sample_ids=samples)
    assert (grouped.hands, grouped.samples) == (160, 40)
    for ours, theirs in ((grouped.mean, once.mean), (grouped.auc, once.auc)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    ungrouped = scores.score(copies, copies_valid, kind="3d")
    width = grouped.mean.high - grouped.mean.low
    assert ungrouped.mean.high - ungrouped.mean.low < 0.7 * width
    # Ids of several data sets may be told apart by their names.
    names = np.array([f"freihand/{sample}" for sample in samples])
    assert scores.score(copies, copies_valid, kind="3d", sample_ids=names).samples == 40


@pytest.mark.parametrize(("samples", "resamples"), [(1, 1000), (5, 0)])
def test_no_interval_where_there_is_none(samples, resamples):
    report = scores.score(np.full((samples, 21), 0.01), kind="3d", resamples=resamples)
    assert report.mean == (pytest.approx(0.01), None, None)
    assert report.auc.low is report.auc.high is None
