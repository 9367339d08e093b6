"""Images and labels: exact, deterministic, consistent."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.synthetic import RENDERER_VERSION
from peclr_jax.synthetic.render import SENSOR_NOISE, Hands, render_indices, render_versions
from tests.synthetic.conftest import CHUNK, KEY, SPEC

RECORDED = Path(__file__).with_name(f"renderer_{RENDERER_VERSION}.npz")


def recorded(hands: Hands) -> dict[str, np.ndarray]:
    """What is kept of a version of the renderer: `python -m tests.synthetic.test_render` does."""
    return {name: np.asarray(array[:4]) for name, array in hands._asdict().items()}


def test_the_version_is_raised_where_the_pixels_change(hands):
    with np.load(RECORDED) as before:
        for name, array in recorded(hands).items():
            difference = np.abs(array.astype(float) - before[name])
            # Compilers round otherwise: a grey level, or a pixel at the edge of a mask.
            same = np.mean(difference > 1e-3 * np.abs(before[name]).max()) < 3e-4
            assert same, f"{name} is not as in {RECORDED.name}: raise RENDERER_VERSION, and record"


def test_shapes_and_types(hands):
    assert hands.images.shape == (40, 48, 48, 3)
    assert hands.images.dtype == np.uint8
    assert hands.keypoints_2d.shape == (40, 21, 2)
    assert hands.visible.dtype == hands.mask.dtype == bool
    assert all(np.all(np.isfinite(leaf)) for leaf in hands[1:4])


def test_keypoints_are_the_projection_of_the_joints(hands):
    homogeneous = np.einsum("nij,nkj->nki", hands.intrinsics, hands.keypoints_3d)
    projected = homogeneous[..., :2] / homogeneous[..., 2:]
    np.testing.assert_allclose(projected, hands.keypoints_2d, atol=1e-4)
    np.testing.assert_allclose(hands.intrinsics[:, :2, 2], (48 - 1) / 2)
    assert np.all((hands.keypoints_3d[..., 2] > 0.25) & (hands.keypoints_3d[..., 2] < 1.2))


def test_images_do_not_depend_on_what_is_rendered_with_them(hands):
    order = jnp.array([31, 3, 17, 8, 0, 39, 21, 12, 5, 28, 14, 37, 2, 9, 33, 26])
    other = render_indices(KEY, order, SPEC)
    for mine, theirs in zip(hands, other, strict=True):
        np.testing.assert_array_equal(mine[np.asarray(order)], theirs)


@pytest.fixture(scope="module")
def versions():
    return render_versions(KEY, jnp.arange(CHUNK), SPEC, ("shared", "clutter", "clutter"))


@pytest.mark.slow
def test_the_first_version_is_the_image_without_others(hands, versions):
    for mine, theirs in zip(hands, versions[0], strict=True):
        # Another program may round a grey level in ten thousand the other way.
        rounding = 1 if mine.dtype == np.uint8 else 1e-6
        mine, theirs = (np.asarray(array[:CHUNK], float) for array in (mine, theirs))
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=rounding)
        assert np.mean(np.abs(mine - theirs) > 1e-3) < 1e-4


@pytest.mark.slow
def test_versions_differ_in_the_background_alone(versions):
    for version in versions[1:]:
        for mine, theirs in zip(versions[0][1:], version[1:], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    images = [np.asarray(version.images, int) for version in versions]
    # The hand, but for its silhouette, where pixels are not wholly covered.
    mask = np.asarray(versions[0].mask)
    inner = mask & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)
    inner &= np.roll(mask, 1, 2) & np.roll(mask, -1, 2)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        difference = np.abs(images[one] - images[other])
        # Two draws of the sensor's noise are at most twice its largest apart, and rounded.
        assert np.percentile(difference[inner], 99) <= 2 * 255 * SENSOR_NOISE + 1
        assert (difference[~mask].max(-1) > 20).mean() > 0.3
        assert difference[inner].mean() > 1  # the noise is another


@pytest.mark.slow
def test_versions_that_move_have_the_labels_of_their_own_pose(hands):
    spec = dataclasses.replace(SPEC, motion_deg=10.0)
    first, second = render_versions(KEY, jnp.arange(CHUNK), spec, ("shared", "clutter"))
    np.testing.assert_allclose(first.keypoints_2d, hands.keypoints_2d[:CHUNK], atol=1e-3)
    between = np.abs(np.asarray(first.images, int) - hands.images[:CHUNK])
    assert np.mean(between > 1) < 1e-3
    moved = np.linalg.norm(second.keypoints_2d - first.keypoints_2d, axis=-1).mean(-1)
    assert 0.5 < moved.mean() < 8  # pixels of 48
    assert (moved > 0.1).all()
    # The visible joints of each lie on the hand that is drawn in it.
    for version in (first, second):
        x, y = np.round(np.asarray(version.keypoints_2d)).astype(int)[version.visible.nonzero()].T
        assert version.mask[version.visible.nonzero()[0], y, x].all()
    both = np.asarray(first.mask) & np.asarray(second.mask)
    shared = both.sum((1, 2)) / np.asarray(first.mask).sum((1, 2))
    assert 0.5 < shared.mean() < 0.99


def test_every_version_needs_a_background_we_have():
    with pytest.raises(ValueError, match="background is 'sky'; choose one of"):
        render_versions(KEY, jnp.arange(CHUNK), SPEC, ("green", "sky"))


def test_another_key_gives_other_hands(hands):
    other = render_indices(jax.random.key(8), jnp.arange(CHUNK), SPEC)
    assert np.min(np.abs(hands.keypoints_2d[:CHUNK] - other.keypoints_2d).max(axis=(1, 2))) > 0.5


def test_visible_keypoints_project_into_the_mask(hands):
    image, joint = np.nonzero(hands.visible)
    x, y = np.rint(hands.keypoints_2d[image, joint]).astype(int).T
    assert np.all(hands.mask[image, y, x])
    assert 0.4 < np.mean(hands.visible) < 0.95
    assert np.all(np.sum(hands.visible, axis=1) >= 1)


def test_masks_are_hands_and_images_show_something(hands):
    area = np.mean(hands.mask, axis=(1, 2))
    assert np.all((area > 0.01) & (area < 0.6))
    # Where there are hands, neighbours mostly agree: no holes or rings at silhouettes.
    assert np.mean(hands.mask[:, :, 1:] != hands.mask[:, :, :-1]) < 0.12
    assert np.all(np.std(hands.images.astype(float), axis=(1, 2, 3)) > 5)
    inside = hands.images[hands.mask]
    assert np.mean(np.max(inside, axis=-1) < 4) < 0.005  # no black holes in skin


def test_shared_backgrounds_recur(hands):
    corner = hands.images[:, :6, :6].astype(float).mean(axis=(1, 2))
    hue = corner / corner.sum(axis=-1, keepdims=True)
    apart = np.linalg.norm(hue[:, None] - hue[None], axis=-1)
    nearest = np.sort(apart, axis=1)[:, 1]
    assert np.median(nearest) < 0.02  # forty images, three backgrounds


WRONG = [("background", "sky", "choose one of"), ("size", 8, "at least 16")]
WRONG += [("held", value, r"in \[0, 1\]") for value in (1.5, -5.0, 1e38)]
WRONG += [("rays_per_block", 0, "at least 1")]


@pytest.mark.parametrize(
    ("field", "value", "message"), [*WRONG, ("span", (0.8, 0.5), "low <= high")]
)
def test_wrong_specs_say_so(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **{field: value})


def test_tensorflow_is_not_imported():
    code = "import sys, peclr_jax.synthetic.render; sys.exit('tensorflow' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **recorded(render_indices(KEY, jnp.arange(CHUNK), SPEC)))
