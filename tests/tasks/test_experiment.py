"""Every table and figure of the paper at the scale `smoke`: trained, evaluated, told."""

import importlib
import json
from pathlib import Path

import pytest

from configs.experiments import table1
from peclr_jax.experiments import plan as experiment_plan
from peclr_jax.tasks import experiment

# The tables evaluate on drawings of ours in the layout of their data set.
FILES = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "configs/experiments").glob("*.py")
    if path.stem not in ("common", "protocol")
)


pytestmark = pytest.mark.usefixtures("shallow_throughout")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Where all experiments of this file keep their networks, some of which they share."""
    return tmp_path_factory.mktemp("networks")


def smoke(file, networks, variant="one_seed"):
    config = importlib.import_module(f"configs.experiments.{file}").get_config(f"smoke+{variant}")
    config.networks_dir = str(networks)
    for stage in (config.pretrain, config.finetune):
        stage.data.rendered.cache_dir = str(networks / "rendered")
    return config


@pytest.mark.parametrize("file", FILES)
@pytest.mark.usefixtures("one_device", "cheap_rendering")
def test_every_experiment_at_the_scale_of_a_test(file, networks, tmp_path):
    """The two arms of its last question, which spares the suite some minutes."""
    config = smoke(file, networks)
    *_, question = config.comparisons
    pair = [config.comparisons[question][side] for side in ("arm", "against")]
    config.only = ",".join(pair)
    experiment.run(config, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["arms"]) == list(config.arms)
    # Others may be finished, too, by the networks of another experiment.
    assert not {f"{name}, seed 0" for name in pair} & set(results["unfinished"])
    page = (tmp_path / "results.md").read_text()
    assert f"**Data: {config.data_name}.**" in page
    assert f"| {config.arms[pair[0]].label} than {config.arms[pair[1]].label} |" in page
    for name in pair:
        numbers = results["arms"][name]
        (of_seed,) = numbers["seeds"].values()
        for evaluation in config.evaluations:
            assert of_seed[evaluation]["epe_2d"] > 0, name
            # A single seed has no interval, hence nothing is called better.
            assert numbers["mean"][evaluation]["epe_2d"]["low"] is None
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert pictures == (set() if config.figure == "none" else set(config.evaluations))
    if config.equivariance is not None:
        assert question in results["equivariance"]


@pytest.mark.usefixtures("one_device", "cheap_rendering")
def test_arms_one_by_one_finished_ones_are_passed_over(networks, tmp_path, capsys):
    config = smoke("table1", networks)
    config.networks_dir = str(tmp_path / "networks")  # none is finished there
    for name in ("equivariance", "simclr_taught"):
        del config.comparisons[name]
    del config.arms["simclr"]
    config.only = "random"
    experiment.run(config, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["unfinished"] == ["peclr, seed 0"]
    assert results["comparisons"] == {}
    assert "Not finished yet: peclr, seed 0." in (tmp_path / "results.md").read_text()

    (run,) = experiment_plan.choose(experiment_plan.plan(config), "random")
    trained = (run.network / "train.log").stat().st_mtime_ns
    config.only = ""
    capsys.readouterr()
    experiment.run(config, tmp_path)
    assert capsys.readouterr().out.count("finished before") == 1
    assert (run.network / "train.log").stat().st_mtime_ns == trained
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["unfinished"] == []
    assert list(results["comparisons"]["held_out"]) == ["peclr_taught"]


def test_mistakes_are_named_before_anything_is_trained(tmp_path):
    config = table1.get_config("smoke")
    config.seeds = ()
    with pytest.raises(ValueError, match=r"--config\.seeds is empty"):
        experiment.run(config, tmp_path)
    config = table1.get_config("smoke")
    config.comparisons.equivariance.against = "nobody"
    with pytest.raises(ValueError, match=r"comparisons\.equivariance\.against='nobody' is none of"):
        experiment.run(config, tmp_path)
    config = table1.get_config("smoke")
    config.figure = "pie"
    with pytest.raises(ValueError, match=r"--config\.figure='pie' is none of 'bars'"):
        experiment.run(config, tmp_path)
    config = table1.get_config("smoke")
    config.arms.peclr.pretrain = {"loss": {"objective": "pecl"}}
    with pytest.raises(ValueError, match=r"--config\.loss\.objective='pecl' is none of 'peclr'"):
        experiment.run(config, tmp_path)
    assert not any(tmp_path.iterdir())


def test_data_to_evaluate_on_that_are_not_there_are_named_first(tmp_path):
    config = importlib.import_module("configs.experiments.table3").get_config("smoke")
    config.evaluations.youtube_3d_hands.data.update(
        manual_dir=str(tmp_path / "nowhere"), data_dir=str(tmp_path / "records")
    )
    config.networks_dir = str(tmp_path / "networks")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        experiment.run(config, tmp_path / "results")
    assert not (tmp_path / "networks").exists()
