"""Operations and bytes of a step, against published numbers and the compiler's own count."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.compiled import network, passes, roofline
from benchmarks.compiled.roofline import Machine
from peclr_jax.models import resnet
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector

H100 = Machine(989.4e12, 3.35e12)


@pytest.fixture(scope="module")
def resnet50():
    return network.network_of("resnet50", 128)


@pytest.mark.parametrize(
    ("architecture", "gmacs", "parameters"),
    [
        ("resnet18", 1.814, 11.69e6),
        ("resnet50", 4.089, 25.56e6),
        pytest.param("resnet152", 11.514, 60.19e6, marks=pytest.mark.slow),
    ],
)
def test_published_operations(architecture, gmacs, parameters):
    traced = network.network_of(architecture, 224)
    features = 512 if architecture == "resnet18" else 2048
    classifier, head = features * 1000, features * 512 + 512 * 128
    # Multiplications and additions, and parameters, of torchvision's networks.
    encoder = network.forward_flops(traced) / 2 - head
    assert (encoder + classifier) / 1e9 == pytest.approx(gmacs, rel=2e-3)
    own = 512 + 2 * 512  # biases and norm of the head
    given = traced.parameters - head - own + classifier + 1000
    assert given == pytest.approx(parameters, rel=1e-3)


def test_the_compiler_counts_about_as_many():
    encoder = resnet.ResNet(stage_sizes=(1, 1, 1, 1), block=resnet.Bottleneck, width=16)
    model = Projector(encoder, ProjectionHead(32, 8))
    images = jnp.zeros((2, 64, 64, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    program = jax.jit(model.apply).lower(variables, images).compile()
    counted = program.cost_analysis()["flops"]
    # The compiler leaves out what falls on the padding, and counts BatchNorm.
    ours = 2 * network.forward_flops(network.trace(model, 64))
    assert counted == pytest.approx(ours, rel=0.15)


def test_a_step_is_three_forward_passes_less_the_gradient_of_the_images(resnet50):
    forward = network.forward_flops(resnet50)
    stem = next(layer for layer in resnet50.layers if layer.name == "encoder/conv1")
    assert passes.model_flops(resnet50, 8) == 16 * (3 * forward - stem.flops)


def test_fusing_moves_fewer_bytes_for_the_same_operations(resnet50):
    moved, flops = [], []
    for rule in passes.RULES:
        listed = passes.passes(resnet50, 512, rule)
        moved.append(sum(one.bytes for one in listed))
        flops.append(sum(one.flops for one in listed))
    assert moved[0] > moved[1] > moved[2] > 0
    assert flops[0] == flops[1] == flops[2]
    with pytest.raises(ValueError, match="unknown rule 'some'"):
        passes.passes(resnet50, 1, "some")


def test_a_basic_block_by_hand():
    """One stage's block of ResNet-18 without shortcut, every pass counted on paper."""
    traced = network.network_of("resnet18", 128)
    n = 32 * 32 * 64
    block = "encoder/layer1_0"
    expected = {
        # Two convolutions (2n each); two norms (3n); a ReLU (2n); sum (3n) and ReLU (2n).
        # Backward: 4n a convolution; 5n a norm; 3n a ReLU, two of them; 3n the sum.
        "separate": (4 + 6 + 2 + 3 + 2, 8 + 10 + 6 + 3),
        # Norms: statistics (n), and norm and ReLU (2n) for the first; the sum with norm (3n).
        # Backward: 4n a convolution; 5n and 3n for the norms; 5n for the sum.
        "fused": (4 + 2 + 2 + 3, 8 + 5 + 3 + 5),
        # Convolutions, and the sum (3n). Backward: 2n read for the result's gradient, n for the
        # weights' or the input's gradient, 3n and n to finish the two inputs' gradients.
        "ideal": (4 + 3, 3 + 3 + 3 + 3 + 3 + 1),
    }
    for rule, (forward, backward) in expected.items():
        listed = [one for one in passes.passes(traced, 1, rule) if one.name.startswith(block)]
        for part, elements in (("forward", forward), ("backward", backward)):
            moved = sum(one.bytes for one in listed if one.part == part)
            assert moved == elements * n * 2 * 2, (rule, part)  # two views, two bytes


def test_bounds_scale_with_the_batch(resnet50):
    few, many = (roofline.bounds(passes.passes(resnet50, pairs), H100) for pairs in (512, 1024))
    assert many.bandwidth == pytest.approx(2 * few.bandwidth, rel=0.01)
    assert few.bandwidth > few.arithmetic
    assert few.passes >= max(few.arithmetic, few.bandwidth)
    slow = roofline.bounds(passes.passes(resnet50, 512), Machine(1e12, 3.35e12))
    assert slow.arithmetic > slow.bandwidth


def test_known_devices():
    assert roofline.datasheet("NVIDIA H100 80GB HBM3").bandwidth == 3.35e12
    assert roofline.datasheet("NVIDIA H100 PCIe").flops < roofline.datasheet("NVIDIA H100").flops
    assert roofline.datasheet("NVIDIA A100-SXM4-40GB").flops == 312e12
    assert roofline.datasheet("cpu") is None
