"""The whole task, on hands small enough to train on in seconds."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import pretrain as recipes
from peclr_jax import specs
from peclr_jax.devices.mesh import make_mesh, replicate, shard_batch
from peclr_jax.errors import UserError
from peclr_jax.geometry import affine
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.objectives.spec import ContrastiveLossSpec
from peclr_jax.runs.initialisation import RANDOM
from peclr_jax.runs.resuming import SUMMARY
from peclr_jax.runs.spec import PretrainSpec
from peclr_jax.tasks import pretrain
from peclr_jax.training import trainer
from peclr_jax.training.restoring import restore_params
from peclr_jax.views.augment import source_to_view

ROOT = Path(__file__).parents[2]
SMALL = {
    "batch_size": 16,
    "num_steps": 6,
    "model.width": 4,
    "model.hidden": 16,
    "model.num_points": 8,
    "data.source_size": 24,
    "data.rendered.size": 24,
    "data.rendered.count": 32,
    "data.rendered.held_out": 16,
    "data.rendered.chunk": 16,
    "views.size": 16,
    "log.every_steps": 1,
    "log.pairs": 2,
    "evaluation.images": 16,
}


def small(**change) -> ConfigDict:
    config = recipes.get_config()
    config.update_from_flattened_dict(SMALL | change)
    return config


def small_spec(**change) -> PretrainSpec:
    return specs.from_config(PretrainSpec, small(**change))


def command(workdir, *flags):
    fields = [f"--config.{name}={value}" for name, value in SMALL.items()]
    main = [sys.executable, str(ROOT / "main.py"), f"--config={ROOT}/configs/pretrain.py"]
    return [*main, *fields, f"--workdir={workdir}", *flags]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of a subprocess: one device, and programs compiled once for all of them."""
    cache = tmp_path_factory.mktemp("compiled")
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def refused(environment):
    """Returns what a command that ends as a user's mistake says."""

    def run(*arguments):
        result = subprocess.run(
            command(*arguments), env=environment, capture_output=True, text=True, cwd=ROOT
        )
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        return result.stderr

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    """An uninterrupted run by the command line, and what it printed."""
    workdir = tmp_path_factory.mktemp("finished")
    # Run as __main__ within a program that looks at the modules afterwards.
    program = (
        "import atexit, runpy, sys; "
        "atexit.register(lambda: print('TENSORFLOW', 'tensorflow' in sys.modules)); "
        f"sys.argv = {command(workdir)[1:]!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"JAX_LOG_COMPILES": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return workdir, result.stdout


def test_a_run_leaves_what_it_promises(finished):
    workdir, printed = finished
    for name in ("views.png", "loss.png", "train.log", "metrics.jsonl", "summary.json"):
        assert (workdir / name).stat().st_size > 0, name
    assert list((workdir / "tensorboard").iterdir())
    assert [p.name for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()] == ["6"]
    summary = json.loads((workdir / "summary.json").read_text())
    for when in ("before", "after"):
        assert 0 <= summary[when]["retrieval_top1"] <= 1
        assert 0 < summary[when]["equivariance_error"] < 10
    assert "top-1 retrieval" in printed
    assert "images/s" in printed
    assert not list(workdir.glob("*.partial"))


def test_weights_need_keypoints(caplog):
    weighted = PretrainSpec(
        loss=ContrastiveLossSpec(weights="adaptive"), data=DataSpec(labels=True)
    )
    examples = {"image": np.zeros((2, 8, 8, 3)), "keypoints_2d_valid": np.zeros((2, 21), bool)}
    pretrain.check_keypoints(PretrainSpec(), {"image": examples["image"]})
    with pytest.raises(UserError, match="but none of 2 held-out images has any: use 'equal'"):
        pretrain.check_keypoints(weighted, examples)
    examples["keypoints_2d_valid"][1, 3] = True
    with caplog.at_level("WARNING", "absl"):
        pretrain.check_keypoints(weighted, examples)
    assert "1 of 2 held-out images lack keypoints" in caplog.text


@pytest.mark.usefixtures("cheap_rendering", "shallow")
def test_what_trains_again_is_not_finished(tmp_path, monkeypatch):
    (tmp_path / SUMMARY).write_text("{}")
    monkeypatch.setattr(trainer, "fit", mock.Mock(side_effect=InterruptedError))
    with pytest.raises(InterruptedError):
        pretrain.pretrain(small_spec(), tmp_path)
    assert not (tmp_path / SUMMARY).exists()


def test_rendered_hands_do_without_tensorflow(finished):
    assert "TENSORFLOW False" in finished[1]


def test_hardly_a_program_is_made_before_the_first_step_but_its_own(finished):
    """Each operation outside of a program would be one by itself: there were ninety."""
    start = finished[1].partition("step 1/6")[0]
    programs = re.findall(r"Finished XLA compilation of jit\((\w+)\)", start)
    assert "train_step" in programs
    assert len(programs) <= 10, programs


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(finished, tmp_path, environment):
    """SIGKILL after some step; the rest of the run must not notice."""
    workdir, _ = finished
    # By step 3 the checkpoint of step 1 is complete: saving that of step 2 waited for it.
    flags = ["--config.checkpoint.every_steps=1"]
    with subprocess.Popen(
        command(tmp_path, *flags), env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("step 3/6"):
                process.send_signal(signal.SIGKILL)
                break
    subprocess.run(command(tmp_path, *flags), env=environment, check=True, capture_output=True)
    assert "resuming after step" in (tmp_path / "train.log").read_text()
    expected, resumed = restore_params(workdir), restore_params(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, expected, resumed)


def test_another_config_is_not_resumed(finished, refused):
    said = refused(finished[0], "--config.loss.temperature=0.2")
    assert "loss.temperature 0.5 -> 0.2" in said


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--config.batchsize=3", 'Did you mean "batch_size"'),
        ("--config.views.rotation=3", 'Did you mean "rotation_deg"'),
        ("--config.loss.objective=byol", "is 'byol', none of 'peclr'"),
        ("--config=configs/pretrian.py", "cannot be read; the recipes are in"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(flag, sentence, tmp_path, refused):
    assert sentence in refused(tmp_path / "none", flag)
    assert not (tmp_path / "none").exists()


def losses_in(workdir):
    """The losses of a run's steps, all of which are finite."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    losses = [record["loss"] for record in records if "loss" in record]
    assert np.isfinite(losses).all()
    return losses


def training_on(num_devices, spec, steps):
    """Returns the loss curve of the real training step as a function of the batch."""
    mesh = make_mesh(jax.devices()[:num_devices])
    model = spec.model.build()
    schedule = spec.schedule(steps, spec.peak_learning_rate)
    optimizer = spec.optimizer.build(schedule.learning_rate)
    variables = jax.device_get(pretrain.initialise(spec, model, RANDOM))
    step = trainer.make_train_step(pretrain.make_gradients(spec, model), optimizer, mesh=mesh)

    def losses(batch):
        state = replicate(trainer.create_state(variables, optimizer), mesh)
        batch, found = shard_batch(batch, mesh), []
        for _ in range(steps):
            state, metrics = step(state, batch, jax.random.key(0))
            found.append(float(metrics["loss"]))
        return np.asarray(found)

    return losses


def assert_the_same_losses(spec, batch):
    one, eight = (training_on(n, spec, spec.num_steps)(batch) for n in (1, 8))
    np.testing.assert_allclose(eight, one, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("manual_dir", ["{0}", "other,{0}/", "{0}/../photos"])
def test_the_folder_of_the_photos_is_no_workdir(tmp_path, manual_dir):
    """Pictures that a run writes there would be photos to train on when it resumes."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ",".join(["image_folder"] * (1 + manual_dir.count(",")))
    fields = {"source": "tfds", "names": names, "manual_dir": manual_dir.format(photos)}
    spec = small_spec(**{f"data.{name}": value for name, value in fields.items()})
    with pytest.raises(ValueError, match=r"--workdir=.*photos is the folder of the data"):
        pretrain.pretrain(spec, photos)
    assert not list(photos.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("three_blocks")
def test_one_and_eight_devices_have_the_same_losses():
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 24, 3), np.uint8)
    assert_the_same_losses(small_spec(num_steps=20), {"image": image})


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
def test_so_they_have_by_cached_gradients_of_canvases_and_partners():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (16, 24, 24, 3), np.uint8)
    corners = random.uniform(0, 8, (16, 2, 1))
    to_source = np.concatenate([np.tile(np.eye(2) * 0.7, (16, 1, 1)), corners], -1)
    to_source = to_source.astype(np.float32)
    batch = {
        "image": image,
        "to_source": to_source,
        # Other versions, carried through both passes of the cached gradients.
        "partner": 255 - image,
        "partner_to_source": to_source[::-1].copy(),
    }
    change = {"negatives": "global", "micro_batches": 2, "loss.chunk": 8}
    assert_the_same_losses(small_spec(**{"num_steps": 20} | change), batch)


@pytest.mark.usefixtures("shallow")
def test_the_second_view_is_the_partners():
    spec = small_spec(num_steps=1)
    random = np.random.default_rng(0)
    image, other = random.integers(0, 256, (2, 16, 24, 24, 3), np.uint8)
    losses = training_on(1, spec, 1)
    alone, itself, another = (
        losses({"image": image} | partner)[0]
        for partner in ({}, {"partner": image}, {"partner": other})
    )
    np.testing.assert_allclose(itself, alone, rtol=1e-6)
    assert abs(another - alone) > 1e-3


@pytest.mark.slow
@pytest.mark.usefixtures("one_device", "cheap_rendering", "shallow")
@pytest.mark.parametrize("source", ["rendered", "tfds"])
def test_a_run_on_pairs_of_versions(source, records, tmp_path):
    change = {"data.pairs": "versions", "num_steps": 2}
    if source == "rendered":
        change |= {
            "data.rendered.versions": 2,
            "data.rendered.background": "green,clutter",
            "data.rendered.cache_dir": "",
        }
    else:
        change |= {
            "negatives": "global",
            "micro_batches": 2,
            "data.source": "tfds",
            "data.manual_dir": str(ROOT / "data/freihand/dummy_data"),
            "data.data_dir": str(records),
            "data.split": "train+validation",
            "evaluation.images": 4,
        }
    pretrain.run(small(**change), tmp_path)
    assert len(losses_in(tmp_path)) == 2
    assert json.loads((tmp_path / "summary.json").read_text())["after"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_device", "cheap_rendering")
@pytest.mark.parametrize(
    ("variant", "negatives", "network"),
    [
        ("mined+weighted", "global", "shallow"),
        ("maps+best", "micro", "three_blocks"),
        ("frames+weighted", "micro", "shallow"),
    ],
)
def test_a_run_of_what_came_after(variant, negatives, network, tmp_path, request):
    request.getfixturevalue(network)
    config = recipes.get_config(f"quick+{variant}")
    change = {"num_steps": 2, "data.rendered.cache_dir": ""}
    if negatives == "global":
        change |= {"negatives": "global", "micro_batches": 2}
    config.update_from_flattened_dict(SMALL | change)
    pretrain.run(config, tmp_path)
    assert len(losses_in(tmp_path)) == 2
    assert ('"maps"' in (tmp_path / "metrics.jsonl").read_text()) == ("maps" in variant)


def labelled(random):
    """A batch of pairs with their joints in the source."""
    image, partner = random.integers(0, 256, (2, 16, 24, 24, 3), np.uint8)
    own, others = random.uniform(0, 24, (2, 16, 21, 2)).astype(np.float32)
    valid = np.ones((16, 21), bool)
    return {
        "image": image,
        "partner": partner,
        "keypoints_2d": own,
        "keypoints_2d_valid": valid,
        "partner_keypoints_2d": others,
        "partner_keypoints_2d_valid": valid,
    }


def test_joints_are_moved_into_the_views():
    """A joint is where its pixel is, in views of either image of a pair."""
    batch = jax.tree.map(jax.numpy.asarray, labelled(np.random.default_rng(0)))
    spec = small_spec()
    transform = affine.sample(
        jax.random.key(0), 32, rotation=0.5, scale=(0.8, 1.2), translation=(-0.1, 0.1)
    )
    points, valid = pretrain.joints_in_views(spec, batch, transform)
    source = np.concatenate([batch["keypoints_2d"], batch["partner_keypoints_2d"]])
    matrix = source_to_view(transform, spec.data.source_size, spec.views)
    np.testing.assert_allclose(points, affine.apply_to_points(matrix, source), atol=1e-4)
    assert valid.shape == (32, 21)
    alone = {name: array for name, array in batch.items() if "partner" not in name}
    points, _ = pretrain.joints_in_views(spec, alone, transform)
    twice = np.concatenate(2 * [batch["keypoints_2d"]])
    np.testing.assert_allclose(points, affine.apply_to_points(matrix, twice), atol=1e-4)
    assert pretrain.joints_in_views(spec, {"image": batch["image"]}, transform) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"loss.weights": "adaptive", "data.labels": True}, {"loss.maps": 1.0}],
)
def test_devices_do_not_change_the_losses_of_what_came_after(change):
    spec = small_spec(num_steps=3, **change)
    assert_the_same_losses(spec, labelled(np.random.default_rng(0)))


