"""From an experiment's config to its trainings; nothing is trained here."""

import importlib
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from configs.experiments import common, figure5, figure7, figure9_10, table1
from peclr_jax.experiments import plan as experiment_plan
from peclr_jax.runs import recipe
from peclr_jax.tasks import experiment

FILES = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "configs/experiments").glob("*.py")
    if path.stem not in ("common", "protocol")
)


def of(config, arm, seed=0):
    (run,) = (r for r in experiment_plan.plan(config) if (r.arm, r.seed) == (arm, seed))
    return run


@pytest.mark.parametrize("scale", common.SCALES)
@pytest.mark.parametrize("file", FILES)
def test_every_recipe_of_every_experiment_can_be_run(file, scale, monkeypatch):
    config = importlib.import_module(f"configs.experiments.{file}").get_config(scale)
    runs = experiment_plan.plan(config)
    assert len(runs) == len(config.arms) * len(config.seeds)
    assert config.title
    assert config.claim
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    experiment.check(config)
    experiment.check_trainings(runs)


def test_arms_change_what_they_say_and_nothing_else():
    config = figure5.get_config("cpu+5b")
    equivariant, invariant = (
        recipe.identity(of(config, f"{name}_rotation").trainings[0].config.to_dict())
        for name in ("peclr", "simclr")
    )
    different = {name for name in equivariant if equivariant[name] != invariant[name]}
    assert different == {"loss.objective"}
    assert equivariant["views.rotation_deg"] == 45.0
    assert equivariant["views.translation"] == [0.0, 0.0]
    assert not equivariant["views.color_jitter"]


def test_the_same_network_is_trained_once_for_several_experiments(tmp_path):
    configs = [figure5.get_config("cpu+5b"), figure7.get_config("cpu")]
    for config in configs:
        config.networks_dir = str(tmp_path)
    first = of(configs[0], "peclr_translation")
    (tmp_path / first.network.name).mkdir()
    second = of(configs[1], "peclr_translation")
    assert [t.workdir for t in second.trainings] == [t.workdir for t in first.trainings]
    assert second.evaluations["held_out"].workdir == first.evaluations["held_out"].workdir

    # Another arm's name is no other network.
    configs[1].arms.renamed = configs[1].arms.peclr_translation
    assert of(configs[1], "renamed").network == first.network


def test_what_decides_the_result_decides_the_folder(tmp_path):
    config = table1.get_config("cpu")
    config.networks_dir = str(tmp_path)
    before = of(config, "peclr")
    config.pretrain.log.every_steps = 1
    assert of(config, "peclr").network == before.network
    config.pretrain.loss.temperature = 0.1
    after = of(config, "peclr")
    # The network that is fine-tuned changes with the one that it starts from.
    for old, new in zip(before.trainings, after.trainings, strict=True):
        assert old.workdir != new.workdir
    assert of(config, "peclr", seed=1).network != after.network


def test_a_random_encoder_is_of_the_same_kind():
    run = of(table1.get_config("cpu"), "random")
    (training,) = run.trainings
    assert training.config.init.checkpoint == ""
    assert training.config.model.width == 16
    assert training.config.model.stem == "imagenet"
    assert training.config.model.frozen


def test_arms_are_chosen_by_name():
    runs = experiment_plan.plan(table1.get_config("cpu"))
    chosen = experiment_plan.choose(runs, "peclr, simclr")
    assert {run.arm for run in chosen} == {"peclr", "simclr"}
    assert len(experiment_plan.choose(runs, "")) == len(runs)
    with pytest.raises(ValueError, match=r"--config\.only='pecl' is none of 'random', 'simclr'"):
        experiment_plan.choose(runs, "pecl")


def test_a_change_of_no_field_is_named():
    base = ConfigDict({"task": "pretrain", "loss": {"temperature": 0.5}})
    changes = {"loss": {"temprature": 0.1}}
    with pytest.raises(ValueError, match=r"arm x changes loss\.temprature, which the pretrain"):
        experiment_plan.changed(base, changes, "arm x")


def test_scales_and_variants_that_there_are_not_are_named():
    with pytest.raises(ValueError, match=r"table1\.py has no recipe 'huge'; it has \['smoke'"):
        table1.get_config("huge")
    with pytest.raises(ValueError, match="no variant 'freehand'"):
        table1.get_config("cpu+freehand")


def test_freihand_takes_the_place_of_rendered_hands():
    config = table1.get_config("cpu+freihand")
    assert config.data_name == "FreiHAND"
    for training in of(config, "peclr").trainings:
        assert training.config.data.source == "tfds"
        assert training.config.data.names == "freihand"
    assert of(config, "peclr").evaluations["held_out"].config.split == "validation"


def test_networks_are_evaluated_where_their_data_lie():
    config = table1.get_config("cpu+freihand")
    config.finetune.data.data_dir = "/records"
    config.finetune.data.rendered.cache_dir = ""
    evaluation = of(config, "peclr").evaluations["held_out"].config
    assert evaluation.data.data_dir == "/records"
    assert evaluation.data.rendered.cache_dir == ""
    config.evaluations.held_out.data.names = "ho3d"
    assert of(config, "peclr").evaluations["held_out"].config.data.data_dir == ""


def test_what_is_about_rendered_hands_takes_no_others():
    module = importlib.import_module("configs.experiments.real_photos")
    with pytest.raises(ValueError, match=r"no variant 'freihand': .* --config\.photos=DIR"):
        module.get_config("cpu+freihand")


@pytest.mark.parametrize("recipe", ["cpu+freihand", "smoke+freihand"])
@pytest.mark.parametrize("file", [file for file in FILES if file != "real_photos"])
def test_every_experiment_has_networks_of_freihand(file, recipe):
    config = importlib.import_module(f"configs.experiments.{file}").get_config(recipe)
    assert "FreiHAND" in config.data_name
    for name, evaluation in config.evaluations.items():
        # What a table evaluates on stays what it is.
        assert evaluation.data.names or evaluation.split == "validation", name


@pytest.mark.parametrize("scale", common.SCALES)
def test_equivariance_is_of_networks_with_all_labels(scale):
    config = figure9_10.get_config(scale)
    fractions = {
        run.trainings[-1].config.data.label_fraction for run in experiment_plan.plan(config)
    }
    assert fractions == {1.0}
    assert list(config.comparisons) == ["at_100"]


def test_the_tables_say_what_they_are_evaluated_on_and_trained_on():
    config = importlib.import_module("configs.experiments.table3").get_config("gpu")
    assert config.data_name.startswith("youtube_3d_hands, by networks trained on rendered hands")
