"""Fine-tuning, on drawings in FreiHAND's layout and networks of a few thousand weights."""

import itertools
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from configs import finetune as recipes
from configs import pretrain as pretraining
from peclr_jax import specs, trees
from peclr_jax.devices.mesh import data_sharding, make_mesh, shard_batch
from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.input_pipeline import make_source
from peclr_jax.networks.description import read_description
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.objectives.pose import target_in_view
from peclr_jax.runs.initialisation import RANDOM, resolve
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.tasks import finetune, pretrain
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.restoring import restore_params
from peclr_jax.views.augment import augment, denormalize, source_to_view

DATA = Path(__file__).parents[2] / "data"
DUMMY = DATA / "freihand/dummy_data"

pytestmark = pytest.mark.usefixtures("shallow_throughout")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, shallow_throughout):
    """A checkpoint of pre-training, of a random network with statistics of its own."""
    config = pretraining.get_config()
    config.update_from_flattened_dict({"model.width": 4, "model.hidden": 8, "views.size": 16})
    config.seed = 5
    spec = specs.from_config(PretrainSpec, config)
    variables = pretrain.initialise(spec, spec.model.build(), RANDOM)
    workdir = tmp_path_factory.mktemp("pretrained")
    with Checkpoints(workdir, specs.to_dict(spec), save_every=1) as checkpoints:
        checkpoints.save(1, dict(variables))
    return workdir


def small(name: str, data_dir, checkpoint="", **change):
    config = recipes.get_config(name)
    config.update_from_flattened_dict(
        {
            "init.checkpoint": str(checkpoint),
            "batch_size": 8,
            "num_steps": 4,
            "model.hidden": 8,
            "views.size": 16,
            "data.source": "tfds",
            "data.manual_dir": str(DUMMY),
            "data.data_dir": str(data_dir),
            "data.split": "train+validation",
            "data.held_out_split": "train",
            "data.source_size": 24,
            "log.every_steps": 1,
            "log.images": 2,
            "evaluation.images": 12,
        }
        | ({} if checkpoint else {"model.width": 4})
        | change
    )
    return config


def spec_of(*arguments, **change) -> FinetuneSpec:
    return specs.from_config(FinetuneSpec, small(*arguments, **change))


def started(spec):
    """The resolved spec of a run, its network, and the variables that it begins with."""
    spec, given = resolve(spec)
    network = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    return spec, network, finetune.initialise(spec, network, given)


def encoder_of(path):
    restored = restore_params(path)
    return {name: restored[name]["encoder"] for name in ("params", "batch_stats")}


def same(a, b) -> bool:
    a, b = flatten_dict(a), flatten_dict(b)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.usefixtures("one_device")
def test_from_a_checkpoint(pretrained, records, tmp_path, capsys):
    finetune.run(small("quick", records, pretrained, num_steps=12), tmp_path)
    losses = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in losses if "loss" in record]
    assert losses[-1] < losses[0]
    assert not same(encoder_of(tmp_path), encoder_of(pretrained))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["epe_2d_px"] > 0
    assert summary["epe_2d_px_of_mean_pose"] > 0
    assert summary["averaged_over"]["pa_epe_m"] == "all 21 joints of 12 hands"
    assert summary["monitored_on"].startswith("12 training images: freihand (train) (the splits")
    said = " ".join(capsys.readouterr().out.split())
    assert "monitored on 12 training images" in said
    assert "On 12 training images" in said
    assert "Means over all 21 joints of 12 hands." in said
    for name in ("labels.png", "loss.png", "train.log"):
        assert (tmp_path / name).stat().st_size > 0
    description = read_description(tmp_path)
    assert description.model.architecture == "resnet18"  # was "auto": read from the checkpoint
    assert 0.01 < description.statistics.bone_length < 0.2
    # Another run can go on from all of it.
    everything = {"init.parts": "all"}
    _, _, variables = started(spec_of("quick", records, tmp_path, **everything))
    assert same(variables["params"], restore_params(tmp_path)["params"])
    with pytest.raises(ValueError, match="goes on from a fine-tuned network"):
        resolve(spec_of("quick", records, pretrained, **everything))
    with pytest.raises(ValueError, match=r"the head in .* has not the tensors"):
        started(spec_of("quick", records, tmp_path, **everything, **{"model.head": "mlp"}))
    # Started again, it has nothing to do; under another config it refuses.
    finetune.run(small("quick", records, pretrained, num_steps=12), tmp_path)
    with pytest.raises(ValueError, match=r"holds a run of another config .*num_steps 12 -> 13"):
        finetune.run(small("quick", records, pretrained, num_steps=13), tmp_path)


