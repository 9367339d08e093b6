import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from peclr_jax.geometry.crop import Square, mirror_matrix, to_matrix
from peclr_jax.photos.crop import Window, cut_out, keep

WIDTH, HEIGHT, SIZE = 120, 90, 64


def plane():
    """A photo whose red is 2 x + 5 and whose green is 2 y + 5: colours tell where they are from."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([2 * x + 5, 2 * y + 5, np.full_like(x, 255)], -1).astype(np.uint8)
    return Window(Image.fromarray(pixels), -0.5, -0.5, (1.0, 1.0))


def check(crop, square, mirror, tolerance):
    """Pixels that see the photo's inside (away from its border) must show what is there."""
    to_crop = mirror_matrix(to_matrix(square, SIZE), np.array(mirror), SIZE)
    to_photo = np.linalg.inv(np.vstack([to_crop, [0, 0, 1]]))
    y, x = np.mgrid[:SIZE, :SIZE]
    place = to_photo @ np.stack([x.ravel(), y.ravel(), np.ones(SIZE * SIZE)])
    reach = 2 + square.side / SIZE
    # How far inside of the nearest border; beyond it below 0.
    depth = np.min([place[0], WIDTH - 1 - place[0], place[1], HEIGHT - 1 - place[1]], axis=0)
    inside, outside = depth > reach, depth < -reach
    seen = (crop.reshape(-1, 3)[:, :2].astype(float) - 5) / 2
    np.testing.assert_allclose(seen[inside], place[:2].T[inside], atol=tolerance)
    assert (crop.reshape(-1, 3)[outside] == 0).all()


squares = st.builds(Square, st.floats(-20.0, 140.0), st.floats(-20.0, 110.0), st.floats(8.0, 300.0))


@given(squares, st.booleans())
def test_pixels_are_where_the_matrix_says(square, mirror):
    crop = cut_out(plane(), square, SIZE, mirror=mirror)
    assert crop.shape == (SIZE, SIZE, 3)
    check(crop, square, mirror, tolerance=0.6)


@given(squares, st.sampled_from([24, 64, 200]))
def test_what_is_kept_keeps_its_place(square, most):
    wide = square._replace(side=2 * square.side)
    x0, y0, x1, y1 = wide.edges
    assume(min(x1, y1) > 0 and x0 < WIDTH - 1 and y0 < HEIGHT - 1)
    window = keep(plane(), wide, most)
    assert max(window.image.size) <= max(most, 2) + 2
    coarse = 1 + wide.side / most
    if coarse < 4:
        check(cut_out(window, square, SIZE), square, False, tolerance=coarse)


def test_shrinking_averages():
    rows = np.zeros((64, 64, 3), np.uint8)
    rows[::2] = 200
    crop = cut_out(Window(Image.fromarray(rows), -0.5, -0.5, (1, 1)), Square(31.5, 31.5, 64), 8)
    np.testing.assert_allclose(crop[2:-2], 100, atol=4)


def test_a_region_beside_the_photo_is_refused():
    with pytest.raises(ValueError, match="outside"):
        keep(plane(), Square(-50, 40, 20), 64)
