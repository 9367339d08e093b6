"""Settings beside the default, and the best as a command."""

import pytest

from benchmarks.gpu import plan, tune
from benchmarks.gpu.plan import TOY
from benchmarks.gpu.turns import Budget


def test_tuning_joins_what_gained_and_writes_a_command(spreads):
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


def test_a_setting_is_measured_beside_the_default(monkeypatch, in_process, candidate):
    rates = {"default": 10.0, "good": 11.0, "bad": 9.0, "better": 12.0, "good + better": 13.0}
    monkeypatch.setattr(
        plan, "setting_candidate", lambda setting, *_: candidate(rate=rates[setting.name])
    )
    settings = [plan.Setting(name) for name in ("default", "good", "bad", "better")]
    results, left_out = tune.measure(TOY, Budget(1e4), settings=settings)
    assert not left_out
    gains = {name: tune.gain(benchmark) for name, benchmark in results.items()}
    assert gains == pytest.approx({"good": 0.1, "bad": -0.1, "better": 0.2, "combined": 0.3})
    results["bad"]["bad"] = {"skipped": "no such flag"}
    laid_out = tune.table(results)
    assert list(laid_out.columns[0].cells) == ["combined", "better", "good", "bad"]
    first, *_, last = laid_out.columns[2].cells
    assert (first, last) == ("1.300 (1.300 to 1.300)", "skipped: no such flag")
    results["good"]["ratios"] = {}  # the default has failed beside it
    assert list(tune.table(results).columns[2].cells).count("not measured") == 1
