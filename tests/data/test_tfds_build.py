"""TFDS's own command line, in every builder's folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from absl import app

from data import build

DATA = Path(build.__file__).parent
WITH_RAW_FILES = tuple(name for name in build.DATA_SETS if name != "synthetic_hands")


@pytest.mark.parametrize("name", WITH_RAW_FILES)
def test_tfds_build(name, tmp_path, monkeypatch):
    """The records are those of `python -m data.build`; every configuration is built."""
    cli = pytest.importorskip(
        "tensorflow_datasets.scripts.cli.main", reason="needs apache-beam and mlcroissant"
    )
    monkeypatch.chdir(DATA / name)
    arguments = ["tfds", "build", "--data_dir", str(tmp_path), "--manual_dir", "dummy_data"]
    monkeypatch.setattr("sys.argv", arguments)
    # What `tfds` does but for ending the process.
    monkeypatch.setattr(app, "run", lambda main, flags_parser: main(flags_parser(arguments)))
    cli.launch_cli()
    configs = [config.name for config in build.make_builder(name, tmp_path).BUILDER_CONFIGS] or [""]
    for config in configs:
        builder = build.make_builder(f"{name}/{config}".rstrip("/"), tmp_path)
        assert builder.info.splits
        assert builder.info.file_format.value == "array_record"
        assert sum(split.num_examples for split in builder.info.splits.values()) > 0


@pytest.mark.parametrize("name", build.DATA_SETS)
def test_builder_is_found_from_within_its_folder(name):
    """`tfds build` imports the module by its folder's name, with this package not on the path."""
    code = (
        "import sys; sys.path.insert(0, '..');"
        f"from {name} import {name}_dataset_builder as b; print(b.Builder.name)"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=DATA / name, capture_output=True, text=True
    )
    assert result.stdout.strip() == name, result.stderr