@pytest.mark.slow
def test_it_learns_from_real_photographs(shared, tmp_path, one_device):
    """The builder, tf.data and 24 steps on two sets of photographs, one without 3D labels."""
    fixtures = shared / "fixtures"
    folders = [fixtures / "ge_realworld_fhlayout_mini", fixtures / "freihand_mini"]
    config = small(
        **{
            "data.source": "tfds",
            "data.names": "freihand,freihand",
            "data.weights": "7,1",
            "data.manual_dir": ",".join(map(str, folders)),
            "data.data_dir": str(tmp_path / "records"),
            "data.source_size": 48,
            "views.size": 32,
            # So little that one can tell the photographs apart within seconds.
            "views.rotation_deg": 20.0,
            "views.scale": (0.9, 1.1),
            "views.translation": (-0.05, 0.05),
            "model.width": 8,
            "model.num_points": 64,
            "num_steps": 24,
            "loss.temperature": 0.2,
            "optimizer.learning_rate": 1e-2,
        }
    )
    pretrain.run(config, tmp_path / "run")
    losses = losses_in(tmp_path / "run")
    assert len(losses) == 24
    by_chance = np.log(2 * 16 - 1)
    assert np.mean(losses[:6]) > by_chance
    assert np.mean(losses[-6:]) < by_chance - 0.2
    assert (tmp_path / "run" / "views.png").stat().st_size > 0
