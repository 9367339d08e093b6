"""Fine-tuning, on drawings in FreiHAND's layout and networks of a few thousand weights."""

import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from configs import finetune as recipes
from configs import pretrain as pretraining
from peclr_jax.devices.mesh import data_sharding, make_mesh, shard_batch
from peclr_jax.geometry import camera
from peclr_jax.input_pipeline import make_source
from peclr_jax.networks.description import read_description
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.objectives.pose import target_in_view
from peclr_jax.runs import pose_recipe, recipe
from peclr_jax.runs.initialisation import RANDOM
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
    variables = pretrain.initialise(jax.random.key(5), recipe.make_projector(config), 16, RANDOM)
    workdir = tmp_path_factory.mktemp("pretrained")
    with Checkpoints(workdir, config.to_dict(), save_every=1) as checkpoints:
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


def encoder_of(path):
    restored = restore_params(path)
    return {name: restored[name]["encoder"] for name in ("params", "batch_stats")}


def same(a, b) -> bool:
    a, b = flatten_dict(a), flatten_dict(b)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.usefixtures("one_device")
def test_from_a_checkpoint(pretrained, records, tmp_path):
    finetune.run(small("quick", records, pretrained, num_steps=12), tmp_path)
    losses = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in losses if "loss" in record]
    assert losses[-1] < losses[0]
    assert not same(encoder_of(tmp_path), encoder_of(pretrained))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["epe_2d_px"] > 0
    assert summary["epe_2d_px_of_mean_pose"] > 0
    for name in ("labels.png", "loss.png", "train.log"):
        assert (tmp_path / name).stat().st_size > 0
    description = read_description(tmp_path)
    assert description.model.architecture == "resnet18"  # was "auto": read from the checkpoint
    assert 0.01 < description.statistics.bone_length < 0.2
    # Another run can go on from all of it.
    config, given = pose_recipe.resolve(small("quick", records, tmp_path, **{"init.parts": "all"}))
    network = pose_recipe.make_pose_network(config)
    variables = pose_recipe.initialise(jax.random.key(0), network, 16, given)
    assert same(variables["params"], restore_params(tmp_path)["params"])
    with pytest.raises(ValueError, match="goes on from a fine-tuned network"):
        pose_recipe.resolve(small("quick", records, pretrained, **{"init.parts": "all"}))
    config.model.head = "mlp"
    with pytest.raises(ValueError, match=r"the head in .* has not the tensors"):
        pose_recipe.initialise(jax.random.key(0), pose_recipe.make_pose_network(config), 16, given)
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


@pytest.mark.usefixtures("one_device")
def test_probe_of_a_random_encoder_knows_the_statistics_of_the_images(records, tmp_path):
    finetune.run(small("quick+scratch+probe", records), tmp_path)
    statistics = encoder_of(tmp_path)["batch_stats"]["bn1"]
    assert not np.allclose(statistics["mean"], 0)
    assert not np.allclose(statistics["var"], 1)


def test_starts_from_the_checkpoints_encoder(pretrained, records):
    config, given = pose_recipe.resolve(small("quick", records, pretrained))
    assert (config.model.architecture, config.model.width, config.model.stem) == (
        "resnet18",
        4,
        "small",
    )
    network = pose_recipe.make_pose_network(config)
    variables = pose_recipe.initialise(jax.random.key(0), network, 16, given)
    found = {name: variables[name]["encoder"] for name in ("params", "batch_stats")}
    assert same(found, encoder_of(pretrained))


def test_mistakes_are_named(pretrained, records, tmp_path):
    with pytest.raises(ValueError, match=r"encoder with model.width=4, the config asks for 32"):
        pose_recipe.resolve(small("quick", records, pretrained, **{"model.width": 32}))
    with pytest.raises(ValueError, match=r"resnet18.* asks for 'resnet50'"):
        pose_recipe.resolve(small("paper_rn50", records, pretrained))
    with pytest.raises(ValueError, match=r"variant .scratch"):
        pose_recipe.resolve(small("quick", records))
    with pytest.raises(FileNotFoundError, match="nothing"):
        pose_recipe.resolve(small("quick", records, tmp_path / "nothing"))
    with pytest.raises(ValueError, match="no variant 'labels_15'"):
        recipes.get_config("quick+labels_15")
    with pytest.raises(ValueError, match="no recipe 'paper'"):
        recipes.get_config("paper")
    for field, value, message in (
        ("model.head", "deep", "'linear', 'mlp'"),
        ("loss.root_depth", -1.0, "loss.root_depth must be zero or more"),
        ("loss.keypoints_2d", 0.0, "nothing to find the hand by"),
        ("optimizer.learning_rate", 0.0, "optimizer.learning_rate must be positive"),
        ("batch_size", 12, "choose a multiple of 8"),
        ("data.pairs", "versions", "data.pairs='versions' is for pre-training"),
    ):
        config = small("quick+scratch", records, **{field: value})
        with pytest.raises(ValueError, match=message):
            pose_recipe.check_finetuning(config, 8)
    with pytest.raises(ValueError, match="is a checkpoint of the task 'pretrain'"):
        open_estimator(pretrained)


