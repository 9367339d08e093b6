import numpy as np
import pytest

from peclr_jax.input_pipeline import open_split
from peclr_jax.input_pipeline.memory import MemoryStore
from peclr_jax.input_pipeline.rendered_cache import cached


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
    monkeypatch.setattr("peclr_jax.input_pipeline.rendered_cache.RENDERER_VERSION", 0)
    assert (cached(str(tmp_path), {}, lambda: pool(2)).arrays["image"] == 2).all()


def test_damaged_files_are_made_again(tmp_path):
    cached(str(tmp_path), {}, lambda: pool(1))
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:-40], b"", b"text"):
        path.write_bytes(content)
        assert (cached(str(tmp_path), {}, lambda: pool(5)).arrays["image"] == 5).all()
        assert (cached(str(tmp_path), {}, never).arrays["image"] == 5).all()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path):
    folder = tmp_path / "file"
    folder.write_text("in the way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda text, *values: warned.append(text % values))
        warned = []
        assert (cached(str(folder), {}, lambda: pool(3)).arrays["image"] == 3).all()
    assert "cannot be written" in warned[0]


def test_large_pools_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("peclr_jax.input_pipeline.rendered_cache._LARGEST_KEPT", 1)
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
