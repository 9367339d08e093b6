"""The benchmark of an accelerator: its plan, its clock, its report, and a toy run of all of it."""

import functools
import json

import pytest
from flax.traverse_util import flatten_dict

from benchmarks import harness, machine
from benchmarks.gpu import ours, plan, suite, tables, tune, turns
from benchmarks.gpu.plan import BEST, CEILINGS, OFFICIAL, OPENCV, OURS, TOY, Attempt, Group, Scale
from benchmarks.gpu.turns import Budget
from benchmarks.harness import Candidate
from peclr_jax.models import resnet

H100 = "NVIDIA H100 80GB HBM3"


class Clock:
    """A clock that a candidate can turn on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def fake(rate=100.0, fails="", calls=None, clock=None, lasts=0.0):
    """A candidate's `prepare`."""
    if fails:
        raise RuntimeError(fails)

    def measure():
        if calls is not None:
            calls.append(rate)
        if clock is not None:
            clock.now += lasts
        facts = {"program_mib": 1.0, "compile_seconds": 1.0}
        return {"pairs_per_second": rate, "step_ms": 1e5 / rate, **facts}

    return measure


def attempt(label="", **kwargs):
    return Attempt(label, Candidate(fake, kwargs))


def run(group, seconds=1000.0, clock=None):
    return turns.measure(group, Budget(seconds, clock or Clock()), separate=False)


def test_candidates_are_called_in_turn_and_divided():
    calls = []
    candidates = {
        OURS: [attempt(rate=300.0, calls=calls)],
        BEST: [attempt(rate=200.0, calls=calls)],
    }
    result = run(Group("g", candidates, 3, 0.0, [(OURS, BEST)]))
    assert calls == [300.0, 200.0] * 3
    assert result["ratios"][f"{OURS} / {BEST}"]["pairs_per_second"]["median"] == 1.5


def test_candidates_too_large_for_each_other_follow_one_another():
    calls = []
    candidates = {"a": [attempt(rate=1.0, calls=calls)], "b": [attempt(rate=2.0, calls=calls)]}
    run(Group("g", candidates, 2, 0.0, together=False))
    assert calls == [1.0, 1.0, 2.0, 2.0]


