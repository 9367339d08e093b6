import json
import statistics
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks import harness, report
from benchmarks.cpu import suite as cpu
from peclr_jax.synthetic import render

pytestmark = pytest.mark.slow

# The start of the quick start takes minutes: its parts are tested below.
AT_TOY_SIZE = [name for name in cpu.BENCHMARKS if name != "startup"]


@pytest.fixture(scope="module")
def output(tmp_path_factory, whole_module_in_process, shallow):
    """All that one command writes, at toy size."""
    path = tmp_path_factory.mktemp("benchmarks") / "cpu.json"
    photos = tmp_path_factory.mktemp("photos")
    Image.new("RGB", (24, 24), "red").save(photos / "photo.jpeg")
    flags = ["--toy", f"--only={','.join(AT_TOY_SIZE)}"]
    with pytest.MonkeyPatch.context() as patch:
        # The renderer is tested elsewhere, and takes long to compile.
        patch.setattr(render, "render_indices", fake_render)
        assert cpu.main([*flags, f"--images={photos}", f"--output={path}"]) == 0
    return path


@partial(jax.jit, static_argnames="spec")
def fake_render(key, indices, spec):
    return jax.random.uniform(key, (len(indices), spec.size, spec.size, 3))


@pytest.fixture
def result(output):
    return json.loads(output.read_text())


def test_result_says_where_it_is_from(result):
    place = result["environment"]
    assert {"processor", "cores", "device", "versions", "commit", "clean", "date"} <= place.keys()
    assert place["versions"]["jax"] == jax.__version__
    for benchmark in result["results"].values():
        assert benchmark["measured"] == {key: place[key] for key in ("commit", "clean", "date")}
        assert benchmark["settings"]["rounds"] == 2


@pytest.mark.parametrize("name", AT_TOY_SIZE)
def test_rows_hold_spreads_of_positive_figures(result, name):
    rows = harness.rows(result["results"][name])
    measured = {row: figures for row, figures in rows.items() if "skipped" not in figures}
    assert any("ours" in row or name in ("render", "ingest") for row in measured)
    for figures in measured.values():
        assert "per_second" in figures
        for one in figures.values():
            assert one["min"] <= one["median"] <= one["max"]
            assert one["median"] == statistics.median(one["rounds"])
            assert one["min"] >= 0
        assert figures["per_second"]["min"] > 0
    for reason in (figures["skipped"] for figures in rows.values() if "skipped" in figures):
        assert "pip install -r requirements-bench.txt" in reason


@pytest.mark.parametrize("name", ["ingest", "nt_xent"])
def test_ratios_follow_from_the_figures(result, name):
    benchmark = result["results"][name]
    assert benchmark["ratios"]
    for pair, figures in benchmark["ratios"].items():
        ours, peer = (benchmark[row] for row in pair.split(" / "))
        for figure, one in figures.items():
            pairs = zip(ours[figure]["rounds"], peer[figure]["rounds"], strict=True)
            assert one["rounds"] == [mine / theirs for mine, theirs in pairs]
            assert one["median"] == statistics.median(one["rounds"])


def test_report_holds_every_row(output, result):
    report = output.with_suffix(".md").read_text()
    for benchmark in result["results"].values():
        for row in harness.rows(benchmark):
            assert f"| {row} " in report or f"- {row}: skipped" in report
        assert all(f"- {pair}: " in report for pair in benchmark["ratios"])
    assert result["environment"]["processor"] in report


def test_other_results_stay_in_the_file(result, tmp_path):
    path = tmp_path / "cpu.json"
    assert cpu.merge(result, path) is result
    report.write(path, result)
    anew = {**result, "results": {"render": {"16 px": {}}}}
    merged = cpu.merge(anew, path)["results"]
    assert list(merged) == AT_TOY_SIZE
    assert merged["render"] == {"16 px": {}}
    assert merged["ingest"] == result["results"]["ingest"]
    other = {**anew, "environment": {**result["environment"], "cores": 1000}}
    with pytest.raises(ValueError, match="another machine"):
        cpu.merge(other, path)


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        cpu.main(["--only", "augmentation,nonsense"])
    assert "no benchmark nonsense; there are augmentation" in capsys.readouterr().err


def test_augmentation_states_its_rate_also_as_time(result):
    row = result["results"]["augmentation"]["ours"]
    rate, time = (row[name]["rounds"] for name in ("per_core_second", "core_ms_per_pair"))
    np.testing.assert_allclose(np.multiply(rate, time), 2000)
