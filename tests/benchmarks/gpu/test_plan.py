"""The plan: the most valuable first, and settings of fields that there are."""

from flax.traverse_util import flatten_dict

from benchmarks import machine
from benchmarks.gpu import ours, plan
from benchmarks.gpu.plan import BEST, CEILINGS, OFFICIAL, OPENCV, OURS, TOY, Scale


def test_the_plan_puts_the_targets_first_and_names_every_group_once():
    groups = plan.groups(Scale())
    names = [group.name for group in groups]
    assert len(set(names)) == len(names)
    assert names[:2] == [CEILINGS, "resnet50, 512 pairs"]
    assert set(groups[1].candidates) == {OURS, BEST, OFFICIAL, OPENCV}
    for architecture in ("resnet50", "resnet152"):
        batches = {name for name in names if name.startswith(architecture)}
        for pairs in (256, 512, 1024, 2048):
            assert any(f"{architecture}, {pairs} pairs" in name for name in batches)
    assert not next(group for group in groups if group.name == "resnet50, 2048 pairs").together
    cached = plan.groups(Scale(), cached=True)
    assert all(a.expected < b.expected for a, b in zip(cached, groups, strict=True))


def test_one_core_is_measured_and_stands_for_all_of_them(monkeypatch):
    monkeypatch.setattr(plan, "missing", lambda *_: None)
    monkeypatch.setattr(machine, "cores", lambda: 16)
    ((_, opencv),) = plan.groups(Scale())[1].candidates[OPENCV]
    assert (opencv.cores, opencv.kwargs["cores"]) == (1, 16)


def test_settings_change_fields_that_the_config_has():
    from configs import pretrain

    for setting in plan.SETTINGS:
        sizes = plan.sizes_of(TOY, "resnet18", 4)
        config = ours.make_config(pretrain.get_config("rendered_rn50"), sizes)
        known = set(flatten_dict(config.to_dict()))
        config.update_from_flattened_dict(dict(setting.fields))
        assert set(flatten_dict(config.to_dict())) == known, setting.name
