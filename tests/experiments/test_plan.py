"""From an experiment's spec to its trainings; nothing is trained here."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from configs.experiments import table1
from configs.experiments.parts import scales
from peclr_jax import specs
from peclr_jax.experiments import plan as plans
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.evaluation_data import describe_data
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs.spec import identity

FILES = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "configs/experiments").glob("*.py")
    if path.stem not in ("common", "protocol")
)
# The default when the digests were recorded.
PHOTOS = "../shared/fixtures/ge_realworld_fhlayout_mini"


def make(file, recipe, **fields):
    """Returns the spec of a recipe with some fields changed, as by flags."""
    config = importlib.import_module(f"configs.experiments.{file}").get_config(recipe)
    if config.photos == "":
        config.photos = PHOTOS
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return specs.from_config(ExperimentSpec, config)


def of(spec, arm, seed=0):
    spec = dataclasses.replace(spec, arms={arm: spec.arms[arm]}, comparisons={}, seeds=(seed,))
    (run,) = plans.plan(spec)
    return run


@pytest.mark.parametrize("scale", scales.SCALES)
@pytest.mark.parametrize("file", FILES)
def test_folders_are_named_as_ever(file, scale, parity):
    recorded = json.loads(parity.path("recorded_digests.json").read_text())[f"{file}:{scale}"]
    spec = make(file, scale)
    runs = plans.plan(spec)
    assert len(runs) == len(spec.arms) * len(spec.seeds)
    assert spec.title
    assert spec.claim
    trainings = {f"{r.arm}-{r.seed}": [t.workdir.name for t in r.trainings] for r in runs}
    evaluations = {
        f"{run.arm}-{run.seed}": [e.workdir.name for e in run.evaluations.values()] for run in runs
    }
    if scale == "smoke":  # the raw files of this checkout decide these names
        on_raw_files = {n for n in spec.evaluations if spec.evaluations[n].data.manual_dir}
        if on_raw_files:
            evaluations = dict.fromkeys(evaluations, recorded["evaluations"])
        for found in (trainings, recorded["trainings"]):
            for name in [name for name in found if "mixed" in name]:
                found[name] = found[name][:-1]
    assert trainings == recorded["trainings"]
    assert list(trainings) == list(recorded["trainings"])
    assert all(names == recorded["evaluations"] for names in evaluations.values())


def test_arms_change_what_they_say_and_nothing_else():
    spec = make("figure5", "cpu+5b")
    equivariant, invariant = (
        identity(specs.to_dict(of(spec, f"{name}_rotation").trainings[0].spec))
        for name in ("peclr", "simclr")
    )
    different = {name for name in equivariant if equivariant[name] != invariant[name]}
    assert different == {"loss.objective"}
    assert equivariant["views.rotation_deg"] == 45.0
    assert equivariant["views.translation"] == [0.0, 0.0]
    assert not equivariant["views.color_jitter"]


def test_the_same_network_is_trained_once_for_several_experiments(tmp_path):
    both = [
        make(file, recipe, networks_dir=str(tmp_path))
        for file, recipe in (("figure5", "cpu+5b"), ("figure7", "cpu"))
    ]
    first = of(both[0], "peclr_translation")
    (tmp_path / first.network.name).mkdir()
    second = of(both[1], "peclr_translation")
    assert [t.workdir for t in second.trainings] == [t.workdir for t in first.trainings]
    assert second.evaluations["held_out"].workdir == first.evaluations["held_out"].workdir

    # Another arm's name is no other network.
    arms = both[1].arms
    renamed = dataclasses.replace(both[1], arms={**arms, "renamed": arms["peclr_translation"]})
    assert of(renamed, "renamed").network == first.network


def test_arms_of_one_experiment_share_a_pretraining(tmp_path):
    spec = make("figure6", "cpu", networks_dir=str(tmp_path), seeds=(0,))
    folders = {run.arm: run.trainings[0].workdir for run in plans.plan(spec)}
    assert folders["peclr_20"] == folders["peclr_40"] != folders["more_20"]
    assert folders["scratch_20"] != folders["scratch_40"]


def test_the_course_of_a_pretraining_is_told_by_its_checkpoints():
    spec = make("table1", "cpu_long+course", seeds=(0,))
    runs = {run.arm: run for run in plans.plan(spec)}
    steps = (500, 1000, 2000, 4000)
    assert list(runs) == ["random", *(f"{n}_{s}" for n in ("simclr", "peclr") for s in steps)]
    assert len({runs[f"peclr_{s}"].trainings[0].workdir for s in steps}) == 1
    pretraining, probe = runs["peclr_1000"].trainings
    assert probe.spec.init.checkpoint == f"{pretraining.workdir}/checkpoints/1000"
    # The last is the network that the experiment has without this variant.
    whole = of(make("table1", "cpu_long"), "peclr")
    assert runs["peclr_4000"].trainings[0].spec == whole.trainings[0].spec
    assert runs["peclr_4000"].network.name.split("-")[-1] == whole.network.name.split("-")[-1]
    assert spec.arms["peclr_1000"].series == spec.arms["peclr_4000"].series
    assert spec.comparisons["equivariance_500"].against == "simclr_500"
    assert spec.comparisons["peclr_taught_500"].against == "random"

    longer = make("table1", "cpu_long+four_times+course")
    assert list(longer.arms)[-1] == "peclr_16000"
    assert longer.finetune == spec.finetune


def test_the_end_of_a_pretraining_is_one_of_the_checkpoints_that_are_kept():
    fields = {"pretrain__num_steps": 1000, "pretrain__checkpoint__every_steps": 300}
    fields["pretrain__checkpoint__keep"] = 2
    for step in (900, 1000):
        plans.plan(make("table1", "cpu_long", arms__peclr__step=step, **fields))
    with pytest.raises(ValueError, match=r"step is 600, but of 1000 steps .* the last 2"):
        plans.plan(make("table1", "cpu_long", arms__peclr__step=600, **fields))


@pytest.mark.parametrize("step", [300, 2000])
def test_a_checkpoint_that_would_not_be_kept(step):
    arms = {"arms__peclr__step": step, "pretrain__checkpoint__keep": 2}
    message = rf"arms\.peclr\.step is {step}, but of 4000 steps .* the last 2 .* one every 500"
    with pytest.raises(ValueError, match=message):
        plans.plan(make("table1", "cpu_long", **arms))


@pytest.mark.parametrize("recipe", ["cpu_long+photos", "gpu+photos", "smoke+photos"])
@pytest.mark.parametrize("file", ["figure5", "figure7", "figure9_10", "table1", "best"])
def test_photographs_take_the_place_of_rendered_hands(file, recipe):
    spec = make(file, recipe)
    evaluated = {name: e.data.manual_dir for name, e in spec.evaluations.items()}
    assert evaluated == {
        "selection_photos": f"{PHOTOS}/selection",
        "test_photos": f"{PHOTOS}/test",
        "labelled_photos": f"{PHOTOS}/labelled",
    }
    assert set(spec.labelled_by) == {"selection_photos", "test_photos"}
    rendered = make(file, recipe.removesuffix("+photos"))
    for run in plans.plan(spec):
        for training in run.trainings:
            assert training.spec.data.manual_dir == f"{PHOTOS}/train"
            assert training.spec.data.source == "tfds"
        assert run.trainings[0].spec.data.labels == (len(run.trainings) == 1)
    # As many steps as on rendered hands.
    assert spec.pretrain.num_steps == scales.steps_of(rendered.pretrain) > 0
    assert spec.finetune.num_steps == scales.steps_of(rendered.finetune) > 0


@pytest.mark.parametrize("file", ["figure6", "figure8"])
def test_photographs_without_labels_beside_rendered_hands(file):
    spec = make(file, "cpu_long+photos")
    data = {arm: of(spec, arm).trainings[0].spec.data for arm in ("peclr_1", "more_1")}
    assert data["peclr_1"].source == "rendered"
    assert data["more_1"].record_names == ["image_folder"]
    assert data["more_1"].is_mixed
    for run in plans.plan(spec):
        assert run.trainings[-1].spec.data.source == "rendered"
    assert next(iter(spec.evaluations)) == "held_out"
    assert "test_photos" in spec.evaluations


@pytest.mark.parametrize("file", ["table2", "table3", "table4", "table5", "real_photos"])
def test_what_has_evaluations_of_its_own_has_none_on_photographs(file):
    with pytest.raises(ValueError, match=rf"{file}\.py evaluates on data sets of its own"):
        make(file, "cpu+photos")


def test_what_decides_the_result_decides_the_folder():
    before, other_seed = (of(make("table1", "cpu"), "peclr", seed) for seed in (0, 1))
    assert other_seed.network != before.network
    assert (
        of(make("table1", "cpu", pretrain__log__every_steps=1), "peclr").network == before.network
    )
    after = of(make("table1", "cpu", pretrain__loss__temperature=0.1), "peclr")
    # The network that is fine-tuned changes with the one that it starts from.
    for old, new in zip(before.trainings, after.trainings, strict=True):
        assert old.workdir != new.workdir


def test_a_random_encoder_is_of_the_same_kind():
    (training,) = of(make("table1", "cpu"), "random").trainings
    assert training.spec.init.checkpoint == ""
    assert training.spec.model.width == 16
    assert training.spec.model.stem == "imagenet"
    assert training.spec.model.frozen


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"arms__peclr__pretrain": {"loss": {"temprature": 0.1}}},
            r"--config\.arms\.peclr\.pretrain changes loss\.temprature, .* 'loss\.temperature'",
        ),
        (
            {"arms__peclr__pretrain": {"loss": {"objective": "pecl"}}},
            r"--config\.arms\.peclr\.pretrain\.loss\.objective is 'pecl', none of 'peclr'",
        ),
        (
            {"arms__peclr__finetune": {"init": {"torch_checkpoint": "a.pth"}}},
            r"--config\.arms\.peclr\.finetune\.init\.torch_checkpoint would .*\.pretrained=False",
        ),
        (
            {"finetune__model__architecture": "resnet50"},
            r"^--config\.arms\.simclr pre-trains .*'resnet18' and fine-tunes .* 'resnet50': set",
        ),
        (
            {"finetune__views__size": 16},
            r"--config\.arms\.random\.finetune\.views\.size is 16, too small for the encoder's",
        ),
    ],
)
def test_impossible_arms(fields, message):
    spec = make("table1", "cpu", **fields)
    with pytest.raises(ValueError, match=message):
        plans.plan(spec)


def test_scales_and_variants_that_there_are_not_are_named():
    with pytest.raises(ValueError, match=r"table1\.py has no recipe 'huge'; it has \['smoke'"):
        table1.get_config("huge")
    with pytest.raises(ValueError, match="no variant 'freehand'"):
        table1.get_config("cpu+freehand")
    with pytest.raises(ValueError, match=r"no variant 'freihand': .* --config\.photos=DIR"):
        make("real_photos", "cpu+freihand")


@pytest.mark.parametrize("recipe", ["cpu+freihand", "smoke+freihand"])
@pytest.mark.parametrize("file", [file for file in FILES if file != "real_photos"])
def test_freihand_takes_the_place_of_rendered_hands(file, recipe):
    spec = make(file, recipe)
    assert "FreiHAND" in spec.data_name
    assert spec.pretrain.data.source == spec.finetune.data.source == "tfds"
    assert spec.pretrain.data.names.startswith("freihand")
    assert spec.finetune.data.names == ("ho3d/v2" if file == "table4" else "freihand")
    for name, evaluation in spec.evaluations.items():
        # What a table evaluates on stays what it is.
        held_out = "evaluation" if file == "figure9_10" else "validation"
        assert evaluation.data.names or evaluation.split == held_out, name


def test_networks_are_evaluated_where_their_data_lie():
    fields = {"finetune__data__data_dir": "/records", "finetune__data__rendered__cache_dir": ""}
    spec = make("table1", "cpu+freihand", **fields)
    data = of(spec, "peclr").evaluations["held_out"].spec.data
    assert data.data_dir == "/records"
    assert data.rendered.cache_dir == ""
    spec = make("table1", "cpu+freihand", **fields, evaluations__held_out__data__names="ho3d")
    assert of(spec, "peclr").evaluations["held_out"].spec.data.data_dir == ""
    on_rendered = {"evaluations__held_out__data__source": "rendered"}
    spec = make("table1", "cpu+freihand", **fields, **on_rendered)
    assert of(spec, "peclr").evaluations["held_out"].spec.data.data_dir == ""


@pytest.mark.parametrize("scale", scales.SCALES)
def test_equivariance_is_of_networks_with_all_labels(scale):
    spec = make("figure9_10", scale)
    fractions = {run.trainings[-1].spec.data.label_fraction for run in plans.plan(spec)}
    assert fractions == {1.0}
    assert list(spec.comparisons) == ["equivariance"]


def test_an_arms_trainings_are_told_by_their_fields_alone():
    digests = [
        plans.recipe_digest(of(make("table1", "cpu", **fields), "peclr", seed))
        for fields, seed in (
            ({}, 0),
            ({"networks_dir": "elsewhere"}, 1),
            ({"finetune__data__data_dir": "/records"}, 0),
            ({"pretrain__num_steps": 400}, 0),
            ({"finetune__optimizer__learning_rate": 1e-3}, 0),
        )
    ]
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 3
    course = make("table1", "cpu+course")
    assert len({plans.recipe_digest(of(course, f"peclr_{step}")) for step in (25, 50, 200)}) == 3


def test_an_arms_trainings_are_told_by_a_files_content_not_its_place(tmp_path):
    digests = []
    for name, content in (("a.pth", b"one"), ("b.pth", b"one"), ("c.pth", b"another")):
        (tmp_path / name).write_bytes(content)
        spec = make("table1", "cpu", pretrain__init__torch_checkpoint=str(tmp_path / name))
        digests.append(plans.recipe_digest(of(spec, "peclr")))
    assert digests[0] == digests[1] != digests[2]


def test_photographs_are_evaluated_on_and_mixed_in():
    spec = make("real_photos", "cpu", photos="DIR")
    assert spec.evaluations["photos"].data.manual_dir == "DIR"
    assert of(spec, "peclr_mixed").trainings[-1].spec.data.manual_dir == "DIR"
    assert of(spec, "peclr_rendered").trainings[-1].spec.data.manual_dir == ""


def test_the_content_of_pytorchs_file_decides_the_folder(tmp_path):
    path = tmp_path / "imagenet.pth"
    folders = []
    for content in (None, b"one", b"another", b"one"):
        if content:
            path.write_bytes(content)
        run = of(make("table1", "cpu", pretrain__init__torch_checkpoint=str(path)), "peclr")
        folders.append([training.workdir.name for training in run.trainings])
    assert folders[1] == folders[3]
    assert len({name for names in folders for name in names}) == 6


@pytest.mark.parametrize(
    ("trained", "given", "expected"),
    [
        ({}, {}, "rendered hands"),
        ({}, {"manual_dir": "DIR"}, "freihand"),
        ({"source": "tfds", "names": "rendered,ho3d/v2"}, {}, "ho3d/v2"),
        ({"source": "tfds"}, {"source": "rendered"}, "rendered hands"),
        ({"source": "tfds"}, {"names": "dexter_object"}, "dexter_object"),
    ],
)
def test_what_networks_are_evaluated_on(trained, given, expected):
    data = plans.evaluated_on(EvaluationDataSpec(**given), DataSpec(**trained))
    assert describe_data(data, "test") == f"{expected} (test)"


def test_an_arm_may_start_from_a_file_whose_content_decides_its_folder(tmp_path):
    path = tmp_path / "network.safetensors"
    spec = make("table1", "smoke")
    arm = next(name for name in spec.arms)
    given = dataclasses.replace(
        spec.arms[arm], pretrained=False, finetune={"init.checkpoint": str(path)}
    )
    spec = dataclasses.replace(spec, arms={arm: given}, comparisons={})
    folders = []
    for content in (b"one", b"another", b"one"):
        path.write_bytes(content)
        (training,) = of(spec, arm).trainings
        assert training.spec.init.checkpoint == str(path)
        folders.append(training.workdir.name)
    assert folders[0] == folders[2] != folders[1]
