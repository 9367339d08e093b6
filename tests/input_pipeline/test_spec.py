"""Specs of the data: their defaults, what follows from them, and what is refused."""

import pytest

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import DataSpec, RenderedSpec

RECORDS = {"source": "tfds"}
MIXED = {"source": "tfds", "names": "rendered,freihand", "manual_dir": "a"}


def make(**fields):
    return specs.changed(DataSpec(), fields, "--config.data")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "tfd"}, r"source is 'tfd', none of 'rendered', 'tfds'"),
        ({"cache": "gpu"}, "cache is 'gpu', none of 'none', 'host', 'device'"),
        ({"crop": "box"}, "crop is 'box', none of 'hand', 'image'"),
        ({"hand_margin": 0.0}, r"hand_margin must lie in \[0.1, 100\], got 0.0"),
        ({"label_fraction": 0.0}, r"label_fraction must lie in \(0, 1\], got 0.0"),
        ({"label_fraction": 10.0}, r"label_fraction must lie in \(0, 1\]"),
        ({"label_fraction": 0.5, "rendered.count": 0}, "label_fraction is 0.5, .* without end"),
        ({"label_seed": -1}, "label_seed must be zero or more"),
        ({"pairs": "hands"}, "pairs is 'hands', none of 'image', 'versions', 'mined'"),
        ({"pairs": "mined"}, "pairs is 'mined', by keypoints, which labels=False leaves out"),
        ({"pairs": "mined", "labels": True, "rendered.count": 0}, "pairs is .* without end"),
        ({"rendered.motion_deg": 5.0}, "rendered.motion_deg is 5, but versions=1 leaves nothing"),
        ({"pairs": "versions"}, "pairs is 'versions', .* rendered.versions=1 renders one"),
        ({"rendered.versions": 0}, r"rendered.versions must lie in \[1, 1024\], got 0"),
        ({"rendered.held_out": 0}, r"rendered.held_out must be at least 1, got 0"),
        ({"rendered.span": (0.6, 0.5)}, "rendered.span must be .smallest, largest."),
        ({"rendered.background": ""}, "rendered.background is '', 0 backgrounds"),
        ({"rendered.background": "green,clutter"}, ".* 2 backgrounds for versions=1"),
        ({"rendered.versions": 2, "rendered.count": 0}, ".*each of them once: give a count"),
        (RECORDS | {"names": ""}, "names is empty; name a data set"),
        (RECORDS | {"weights": "1,2"}, "weights has 2 entries for 1 data sets"),
        (RECORDS | {"weights": "half"}, "weights must be positive numbers"),
        (RECORDS | {"weights": "nan"}, "weights must be positive numbers"),
        (MIXED | {"weights": "1,1e-7"}, "weights must be .* none less than a millionth"),
        (MIXED | {"weights": "1e308,1e308"}, "weights must be positive numbers"),
        (RECORDS | {"names": "rendered"}, "names .* names no records .*source='rendered'"),
        (MIXED | {"names": "rendered,freihand,rendered"}, "names has 'rendered' more than once"),
        (MIXED | {"weights": "1"}, r"weights has 1 entries for 2 .* \(rendered, freihand\)"),
        (MIXED | {"manual_dir": "a,b"}, r"manual_dir has 2 entries .*\(rename a folder that"),
        (MIXED | {"rendered.count": 0}, "rendered.count is 0, hands without end"),
    ],
)
def test_impossible_fields(fields, message):
    with pytest.raises(UserError, match=rf"^--config\.data\.{message}"):
        make(**fields)


def test_what_the_names_say():
    mixed = make(**MIXED, weights="1,3")
    assert mixed.is_mixed
    assert mixed.record_names == ["freihand"]
    assert mixed.shares == (3.0, 1.0)  # rendered hands come last
    assert (mixed.has_rendered, mixed.kept_on) == (True, "device")
    assert make(source="tfds").kept_on == "none"
    assert make(rendered={"count": 0}).is_endless
    assert not make(names="rendered,freihand").is_mixed  # of source "rendered"
    assert make(source="tfds", names="rendered, freihand ,").all_names == ["rendered", "freihand"]


def test_the_margin_of_the_crop():
    assert make(hand_margin=2.0, source_margin=1.5).crop_margin == 3.0
    assert make(crop="image").crop_margin is None


@pytest.mark.parametrize(
    ("named", "of_each"),
    [("green", ("green",) * 3), ("green,clutter", ("green", *["clutter"] * 2))],
)
def test_the_last_background_stands_for_the_rest(named, of_each):
    assert RenderedSpec(versions=3, background=named).backgrounds == of_each


@pytest.mark.parametrize("size", [10**30, float("inf"), float("nan")])
def test_sizes_beyond_floats_are_refused(size):
    with pytest.raises(UserError, match=r"source_size is .*, not a (finite|whole) number"):
        make(source_size=size)
