"""Networks in one file: they open wherever a checkpoint is named, and answer as before."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from configs import finetune as recipes
from peclr_jax import files, specs, weights
from peclr_jax.errors import UserError
from peclr_jax.export.own_file import without_places, write_network
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.estimator import Estimator, open_estimator
from peclr_jax.networks.looking import look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.runs.initialisation import resolve
from peclr_jax.runs.spec import FinetuneSpec
from peclr_jax.tasks import predict
from peclr_jax.weights import file as weights_file
from tests.conftest import REFERENCE
from tests.marked_photos import marked

BEFORE = REFERENCE / "before_specs"


def finetuning(checkpoint, **fields):
    config = recipes.get_config("quick")
    config.update_from_flattened_dict({"init.checkpoint": str(checkpoint), **fields})
    return specs.from_config(FinetuneSpec, config)


def test_a_file_answers_as_the_run_does(heatmapped, one_file, hands):
    ours, read = open_estimator(heatmapped), open_estimator(one_file)
    expected = look_at_batch(ours, hands, "box", 16).estimate
    estimate = look_at_batch(read, hands, "box", 16).estimate
    for name in ("pose", "root_depth", "localisation"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(estimate, name), getattr(expected, name)
        )
    assert read.statistics == ours.statistics
    assert read.calibration == Calibration(-0.5, 0.8, -0.1, joints=500)
    assert read.looking == ours.looking


def test_a_file_names_no_folder_of_its_training(heatmapped, one_file):
    trained = open_network(heatmapped).description.data
    assert trained.manual_dir
    assert trained.manual_dir not in weights_file.read_note(one_file)
    data = open_network(one_file).description.data
    assert (data.manual_dir, data.data_dir, data.rendered.cache_dir) == ("", "", "")
    description = open_network(heatmapped).description
    earlier = dataclasses.replace(description, earlier_data=(trained,))
    assert without_places(earlier).earlier_data == (data,)
    assert dataclasses.replace(data, manual_dir=trained.manual_dir, data_dir=trained.data_dir) == (
        dataclasses.replace(trained, rendered=data.rendered)
    )


@pytest.mark.parametrize("half", [False, True])
def test_pretrained_networks_have_files_too(half, tmp_path):
    path, network = tmp_path / "encoder.safetensors", open_network(BEFORE / "pretrain")
    write_network(path, network, half=half)
    read = open_network(path)
    assert (read.description.model, read.source) == (network.description.model, str(path))
    atol = 1e-3 if half else 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=atol), read.variables, network.variables
    )


def test_a_network_in_the_official_layout_is_refused(opened, tmp_path):
    other = dataclasses.replace(opened, module=opened.module.clone(refiner=None))
    with pytest.raises(UserError, match="holds a network in the official layout: name a run"):
        write_network(tmp_path / "x.safetensors", other)
    assert not list(tmp_path.iterdir())


def test_a_description_of_another_network_is_refused(opened, tmp_path):
    path = tmp_path / "x.safetensors"
    wide = dataclasses.replace(opened.description.model, width=8)
    note = opened.description.to_json()
    note["config"]["model"] = specs.to_dict(wide)
    weights_file.write(path, opened.variables, json.dumps(note))
    with pytest.raises(UserError, match=r"x\.safetensors holds .* as .*, but the network that it"):
        open_network(path)


def test_released_is_a_checkpoint_like_any_other(one_file, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "_FILE", one_file)
    jax.tree.map(
        np.testing.assert_array_equal,
        open_network("released").variables,
        open_network(one_file).variables,
    )
    marked().save(tmp_path / "photo.png")
    spec = PredictSpec(images=str(tmp_path / "photo.png"), batch_size=1)
    assert predict.predict(spec, tmp_path / "out").hands == 1


@pytest.mark.parametrize("parts", ["encoder", "all"])
def test_finetuning_starts_from_a_file_and_notes_its_content(one_file, parts, monkeypatch):
    monkeypatch.setattr(weights, "_FILE", one_file)
    spec, start = resolve(finetuning("released", **{"init.parts": parts}))
    assert spec.init.sha256 == files.digest(one_file)
    assert (spec.model.width, spec.model.architecture) == (4, "resnet18")
    variables = Estimator.of(open_network(one_file)).variables
    assert set(start.variables["params"]) == (
        {"encoder"} if parts == "encoder" else set(variables["params"])
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        start.variables["params"]["encoder"],
        variables["params"]["encoder"],
    )
    assert start.source == str(one_file)
    assert start.trained_on == (open_network(one_file).description.data,)


def test_finetuning_refuses_a_file_of_other_content(one_file):
    with pytest.raises(UserError, match=r"has the SHA-256 \w+, not that of --config\.init\.sha25"):
        resolve(finetuning(one_file, **{"init.sha256": "0" * 64}))
