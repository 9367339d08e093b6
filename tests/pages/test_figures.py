import numpy as np

from peclr_jax import pages


def test_a_grid_has_a_column_for_each_title(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    figure = pages.image_grid({"a": images, "b": images + 9})
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
    assert len(pages.view_pairs(images, images, images, images).axes) == 10
    pages.save(figure, tmp_path / "new" / "grid.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["grid.png"]
    assert (tmp_path / "new" / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_as_an_image():
    figure = pages.curve(np.arange(3.0), np.arange(3.0), "loss")
    assert figure.axes[0].get_ylabel() == "loss"
    image = pages.as_image(figure)
    assert image.shape[2] == 3
    assert image.min() < 255
