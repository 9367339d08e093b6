"""What files say of their network: of this version and of earlier ones, ours and anybody's."""

import copy
import json

import pytest

from peclr_jax.errors import UserError
from peclr_jax.networks.description import from_json, from_note, read_description
from tests.conftest import REFERENCE

BEFORE = REFERENCE / "before_specs"


@pytest.fixture(scope="module")
def old():
    """The config of a fine-tuning run from before label statistics were a result."""
    return json.loads((BEFORE / "finetune/config.json").read_text())


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_checkpoints_from_before_specs_are_read(task):
    description = read_description(BEFORE / task)
    config = json.loads(next((BEFORE / task / "checkpoints/4/config").glob("metadata")).read_text())
    assert description.task == task
    assert description.view_size == config["views"]["size"]
    for name, value in config["data"].items():
        if name != "rendered":
            assert getattr(description.data, name) == value, name
    for name, value in config["model"].items():
        assert getattr(description.model, name) == value, name
    if task == "finetune":
        statistics = description.statistics
        assert statistics.bone_length == config["statistics"]["bone_length"]
        for name in ("mean_pose", "mean_hand"):
            assert [list(x) for x in getattr(statistics, name)] == config["statistics"][name]


@pytest.mark.parametrize("place", ["~nobody-here/records", "~nobody-here/a,b"])
def test_places_in_a_home_that_is_not_here_are_no_obstacle(old, place):
    config = copy.deepcopy(old)
    config["data"] |= {"data_dir": place, "manual_dir": place}
    assert from_json(config, {}, "x").data.data_dir == f"./{place}"


def test_notes_of_both_forms_are_read(old):
    written_before = (BEFORE / "official_note.json").read_text()
    description = from_note(written_before, "official.pth")
    assert description.statistics.mean_hand is not None
    assert from_note(json.dumps(description.to_json()), "official.pth") == description


def test_data_of_earlier_trainings_are_kept(old):
    first, second = (dict(old["data"], names=name) for name in ("freihand", "ho3d/v2"))
    description = from_json(old, {"earlier_data": [first, second]}, "x")
    assert [data.names for data in description.earlier_data] == ["freihand", "ho3d/v2"]
    assert from_note(json.dumps(description.to_json()), "x") == description
    with pytest.raises(UserError, match="earlier_data is of type dict, no list"):
        from_json(old, {"earlier_data": first}, "x")


def test_results_come_before_what_the_config_says(old):
    statistics = dict(old["statistics"], bone_length=0.04)
    description = from_json(old, {"label_statistics": statistics}, "x")
    assert description.statistics.bone_length == 0.04
    without = {name: value for name, value in old.items() if name != "statistics"}
    assert from_json(without, {}, "x").statistics is None


def test_missing_fields_mean_what_they_did_before_they_were_added(old):
    config = copy.deepcopy(old)
    for section, name in (("model", "pointwise"), ("data", "pairs")):
        del config[section][name]
    del config["data"]["rendered"]["versions"]
    config["data"]["rendered"]["background"] = "green"
    config["data"]["of_a_later_version"] = 3
    description = from_json(config, {}, "x")
    assert description.model.pointwise == "platform"
    assert (description.data.pairs, description.data.rendered.versions) == ("image", 1)


@pytest.mark.parametrize(
    ("section", "changes", "problem"),
    [
        ("model", None, "it has no section 'model'"),
        ("data", None, "it has no section 'data'"),
        ("views", None, "it has no section 'views'"),
        ("model", {"width": None}, r"it has no field model\.width"),
        ("model", {"frozen": None}, r"it has no field model\.frozen"),
        ("views", {"size": None}, r"it has no field views\.size"),
        ("loss", {"root_depth": None}, r"it has no field loss\.root_depth"),
        ("views", {"size": 8}, r"views\.size is 8, too small"),
    ],
)
def test_missing_or_impossible_fields_are_named(old, section, changes, problem):
    config = {name: values for name, values in old.items() if name != section}
    if changes:
        values = old[section] | changes
        config[section] = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(UserError, match=rf"the config in x .*{problem}.*get the checkpoint again"):
        from_json(config, {}, "x")
