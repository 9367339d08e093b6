import json

import jax

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
