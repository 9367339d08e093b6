"""Rendered hands: pools in versions, new ones without end, a single pass, kept on disk."""

import numpy as np
import pytest

from peclr_jax import specs
from peclr_jax.input_pipeline import RenderedSpec, open_split
from peclr_jax.input_pipeline.from_rendered import cached, fingerprint
from peclr_jax.input_pipeline.order import choose_fraction
from peclr_jax.input_pipeline.stores import MemoryStore
from tests.input_pipeline.conftest import assert_equal, join


@pytest.mark.parametrize("cache", ["none", "host"])
def test_a_pool_is_gone_through_again_and_again(rendered_spec, open_source, take, cache):
    source = open_source(rendered_spec(cache=cache, labels=True))
    assert (source.num_examples, source.steps_per_epoch) == (40, 5)
    batches = take(source, 6)
    epoch = join(batches[:5])
    np.testing.assert_array_equal(np.sort(epoch["sample_id"]), np.arange(40))
    # The stand-in paints every image with its own index.
    np.testing.assert_array_equal(epoch["image"].max((1, 2, 3)), epoch["sample_id"])
    assert_equal(take(source, 1, start=5)[0], batches[5])


def test_versions_are_numbered_as_freihands(rendered_spec, open_source, take):
    """Image `hand + version * count`; one version is what a single one would be."""
    single = join(take(open_source(rendered_spec(labels=True)), 5))
    versions = {"versions": 3, "background": "green,clutter"}
    source = open_source(rendered_spec(labels=True, rendered=versions))
    assert (source.num_examples, source.steps_per_epoch) == (120, 15)
    epoch = join(take(source, 15))
    numbers = epoch["sample_id"] + 40 * epoch["version"]
    np.testing.assert_array_equal(np.sort(numbers), np.arange(120))
    # The stand-in paints every hand with its own number, versions 64 apart.
    painted = epoch["sample_id"] + 64 * epoch["version"]
    np.testing.assert_array_equal(epoch["image"].max((1, 2, 3)), painted)
    first = np.argsort(single["sample_id"])
    for name in ("keypoints_3d", "crop_shift"):
        expected = np.concatenate(3 * [single[name][first]])
        np.testing.assert_array_equal(epoch[name][np.argsort(numbers)], expected)
    held_out = source.sample(100)
    assert len(held_out["image"]) == 24
    assert not held_out["version"].any()


def test_endless_hands_never_repeat(rendered_spec, open_source, take):
    spec = rendered_spec(labels=True, rendered={"count": 0})
    source = open_source(spec)
    assert source.num_examples is source.steps_per_epoch is None
    batches = take(source, 3)
    np.testing.assert_array_equal(join(batches)["sample_id"], np.arange(24))
    assert_equal(take(source, 1, start=2)[0], batches[2])
    (other,) = take(open_source(spec, seed=1), 1)
    assert not np.array_equal(other["keypoints_3d"], batches[0]["keypoints_3d"])


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 2, 2**32 - 1])
def test_endless_hands_are_in_no_split(rendered_spec, open_source, take, seed):
    spec = rendered_spec(labels=True, rendered={"count": 0})
    (batch,) = take(open_source(spec, seed=seed), 1)
    pool = rendered_spec(labels=True)
    splits = [open_split(pool, name, batch_size=24) for name in ("train", "held_out", "test")]
    seen = np.concatenate([next(split.batches())["keypoints_3d"] for split in splits])
    assert not {hand.tobytes() for hand in batch["keypoints_3d"]} & {h.tobytes() for h in seen}


def test_held_out_hands_are_others(rendered_spec, open_source, take):
    spec = rendered_spec(labels=True)
    source = open_source(spec)
    held_out = source.sample(500)
    assert len(held_out["image"]) == 24
    train = join(take(source, 5))
    assert not {joints.tobytes() for joints in held_out["keypoints_3d"]} & {
        joints.tobytes() for joints in train["keypoints_3d"]
    }


