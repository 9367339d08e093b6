"""The data that networks are measured on: what is given, and what is as in training."""

import dataclasses
import os

import pytest

from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import from_records
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.networks.evaluation_data import (
    check_split,
    default_split,
    describe_data,
    find_trained_on,
    open_data,
    resolve_data,
)
from peclr_jax.networks.spec import EvaluationDataSpec, EvaluationRenderedSpec


@pytest.fixture
def description(opened):
    return opened.description


def with_data(description, **fields):
    return dataclasses.replace(description, data=dataclasses.replace(description.data, **fields))


def test_what_is_not_given_is_as_in_training(description, given_data):
    data = resolve_data(given_data, description, "box")
    for name in ("source", "names", "manual_dir", "data_dir", "source_size", "hand_margin"):
        assert getattr(data, name) == getattr(description.data, name), name
    assert (data.labels, data.crop, data.label_fraction) == (True, "hand", 1.0)
    assert default_split(data) == "evaluation"
    data = resolve_data(EvaluationDataSpec(names="freihand"), description, "box")
    assert data.manual_dir == data.data_dir == ""


def test_places_that_only_a_checkpoint_names_are_not_gone_to(description, places):
    with pytest.raises(ValueError, match="may be anybody's: if they are yours, add") as raised:
        resolve_data(EvaluationDataSpec(), description, "box")
    for name, place in places.items():
        assert f"--config.{name}={place!r}" in str(raised.value)
    hostile = with_data(description, rendered=RenderedSpec(cache_dir="/somewhere"))
    data = resolve_data(EvaluationDataSpec(source="rendered"), hostile, "box")
    assert data.rendered.cache_dir == os.path.expanduser("~/.cache/peclr_jax")
    assert data.manual_dir == data.data_dir == ""


def test_other_data_do_not_inherit_raw_files(description):
    data = resolve_data(EvaluationDataSpec(names="synthetic_hands/64px_4k"), description, "box")
    assert (data.names, data.manual_dir) == ("synthetic_hands/64px_4k", "")
    assert default_split(data) == "test"
    data = resolve_data(EvaluationDataSpec(manual_dir="elsewhere"), description, "box")
    assert (data.names, data.manual_dir) == ("freihand", "elsewhere")
    rendered = EvaluationRenderedSpec(held_out=7, background="clutter")
    given = EvaluationDataSpec(source="rendered", rendered=rendered)
    data = resolve_data(given, description, "box")
    assert data.source == "rendered"
    assert (data.rendered.held_out, data.rendered.background) == (7, "clutter")
    assert default_split(data) == "held_out"
    assert describe_data(data, "held_out") == "rendered hands (held_out)"


@pytest.mark.parametrize(
    ("trained", "asked", "split", "found"),
    [
        ({}, {}, "train", True),
        ({}, {}, "validation", True),
        ({}, {}, "evaluation", False),
        ({"split": "train"}, {}, "validation", False),
        ({"split": "train"}, {}, "train+validation", True),
        ({"split": "train[:3]"}, {}, "train[3:]", False),
        ({"manual_dir": "elsewhere"}, {}, "train", False),
        ({"manual_dir": ""}, {}, "train", True),
        ({"names": "ho3d/v2"}, {}, "train", False),
        ({"names": "rendered,freihand", "manual_dir": ""}, {}, "train", True),
        ({"source": "rendered"}, {}, "train", False),
        ({"source": "rendered"}, {"source": "rendered"}, "train", True),
        ({"source": "rendered"}, {"source": "rendered"}, "held_out", False),
        ({}, {"source": "rendered"}, "train", False),
    ],
)
def test_images_that_were_trained_on_are_known(
    description, given_data, trained, asked, split, found
):
    data = resolve_data(EvaluationDataSpec(**asked) if asked else given_data, description, "box")
    if asked:
        data = dataclasses.replace(data, names="freihand", manual_dir="", data_dir="")
    of_training = dataclasses.replace(description.data, **trained)
    said = find_trained_on(of_training, data, split)
    assert bool(said) == found
    if found:
        assert f"({split}), whose errors are not those of new images" in said


