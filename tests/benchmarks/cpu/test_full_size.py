"""A stand-in of FreiHAND that its builder takes, and the three rows."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import process
from benchmarks.cpu import full_size
from data.freihand import layout


@pytest.mark.slow
def test_the_stand_in_is_a_freihand_of_the_numbers_asked_for(tmp_path):
    full_size.make_stand_in(tmp_path, full_size.TOY)
    training, evaluation = (layout.read_folder([tmp_path], n) for n in ("training", "evaluation"))
    assert training.num_samples == 4
    assert len(training.images) == 16
    assert len(evaluation.images) == 2
    # Two hands serve four samples, and the versions of a sample show one hand.
    inodes = [path.stat().st_ino for path in training.images]
    assert len(set(inodes)) == 2
    assert inodes[:4] == inodes[4:8]
    before = (tmp_path / "training_K.json").stat().st_mtime_ns
    full_size.make_stand_in(tmp_path, full_size.TOY)
    assert (tmp_path / "training_K.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_all_three_are_rows(tmp_path, monkeypatch, in_process):
    def run(command, environment):
        if "main.py" in command:
            workdir = next(f for f in command if f.startswith("--workdir=")).partition("=")[2]
            folder = Path(workdir)
            folder.mkdir()
            lines = [{"step": 1}, {"step": 2, "images_per_second": 7.5}]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return {"seconds": 9.0, "peak_memory_mib": 100.0}

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(full_size, "prepare_epoch", lambda **_: lambda: {"per_second": 5.0})
    settings = dataclasses.replace(full_size.TOY, folder=str(tmp_path))
    benchmark = full_size.measure(settings)
    assert benchmark[full_size.BUILT]["per_second"]["median"] == 2
    assert benchmark[full_size.TRAINED]["per_second"]["median"] == 7.5
    assert benchmark[full_size.EPOCH]["per_second"]["median"] == 5
    assert full_size.table(benchmark).row_count == 3
    assert (tmp_path / "FreiHAND_pub_v2" / "originals").is_dir()