@pytest.mark.parametrize("versions", [1, 3])
def test_a_fraction_keeps_whole_hands_as_they_are(rendered_spec, open_source, take, versions):
    spec = rendered_spec(labels=True, label_fraction=0.2, rendered={"versions": versions})
    source = open_source(spec)
    assert source.num_examples == 8 * versions
    epoch = join(take(source, versions))
    kept = choose_fraction(np.arange(40), 0.2, 0)
    np.testing.assert_array_equal(np.sort(epoch["sample_id"]), np.repeat(kept, versions))
    painted = epoch["sample_id"] + 64 * epoch["version"]
    np.testing.assert_array_equal(epoch["image"].max((1, 2, 3)), painted)
    assert len(source.sample(100)["image"]) == 24


def test_more_hands_than_memory_are_refused_before_they_are_counted(rendered_spec, open_source):
    for fields in ({"count": 10**8}, {"held_out": 2**31}):
        with pytest.raises(MemoryError, match=r"host memory are free.*data\.rendered\.count"):
            open_source(rendered_spec(rendered=fields))


def read(spec, split, batch_size):
    return join(list(open_split(spec, split, batch_size=batch_size).batches()))


@pytest.mark.parametrize(("split", "count"), [("train", 40), ("held_out", 24)])
def test_a_pass_sees_the_hands_of_training_once(rendered_spec, open_source, split, count):
    spec = rendered_spec(labels=True)
    hands = read(spec, split, 7)
    np.testing.assert_array_equal(hands["sample_id"], np.arange(count))
    if split == "held_out":
        for name, array in open_source(spec).sample(count).items():
            # Programs for batches of other sizes may round otherwise.
            np.testing.assert_allclose(hands[name], array, rtol=1e-5, atol=1e-4, err_msg=name)
    for background in ("green,clutter", "clutter"):
        versions = {"versions": 4, "background": background}
        again = read(rendered_spec(labels=True, rendered=versions), split, 7)
        assert_equal(again, hands)


def test_splits_have_their_own_names(rendered_spec):
    with pytest.raises(ValueError, match="no split 'validation'; they have: train, held_out"):
        open_split(rendered_spec(), "validation", batch_size=2)
    with pytest.raises(ValueError, match=r"count=0 renders hands for training without end"):
        open_split(rendered_spec(rendered={"count": 0}), "train", batch_size=2)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"size": 8}, r"size must lie in \[16, 4096\], got 8"),
        ({"versions": 2, "background": "green,purple"}, "background is 'green,purple'; choose of"),
    ],
)
def test_what_cannot_be_rendered_is_told_by_its_flag(field, message):
    with pytest.raises(ValueError, match=rf"^--config\.data\.rendered\.{message}"):
        specs.from_mapping(RenderedSpec, field, "--config.data.rendered")


def pool(value):
    return MemoryStore({"image": np.full((4, 2, 2, 3), value, np.uint8)})


def never():
    raise AssertionError("rendered again")


def test_kept_by_identity(tmp_path):
    folder = str(tmp_path / "hands")
    cached(folder, {"seed": 0}, lambda: pool(1))
    cached(folder, {"seed": 1}, lambda: pool(2))
    for seed in (0, 1):
        kept = cached(folder, {"seed": seed}, never)
        assert (kept.arrays["image"] == seed + 1).all()
        assert kept.sizes == (4,)
    assert cached("", {"seed": 0}, lambda: pool(3)).arrays["image"][0, 0, 0, 0] == 3
    assert len(list((tmp_path / "hands").iterdir())) == 2


def test_hands_of_another_renderer_are_not_read(tmp_path, monkeypatch):
    cached(str(tmp_path), {}, lambda: pool(1))
    monkeypatch.setattr("peclr_jax.input_pipeline.from_rendered.RENDERER_VERSION", 0)
    assert (cached(str(tmp_path), {}, lambda: pool(2)).arrays["image"] == 2).all()