def test_the_first_attempt_that_fits_into_memory_counts():
    full = attempt(fails="RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
    attempts = [full, attempt("remat=norm", rate=5.0), attempt("remat=block", rate=4.0)]
    result = run(Group("g", {OURS: attempts}, 1, 0.0))
    assert result[OURS]["pairs_per_second"]["median"] == 5.0
    assert result["settings"] == {OURS: "remat=norm"}


def test_what_fails_says_why_and_takes_nothing_else_down():
    candidates = {
        "memory": [attempt(fails="torch.OutOfMemoryError: CUDA out of memory.")] * 2,
        "wrong": [attempt(fails="first line\nValueError: no such flag"), attempt(rate=1.0)],
        "absent": "torch is not installed",
        "present": [attempt(rate=7.0)],
    }
    result = run(Group("g", candidates, 2, 0.0, [("present", "memory")]))
    assert result["memory"] == {"skipped": turns.OUT_OF_MEMORY}
    assert result["wrong"] == {"skipped": "ValueError: no such flag"}
    assert result["absent"] == {"skipped": "torch is not installed"}
    assert result["present"]["pairs_per_second"]["rounds"] == [7.0, 7.0]
    assert result["ratios"] == {}


def test_groups_that_do_not_fit_into_the_time_are_left_out_and_shorter_ones_are_not(monkeypatch):
    clock = Clock()
    taking = {OURS: [attempt(rate=1.0, clock=clock, lasts=60.0)]}
    groups = [
        Group("first", taking, 1, 50.0),
        Group("long", taking, 1, 45.0),
        Group("short", taking, 1, 30.0),
        Group("other", taking, 1, 0.0),
    ]
    monkeypatch.setattr(plan, "groups", lambda scale, cached: groups)
    budget = Budget(100.0, clock)
    patterns = ("first", "long", "short")
    results, left_out = suite.measure(TOY, budget, patterns=patterns, separate=False)
    assert list(results) == ["first", "short"]
    assert left_out["long"] == "would take some 45 s, 40 s were left"
    assert left_out["other"] == "not asked for"
    # Measured already: kept as it is.
    again, _ = suite.measure(TOY, Budget(1e3, clock), before={"long": {}}, separate=False)
    assert again["long"] == {}


def slow():
    """A candidate whose preparation never ends."""
    while True:
        pass


def test_a_process_that_outlasts_the_time_is_ended():
    group = Group("g", {OURS: [Attempt("", Candidate(slow))]}, 1, 0.0)
    result = turns.measure(group, Budget(0.2))
    assert result[OURS] == {"skipped": turns.OUT_OF_TIME}


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


def spreads(**figures):
    return {name: harness.spread([value] * 2) for name, value in figures.items()}


def results():
    ours = spreads(
        pairs_per_second=8000.0,
        step_ms=64.0,
        constant_batch_ms=63.68,
        model_tflop=8.0,
        fused_gb=117.0,
    )
    best = spreads(pairs_per_second=5000.0, step_ms=102.4, views_given_ms=100.0)
    official = spreads(pairs_per_second=1000.0, step_ms=512.0, views_given_ms=512.0)
    beside = {
        OURS: ours,
        BEST: best,
        OFFICIAL: official,
        OPENCV: spreads(pairs_per_second=900.0),
    }
    pairs = [(OURS, peer, "pairs_per_second") for peer in (BEST, OFFICIAL)]
    parts = spreads(
        step_ms=64.0,
        augmentation_percent=3.0,
        forward_percent=30.0,
        loss_percent=1.0,
        backward_percent=64.0,
        optimiser_percent=2.0,
    )
    return {
        CEILINGS: {"attained": spreads(matmul_tflops=800.0, copy_tbs=3.0)},
        "resnet50, 512 pairs": harness.with_ratios(beside, pairs),
        "parts of resnet50, 512 pairs": {OURS: parts},
    }


def test_utilisation_follows_from_times_and_ceilings():
    derived = tables.derive(results(), H100)["resnet50, 512 pairs"]
    medians = {name: one["median"] for name, one in derived[OURS].items()}
    assert medians["mfu_percent"] == pytest.approx(100 * 8 / 0.064 / 989.4)
    assert medians["of_matmul_percent"] == pytest.approx(100 * 8 / 0.064 / 800)
    assert medians["of_bandwidth_percent"] == pytest.approx(100 * 117 / 3000 / 0.064)
    assert medians["host_percent"] == pytest.approx(0.5, abs=0.01)
    assert derived[BEST]["mfu_percent"]["median"] == pytest.approx(100 * 8 / 0.1024 / 989.4)
    unknown = tables.derive(results(), "some card")["resnet50, 512 pairs"]
    assert "mfu_percent" not in unknown[OURS]


def test_targets_are_judged_and_what_was_not_measured_is_said_so():
    derived = tables.derive(results(), H100)
    table = tables.targets(derived, "resnet50", 512, 2048)
    verdicts = list(table.columns[2].cells)
    assert list(table.columns[1].cells) == ["1.60", "8.00", "8.89", "3.0 %", "0.5 %", "16,000"]
    assert verdicts == ["reached"] * 5 + ["missed"]
    empty = tables.targets({}, "resnet50", 512, 2048)
    assert set(empty.columns[1].cells) == {tables.NOT_MEASURED}
    assert not any(empty.columns[2].cells)


def test_a_report_is_written_whole_and_goes_on_where_it_stopped(tmp_path):
    environment = {
        "device": H100,
        "processor": "p",
        "cores": 1,
        "date": "2000-01-01",
        "commit": "c",
    }
    skipped = {OURS: {"skipped": turns.OUT_OF_TIME}}
    result = {
        "environment": environment,
        "results": {**results(), "resnet50, 256 pairs": skipped},
        "left_out": {"resnet152, 256 pairs": "no time"},
    }
    suite.write_report(result, Scale(), tmp_path, "gpu")
    text = (tmp_path / "gpu.md").read_text()
    for said in ("Targets", "no time", "stopped: the time was up", "% peak", H100):
        assert said in text
    kept = suite.earlier(tmp_path / "gpu.json", environment)
    assert list(kept) == list(results())
    assert suite.earlier(tmp_path / "none.json", environment) == {}
    with pytest.raises(SystemExit, match="another machine or commit"):
        suite.earlier(tmp_path / "gpu.json", {**environment, "commit": "d"})


def test_tuning_joins_what_gained_and_writes_a_command():
    settings = plan.SETTINGS
    gains = {"remat=norm": 1.05, "latency hiding": 1.02, "cuBLASLt": 0.9}
    found = {
        name: {"ratios": {f"{name} / default": spreads(pairs_per_second=ratio)}}
        for name, ratio in gains.items()
    }
    line = tune.command(found)
    assert line.endswith("pretrain.py:rendered_rn50 --config.model.remat=norm")
    found[tune.COMBINED] = {"ratios": {"x": spreads(pairs_per_second=1.08)}}
    line = tune.command(found)
    assert 'XLA_FLAGS="--xla_gpu_enable_latency_hiding_scheduler=true" python main.py' in line
    assert "8.0 % faster" in line
    assert "cublaslt" not in line
    assert "1 % faster" in tune.command({"cuBLASLt": found["cuBLASLt"]})
    assert len({setting.name for setting in settings}) == len(settings)


@pytest.fixture
def one_block_a_stage(monkeypatch):
    """Networks that compile in seconds."""
    sizes = (1, 1, 1, 1)
    small = functools.partial(resnet.ResNet, stage_sizes=sizes, block=resnet.BasicBlock)
    monkeypatch.setitem(resnet.BY_NAME, "resnet18", small)
    if not harness.missing("torch"):
        import torch

        from benchmarks.peers import torch_network

        # Threads that wait for each other on a busy machine take longer than the work.
        torch.set_num_threads(1)
        block = torch_network.ARCHITECTURES["resnet18"][0]
        monkeypatch.setitem(torch_network.ARCHITECTURES, "resnet18", (block, sizes))


def test_a_toy_run_through_the_real_step(tmp_path, one_block_a_stage):
    patterns = (CEILINGS, "resnet18, 4 pairs", "parts of resnet18, 4 pairs")
    results, left_out = suite.measure(TOY, Budget(1e4), patterns=patterns, separate=False)
    assert tuple(results) == patterns
    environment = {**machine.environment(device="cpu"), "device": "cpu"}
    result = {"environment": environment, "results": results, "left_out": left_out}
    suite.write_report(result, TOY, tmp_path, "gpu")
    written = json.loads((tmp_path / "gpu.json").read_text())["results"]
    beside = written["resnet18, 4 pairs"]
    wanted = {"pairs_per_second", "step_ms", "host_percent", "program_mib", "of_matmul_percent"}
    assert wanted <= beside[OURS].keys()
    for peer in (BEST, OFFICIAL):
        if harness.missing("torch"):
            assert "torch" in beside[peer]["skipped"]
        else:
            assert beside[peer]["views_given_ms"]["median"] > 0
            assert f"{OURS} / {peer}" in beside["ratios"]
    parts = written["parts of resnet18, 4 pairs"][OURS]
    shares = [parts[f"{part}_percent"]["median"] for part in tables.PARTS]
    assert sum(shares) == pytest.approx(100)


def test_a_setting_is_measured_beside_the_default(monkeypatch):
    rates = {"default": 10.0, "good": 11.0, "bad": 9.0, "better": 12.0, "good + better": 13.0}
    candidates = lambda setting, *_: Candidate(fake, {"rate": rates[setting.name]})  # noqa: E731
    monkeypatch.setattr(plan, "setting_candidate", candidates)
    settings = [plan.Setting(name) for name in ("default", "good", "bad", "better")]
    results, left_out = tune.measure(TOY, Budget(1e4), settings=settings, separate=False)
    assert not left_out
    gains = {name: tune.gain(benchmark) for name, benchmark in results.items()}
    assert gains == pytest.approx({"good": 0.1, "bad": -0.1, "better": 0.2, "combined": 0.3})
    results["bad"]["bad"] = {"skipped": "no such flag"}
    laid_out = tune.table(results)
    assert list(laid_out.columns[0].cells) == ["combined", "better", "good", "bad"]
    assert list(laid_out.columns[2].cells)[::3] == [
        "1.300 (1.300 to 1.300)",
        "skipped: no such flag",
    ]


def test_settings_change_fields_that_the_config_has():
    from configs import pretrain

    for setting in plan.SETTINGS:
        sizes = plan.sizes_of(TOY, "resnet18", 4)
        config = ours.make_config(pretrain.get_config("rendered_rn50"), sizes)
        known = set(flatten_dict(config.to_dict()))
        config.update_from_flattened_dict(dict(setting.fields))
        assert set(flatten_dict(config.to_dict())) == known, setting.name


def test_what_must_be_installed_is_named(monkeypatch):
    assert suite.missing_packages() is None
    monkeypatch.setattr(suite, "REQUIRED", ("jax", "no_such_package"))
    assert suite.missing_packages().startswith("no_such_package cannot be imported: install it by")
