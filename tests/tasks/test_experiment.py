"""Tables and figures of the paper at the scale `smoke`: trained, evaluated, told."""

import dataclasses
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import released
from configs.experiments import common, real_photos, table1
from data import freihand
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.experiments import plan as plans
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import fingerprint_of_records
from peclr_jax.tasks import experiment
from tests.experiments.test_plan import FILES

pytestmark = pytest.mark.usefixtures("shallow_throughout", "one_device", "cheap_rendering")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Where the experiments of this file keep their networks, some of which they share."""
    return tmp_path_factory.mktemp("networks")


def smoke(file, networks, recipe="smoke+one_seed"):
    config = importlib.import_module(f"configs.experiments.{file}").get_config(recipe)
    config.networks_dir = str(networks)
    for stage in (config.pretrain, config.finetune):
        stage.data.rendered.cache_dir = str(networks / "rendered")
    return config


@pytest.mark.parametrize(
    ("file", "recipe", "field", "arm"),
    [
        ("figure6", "cpu", "finetune.data.label_fraction", "scratch_20"),
        ("table1", "cpu+length", "pretrain.num_steps", "simclr_100"),
    ],
)
def test_a_flag_for_what_every_arm_sets_is_refused(file, recipe, field, arm, networks):
    spec = specs.from_config(ExperimentSpec, smoke(file, networks, recipe))
    with pytest.raises(
        UserError, match=rf"^--config.{field} changes .* by --config.arms.{arm}.{field}"
    ):
        experiment.check_changed(spec, {"seeds": (0,), field: 1})
    spec = specs.from_config(ExperimentSpec, smoke("table1", networks, "cpu"))
    experiment.check_changed(spec, {field: 1, "pretrain.views.scale": (1.0, 2.0)})


def results_in(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_arms_one_by_one_and_what_they_come_to(networks, tmp_path, capsys):
    config = smoke("table1", networks)
    common.with_equivariance(config)
    for name in ("equivariance", "simclr_taught"):
        del config.comparisons[name]
    config.paper.held_out = {}
    del config.arms["simclr"]
    config.only = "random"
    experiment.run(config, tmp_path)
    results = results_in(tmp_path)
    assert results["unfinished"] == ["peclr, seed 0"]
    assert not results["comparisons"]["held_out"]["peclr_taught"]["shown"]
    assert results["equivariance"] == {}
    assert (
        "Not on this page, left out or not finished: peclr."
        in (tmp_path / "results.md").read_text()
    )

    spec = dataclasses.replace(specs.from_config(ExperimentSpec, config), only="")
    (run,) = [run for run in plans.plan(spec) if run.arm == "random"]
    trained = (run.network / "train.log").stat().st_mtime_ns
    capsys.readouterr()
    experiment.experiment(spec, tmp_path)
    assert capsys.readouterr().out.count("finished before") == 1
    assert (run.network / "train.log").stat().st_mtime_ns == trained
    results = results_in(tmp_path)
    assert results["unfinished"] == []
    assert list(results["arms"]) == ["random", "peclr"]
    assert list(results["comparisons"]["held_out"]) == ["peclr_taught"]
    assert list(results["equivariance"]) == ["peclr_taught on held_out"]
    page = (tmp_path / "results.md").read_text()
    assert f"**Data: {config.data_name}.**" in page
    assert "than random encoder |" in page
    assert (tmp_path / "held_out.png").exists()
    for arm in results["arms"].values():
        assert arm["seeds"]["0"]["held_out"]["epe_2d"] > 0
        # A single seed has no interval, hence nothing is called better.
        assert arm["mean"]["held_out"]["epe_2d"]["low"] is None


def test_a_plan_is_printed_and_nothing_is_done(tmp_path, capsys):
    config = smoke("table2", tmp_path / "networks")
    config.plan = True
    experiment.run(config, tmp_path / "results")
    printed = capsys.readouterr().out
    assert "Pre-training" in printed
    assert "RN50 + PeCLR (Table 2)" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_experiment_at_the_scale_of_a_test(file, networks, tmp_path):
    """The two arms of its last comparison."""
    config = smoke(file, networks)
    *_, question = config.comparisons
    pair = [config.comparisons[question][side] for side in ("arm", "against")]
    config.only = ",".join(pair)
    experiment.run(config, tmp_path)
    results = results_in(tmp_path)
    assert list(results["arms"]) == list(config.arms)
    # Others may be finished, too, by the networks of another experiment.
    assert not {f"{name}, seed 0" for name in pair} & set(results["unfinished"])
    page = (tmp_path / "results.md").read_text()
    assert f"| {config.arms[pair[0]].label} than {config.arms[pair[1]].label} |" in page
    for name in pair:
        (of_seed,) = results["arms"][name]["seeds"].values()
        for evaluation in config.evaluations:
            # Every column in which the paper has a number.
            rows = config.paper.get(evaluation, {}).values()
            assert of_seed[evaluation]["epe_2d"] > 0, name
            assert set().union(*rows) <= set(of_seed[evaluation]), name
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert pictures == (set() if config.figure == "none" else set(config.evaluations))
    measured = {f"{question} on {name}" for name in config.evaluations}
    asked = config.equivariance is not None
    assert (measured <= set(results["equivariance"])) == asked


@pytest.mark.parametrize("content", [None, "{}", '{"version": 1}'])
def test_what_an_earlier_version_has_measured_does_not_count(content, tmp_path):
    file = tmp_path / "metrics.json"
    if content is not None:
        file.write_text(content)
    assert not experiment._holds(file, 2, DataSpec(), fingerprint_of_records)
    file.write_text('{"version": 2}')
    assert experiment._holds(file, 2, DataSpec(), fingerprint_of_records)


def test_what_was_measured_on_other_images_does_not_count(tmp_path):
    folder, file = tmp_path / "photos", tmp_path / "metrics.json"
    folder.mkdir()
    labelled_photos(folder)
    data = DataSpec(
        source="tfds",
        names="image_folder",
        manual_dir=str(folder),
        data_dir=str(tmp_path / "records"),
    )
    content = {"version": 2, "fingerprint": fingerprint_of_records(data)}
    file.write_text(json.dumps(content))
    assert experiment._holds(file, 2, data, fingerprint_of_records)
    labelled_photos(folder, 14)
    assert not experiment._holds(file, 2, data, fingerprint_of_records)


def test_mistakes_are_named_before_anything_is_trained(tmp_path):
    config = table1.get_config("smoke")
    config.networks_dir = str(tmp_path)
    config.arms.peclr.finetune = {"batch_size": 0}
    with pytest.raises(ValueError, match=r"--config\.arms\.peclr\.finetune\.batch_size must be"):
        experiment.run(config, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "field", "message"),
    [
        ("table3", "evaluations.youtube_3d_hands.data.manual_dir", "nowhere is not there"),
        ("real_photos", "photos", r"--config\.photos=nowhere is no folder"),
    ],
)
def test_data_to_evaluate_on_that_are_not_there_are_named_first(file, field, message, tmp_path):
    config = smoke(file, tmp_path / "networks")
    records = {f"evaluations.{name}.data.data_dir": str(tmp_path) for name in config.evaluations}
    config.update_from_flattened_dict({field: "nowhere", **records})
    with pytest.raises(FileNotFoundError, match=message):
        experiment.run(config, tmp_path / "results")
    assert not (tmp_path / "networks").exists()


def test_a_checkpoint_that_a_finished_pretraining_has_not_kept_is_named_first(tmp_path):
    config = smoke("table1", tmp_path / "networks", "smoke+course+one_seed")
    config.only = "peclr_1"
    spec = specs.from_config(ExperimentSpec, config)
    (run,) = [run for run in plans.plan(spec) if run.arm == "peclr_1"]
    pretraining = run.trainings[0].workdir
    (pretraining / "checkpoints/2").mkdir(parents=True)
    (pretraining / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=r"arm 'peclr_1' starts from step 1 of .* is finished"):
        experiment.experiment(spec, tmp_path / "results")
    (pretraining / "checkpoints/1").mkdir()
    experiment.check_checkpoint(run)


def test_evaluation_on_what_is_trained_on_is_refused_first(tmp_path):
    config = smoke("table1", tmp_path / "networks")
    folder = str(Path(freihand.__file__).parent / "dummy_data")
    places = {"source": "tfds", "manual_dir": folder, "data_dir": str(tmp_path / "records")}
    for training in (config.pretrain, config.finetune):
        training.data.update(places | {"names": "freihand", "split": "train+validation"})
    config.evaluations.held_out.split = "validation"
    with pytest.raises(
        UserError, match=r"evaluation 'held_out': the network was .*held_out\.split"
    ):
        experiment.run(config, tmp_path / "results")
    assert not (tmp_path / "networks").exists()


def test_some_evaluations_are_of_training_images_on_purpose(tmp_path):
    config = real_photos.get_config("smoke")
    config.photos = str(Path(freihand.__file__).parent / "dummy_data")
    config.networks_dir = str(tmp_path)
    spec = specs.from_config(ExperimentSpec, config)
    runs = plans.plan(spec)
    for run in runs:
        experiment.check_held_out(run, spec.on_training)
    with pytest.raises(UserError, match="evaluation 'training_photos': the network was trained"):
        experiment.check_held_out(next(run for run in runs if run.arm.endswith("mixed")))


def labelled_photos(folder, count=12):
    """Pictures of nothing, with a detector's labels: what matters is that they are trained on."""
    generator = np.random.default_rng(0)
    labels = {}
    for number in range(count):
        pixels = generator.integers(0, 255, (60, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.jpg")
        keypoints = generator.uniform(10, 50, (21, 2)).tolist()
        in_space = generator.uniform(-0.05, 0.05, (21, 3)).tolist()
        hand = {"keypoints": keypoints, "keypoints_3d": in_space, "score": 0.9}
        labels[f"{number:02}.jpg"] = [hand | {"handedness": "right", "source": "mediapipe"}]
    (folder / "boxes.json").write_text(json.dumps(labels))


def photographs_in_parts(folder):
    """The layout of docs/results/real_photos.md; the true labels are those of drawings."""
    for part in ("train", "selection", "test"):
        (folder / part / "set").mkdir(parents=True)
        labelled_photos(folder / part / "set", 20)
        (folder / part / "set/boxes.json").rename(folder / part / "boxes.json")
    shutil.copytree(Path(freihand.__file__).parent / "dummy_data", folder / "labelled")
    (folder / "persons.json").write_text('{"labelled": "nobody"}')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "recipe", "only"),
    [
        ("figure5", "smoke+5b+photos+one_seed", "simclr_rotation,peclr_rotation"),
        ("table1", "smoke+photos+four_times+course+one_seed", "random,peclr_2,peclr_8"),
        ("figure6", "smoke+photos+one_seed", "peclr_20,more_20"),
        ("figure9_10", "smoke+photos+one_seed", "simclr,peclr"),
    ],
)
def test_photographs_at_the_scale_of_a_test(file, recipe, only, networks, tmp_path):
    config = smoke(file, networks, recipe)
    config.photos = str(photographs_in_parts(tmp_path / "photos"))
    config.only = only
    for stage in (config.pretrain, config.finetune):
        stage.data.data_dir = str(tmp_path / "records")
    for evaluation in config.evaluations.values():
        if evaluation.data.names:
            evaluation.data.data_dir = str(tmp_path / "records")
    experiment.run(config, tmp_path / "results")
    results = results_in(tmp_path / "results")
    for arm in only.split(","):
        (of_seed,) = results["arms"][arm]["seeds"].values()
        for evaluation in config.evaluations:
            assert of_seed[evaluation]["epe_2d"] > 0
            assert of_seed[evaluation]["pa_epe"] > 0
        assert "root_aligned" not in of_seed["test_photos"]  # a detector tells no distances
    page = (tmp_path / "results/results.md").read_text()
    assert "| test | 20 | 20 | set (20; unknown) |" in page
    assert "2D agreement with MediaPipe, px of the view" in page
    assert "Data: freihand (train+validation+evaluation)" in page
    if config.figure == "steps":
        assert (tmp_path / "results/test_photos.png").exists()
        steps = {arm["x"] for arm in results["arms"].values()}
        assert steps == {0.0, 1.0, 2.0, 4.0, 8.0}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full+smoke", "trials+smoke"])
def test_the_released_network_at_the_scale_of_a_test(recipe, tmp_path):
    (tmp_path / "photos").mkdir()
    labelled_photos(tmp_path / "photos")
    config = released.get_config(recipe)
    config.photos = str(tmp_path / "photos")
    config.networks_dir = str(tmp_path / "networks")
    for stage in (config.pretrain, config.finetune):
        stage.data.data_dir = str(tmp_path / "records")
    config.finetune.model.finest = 1  # the shallow network has no second stage
    config.seeds = (0,)
    if recipe.startswith("trials"):
        config.only = "scratch,photos_0"
    experiment.run(config, tmp_path)
    arms = results_in(tmp_path)["arms"]
    for arm in config.only.split(",") if config.only else ["released"]:
        of_seed = arms[arm]["seeds"]["0"]
        assert of_seed["photos"]["epe_2d"] > 0
        assert of_seed["rendered"]["pa_epe"] > 0