def test_damaged_files_are_made_again(tmp_path):
    cached(str(tmp_path), {}, lambda: pool(1))
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:-40], b"", b"text"):
        path.write_bytes(content)
        assert (cached(str(tmp_path), {}, lambda: pool(5)).arrays["image"] == 5).all()
        assert (cached(str(tmp_path), {}, never).arrays["image"] == 5).all()


def test_files_of_other_hands_are_not_taken(tmp_path):
    """Whole files, that another run or another program has put there."""
    cached(str(tmp_path), {"seed": 0}, lambda: pool(1))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    with np.load(path) as kept:
        arrays = dict(kept)
    fewer = {name: array[:2] for name, array in arrays.items()}
    bare = {"image": arrays["image"]}
    metric = arrays | {"keypoints_3d": np.zeros((4, 21, 3))}
    for others in (fewer, bare, metric, arrays | {"image": arrays["image"].view(np.int8)}):
        np.savez(path, **others)
        assert (cached(str(tmp_path), {"seed": 0}, lambda: pool(5)).arrays["image"] == 5).all()

    cached(str(tmp_path), {"seed": 1}, lambda: pool(2))
    (other,) = (file for file in tmp_path.iterdir() if file != path)
    other.write_bytes(whole)  # of another seed
    assert (cached(str(tmp_path), {"seed": 1}, lambda: pool(2)).arrays["image"] == 2).all()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path):
    folder = tmp_path / "file"
    folder.write_text("in the way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda text, *values: warned.append(text % values))
        warned = []
        assert (cached(str(folder), {}, lambda: pool(3)).arrays["image"] == 3).all()
    assert "cannot be written" in warned[0]


def test_large_pools_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("peclr_jax.input_pipeline.from_rendered._LARGEST_KEPT", 1)
    cached(str(tmp_path), {}, lambda: pool(3))
    assert not list(tmp_path.iterdir())


def test_the_home_directory_is_understood(home):
    cached("~/pools", {}, lambda: pool(3))
    assert len(list((home / "pools").iterdir())) == 1


def test_runs_share_hands(rendered_spec, open_source, tmp_path):
    spec = rendered_spec(labels=True, rendered={"cache_dir": str(tmp_path)})
    first, second = (open_source(spec) for _ in range(2))
    batches = next(iter(first.batches(3))), next(iter(second.batches(3)))
    np.testing.assert_array_equal(*(batch["keypoints_2d"] for batch in batches))
    held_out = first.sample(24)
    split = next(iter(open_split(spec, "held_out", batch_size=24).batches()))
    np.testing.assert_array_equal(split["image"], held_out["image"])
    assert len(list(tmp_path.iterdir())) == 2
    open_source(rendered_spec(labels=True, rendered={"cache_dir": str(tmp_path), "seed": 1}))
    assert len(list(tmp_path.iterdir())) == 3


def test_versions_share_what_is_held_out(rendered_spec, open_source, tmp_path):
    for versions, background in ((1, "green"), (3, "green,clutter")):
        fields = {"versions": versions, "background": background, "cache_dir": str(tmp_path)}
        open_source(rendered_spec(rendered=fields)).sample(24)
    assert len(list(tmp_path.iterdir())) == 3


def test_hands_that_do_not_move_are_kept_by_their_old_names():
    still, moved = (RenderedSpec(versions=2, motion_deg=most) for most in (0.0, 5.0))
    (_, fields), (_, others) = map(fingerprint, (still, moved))
    assert others == fields | {"motion_deg": 5.0}
    assert "motion_deg" not in fields
    assert fields["versions"] == 2


def test_hands_that_are_rendered_in_smaller_parts_are_the_same():
    assert fingerprint(RenderedSpec(chunk=8)) == fingerprint(RenderedSpec())
