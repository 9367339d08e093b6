"""Maps are warped as their images are, and the loss knows a cell by its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.models.resnet import BasicBlock, ResNet
from peclr_jax.objectives import maps

SIDE, STRIDE = 64, 8

loss_and_gradient = jax.jit(jax.value_and_grad(maps.equivariance_loss), static_argnums=(3, 4))


@jax.jit
def warp(cells, first, second):
    """Returns the cells of a map in another view, and which of them are known."""
    return maps.warp(cells, maps.cell_matrix(first, second, SIDE, STRIDE))


def similarity(rotation=0.0, scale=1.0, translation=(0.0, 0.0), images=1):
    values = rotation, scale, np.asarray(translation)
    return Similarity(*(jnp.asarray(np.stack([v] * images), jnp.float32) for v in values))


def field(transform, channels=6):
    """A smooth picture under a transformation, as a map of its pixels under the cells."""
    cells = np.arange(SIDE // STRIDE) * STRIDE
    grid = np.stack(np.meshgrid(cells, cells), -1).reshape(1, -1, 2).astype(np.float32)
    matrix = affine.invert_matrix(affine.to_matrix(transform, SIDE))
    x, y = np.moveaxis(np.asarray(affine.apply_to_points(matrix, grid)), -1, 0) / SIDE
    waves = np.arange(1, channels + 1) / 2
    values = np.sin(np.multiply.outer(x, waves)) + np.cos(np.multiply.outer(y, waves[::-1]))
    return jnp.asarray(values, jnp.float32).reshape(-1, SIDE // STRIDE, SIDE // STRIDE, channels)


transforms = st.builds(
    similarity,
    rotation=st.floats(-3, 3),
    scale=st.floats(0.7, 1.5),
    translation=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
)


@given(first=transforms, second=transforms)
def test_a_warped_map_is_the_map_of_the_warped_picture(first, second):
    warped, inside = map(np.asarray, warp(field(first), first, second))
    # Bilinear interpolation of waves that turn by at most a radian over four cells.
    np.testing.assert_allclose(warped[inside], np.asarray(field(second))[inside], atol=0.08)


@given(first=transforms, second=transforms)
def test_there_and_back_is_where_it_was(first, second):
    there, back = (
        maps.cell_matrix(a, b, SIDE, STRIDE) for a, b in ((first, second), (second, first))
    )
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 7, (1, 20, 2)), jnp.float32)
    found = affine.apply_to_points(back, affine.apply_to_points(there, points))
    np.testing.assert_allclose(found, points, atol=1e-3)


def test_cells_beyond_the_other_view_are_told():
    shifted = similarity(translation=(STRIDE / SIDE, 0.0))
    _, inside = warp(field(similarity()), similarity(), shifted)
    # The content moved by one cell to the right, so nothing is known of the first column.
    assert not inside[0, :, 0].any()
    assert inside[0, :, 1:].all()


@pytest.mark.parametrize(("stem", "first_stride"), [("small", 2), ("imagenet", 4)])
@pytest.mark.parametrize("cells", [14, 13.5])
def test_cells_are_centred_on_multiples_of_the_stride(stem, first_stride, cells):
    """What a cell of the third stage looks at, in a network whose filters favour no direction."""
    stride = 4 * first_stride
    side, at = int(cells * stride), 6
    network = ResNet((1, 1, 1), BasicBlock, width=1, stem=stem)
    view = jnp.ones((1, side, side, 3))
    shapes = jax.eval_shape(network.init, jax.random.key(0), view)
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)

    def cell(images):
        _, kept = network.apply(variables, images, mutable=["intermediates"])
        (stage,) = kept["intermediates"]["stage3"]
        return stage[0, at, at + 1].sum(), stage.shape[1]

    random = 1 + 0.1 * jax.random.uniform(jax.random.key(1), (1, side, side, 3))
    looked, map_side = jax.jit(jax.grad(cell, has_aux=True))(random)
    assert maps.stride_of(side, int(map_side)) == stride
    where = np.abs(np.asarray(looked[0])).sum(-1)
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    centre = [(where * axis).sum() / where.sum() for axis in (rows, columns)]
    # Half a stride beside it would be what cells that tile the view are centred on.
    np.testing.assert_allclose(centre, [at * stride, (at + 1) * stride], atol=0.25 * stride)


def test_maps_that_follow_cost_less_than_maps_that_do_not():
    first, second = similarity(0.4, 1.1, images=2), similarity(-0.3, 0.9, (0.1, 0.0), images=2)
    following = field(first), field(second)
    both = first, second
    pairs = following, (following[0], following[0]), [jnp.ones_like(x) for x in following]
    cost, staying, constant = (loss_and_gradient(*pair, both, SIDE, 0.05)[0] for pair in pairs)
    assert cost < 0.9 * staying
    np.testing.assert_allclose(constant, np.log((SIDE // STRIDE) ** 2), rtol=1e-4)


def test_its_gradient_is_finite_and_zero_where_views_share_nothing():
    first = jax.random.normal(jax.random.key(0), (2, 4, 4, 3)).at[0].set(0.0)
    far = similarity(translation=(1.0, 1.0), images=2)
    for second, shared in ((similarity(0.5, images=2), True), (far, False)):
        both = similarity(images=2), second
        loss, gradient = loss_and_gradient(first, first, both, SIDE, 0.5)
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient).max() > 0) == shared == (loss > 0)


def test_a_temperature_is_positive():
    views = similarity(images=2), similarity(images=2)
    with pytest.raises(ValueError, match="temperature must be positive, got nan"):
        maps.equivariance_loss(*[jnp.ones((2, 4, 4, 3))] * 2, views, SIDE, float("nan"))
