"""The PyTorch twin computes what our training step computes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.models import resnet, torch_weights
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.objectives import contrastive
from peclr_jax.training import optimizer
from peclr_jax.views import augment, color
from peclr_jax.views.spec import ViewSpec

torch = pytest.importorskip("torch")

from benchmarks.peers import torch_network, torch_twin, torch_views  # noqa: E402

# Threads that wait for each other on a busy machine take longer than the work.
torch.set_num_threads(1)

WIDTH, HIDDEN, POINTS, SIZE, PAIRS = 8, 16, 8, 32, 4
DECAY, RATE = 1e-2, 1e-3


BLOCKS = {
    "basic": (resnet.BasicBlock, torch_network.BasicBlock),
    "bottleneck": (resnet.Bottleneck, torch_network.Bottleneck),
}


def projectors(block):
    """Ours and the twin's, with one block in every stage: quick to compile."""
    ours, theirs = BLOCKS[block]
    encoder = resnet.ResNet(stage_sizes=(1, 1, 1, 1), block=ours, width=WIDTH)
    twin = torch_network.ResNet(theirs, (1, 1, 1, 1), WIDTH)
    head = ProjectionHead(HIDDEN, POINTS)
    return Projector(encoder, head), torch_network.Projector(twin, HIDDEN, POINTS)


def state_dict(variables):
    """Our projector's variables, or gradients, by the twin's names."""
    encoder = {name: parts["encoder"] for name, parts in variables.items()}
    tensors = {
        f"encoder.{name}": tensor
        for name, tensor in torch_weights.to_state_dict(encoder).items()
        if not name.endswith("num_batches_tracked")
    }
    params, stats = variables["params"]["head"], variables["batch_stats"]["head"]
    head = {
        "0.weight": params["dense1"]["kernel"].T,
        "0.bias": params["dense1"]["bias"],
        "1.weight": params["bn1"]["scale"],
        "1.bias": params["bn1"]["bias"],
        "1.running_mean": stats["bn1"]["mean"],
        "1.running_var": stats["bn1"]["var"],
        "3.weight": params["dense2"]["kernel"].T,
    }
    tensors |= {f"projection_head.{name}": tensor for name, tensor in head.items()}
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}


def views(seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2 * PAIRS, SIZE, SIZE, 3)).astype(np.float32)
    rotation = rng.uniform(-0.8, 0.8, 2 * PAIRS).astype(np.float32)
    translation = rng.uniform(-0.1, 0.1, (2 * PAIRS, 2)).astype(np.float32)
    return images, rotation, translation


def to_torch(images, *others):
    arrays = (images.transpose(0, 3, 1, 2), *others)
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def distance(ours, theirs):
    """Relative, over all the tensors at once."""
    pairs = [(np.asarray(ours[name]), theirs[name].detach().numpy()) for name in ours]
    return np.sqrt(
        sum(np.sum((a - b) ** 2) for a, b in pairs) / sum(np.sum(a**2) for a, _ in pairs)
    )


@pytest.fixture(scope="module")
def trained():
    """One step of ours: variables before, loss, gradients, parameters after."""
    network, _ = projectors("bottleneck")
    images, rotation, translation = map(jnp.asarray, views())
    variables = jax.jit(network.init)(jax.random.key(0), images)

    def loss(params):
        points, updates = network.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        transform = Similarity(rotation, jnp.ones(2 * PAIRS), translation)
        return contrastive.equivariant_nt_xent(points, transform, 0.5), updates["batch_stats"]

    tx = optimizer.lars_adam(RATE, DECAY, optimizer.decay_mask)

    @jax.jit
    def step(params, state):
        (value, stats), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = tx.update(gradients, state, params)
        return value, gradients, optax.apply_updates(params, updates), stats, state

    value, gradients, params, stats, state = step(variables["params"], tx.init(variables["params"]))
    second = step(params, state)[2]
    return variables, value, gradients, params, stats, second


@pytest.mark.parametrize("at_once", [True, False])
def test_loss_gradients_and_updates_are_ours(trained, at_once):
    variables, value, gradients, params, stats, second = trained
    _, network = projectors("bottleneck")
    network.load_state_dict(state_dict(variables), strict=False)
    tx = torch_twin.LarsAdam(list(network.parameters()), RATE, DECAY, at_once=at_once)
    batch = to_torch(*views())
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for number, expected in enumerate((params, second)):
        tx.zero_grad()
        loss = torch_twin.peclr_loss(network(batch[0]), *batch[1:], 0.5)
        loss.backward()
        if number == 0:
            assert loss.item() == pytest.approx(float(value), rel=1e-5)
            theirs = {name: p.grad for name, p in network.named_parameters()}
            ours = state_dict({"params": gradients, "batch_stats": stats})
            assert distance({name: ours[name] for name in before}, theirs) < 1e-4
            running = {name: t for name, t in ours.items() if name not in before}
            assert distance(running, network.state_dict()) < 1e-5
        tx.scale_gradients()
        tx.adam.step()
        after = state_dict({"params": expected, "batch_stats": stats})
        ours = {name: after[name] - before[name] for name in before}
        # Adam's first step is the gradient's sign, which rounding can turn where it is all but 0.
        moved = {name: p.detach() - before[name] for name, p in network.named_parameters()}
        assert distance(ours, moved) < 2e-2


