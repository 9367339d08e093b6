"""Every format: what is written, that its check means something, and what cannot be written."""

import json

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from configs import export as recipes
from configs import finetune, pretrain
from peclr_jax import specs
from peclr_jax.export import compiled as export_compiled
from peclr_jax.export import torch_files as export_torch
from peclr_jax.export.functions import ViewFunction
from peclr_jax.hands import skeleton
from peclr_jax.models import torch_file, torch_weights
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.networks.opening import open_network
from peclr_jax.runs.initialisation import RANDOM
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.tasks import export
from peclr_jax.tasks import finetune as finetuning
from peclr_jax.tasks import pretrain as pretraining
from peclr_jax.training.restoring import restore_params, restore_results
from tests.small_networks import save

SMALL = {"model.width": 4, "views.size": 16}
PUBLISHED = {"model.width": 64, "model.stem": "imagenet", "views.size": 32}


def trained_looking(variables):
    """Statistics that are not those of initialisation, so that mixing them up shows."""
    random = np.random.default_rng(0)

    def change(leaf):
        factor = random.uniform(0.8, 1.2, leaf.shape).astype(np.float32)
        shift = random.uniform(-0.05, 0.05, leaf.shape).astype(np.float32) * (leaf.ndim == 1)
        return np.asarray(leaf) * factor + shift

    return jax.tree.map(change, variables)


def pretrained_run(workdir, fields):
    config = pretrain.get_config()
    config.update_from_flattened_dict(fields | {"model.hidden": 16, "model.num_points": 8})
    spec = specs.from_config(PretrainSpec, config)
    variables = pretraining.initialise(spec, spec.model.build(), RANDOM)
    return save(workdir, specs.to_dict(spec), trained_looking(variables))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrained_run(tmp_path_factory.mktemp("pretrained"), SMALL)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A pre-trained network of the published width."""
    return pretrained_run(tmp_path_factory.mktemp("published"), PUBLISHED)


@pytest.fixture(scope="module")
def published_finetuned(tmp_path_factory, finetuned):
    """A fine-tuned one, whose refinement and mean pose say something."""
    config = finetune.get_config("quick+scratch")
    config.update_from_flattened_dict(PUBLISHED)
    spec = specs.from_config(FinetuneSpec, config)
    network = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    variables = trained_looking(dict(finetuning.initialise(spec, network, RANDOM)))
    bias = jnp.asarray(restore_params(finetuned)["params"]["head"]["pose"]["bias"])
    variables["params"]["head"]["pose"]["bias"] = bias
    workdir = tmp_path_factory.mktemp("published_finetuned")
    return save(workdir, specs.to_dict(spec), variables, restore_results(finetuned))


@pytest.fixture
def free_sizes(monkeypatch):
    """jaxtyping cannot broadcast against a size that is not known."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def configure(checkpoint, kind, **fields):
    config = recipes.get_config()
    config.update_from_flattened_dict({"checkpoint": str(checkpoint), "format": kind, **fields})
    return config


def written(report):
    return {path.name for path in report.folder.iterdir()} - {"check.json", "README.txt"}


