import jax
import numpy as np
import pytest

from peclr_jax.export.comparison import example_views
from peclr_jax.export.functions import encoder_of, explain_views
from peclr_jax.export.own_file import without_places
from peclr_jax.hands import skeleton
from peclr_jax.models import torch_file, torch_weights
from peclr_jax.networks.opening import open_network
from peclr_jax.training.restoring import restore_params


@pytest.mark.slow
def test_torchvision(published, exported):
    report = exported(published, "torchvision")
    assert report.check["max_abs_difference"] == {"encoder.pth": {"features": 0.0}}
    state_dict = torch_file.read(report.folder / "encoder.pth")
    assert state_dict["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)
    assert not any(name.startswith("fc.") for name in state_dict)


def test_official_names_of_a_pretrained_network(published, exported):
    report = exported(published, "official")
    weights = torch_weights.read_weights(report.folder / "official.pth")
    assert (weights.layout, weights.architecture) == ("hybrid2", "resnet18")
    expected = restore_params(published)
    jax.tree.map(np.testing.assert_array_equal, dict(weights.variables), dict(expected))
    assert report.check["max_abs_difference"]["official.pth"] == {"features": 0, "projection": 0}
    assert "peclr_to_torchvision" in report.opening


@pytest.mark.slow
def test_official_names_of_a_finetuned_network(published_finetuned, exported):
    report = exported(published_finetuned, "official")
    state_dict = torch_file.read(report.folder / "official.pth")
    # Pixels of the view, in AIT's order, at the mean pose that the bias holds.
    network = open_network(published_finetuned)
    mean_pose = np.asarray(network.description.statistics.mean_pose)
    official = state_dict["backend_model.fc.bias"][:63].reshape(21, 3)[skeleton.FROM_AIT]
    np.testing.assert_allclose(official[:, :2], 15.5 + 16 * mean_pose[:, :2], rtol=1e-5)
    assert not state_dict["backend_model.fc.weight"][63].any()
    assert set(report.check["peak"]) == {"keypoints_25d", "root_depth"}
    assert report.check["peak"]["root_depth"] > 4
    assert "first joint is the wrist itself" in report.opening
    assert "network.eval()(views, K)\n" in report.opening
    assert explain_views(network) in report.opening
    reopened = open_network("", report.folder / "official.pth")
    assert not reopened.module.palm_root
    assert reopened.description == without_places(network.description)


def test_safetensors_hold_any_width(pretrained, exported):
    from safetensors import safe_open

    report = exported(pretrained, "safetensors")
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
    assert explain_views(open_network(pretrained)) in report.opening


def test_encoder_of_a_finetuned_network(finetuned, exported):
    report = exported(finetuned, "safetensors")
    variables = torch_weights.load_torch(report.folder / "encoder.safetensors")
    expected = open_network(finetuned).part("encoder")
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


@pytest.mark.parametrize("kind", ["torchvision", "official"])
def test_widths_that_pytorch_does_not_know(kind, finetuned, exported, tmp_path):
    message = r"resnet18 of width 4 with the stem 'small'.*--config\.format=safetensors"
    with pytest.raises(ValueError, match=message):
        exported(finetuned, kind)
    assert not list(tmp_path.iterdir())


def test_torch_gives_the_features(published, exported):
    """By torchvision's own network, where PyTorch is installed."""
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    report = exported(published, "torchvision")
    network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    network.load_state_dict(torch.load(report.folder / "encoder.pth", weights_only=True))
    images = example_views(32, 4)["images"]
    mean, deviation = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    views = ((images / 255 - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2)
    with torch.no_grad():
        features = network.eval()(torch.from_numpy(views)).numpy()
    expected = encoder_of(open_network(published, in_float32=True)).call(images)["features"]
    np.testing.assert_allclose(features, expected, atol=report.check["tolerance"]["features"])