@pytest.mark.parametrize("at_once", [True, False])
def test_lars_adam_is_ours_for_given_gradients(at_once):
    rng = np.random.default_rng(1)
    shapes = {"kernel": (5, 4), "bias": (4,), "scale": (3,), "zero": (2, 2)}
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    params["zero"] *= 0
    theirs = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in params.values()]
    tx = optimizer.lars_adam(0.05, DECAY, optimizer.decay_mask)
    twin = torch_twin.LarsAdam(theirs, 0.05, DECAY, at_once=at_once)
    state = tx.init(params)
    for _ in range(3):
        gradients = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        updates, state = tx.update(*jax.tree.map(jnp.asarray, (gradients, state, params)))
        params = optax.apply_updates(params, updates)
        for name, parameter in zip(shapes, theirs, strict=True):
            parameter.grad = torch.from_numpy(gradients[name].copy())
        twin.scale_gradients()
        twin.adam.step()
    for name, parameter in zip(shapes, theirs, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), params[name], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("architecture", ["resnet50", "resnet152"])
def test_deeper_networks_have_the_same_tensors(architecture):
    encoder = resnet.BY_NAME[architecture](width=WIDTH)
    network = Projector(encoder, ProjectionHead(HIDDEN, POINTS))
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((2, SIZE, SIZE, 3)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    twin = torch_network.Projector(torch_network.encoder(architecture, WIDTH), HIDDEN, POINTS)
    ours, theirs = (
        {name: tuple(t.shape) for name, t in tensors.items() if not name.endswith("_tracked")}
        for tensors in (state_dict(zeros), twin.state_dict())
    )
    assert ours == theirs


def test_running_statistics_give_the_same_points():
    network, twin = projectors("basic")
    images = views()[0]
    variables = jax.jit(network.init)(jax.random.key(3), images)
    twin.load_state_dict(state_dict(variables), strict=False)
    with torch.no_grad():
        theirs = twin.eval()(to_torch(images)[0]).numpy()
    ours = np.asarray(jax.jit(network.apply)(variables, images))
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize("style", torch_twin.STYLES)
def test_every_style_takes_a_step_of_the_same_loss(style):
    losses = []
    for chosen in ("cpu", style):
        torch.manual_seed(0)
        widths = {"width": WIDTH, "hidden": HIDDEN, "num_points": POINTS}
        step = torch_twin.make_step("resnet18", style=chosen, size=SIZE, compiled=False, **widths)
        before = [p.detach().clone() for p in step.network.parameters()]
        losses.append(step(*to_torch(*views())).item())
        # A scale of the loss that float16 cannot hold is halved, and the step left out.
        for _ in range(8):
            step(*to_torch(*views()))
        after = list(step.network.parameters())
        assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_micro_batches_hold_both_views_of_an_image():
    rows = torch.arange(2 * PAIRS)
    parts = torch_twin._micro_batches((rows, rows), 2)
    assert [part[0].tolist() for part in parts] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_views_are_ours_for_the_same_draw():
    spec = ViewSpec(size=24)
    sources = np.random.default_rng(0).integers(0, 256, (5, 36, 36, 3), np.uint8)
    torch.manual_seed(0)
    draw = torch_views.draw(len(sources), "cpu")
    rotation, scale, translation, *factors = (jnp.asarray(part.numpy()) for part in draw)
    matrix = augment.source_to_view(Similarity(rotation, scale, translation), 36, spec)
    ours = affine.apply_to_images(jnp.asarray(sources), matrix, spec.size)
    ours = augment.normalize(color.color_jitter(ours, *factors))
    theirs = torch_views.render(torch.from_numpy(sources), draw, spec.size).permute(0, 2, 3, 1)
    difference = np.abs(np.asarray(ours) - theirs.numpy())
    # A pixel at the very edge of the source can fall inside for one and outside for the other.
    assert np.quantile(difference, 0.999) < 1e-3
    assert difference.mean() < 1e-3


def test_draws_stay_within_the_ranges_of_the_paper():
    torch.manual_seed(1)
    spec, draw = ViewSpec(), torch_views.draw(1000, "cpu")
    angle = np.deg2rad(spec.rotation_deg)
    ranges = {"rotation": (-angle, angle), "gain": spec.value_gain, "offset": spec.value_offset}
    same = ("scale", "translation", "hue", "saturation")
    for name, (low, high) in (ranges | {name: getattr(spec, name) for name in same}).items():
        drawn, span = getattr(draw, name), high - low
        assert low <= drawn.min() < low + 0.02 * span, name
        assert high - 0.02 * span < drawn.max() <= high, name


def test_both_views_of_a_source_lie_half_a_batch_apart():
    sources = torch.zeros(3, 36, 36, 3, dtype=torch.uint8)
    sources[1] = 255
    images, rotation, translation = torch_views.TorchViews(24)(sources)
    assert images.shape == (6, 3, 24, 24)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert rotation.shape == (6,)
    assert translation.shape == (6, 2)
    bright = images.mean((1, 2, 3))
    assert set(bright.topk(2).indices.tolist()) == {1, 4}


@pytest.mark.parametrize(
    ("network", "style", "unknown"), [("resnet18", "fast", "style"), ("vgg", "cpu", "network")]
)
def test_unknown_names_are_refused(network, style, unknown):
    with pytest.raises(ValueError, match=f"unknown {unknown} '(fast|vgg)'"):
        torch_twin.make_step(network, style=style, size=SIZE)
