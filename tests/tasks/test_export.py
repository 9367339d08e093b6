"""An export as a whole; the formats themselves are tested in tests/export."""

import json

import jax
import numpy as np
import pytest

from configs import export as recipes
from peclr_jax.export import torch_files
from peclr_jax.tasks import export
from tests.small_networks import save


def configure(checkpoint="", **fields):
    config = recipes.get_config()
    config.update_from_flattened_dict(
        {"checkpoint": str(checkpoint), "format": "safetensors", **fields}
    )
    return config


def test_what_is_written_and_printed(finetuned, tmp_path, capsys):
    export.run(configure(finetuned, batch_size=3), tmp_path)
    folder = tmp_path / "safetensors"
    printed = capsys.readouterr().out
    assert "gives our outputs on 6 views" in printed
    assert printed.rstrip().endswith((folder / "README.txt").read_text().rstrip()[-80:])
    check = json.loads((folder / "check.json").read_text())
    assert check["format"] == "safetensors"
    assert check["max_abs_difference"] == {"encoder.safetensors": {"features": 0.0}}
    assert 0 < check["tolerance"]["features"] < 1e-4 * check["peak"]["features"]
    assert (check["batch"], check["view_size"]) == (6, 16)
    assert check["versions"]["jax"] == jax.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["safetensors"]


def test_a_failed_check_leaves_nothing(finetuned, tmp_path, monkeypatch):
    export.run(configure(finetuned), tmp_path)
    before = (tmp_path / "safetensors/check.json").read_text()
    original = torch_files.reopen

    def other(file):
        function = original(file)
        return function._replace(call=lambda x: {"features": 2 * function.call(x)["features"]})

    monkeypatch.setattr(torch_files, "reopen", other)
    with pytest.raises(RuntimeError, match="nothing was kept"):
        export.run(configure(finetuned), tmp_path)
    # The older export is as it was.
    assert [path.name for path in tmp_path.iterdir()] == ["safetensors"]
    assert (tmp_path / "safetensors/check.json").read_text() == before


def test_other_folders_are_left_alone(finetuned, tmp_path):
    (tmp_path / "safetensors").mkdir()
    (tmp_path / "safetensors/thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="is there already and no export of ours"):
        export.run(configure(finetuned), tmp_path)
    assert (tmp_path / "safetensors/thesis.txt").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "onnx"}, r"--config\.format is 'onnx'.* 'torchvision', "),
        ({"batch_size": -1}, r"--config\.batch_size must lie in"),
        ({}, "no checkpoint is named"),
    ],
)
def test_impossible_configs(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.run(configure(**fields), tmp_path)


def test_checkpoints_of_no_network(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        export.run(configure(tmp_path / "nowhere"), tmp_path)
    run = save(tmp_path / "run", {"task": "knitting"}, {"params": {"a": np.zeros(1)}})
    with pytest.raises(ValueError, match="is a checkpoint of the task 'knitting'"):
        export.run(configure(run), tmp_path)


@pytest.mark.parametrize("name", ["out [1]", "a*", "back\\slash", "caf\udce9"])
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused(tmp_path, name):
    spec = export.ExportSpec(checkpoint="released", format="saved_model")
    with pytest.raises(ValueError, match=r"no saved_model can be kept in .*: choose another"):
        export.export(spec, tmp_path / name)
    assert not list(tmp_path.iterdir())