@pytest.mark.usefixtures("one_device")
def test_probe_leaves_the_encoder_alone(pretrained, records, tmp_path):
    finetune.run(small("quick+probe", records, pretrained), tmp_path)
    assert same(encoder_of(tmp_path), encoder_of(pretrained))
    head = restore_params(tmp_path)["params"]["head"]
    assert head.keys() == {"hidden1", "pose"}


@pytest.mark.slow
@pytest.mark.usefixtures("one_device")
def test_probe_of_a_random_encoder_knows_the_statistics_of_the_images(records, tmp_path):
    config = small("quick+scratch+probe", records)
    finetune.run(config, tmp_path)
    found = encoder_of(tmp_path)
    # The mean over batches, of which none of the initial zeros and ones is left.
    spec, network, variables = started(specs.from_config(FinetuneSpec, config))
    mesh = make_mesh(jax.devices()[:1])
    source = make_source(spec.data, batch_size=8, seed=spec.seed, mesh=mesh)

    @jax.jit
    def of_one(step, batch):
        key = jax.random.fold_in(spec.key(finetune._STATISTICS), step)
        view = augment(key, batch["image"], spec.views, batch["to_source"], spec.data.source_size)
        x = network.encoder.apply(
            {"params": variables["params"]["encoder"], "batch_stats": found["batch_stats"]},
            view.images,
            train=True,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: module.name == "conv1",
        )[1]["intermediates"]["conv1"]["__call__"][0]
        return x.mean((0, 1, 2)), jnp.var(x, (0, 1, 2), ddof=1)

    batches = itertools.islice(source.batches(0), finetune._STATISTICS_BATCHES)
    means, variances = zip(*itertools.starmap(of_one, enumerate(batches)), strict=True)
    statistics = found["batch_stats"]["bn1"]
    np.testing.assert_allclose(statistics["mean"], np.mean(means, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics["var"], np.mean(variances, 0), rtol=1e-4)


def test_starts_from_the_checkpoints_encoder(pretrained, records):
    spec, _, variables = started(spec_of("quick", records, pretrained))
    assert (spec.model.architecture, spec.model.width, spec.model.stem) == ("resnet18", 4, "small")
    found = {name: variables[name]["encoder"] for name in ("params", "batch_stats")}
    assert same(found, encoder_of(pretrained))
    assert spec.init.sha256 == trees.digest(restore_params(pretrained))
    with pytest.raises(UserError, match=rf"{pretrained}/checkpoints/1 has the SHA-256 "):
        resolve(spec_of("quick", records, pretrained, **{"init.sha256": "0" * 64}))


def test_mistakes_are_named(pretrained, records, tmp_path):
    with pytest.raises(ValueError, match=r"encoder with model.width=4, the config asks for 32"):
        resolve(spec_of("quick", records, pretrained, **{"model.width": 32}))
    with pytest.raises(ValueError, match=r"resnet18.* asks for 'resnet50'"):
        resolve(spec_of("paper_rn50", records, pretrained, **{"views.size": 32}))
    with pytest.raises(ValueError, match=r"variant .scratch"):
        resolve(spec_of("quick", records))
    with pytest.raises(FileNotFoundError, match="nothing"):
        resolve(spec_of("quick", records, tmp_path / "nothing"))
    with pytest.raises(ValueError, match="is a checkpoint of the task 'pretrain'"):
        open_estimator(pretrained)


@pytest.mark.slow
@pytest.mark.usefixtures("one_device")
def test_real_photographs(records, shared, tmp_path):
    """Trains on 32 labelled photographs, and scores the 16 others."""
    change = {
        "data.manual_dir": str(shared / "fixtures/ge_realworld_fhlayout_mini"),
        "data.held_out_split": "evaluation",
        "evaluation.images": 16,
        "num_steps": 8,
    }
    finetune.run(small("quick+scratch", records, **change), tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["pa_epe_m"] > 0
    assert summary["monitored_on"] == "16 held-out images: freihand (evaluation)"
    # Of the adults in it, by its labels: see the data set's README.
    assert 0.03 < read_description(tmp_path).statistics.bone_length < 0.065


@pytest.mark.slow
@pytest.mark.usefixtures("one_device")
def test_labelled_photos_without_a_camera(records, tmp_path):
    drawings = DATA / "image_folder/dummy_data"
    (hand,) = json.loads((drawings / "boxes.json").read_text())["table.jpg"]
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [f"{number}.jpg" for number in range(10)]
    for name in names:
        shutil.copy(drawings / "table.jpg", photos / name)
    (photos / "boxes.json").write_text(json.dumps({name: [hand] for name in names}))
    change = {
        "data.names": "image_folder",
        "data.manual_dir": str(photos),
        "data.split": "train",
        "data.held_out_split": "validation",
        "num_steps": 3,
    }
    finetune.run(small("quick+scratch", records, **change), tmp_path)
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line for line in lines if "loss" in line]
    assert losses
    assert all(np.isfinite(list(line.values())).all() for line in losses)
    assert {line["loss_root_depth"] for line in losses} == {0}
    assert any(line["loss_relative_depth"] > 0 for line in losses)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["epe_2d_px"] > 0
    assert summary["pa_epe_m"] > 0  # asks for joints in space alone
    assert 0.01 < read_description(tmp_path).statistics.bone_length < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("one_device", "cheap_rendering")
def test_rendered_hands_and_records_together(records, tmp_path):
    change = {
        "data.names": "rendered,freihand",
        "data.weights": "1,3",
        "data.split": "train",
        "data.held_out_split": "validation",
        "data.rendered.count": 16,
        "data.rendered.held_out": 8,
        "data.rendered.cache_dir": "",
    }
    finetune.run(small("quick+scratch", records, **change), tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["epe_2d_px"] > 0
    losses = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line).get("loss", 0)) for line in losses)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["freihand", "dexter_object"])
