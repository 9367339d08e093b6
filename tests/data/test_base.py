"""What all builders share: TFDS's own command line, the format and the size of shards."""

import shutil
import subprocess
import sys
import tempfile

import pytest
import tensorflow_datasets as tfds
from absl import app
from tensorflow_datasets.core import shuffle

from data import base, build
from tests.data.records import DATA, counts, write

NAME = "freihand"
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
        assert builder.info.file_format.value == "array_record"
        assert sum(counts(builder).values()) > 0


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


def test_records_may_be_read_in_any_order_and_name_their_raw_files(dummy):
    assert dummy.info.file_format.value == "array_record"
    assert dummy.as_data_source("train")[7]["version"] == 2
    assert dummy.info.metadata["manual_dir"] == str(DATA / NAME / "dummy_data")


def test_tfds_leaves_no_folders_and_names_none_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    capsys.readouterr()
    write(NAME, DATA / NAME / "dummy_data", tmp_path / "records")
    assert capsys.readouterr().out == ""
    assert not list((tmp_path / "tmp").iterdir())


PARTS = [
    ("freihand", "training", {"evaluation"}),
    ("freihand", "evaluation", {"train", "validation"}),
    ("ho3d", "HO3D_v2/train", {"evaluation"}),
    ("ho3d", "HO3D_v2/evaluation", {"train", "validation"}),
    ("youtube_3d_hands", "youtube_train.json", {"validation", "test"}),
    ("dexter_object", "data/Grasp1", {"test"}),
]


@pytest.mark.parametrize(("name", "part", "splits"), PARTS)
def test_parts_of_a_data_set_may_be_absent(name, part, splits, tmp_path):
    raw = shutil.copytree(DATA / name / "dummy_data", tmp_path / "raw")
    (raw / part).rename(tmp_path / "part")
    (raw / f"{part}.txt").unlink(missing_ok=True)  # HO-3D's list
    builder = write(name, raw, tmp_path / "records")
    assert set(builder.info.splits) == splits
    assert len(builder.info.metadata["left_out"]) == 1


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


@pytest.mark.parametrize("make_key", [int, lambda number: 29_999 - number, str])
def test_records_are_written_without_holding_all_of_them(make_key, monkeypatch, tmp_path):
    """In the order of their numbers, or as they come: of 30,000 TFDS sorts a tenth at most."""
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
    shuffler = shuffle.Shuffler(tmp_path, "", disable_shuffling=True)
    keys = [make_key(number) for number in range(30_000)]
    for key, record in base.apart((key, {"key": key}) for key in keys):
        shuffler.add(key, str(record["key"]).encode())
    assert max(shuffler.bucket_lengths) <= 3500
    wanted = keys if isinstance(keys[0], str) else sorted(keys)
    assert [data.decode() for _, data in shuffler] == list(map(str, wanted))


def test_keys_of_very_many_records_are_known_to_tfds():
    numbers = [10**8 - 1, 10**9, 10**12]
    keys = [key for key, _ in base.apart((number, {}) for number in numbers)]
    assert keys == sorted(keys)
    assert {shuffle.get_bucket_number(key, shuffle.BUCKETS_NUMBER) for key in keys} == {999}
