"""The commands on results of experiments."""

import json
import sys

import pytest

from peclr_jax.experiments.spec import STEPS
from scripts import merge_results, steps_figure
from tests.experiments.test_merging import WHOLE, results


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    """Runs a command in an empty folder; returns its exit code and what it says."""

    def run(command, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        code = command.main()
        return code, "".join(capfd.readouterr())

    return run


@pytest.fixture
def files(tmp_path):
    for name, found in (("one", results((0,))), ("two", results((1, 2))), ("bad", {"arms": {}})):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    (tmp_path / "half.json").write_text(json.dumps(WHOLE)[:100])
    return tmp_path


def test_seeds_are_merged_into_one_page(call, files):
    assert call(merge_results, "one.json", "two.json", "--out=both/of") == (
        0,
        "Written: both/of/results.md\n",
    )
    assert json.loads((files / "both/of/results.json").read_text()) == WHOLE


@pytest.mark.parametrize("command", [merge_results, steps_figure])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.json", "none.json not there: name results.json of experiments"),
        ("bad.json", "bad.json is no results.json of an experiment"),
        ("half.json", "half.json is damaged"),
    ],
)
def test_what_is_no_result_is_told_in_a_sentence(call, files, command, name, said):
    flags = ["--evaluation=held_out"] if command is steps_figure else []
    code, text = call(command, "one.json", name, "--out=new/place", *flags)
    assert code == 2
    assert text.startswith(f"error: {said}")
    assert not (files / "new").exists()


def test_results_without_steps_are_told_in_a_sentence(call, files):
    code, text = call(steps_figure, "one.json", "--evaluation=held_out", "--out=steps.png")
    assert code == 2
    assert "'course'" in text


def test_errors_over_steps_are_drawn(call, files):
    found = results((0, 1, 2)) | {"x_label": STEPS}
    for x, (name, arm) in enumerate(found["arms"].items()):
        arm.update(series=name, x=2.0**x)
    (files / "course.json").write_text(json.dumps(found))
    flags = ["--evaluation=held_out", "--out=steps.png"]
    assert call(steps_figure, "course.json", *flags) == (0, "Written: steps.png\n")
    assert (files / "steps.png").stat().st_size > 1000
