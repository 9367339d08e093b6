import json

import jax
import pytest

from peclr_jax import specs
from peclr_jax.runs import provenance
from peclr_jax.runs.spec import PretrainSpec


def test_a_run_says_what_it_was_started_with(tmp_path):
    config = specs.to_dict(PretrainSpec())
    described = provenance.describe(config, "rendered 0123")
    lines, changed = provenance.keep(tmp_path, described)
    assert changed is None
    assert any(line.startswith("# config {") for line in lines)
    assert any(f"jax {jax.__version__}" in line for line in lines)
    assert any("8 x cpu" in line for line in lines)
    assert described["commit"] is None or len(described["commit"]) == 40
    again = provenance.describe(config, "rendered 4567") | {"platform": "tpu"}
    (*_, change), changed = provenance.keep(tmp_path, again)
    assert change.startswith("# since the run was first started, platform has changed from")
    assert changed.startswith("since the run was first started, data has changed from")
    kept = (tmp_path / provenance.FILE).read_text().splitlines()
    assert [json.loads(line)["data"] for line in kept] == ["rendered 0123", "rendered 4567"]
    assert json.loads(kept[0])["config"] == json.loads(json.dumps(config))


@pytest.mark.parametrize("broken", [b'{"data": "rend', b"\xff\xfe", b"\0\0\0\0", b"[3]"])
def test_a_broken_line_is_left_out(tmp_path, broken):
    described = provenance.describe(specs.to_dict(PretrainSpec()), "rendered 0123")
    provenance.keep(tmp_path, described)
    with (tmp_path / provenance.FILE).open("ab") as file:
        file.write(broken)  # without an end, as a killed process leaves it
    notes = []
    *_, changed = provenance.keep(tmp_path, described | {"data": "other"}, notes.append)
    assert "data has changed" in changed
    (note,) = notes
    assert "provenance.jsonl had 1 broken line(s), now left out" in note
    kept = (tmp_path / provenance.FILE).read_text().splitlines()
    assert [json.loads(line)["data"] for line in kept] == ["rendered 0123", "other"]