@pytest.mark.parametrize("base", recipes.BASES)
@pytest.mark.parametrize("variant", ["", *recipes.VARIANTS])
def test_every_recipe_is_a_possible_one(base, variant):
    config = recipes.get_config("+".join(filter(None, (base, "scratch", variant))))
    config, _ = pose_recipe.resolve(config)
    pose_recipe.check_finetuning(config, 8)
    assert config.data.labels


def test_paper_recipe_is_the_papers():
    config = recipes.get_config("paper_rn50")
    assert (config.batch_size, config.num_epochs, config.views.size) == (128, 100, 128)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("adam", 5e-4)
    assert config.views.rotation_deg == 90
    assert config.views.scale == (0.7, 1.3)
    assert config.views.translation == (-20 / 128, 20 / 128)
    schedule = recipe.make_schedule(config, 900, config.optimizer.learning_rate)
    assert schedule.total_steps == 90_000
    np.testing.assert_allclose(schedule.learning_rate(0), 5e-4)
    np.testing.assert_allclose(schedule.learning_rate(45_000), 2.5e-4, rtol=1e-6)


@pytest.mark.usefixtures("one_device")
def test_real_photographs(records, shared, tmp_path):
    """Trains on 32 labelled photographs, and scores the 16 others."""
    photographs = str(shared / "fixtures/ge_realworld_fhlayout_mini")
    config = small(
        "quick+scratch",
        records,
        **{
            "data.manual_dir": photographs,
            "data.held_out_split": "evaluation",
            "evaluation.images": 16,
            "num_steps": 8,
        },
    )
    finetune.run(config, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["pa_epe_m"] > 0
    # Of the adults in it, by its labels: see the data set's README.
    assert 0.03 < open_estimator(tmp_path).statistics.bone_length < 0.065


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


@pytest.mark.parametrize("name", ["freihand", "dexter_object"])
def test_canvases_and_crops_are_seen_alike(name, records):
    """Right hands and left ones: of one key, nearly the same views with the same labels."""
    seen = []
    for cache in ("none", "host"):
        config = small(
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
        spec = recipe.view_spec(config)
        mesh = make_mesh(jax.devices()[:1])
        source = make_source(config.data, train=True, batch_size=4, seed=0, mesh=mesh)
        batches = source.batches(0)
        batch = next(batches)
        batches.close()
        assert ("to_source" in batch) == (cache == "none")
        view = augment(jax.random.key(1), batch["image"], spec, batch.get("to_source"), 96)
        matrix = source_to_view(view.transform, 96, spec)
        target, _ = target_in_view(batch, matrix, camera.assumed_intrinsics(spec.size))
        seen.append((np.asarray(denormalize(view.images)), target))
    (canvas, target), (crop, expected) = seen
    jax.tree.map(np.testing.assert_array_equal, target, expected)
    assert np.abs(canvas - crop).mean() < 1.5
    # A mistake of a pixel would show.
    assert np.abs(np.roll(canvas, 1, 2) - crop).mean() > 4


def test_gradient_is_that_of_the_whole_batch_on_any_number_of_devices(records):
    """Labels are warped, masked means taken and BatchNorm measured over all devices' hands."""
    config, _ = pose_recipe.resolve(small("quick+scratch", records))
    spec = recipe.view_spec(config)
    source = make_source(config.data, train=True, batch_size=8, seed=0, mesh=make_mesh())
    batch = jax.tree.map(np.asarray, next(iter(source.batches(0))))
    # Unequal shares of what is labelled: the mean of the devices' means would be another number.
    batch["keypoints_2d_valid"] = batch["keypoints_2d_valid"] & (np.arange(8)[:, None] < 3)
    network = pose_recipe.make_pose_network(config)
    variables = pose_recipe.initialise(jax.random.key(0), network, spec.size, RANDOM)
    gradients = finetune.make_gradients(config, network, spec)

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
