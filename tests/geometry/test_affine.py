import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peclr_jax.geometry import affine
from peclr_jax.geometry.affine import Similarity
from peclr_jax.geometry.crop import scaling
from peclr_jax.views import affine as importable

SIDE = 32
POINTS = np.random.default_rng(0).uniform(-20, 50, (1, 5, 2)).astype(np.float32)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


@st.composite
def similarities(draw: st.DrawFn) -> Similarity:
    angle, scale, x, y = (draw(floats(*s)) for s in ((-3.125, 3.125), (0.5, 2), *[(-0.5, 0.5)] * 2))
    return Similarity(*(jnp.array([value]) for value in (angle, scale, [x, y])))


def identity(batch: int) -> Similarity:
    return Similarity(jnp.zeros(batch), jnp.ones(batch), jnp.zeros((batch, 2)))


def move(transform: Similarity, points: np.ndarray = POINTS) -> np.ndarray:
    return np.asarray(affine.apply_to_points(affine.to_matrix(transform, SIDE), jnp.array(points)))


def assert_close(a: object, b: object, atol: float = 1e-3) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=1e-5)


@given(similarities(), similarities())
def test_matrices_are_composed_and_undone(a, b):
    first, second = affine.to_matrix(a, SIDE), affine.to_matrix(b, SIDE)
    there = affine.compose_matrices(first, second)
    assert_close(affine.apply_to_points(there, POINTS), move(b, move(a)), atol=2e-3)
    back = affine.apply_to_points(affine.invert_matrix(first), jnp.array(move(a)))
    assert_close(back, POINTS)
    assert_close(affine.compose_matrices(first, affine.invert_matrix(first)), [[*np.eye(2, 3)]])


@given(similarities())
def test_zoom_is_the_scale(a):
    assert_close(affine.zoom(affine.to_matrix(a, SIDE)), a.scale)
    assert_close(affine.zoom(np.asarray(affine.to_matrix(a, SIDE))), a.scale)


@given(similarities())
def test_the_same_transform_at_another_side_is_the_same_picture(a):
    def centered(side):
        matrix = affine.to_matrix(a, side)
        points = (jnp.array(POINTS) / SIDE) * side + (side - 1) / 2
        return (affine.apply_to_points(matrix, points) - (side - 1) / 2) / side

    assert_close(centered(SIDE), centered(7 * SIDE), atol=1e-5)


def test_a_rotation_turns_x_toward_y_and_a_translation_comes_last():
    center = (SIDE - 1) / 2
    points = np.array([[[center + 10, center], [center, center]]], np.float32)
    quarter_turn = identity(1)._replace(rotation=jnp.array([np.pi / 2]))
    assert_close(move(quarter_turn, points), [[[center, center + 10], [center, center]]])
    transform = Similarity(jnp.array([1.0]), jnp.array([2.0]), jnp.array([[0.25, -0.5]]))
    moved = move(transform, points[:, 1:])
    assert_close(moved, [[[center + SIDE / 4, center - SIDE / 2]]])


def test_sample_fills_its_ranges_and_is_a_function_of_the_key():
    def draw(seed):
        return affine.sample(
            jax.random.key(seed), 4096, rotation=0.7, scale=(0.6, 2.0), translation=(-0.1, 0.1)
        )

    drawn = draw(0)
    assert [part.shape for part in drawn] == [(4096,), (4096,), (4096, 2)]
    for part, low, high in zip(drawn, (-0.7, 0.6, -0.1), (0.7, 2.0, 0.1), strict=True):
        slack = 0.01 * (high - low)
        assert low <= part.min() < low + slack
        assert high - slack < part.max() <= high
    # Rotation, scale and the two translations do not follow one another.
    columns = np.column_stack([drawn.rotation, drawn.scale, drawn.translation])
    assert np.abs(np.corrcoef(columns.T) - np.eye(4)).max() < 0.08
    jax.tree.map(np.testing.assert_array_equal, drawn, draw(0))
    assert not np.array_equal(drawn.rotation, draw(1).rotation)


def test_the_draws_are_the_same_where_jax_computes_with_64_bits():
    def draw():
        drawn = affine.sample(
            jax.random.key(0), 8, rotation=0.7, scale=(0.6, 2.0), translation=(-0.1, 0.1)
        )
        return jax.tree.map(np.asarray, drawn)

    with jax.enable_x64(True):
        wide = draw()
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), wide, draw())


def test_a_range_of_one_point_samples_the_identity_which_returns_the_image():
    off = {"rotation": 0.0, "scale": (1.0, 1.0), "translation": (0.0, 0.0)}
    drawn = affine.sample(jax.random.key(0), 2, **off)
    jax.tree.map(np.testing.assert_array_equal, drawn, identity(2))
    image = np.random.default_rng(1).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    view = affine.apply_to_images(jnp.array(image), affine.to_matrix(drawn, 9), 9)
    assert view.dtype == jnp.float32
    np.testing.assert_array_equal(view, image)