def test_torchvision(published, tmp_path, capsys):
    export.run(configure(published, "torchvision"), tmp_path)
    folder = tmp_path / "torchvision"
    printed = capsys.readouterr().out
    assert "gives our outputs on 4 views" in printed
    assert printed.rstrip().endswith((folder / "README.txt").read_text().rstrip()[-80:])
    check = json.loads((folder / "check.json").read_text())
    assert check["format"] == "torchvision"
    assert check["max_abs_difference"] == {"encoder.pth": {"features": 0.0}}
    assert 0 < check["tolerance"]["features"] < 1e-4 * check["peak"]["features"]
    assert (check["batch"], check["view_size"]) == (4, 32)
    assert check["versions"]["jax"] == jax.__version__
    state_dict = torch_file.read(folder / "encoder.pth")
    assert state_dict["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert not any(name.startswith("fc.") for name in state_dict)
    assert [path.name for path in tmp_path.iterdir()] == ["torchvision"]


def test_official_names_of_a_pretrained_network(published, tmp_path):
    report = export.export(configure(published, "official"), tmp_path)
    weights = torch_weights.read_weights(report.folder / "official.pth")
    assert (weights.layout, weights.architecture) == ("hybrid2", "resnet18")
    expected = restore_params(published)
    jax.tree.map(np.testing.assert_array_equal, dict(weights.variables), dict(expected))
    assert report.check["max_abs_difference"]["official.pth"] == {"features": 0, "projection": 0}
    assert "peclr_to_torchvision" in report.opening


def test_official_names_of_a_finetuned_network(published_finetuned, tmp_path):
    report = export.export(configure(published_finetuned, "official"), tmp_path)
    state_dict = torch_file.read(report.folder / "official.pth")
    # Pixels of the view, in AIT's order, at the mean pose that the bias holds.
    network = open_network(published_finetuned, in_float32=True)
    mean_pose = np.asarray(network.config.statistics.mean_pose)
    official = state_dict["backend_model.fc.bias"][:63].reshape(21, 3)[skeleton.FROM_AIT]
    np.testing.assert_allclose(official[:, :2], 15.5 + 16 * mean_pose[:, :2], rtol=1e-5)
    assert not state_dict["backend_model.fc.weight"][63].any()
    assert set(report.check["peak"]) == {"keypoints_25d", "root_depth"}
    assert report.check["peak"]["root_depth"] > 4
    assert "first joint is the wrist itself" in report.opening
    reopened = open_estimator("", report.folder / "official.pth")
    assert not reopened.network.palm_root
    assert reopened.view_size == network.view_size
    np.testing.assert_array_equal(reopened.mean_pose, mean_pose.astype(np.float32))


def test_safetensors_hold_any_width(pretrained, tmp_path):
    from safetensors import safe_open

    report = export.export(configure(pretrained, "safetensors"), tmp_path)
    with safe_open(report.folder / "encoder.safetensors", "numpy") as file:
        assert file.metadata() == {
            "format": "pt",
            "architecture": "resnet18",
            "width": "4",
            "stem": "small",
        }
        assert "conv1.weight" in file.keys()  # noqa: SIM118 (it is no mapping)
    assert report.check["max_abs_difference"] == {"encoder.safetensors": {"features": 0.0}}
    assert "neither torchvision nor timm" in report.opening


def test_encoder_of_a_finetuned_network(finetuned, tmp_path):
    report = export.export(configure(finetuned, "safetensors"), tmp_path)
    variables = torch_weights.load_torch(report.folder / "encoder.safetensors")
    expected = open_network(finetuned).part("encoder")
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


def test_saved_model_of_features(pretrained, tmp_path):
    import tensorflow as tf

    report = export.export(configure(pretrained, "saved_model"), tmp_path)
    assert {"saved_model.pb", "variables"} <= written(report)
    function = tf.saved_model.load(str(report.folder)).signatures["serving_default"]
    (views,) = function.structured_input_signature[1].values()
    assert (views.name, views.dtype, views.shape.as_list()) == (
        "images",
        tf.uint8,
        [None, 16, 16, 3],
    )
    # Another number of views than that of the check.
    images = export.example_views(16, 7)["images"]
    expected = export_compiled.of(open_network(pretrained, in_float32=True)).call(images)[
        "features"
    ]
    answer = function(images=tf.constant(images))["features"]
    np.testing.assert_allclose(answer, expected, atol=report.check["tolerance"]["features"])


def test_saved_model_of_poses(finetuned, tmp_path, free_sizes):
    report = export.export(configure(finetuned, "saved_model"), tmp_path)
    assert set(report.check["tolerance"]) == {"keypoints_25d", "root_depth"}
    assert "intrinsics=intrinsics" in report.opening
    assert {"tensorflow-cpu", "tensorflow"} & set(report.check["versions"])


def test_stablehlo(finetuned, tmp_path, free_sizes):
    report = export.export(configure(finetuned, "stablehlo"), tmp_path)
    assert written(report) == {"network.jax_export", "network.mlirbc"}
    assert set(report.check["max_abs_difference"]) == {"network.jax_export", "network.mlirbc"}
    program = jax.export.deserialize(bytearray((report.folder / "network.jax_export").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    views = export.example_views(16, 5)
    answer = program.call(views["images"], views["intrinsics"])
    assert answer["keypoints_25d"].shape == (5, 21, 3)
    # Converters know no custom calls, which only a free size needs, and few know scatters.
    plain = (report.folder / "network.mlirbc").read_bytes()
    assert b"custom_call" not in plain
    assert b"scatter" not in plain
    network = open_network(finetuned, in_float32=True)
    free = export_compiled.lower(export_compiled.of(network), 16, 0, ("cpu",))
    assert b"custom_call" in export_compiled.portable_module(free)
    explained = export_compiled.explain_stablehlo(network, configure("", "stablehlo", batch_size=0))
    assert "bytecode, for any number of views" in explained


def off_by(amount, name="features"):
    """A function whose answer is not ours."""

    def call(images):
        return {name: jnp.mean(images / 255, axis=(1, 2)) + amount}

    return ViewFunction(("images",), call)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (off_by(1e-3), r"features from file differ by 0\.001 from"),
        (off_by(jnp.nan), "differ by nan"),
        (off_by(0, "poses"), r"file gives \{'poses': \(4, 3\)\} where our network gives"),
    ],
)
def test_other_answers_are_refused(other, message):
    views = export.example_views(16, 4)
    with pytest.raises(RuntimeError, match=message):
        export.compare(off_by(0), {"file": other}, views)
    found = export.compare(off_by(0), {"file": off_by(1e-6)}, views)
    assert 0 < found["max_abs_difference"]["file"]["features"] < 2e-6


@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "are the same for all pictures"), (jnp.nan, "are not finite")]
)
def test_a_network_that_says_nothing_proves_nothing(value, message):
    silent = ViewFunction(("images",), lambda images: {"features": jnp.full((4, 3), value)})
    with pytest.raises(ValueError, match=f"features {message}"):
        export.compare(silent, {"file": silent}, export.example_views(16, 4))


