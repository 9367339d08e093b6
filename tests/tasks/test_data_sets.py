"""Every data set, from raw files in its official layout to pre-training and evaluation."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import evaluate as evaluation
from configs import pretrain as pretraining
from data import build
from peclr_jax import input_pipeline, specs
from peclr_jax.networks.spec import EvaluateSpec
from peclr_jax.tasks import evaluate, pretrain

DATA = Path(__file__).parents[2] / "data"
RAW = {
    "freihand": DATA / "freihand/dummy_data",
    "youtube_3d_hands": DATA / "youtube_3d_hands/dummy_data",
    "ho3d/v2": DATA / "ho3d/dummy_data",
    "dexter_object": DATA / "dexter_object/dummy_data",
    "image_folder": DATA / "image_folder/dummy_data",
}
SPLITS = {"dexter_object": "test"}  # a test set, but nothing forbids
# What can be measured with the labels of each.
MEASURED = {
    "freihand": ("3d", "pa", "2d"),
    "youtube_3d_hands": ("2d",),
    "ho3d/v2": ("3d", "pa", "2d"),
    "dexter_object": ("3d", "pa", "2d"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", ["freihand,youtube_3d_hands", "ho3d/v2", "dexter_object", "image_folder"]
)
@pytest.mark.usefixtures("one_device", "shallow")
def test_pretraining(names, records, tmp_path, monkeypatch):
    """A few steps, on the paper's two data sets in equal shares and on each of the others."""
    monkeypatch.setattr(jax, "device_count", lambda: 1)  # too few images for eight
    config = pretraining.get_config()
    config.update_from_flattened_dict(
        {
            "batch_size": 2,
            "num_steps": 5,
            "model.width": 4,
            "model.hidden": 8,
            "model.num_points": 4,
            "views.size": 16,
            "data.source": "tfds",
            "data.names": names,
            "data.manual_dir": ",".join(str(RAW[name]) for name in names.split(",")),
            "data.data_dir": str(records),
            "data.split": SPLITS.get(names, "train"),
            "data.cache": "host" if names == "image_folder" else "none",
            "data.source_size": 24,
            "log.every_steps": 1,
            "log.pairs": 2,
            "evaluation.images": 2,
        }
    )
    pretrain.run(config, tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert len(losses) == 5
    assert all(map(math.isfinite, losses))


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_evaluation(name, finetuned, records, tmp_path):
    config = evaluation.get_config()
    config.update_from_flattened_dict(
        {
            "checkpoint": str(finetuned),
            "batch_size": 4,
            "resamples": 0,
            "pictures": 2,
            "bone_length": "mean",
            "data.names": name,
            "data.manual_dir": str(RAW[name]),
            "data.data_dir": str(records),
            # The labels of HO-3D's evaluation are elsewhere.
            "split": "validation" if name.startswith("ho3d") else "",
        }
    )
    found = evaluate.evaluate(specs.from_config(EvaluateSpec, config), tmp_path)["prediction"]
    measured = {kind for kind in ("3d", "pa", "2d") if found[kind] is not None}
    assert measured == set(MEASURED[name])
    assert (tmp_path / "worst.png").is_file()


def test_left_hands_come_as_right_ones(records):
    """Image and labels mirrored together: joints project onto their keypoints, x is turned."""
    data = input_pipeline.DataSpec(
        source="tfds",
        names="dexter_object",
        manual_dir=str(RAW["dexter_object"]),
        data_dir=str(records),
        source_size=64,
        labels=True,
    )
    (batch,) = input_pipeline.open_split(data, "test", batch_size=64).batches()
    stored = list(build.make_builder("dexter_object", records).as_data_source("test"))
    assert batch["mirrored"].all()
    valid = batch["keypoints_2d_valid"]
    projected = np.einsum("nij,nkj->nki", batch["intrinsics"], batch["keypoints_3d"])[valid]
    shown = batch["keypoints_2d"]
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], shown[valid], atol=1e-2)
    for row, record in enumerate(stored):
        points = batch["crop_scale"][row] * record["keypoints_2d"] + batch["crop_shift"][row]
        points[:, 0] = 63 - points[:, 0]
        np.testing.assert_allclose(shown[row][valid[row]], points[valid[row]], atol=1e-3)