@given(similarities(), floats(6, 25), floats(6, 25))
def test_a_bright_dot_lands_where_its_point_does(transform, x, y):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    # A Gaussian spot: smooth enough for its centroid to survive resampling at every scale.
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))
    matrix = affine.to_matrix(transform._replace(translation=transform.translation / 4), SIDE)
    # A canvas with room for wherever the spot may go.
    matrix = affine.compose_matrices(matrix, jnp.array([[[1.0, 0.0, 64.0], [0.0, 1.0, 64.0]]]))
    view = affine.apply_to_images(jnp.array(spot, jnp.float32)[None, :, :, None], matrix, 160)
    weights = np.asarray(view, np.float64)[0, :, :, 0]
    rows, columns = np.mgrid[:160, :160]
    centroid = [(weights * axis).sum() / weights.sum() for axis in (columns, rows)]
    expected = affine.apply_to_points(matrix, jnp.array([[[x, y]]], jnp.float32))[0, 0]
    np.testing.assert_allclose(centroid, expected, atol=0.05)


def test_outside_the_source_is_black_and_fades_over_one_pixel():
    images = jnp.full((2, 5, 11, 2), 200, jnp.uint8)  # neither square nor, the second one, near
    matrix = jnp.array([[[1.0, 0, 2.5], [0, 1.0, 0]], [[1.0, 0, 1e12], [0, 1.0, -1e12]]])
    view = affine.apply_to_images(images, matrix, 16)
    row = [0, 0, 100, *[200] * 10, 100, 0, 0]
    np.testing.assert_allclose(view[0, :5], np.tile(np.array(row)[:, None], (5, 1, 2)), atol=1e-3)
    np.testing.assert_array_equal(view[0, 5:], 0)
    np.testing.assert_array_equal(view[1], 0)


def test_matches_a_plain_bilinear_interpolation():
    image = np.random.default_rng(2).uniform(0, 255, (1, 12, 12, 1)).astype(np.float32)
    transform = Similarity(jnp.array([0.4]), jnp.array([1.3]), jnp.array([[0.1, -0.2]]))
    matrix = affine.to_matrix(transform, 12)
    view = affine.apply_to_images(jnp.array(image), matrix, 12)
    rows, columns = np.mgrid[:12, :12]
    pixels = jnp.array(np.stack([columns, rows], -1).reshape(1, -1, 2), jnp.float32)
    source = affine.apply_to_points(affine.invert_matrix(matrix), pixels)[0]
    expected = jax.scipy.ndimage.map_coordinates(
        image[0, :, :, 0], [source[:, 1], source[:, 0]], order=1, mode="constant"
    )
    np.testing.assert_allclose(view.reshape(-1), expected, atol=2e-2)


def official_matrices(reference, *, half_pixel):
    """The official pipeline: turn about the truncated mean joint, cut out a box, resize it."""
    x, y = np.trunc(reference["joints_in"][..., :2].mean(axis=1)).T
    # OpenCV's positive angles turn the content counter-clockwise.
    cosine, sine = (f(-np.deg2rad(reference["angle"])) for f in (np.cos, np.sin))
    turn = [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    scale_x, scale_y = 128 / reference["crop_box"][:, 2:].T
    left, top = reference["crop_box"][:, :2].T
    shift_x, shift_y = -left * scale_x, -top * scale_y
    if half_pixel:
        shift_x, shift_y = shift_x + (scale_x - 1) / 2, shift_y + (scale_y - 1) / 2
    cut = scaling(scale_x, scale_y, shift_x, shift_y)
    turn = np.stack(turn, -1).reshape(-1, 2, 3)
    return jnp.array(affine.compose_matrices(turn, cut), jnp.float32)


def test_reproduces_the_official_matrices_joints_and_images(parity):
    reference = parity("augment_geometry")
    matrices = official_matrices(reference, half_pixel=False)
    np.testing.assert_allclose(matrices, reference["matrix"][:, :2], atol=1e-3)
    joints = affine.apply_to_points(matrices, jnp.array(reference["joints_in"][..., :2]))
    # The matrices themselves map the official joints to 3e-5 px.
    np.testing.assert_allclose(joints, reference["joints_out"][..., :2], atol=3e-4)
    # What their resize shows has the half-pixel term that their label matrices lack.
    matrices = official_matrices(reference, half_pixel=True)[reference["image_case"]]
    views = affine.apply_to_images(jnp.array(reference["image_in"]), matrices, 128)
    assert np.abs(views - reference["image_out"]).mean(axis=(1, 2, 3)).max() < 1.5


def test_the_name_that_others_import_stays():
    assert importable.Similarity is Similarity