def test_canvases_and_crops_are_seen_alike(name, records):
    """Right hands and left ones: of one key, nearly the same views with the same labels."""
    seen = []
    for cache in ("none", "host"):
        spec = spec_of(
            "quick+scratch",
            records,
            **{
                "data.names": name,
                "data.manual_dir": str(DATA / name / "dummy_data"),
                "data.split": {"freihand": "train", "dexter_object": "test"}[name],
                "data.held_out_split": "test",
                "data.source_size": 96,
                "data.cache": cache,
                "views.size": 64,
                "views.color_jitter": False,
            },
        )
        mesh = make_mesh(jax.devices()[:1])
        source = make_source(spec.data, batch_size=4, seed=0, mesh=mesh)
        batches = source.batches(0)
        batch = next(batches)
        batches.close()
        assert ("to_source" in batch) == (cache == "none")
        views = spec.views
        view = augment(jax.random.key(1), batch["image"], views, batch.get("to_source"), 96)
        matrix = source_to_view(view.transform, 96, views)
        target, _ = target_in_view(batch, matrix, camera.assumed_intrinsics(views.size))
        seen.append((np.asarray(denormalize(view.images)), target))
    (canvas, target), (crop, expected) = seen
    jax.tree.map(np.testing.assert_array_equal, target, expected)
    assert np.abs(canvas - crop).mean() < 1.5
    # A mistake of a pixel would show.
    assert np.abs(np.roll(canvas, 1, 2) - crop).mean() > 4


def test_gradient_is_that_of_the_whole_batch_on_any_number_of_devices(records):
    """Labels are warped, masked means taken and BatchNorm measured over all devices' hands."""
    spec, network, variables = started(spec_of("quick+scratch", records))
    source = make_source(spec.data, batch_size=8, seed=0, mesh=make_mesh())
    batch = jax.tree.map(np.asarray, next(iter(source.batches(0))))
    # Unequal shares of what is labelled: the mean of the devices' means would be another number.
    batch["keypoints_2d_valid"] = batch["keypoints_2d_valid"] & (np.arange(8)[:, None] < 3)
    gradients = finetune.make_gradients(spec, network)

    def loss(devices):
        mesh = make_mesh(devices)
        compute = jax.jit(gradients, in_shardings=(None, None, data_sharding(mesh), None))
        result = compute(
            variables["params"],
            variables["batch_stats"],
            shard_batch(batch, mesh),
            jax.random.key(1),
        )
        return result.loss, optax.tree.norm(result.gradients)

    np.testing.assert_allclose(loss(jax.devices()), loss(jax.devices()[:1]), rtol=1e-4)
