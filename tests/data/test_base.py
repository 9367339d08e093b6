"""What all builders share: TFDS's own command line, the format and the size of shards."""

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
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


IMPORTED_IN_ITS_FOLDER = """
import importlib, os, sys
sys.path.insert(0, "..")
for name in sys.argv[1:]:
    os.chdir(f"../{name}")
    path = list(sys.path)
    print(importlib.import_module(f"{name}.{name}_dataset_builder").Builder.name)
    sys.path[:] = path
    for module in [m for m in sys.modules if m.partition(".")[0] in ("data", "peclr_jax")]:
        del sys.modules[module]
"""


def test_builders_are_found_from_within_their_folders():
    """`tfds build` imports a module by its folder's name, with this package not on the path."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTED_IN_ITS_FOLDER, *build.DATA_SETS],
        cwd=DATA / "freihand",
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == list(build.DATA_SETS), result.stderr


def test_records_may_be_read_in_any_order_and_name_their_raw_files(prepared):
    raw = DATA / "freihand/dummy_data"
    info = prepared("freihand", raw).info
    assert info.file_format.value == "array_record"
    assert info.metadata["manual_dir"] == str(raw)


def test_shards_are_small_unless_told_otherwise(monkeypatch, tmp_path):
    sizes = []
    monkeypatch.setattr(
        tfds.core.GeneratorBasedBuilder,
        "download_and_prepare",
        lambda self, download_config: sizes.append(download_config.min_shard_size),
    )
    builder = build.make_builder("freihand", tmp_path)
    for config in (None, tfds.download.DownloadConfig(min_shard_size=5)):
        builder.download_and_prepare(download_config=config)
    assert sizes == [16 << 20, 5]
