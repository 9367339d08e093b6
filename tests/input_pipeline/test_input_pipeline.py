"""What is the same for every source: mixtures, pairs, errors, and a start without TensorFlow."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.hands.neighbours import pose_features
from peclr_jax.input_pipeline import DataSpec, check_read, open_split
from peclr_jax.input_pipeline.order import Identities
from peclr_jax.input_pipeline.records import RecordStore
from peclr_jax.networks.spec import EvaluationDataSpec


def is_rendered(batch):
    # The reference bone is 2.0 cm in our drawings; the stand-in's joints are anywhere.
    return np.abs(batch["bone_length"] - 0.02) > 1e-4


@pytest.mark.parametrize("cache", ["none", "host"])
def test_rendered_hands_are_mixed_with_records(mixed_spec, open_source, take, cache):
    source = open_source(mixed_spec(cache=cache, weights="3,1"))
    assert source.num_examples == 16 + 40
    batches = take(source, 8)
    for batch in batches:
        assert batch["image"].shape == (8, 24, 24, 3)  # crops: canvases are of records alone
        rendered = is_rendered(batch)
        assert rendered.sum() == 6
        painted = batch["image"][rendered].max((1, 2, 3))
        np.testing.assert_array_equal(painted, batch["sample_id"][rendered])
    drawn = np.concatenate([batch["sample_id"][~is_rendered(batch)] for batch in batches])
    assert np.bincount(drawn).tolist() == [4, 4, 4, 4]
    again = take(source, 1, start=5)[0]
    jax.tree.map(np.testing.assert_array_equal, again, batches[5])


def test_weights_of_a_mixture_follow_the_names(mixed_spec, open_source, take):
    spec = mixed_spec(names="freihand,rendered", weights="3,1")
    (batch,) = take(open_source(spec), 1)
    assert is_rendered(batch).sum() == 2


@pytest.mark.slow
def test_held_out_hands_of_a_mixture(mixed_spec, open_source, take):
    spec = mixed_spec(split="train")
    source = open_source(spec)
    held_out = source.sample(100)
    np.testing.assert_array_equal(is_rendered(held_out), [False] * 4 + [True] * 24)
    few = {name: array[:3] for name, array in held_out.items()}
    jax.tree.map(np.testing.assert_array_equal, source.sample(3), few)
    without = open_source(mixed_spec(split="train", held_out_split="nothing"))
    assert is_rendered(without.sample(100)).sum() == 24


def test_versions_are_paired_within_records_and_within_rendered_hands(
    mixed_spec, open_source, take
):
    spec = mixed_spec(pairs="versions", weights="3,1", rendered={"versions": 2})
    source = open_source(spec)
    assert source.num_examples == 16 + 2 * 40
    for batch in take(source, 4):
        rendered = is_rendered(batch)
        first, second = (
            batch[name][rendered].astype(int).max((1, 2, 3)) for name in ("image", "partner")
        )
        # The stand-in's versions are 64 grey levels apart.
        np.testing.assert_array_equal(np.abs(first - second), 64)
        assert (batch["partner"][~rendered].max((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("cache", ["host", "device"])
def test_mined_pairs_are_of_the_most_similar_hands(rendered_spec, open_source, take, cache):
    fields = {"cache": cache, "labels": True}
    plain = take(open_source(rendered_spec(**fields)), 5)
    hands = np.concatenate([batch["sample_id"] for batch in plain])
    keypoints = np.concatenate([batch["keypoints_2d"] for batch in plain])
    by_hand = keypoints[np.argsort(hands)]
    features = pose_features(by_hand)
    away = np.linalg.norm(features[:, None] - features[None], axis=-1)
    np.fill_diagonal(away, np.inf)
    batches = take(open_source(rendered_spec(**fields, pairs="mined")), 5)
    nearest = 0
    for batch, before in zip(batches, plain, strict=True):
        jax.tree.map(np.testing.assert_array_equal, {k: batch[k] for k in before}, before)
        # The stand-in paints every hand with its own number.
        own, other = batch["sample_id"], batch["partner"].max((1, 2, 3)).astype(int)
        others = other[own != other]
        assert len({*own, *others}) == len(own) + len(others)
        np.testing.assert_array_equal(batch["partner_keypoints_2d"], by_hand[other])
        ranks = (away[own] < away[own, other][:, None]).sum(1)
        assert (ranks[own != other] < 4).all()
        nearest += (ranks[own != other] == 0).sum()
    assert nearest > 15


def test_hands_are_mined_among_records_and_rendered_hands(
    mixed_spec, record_spec, open_source, take
):
    for spec in (mixed_spec(pairs="mined"), record_spec(labels=True, pairs="mined")):
        for batch in take(open_source(spec, batch_size=8), 2):
            assert batch["partner"].shape == batch["image"].shape
            assert np.isfinite(batch["partner_keypoints_2d"]).all()


def test_hands_without_keypoints_are_told(record_spec, open_source, take, monkeypatch, caplog):
    labels = RecordStore.labels

    def without(count):
        def lacking(self):
            found = labels(self)
            hands = np.unique(found["sample_id"])[:count]
            found["keypoints_2d_valid"] = found["keypoints_2d_valid"].copy()
            found["keypoints_2d_valid"][np.isin(found["sample_id"], hands), 3] = False
            return found

        return lacking

    spec = record_spec(labels=True, pairs="mined")
    monkeypatch.setattr(RecordStore, "labels", without(1))
    with caplog.at_level("WARNING", "absl"):
        open_source(spec)
    assert "1 of 4 hands lack keypoints, and are paired with themselves" in caplog.text
    monkeypatch.setattr(RecordStore, "labels", without(3))
    with pytest.raises(ValueError, match=r"pairs='mined' .* of the 4 hands of freihand .* 1 have"):
        open_source(spec)


def test_a_fraction_is_of_the_records_and_of_the_rendered_hands(mixed_spec, open_source, take):
    source = open_source(mixed_spec(label_fraction=0.5, weights="3,1"))
    assert source.num_examples == 2 * 4 + 20
    batches = take(source, 10)
    rendered = np.concatenate([b["sample_id"][is_rendered(b)] for b in batches])
    drawn = np.concatenate([b["sample_id"][~is_rendered(b)] for b in batches])
    assert (len(np.unique(rendered)), len(np.unique(drawn))) == (20, 2)


def test_records_without_versions_cannot_be_paired(record_spec, open_source, monkeypatch):
    single = Identities(np.arange(16), np.zeros(16, int))
    monkeypatch.setattr(RecordStore, "identities", lambda self: single)
    with pytest.raises(ValueError, match=r"each hand of freihand .* has only one"):
        open_source(record_spec(pairs="versions"))


def test_impossible_batches(rendered_spec, mixed_spec, open_source):
    with pytest.raises(ValueError, match="batch_size=12 does not divide among 8 devices"):
        open_source(rendered_spec(), batch_size=12)
    with pytest.raises(ValueError, match="at least one image"):
        open_split(rendered_spec(), "train", batch_size=0)
    with pytest.raises(ValueError, match=r"rendered\.count has 3 images, but each .* takes 4"):
        open_source(mixed_spec(rendered={"count": 3}))
    with pytest.raises(ValueError, match=r"by themselves: set --config\.data\.source='rendered'"):
        open_split(mixed_spec(), "train", batch_size=2)


@pytest.mark.parametrize("field", ["names", "manual_dir", "data_dir"])
@pytest.mark.parametrize("kind", [DataSpec, EvaluationDataSpec])
def test_records_beside_rendered_hands_alone_are_refused(field, kind):
    given = kind(**{field: "image_folder"})
    with pytest.raises(UserError, match=rf"\.{field}=image_folder is of records, but .*=tfds"):
        check_read("rendered", given)
    check_read("tfds", given)
    check_read("rendered", kind())


def test_so_are_their_shares():
    with pytest.raises(UserError, match=r"\.weights=2 is of records, but .*=tfds"):
        check_read("rendered", DataSpec(weights="2"))


def test_rendered_hands_leave_tensorflow_alone():
    """The renderer is imported but replaced by a stand-in, which compiles faster."""
    tests = Path(__file__).parents[1]
    code = (
        "import sys, conftest, peclr_jax.input_pipeline as pipeline;"
        "from peclr_jax.input_pipeline import from_rendered;"
        "rendered = pipeline.RenderedSpec(count=8, held_out=8, chunk=8);"
        "from_rendered.make_render(rendered);"
        "from_rendered.make_render = lambda spec: conftest.fake_versions;"
        "from peclr_jax.devices.mesh import make_mesh; mesh = make_mesh();"
        "spec = pipeline.DataSpec(rendered=rendered);"
        "source = pipeline.make_source(spec, batch_size=8, seed=0, mesh=mesh);"
        "assert next(source.batches())['image'].shape == (8, 96, 96, 3); source.sample(1);"
        "assert source.fingerprint.startswith('rendered ');"
        "next(pipeline.open_split(spec, 'train', batch_size=8).batches());"
        "loaded = {name.split('.')[0] for name in sys.modules};"
        "assert 'peclr_jax' in loaded and not loaded & {'tensorflow', 'tensorflow_datasets'}"
    )
    environment = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{tests.parent}:{tests}"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