def test_a_failed_check_leaves_nothing(pretrained, tmp_path, monkeypatch):
    export.export(configure(pretrained, "safetensors"), tmp_path)
    before = (tmp_path / "safetensors/check.json").read_text()
    original = export_torch.reopen

    def other(file):
        function = original(file)
        return function._replace(call=lambda x: {"features": 2 * function.call(x)["features"]})

    monkeypatch.setattr(export_torch, "reopen", other)
    with pytest.raises(RuntimeError, match="nothing was kept"):
        export.export(configure(pretrained, "safetensors"), tmp_path)
    # The older export is as it was.
    assert [path.name for path in tmp_path.iterdir()] == ["safetensors"]
    assert (tmp_path / "safetensors/check.json").read_text() == before


def test_other_folders_are_left_alone(pretrained, tmp_path):
    (tmp_path / "safetensors").mkdir()
    (tmp_path / "safetensors/thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="is there already and no export of ours"):
        export.export(configure(pretrained, "safetensors"), tmp_path)
    assert (tmp_path / "safetensors/thesis.txt").exists()


@pytest.mark.parametrize("kind", ["torchvision", "official"])
def test_widths_that_pytorch_does_not_know(kind, finetuned, tmp_path):
    message = r"resnet18 of width 4 with the stem 'small'.*--config\.format=safetensors"
    with pytest.raises(ValueError, match=message):
        export.export(configure(finetuned, kind), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "onnx"}, "format='onnx' is none of 'torchvision', 'official'"),
        ({"batch_size": -1}, "batch_size must be positive, or 0"),
        ({"checkpoint": ""}, "no checkpoint is named"),
    ],
)
def test_impossible_configs(fields, message, tmp_path):
    config = recipes.get_config()
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        export.export(config, tmp_path)


def test_checkpoints_of_no_network(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        export.export(configure(tmp_path / "nowhere", "safetensors"), tmp_path)
    run = save(tmp_path / "run", {"task": "knitting"}, {"params": {"a": np.zeros(1)}})
    with pytest.raises(ValueError, match="is a checkpoint of the task 'knitting'"):
        export.export(configure(run, "safetensors"), tmp_path)


def test_a_half_precision_run_is_exported_in_float32(tmp_path):
    run = pretrained_run(tmp_path, SMALL | {"model.dtype": "bfloat16", "model.remat": "block"})
    network = open_network(run, in_float32=True)
    assert network.network.encoder.dtype == jnp.float32
    assert network.network.encoder.remat == "none"


def test_torch_gives_the_features(published, tmp_path):
    """By torchvision's own network, where PyTorch is installed."""
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    report = export.export(configure(published, "torchvision"), tmp_path)
    network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    network.load_state_dict(torch.load(report.folder / "encoder.pth", weights_only=True))
    images = export.example_views(32, 4)["images"]
    mean, deviation = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    views = ((images / 255 - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2)
    with torch.no_grad():
        features = network.eval()(torch.from_numpy(views)).numpy()
    expected = export_compiled.of(open_network(published, in_float32=True)).call(images)["features"]
    np.testing.assert_allclose(features, expected, atol=report.check["tolerance"]["features"])