def test_images_of_an_earlier_training_are_known(description, given_data):
    """As where a fine-tuned network was fine-tuned once more, on other images."""
    earlier, elsewhere = description.data, dataclasses.replace(description.data, names="ho3d/v2")
    continued = dataclasses.replace(description, data=elsewhere, earlier_data=(earlier, earlier))
    given = dataclasses.replace(given_data, names="freihand")
    data = open_data(given, "train+validation", continued, "box", 16)
    assert data.trained_on.count("the network was trained on images of freihand") == 1
    assert open_data(given, "evaluation", continued, "box", 16).trained_on == ""


@pytest.mark.parametrize(
    ("splits", "found"), [("evaluation,train", True), ("evaluation,evaluation", False)]
)
def test_each_data_set_has_its_own_split(description, given_data, splits, found):
    data = resolve_data(given_data, description, "box")
    twice = {
        name: f"{getattr(data, name)},{getattr(data, name)}" for name in ("names", "manual_dir")
    }
    said = find_trained_on(description.data, dataclasses.replace(data, **twice), splits)
    assert bool(said) == found


@pytest.mark.parametrize("background", ["", "clutter"])
def test_versions_are_evaluated_one_by_one(description, background):
    hands = RenderedSpec(versions=4, background="green,clutter")
    trained = with_data(description, source="rendered", pairs="versions", rendered=hands)
    given = EvaluationDataSpec(rendered=EvaluationRenderedSpec(background=background))
    data = resolve_data(given, trained, "box")
    assert (data.pairs, data.rendered.versions) == ("image", 4)


def test_of_a_mixture_the_records_are_evaluated_on(description, places):
    mixed = with_data(description, names="rendered,freihand", weights="1,3", manual_dir="")
    of_raw = {name.removeprefix("data."): place for name, place in places.items()}
    for fields in (of_raw, {"names": "freihand"}):
        data = resolve_data(EvaluationDataSpec(**fields), mixed, "box")
        assert (data.names, data.manual_dir) == ("freihand", fields.get("manual_dir", ""))
    assert describe_data(data, "evaluation") == "freihand (evaluation)"


def test_one_of_the_data_sets_of_a_training_is_evaluated_on(description):
    changes = {"names": "freihand,ho3d/v2", "split": "train+validation,train", "manual_dir": ""}
    both = with_data(description, **changes)
    assert resolve_data(EvaluationDataSpec(names="freihand"), both, "box").names == "freihand"


def test_whole_images_are_read_at_the_resolution_of_the_closest_look(description, given_data):
    data = resolve_data(given_data, description, "two_pass")
    assert data.crop == "image"
    rule = description.looking
    first = rule.first(None, data.source_size, data.source_size)
    assert rule.closest * first.side == pytest.approx(description.view_size, rel=0.03)


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("freihand,ho3d/v2", "evaluation"),
        ("image_folder,freihand", "validation,evaluation"),
        ("rendered,dexter_object", "test"),
    ],
)
def test_each_data_set_has_its_own_default_split(names, split):
    assert default_split(DataSpec(source="tfds", names=names)) == split


def test_impossible_data_are_told_by_their_flag(description):
    given = EvaluationDataSpec(names="freihand,ho3d/v2", manual_dir="one")
    with pytest.raises(ValueError, match=r"--config\.data\.manual_dir has 1 entries for 2"):
        resolve_data(given, description, "box")


def test_a_split_that_is_not_there_is_named(description, given_data):
    rendered = EvaluationDataSpec(source="rendered")
    for given, known in ((given_data, "it has: "), (rendered, "they have: ")):
        data = resolve_data(given, description, "box")
        check_split(data, default_split(data))
        with pytest.raises(UserError, match=f"no split 'evaluatoin'; {known}"):
            check_split(data, "evaluatoin")


def test_a_split_that_is_named_twice_is_refused(description, given_data):
    data = resolve_data(given_data, description, "box")
    with pytest.raises(ValueError, match=r"--config\.split name images of freihand .* twice"):
        check_split(data, "evaluation+evaluation")


def test_a_split_without_labels_is_named(description, given_data, monkeypatch):
    data = resolve_data(given_data, description, "box")
    monkeypatch.setattr(from_records, "may_be_labelled", lambda builder, split: False)
    with pytest.raises(UserError, match=r"none of the images of freihand .* has a label"):
        check_split(data, "evaluation")
