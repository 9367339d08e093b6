"""Weights of every layout, in and out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.models import resnet, torch_weights, torch_writing
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.models.torch_weights import from_state_dict, to_state_dict
from tests.models.conftest import pooled_features
from tests.models.test_torch_layouts import init, load_keys, network_of

SMALL = ("torchvision_resnet18", "RN_25D_wMLPref_rn50", "Hybrid2Model_resnet50")
"""Layouts whose values are tested; `test_torch_layouts.py` tests names and shapes of all."""


@pytest.mark.parametrize("name", SMALL)
def test_in_out_in_is_exact(parity, name):
    keys = load_keys(parity, name)
    # Distinct numbers, so that no permutation goes unseen.
    tensors = {
        key: np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        for key, shape in keys.items()
    }
    variables = from_state_dict(tensors)
    out = to_state_dict(variables)
    for key, tensor in out.items():
        if key.endswith("num_batches_tracked") or "final_layer" in key:
            assert not tensor.any()
        else:
            np.testing.assert_array_equal(tensor, tensors[key], err_msg=key)
            assert tensor.flags.c_contiguous
    again = from_state_dict(out)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.parametrize(("suffix", "stem"), [("pth", "imagenet"), ("safetensors", "small")])
@pytest.mark.parametrize("layout", ["torchvision", "hybrid2", "released"])
def test_our_small_networks_through_files(tmp_path, suffix, layout, stem):
    network = network_of(layout, resnet.ResNet18(width=4, stem=stem))
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: generator.normal(size=leaf.shape).astype(np.float32), init(network)
    )
    path = tmp_path / f"weights.{suffix}"
    state_dict = to_state_dict(variables)
    if suffix == "pth":
        torch_writing.write(path, {"state_dict": state_dict})
    else:
        torch_writing.write_safetensors(path, state_dict, {"format": "pt"})
    weights = torch_weights.read_weights(path)
    assert weights[:4] == (layout, "resnet18", 4, stem)
    jax.tree.map(np.testing.assert_array_equal, weights.variables, variables)
    jax.tree.map(np.testing.assert_array_equal, torch_weights.load_torch(path), variables)


def test_hybrid2_gives_the_official_projection(parity):
    module = parity.make_state_dict
    reference = parity("refine")
    keys = module.load_keys("Hybrid2Model_resnet50", parity.path("keys.json"))
    variables = from_state_dict(module.make_state_dict(keys))
    images = module.normalise(module.make_images())[:1, :128, :128]
    parts = ("encoder", "head")
    encoder, head = ({kind: tree[part] for kind, tree in variables.items()} for part in parts)
    embedding = pooled_features("resnet50")(encoder, images)
    points = ProjectionHead().apply(head, embedding)
    network = Projector(resnet.ResNet50(), ProjectionHead())
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, init(network))
    for actual, name in ((embedding, "embedding"), (points.reshape(-1, 128), "projection")):
        expected = reference[f"hybrid2_eval_{name}"]
        assert np.abs(actual - expected).max() < 3e-5 * np.abs(expected).max()


@pytest.fixture
def tensors():
    """A ResNet-18 of width 4."""
    shapes = init(resnet.ResNet18(width=4))
    return to_state_dict(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes))


def test_what_is_not_needed_may_be_there_or_not(tensors):
    variables = from_state_dict(tensors)
    assert not any("fc" in name for name in tensors)
    extra = {"fc.weight": np.zeros((1000, 32)), "fc.0.bias": np.zeros(3)}
    without = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
    for other in (tensors | extra, without):
        jax.tree.map(np.testing.assert_array_equal, from_state_dict(other), variables)


def test_other_floating_points_become_float32(tensors):
    tensors["bn1.weight"] = np.array([0.1, 1, 2, 3])
    tensors["bn1.bias"] = jnp.array([0, 1, 2, 3], jnp.bfloat16)
    params = from_state_dict(tensors)["params"]
    np.testing.assert_array_equal(params["bn1"]["scale"], np.float32([0.1, 1, 2, 3]))
    np.testing.assert_array_equal(params["bn1"]["bias"], np.float32([0, 1, 2, 3]))


def zeros(*shape):
    return np.zeros(shape, np.float32)


MISTAKES = [
    (
        {"layer3.0.con1.weight": zeros(3)},
        r"'layer3\.0\.con1\.weight' is not a tensor of a torchvision ResNet-18; the nearest of "
        r"its names are 'layer3\.0\.conv1\.weight'(, '[\w.]+'){4}$",
    ),
    (
        {"backbone.a": zeros(3), "backbone.b": zeros(3)},
        r"'backbone\.a' is not a tensor of a torchvision ResNet-18 \(nor are 1 others\)",
    ),
    (
        {"conv1.weight": zeros(4, 3, 5, 5)},
        r"'conv1\.weight' has the shape \(4, 3, 5, 5\), .* of width 4 it has \(4, 3, 7, 7\)",
    ),
    (
        {"layer2.0.bn2.bias": zeros(9)},
        r"'layer2\.0\.bn2\.bias' has the shape \(9,\), .* it has \(8,\)",
    ),
    (
        {"bn1.weight": np.float32([1, np.nan, np.inf, 2])},
        r"'bn1\.weight' holds 2 values that are not finite",
    ),
    ({"bn1.weight": np.arange(4)}, r"'bn1\.weight' holds int64, not floating-point"),
    (
        {"layer1.2.conv1.weight": zeros(4, 4, 3, 3)},
        r"the stages have \(3, 2, 2, 2\) residual blocks, which no ResNet-18",
    ),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_mistakes_are_named(tensors, change, message):
    with pytest.raises(ValueError, match=message):
        from_state_dict(tensors | change)


@pytest.mark.parametrize(
    ("prefix", "module"),
    [
        ("encoder.", "network.encoder"),
        ("model.encoder.", "network.model.encoder"),
        ("0.", "network[0]"),
        ("nets.2.backbone.", "network.nets[2].backbone"),
    ],
)
def test_networks_inside_of_another_are_found(tensors, prefix, module):
    whole = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    whole[f"{prefix}fc.weight"] = zeros(10, 32)
    message = "are those of a torchvision ResNet-18: save that part alone, by"
    for extra, number in (({}, "all"), ({"head.weight": zeros(3)}, len(whole))):
        with pytest.raises(UserError) as error:
            from_state_dict(whole | extra)
        assert str(error.value) == (
            f"{number} names begin with {prefix!r}, and without it {message} "
            f"torch.save({module}.state_dict(), file)"
        )


def test_official_networks_inside_of_another_are_found():
    network = network_of("released", resnet.ResNet18(width=4))
    variables = jax.tree.map(lambda leaf: zeros(*leaf.shape), init(network))
    whole = {f"net.{name}": tensor for name, tensor in to_state_dict(variables).items()}
    message = r"all names begin with 'net\.', .* \(RN_25D_wMLPref\) ResNet-18: save"
    with pytest.raises(UserError, match=message):
        from_state_dict(whole)


@pytest.mark.parametrize("prefix", ["a b.", "x" * 100 + "."])
def test_prefixes_that_no_module_has_are_not_spelt_out(tensors, prefix):
    with pytest.raises(UserError, match="is not a tensor of a torchvision ResNet"):
        from_state_dict({f"{prefix}{name}": tensor for name, tensor in tensors.items()})


def test_missing_tensors_are_named(tensors):
    del tensors["layer1.0.bn1.bias"]
    with pytest.raises(ValueError, match=r"'layer1\.0\.bn1\.bias' of a .* ResNet-18 is missing:"):
        from_state_dict(tensors)
    del tensors["bn1.weight"]
    with pytest.raises(ValueError, match=r"'bn1\.weight' of .* is missing \(and 1 others\): the"):
        from_state_dict(tensors)
    with pytest.raises(ValueError, match=r"the stages have \(0, 0, 0, 0\) residual blocks"):
        from_state_dict({})


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("encoder.features.8.0.weight", "Hybrid2Model"),
        ("backend_model.fc2.weight", "RN_25D_wMLPref"),
    ],
)
def test_unknown_names_of_the_official_networks(name, layout):
    message = rf"is not a tensor of an official .*\({layout}\) ResNet;"
    with pytest.raises(ValueError, match=message):
        from_state_dict({name: zeros(3)})


def test_files_are_named(tmp_path, tensors):
    path = tmp_path / "weights.pth"
    torch_writing.write(path, tensors | {"other": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=r"weights\.pth: 'other' is not a tensor of a torchvision"):
        torch_weights.read_weights(path)
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        torch_weights.load_torch(tmp_path / "absent.pth")


def test_variables_without_a_layout(tensors):
    variables = from_state_dict(tensors)
    with pytest.raises(ValueError, match=r"\['encoder', 'head'\] have no layout in PyTorch: give"):
        to_state_dict({"params": {"encoder": {}, "head": {"pose": {}}}, "batch_stats": {}})
    del variables["params"]["layer1_0"]["bn1"]["scale"]
    with pytest.raises(ValueError, match="params/layer1_0/bn1/scale is missing from that layout"):
        to_state_dict(variables)
    variables["params"]["layer1_0"]["bn1"]["scale"] = np.zeros(5, np.float32)
    with pytest.raises(ValueError, match=r"'layer1\.0\.bn1\.weight' would have the shape \(5,\)"):
        to_state_dict(variables)
    variables["params"]["other"] = np.zeros(5, np.float32)
    with pytest.raises(ValueError, match="params/other is not in that layout"):
        to_state_dict(variables)
