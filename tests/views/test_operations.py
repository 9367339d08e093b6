import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peclr_jax.views import augment as augmenting
from peclr_jax.views.operations import OPERATIONS
from peclr_jax.views.spec import ViewSpec
from tests.views.test_augment import EVERYTHING, PLAIN, augment_once


def test_what_is_off_adds_nothing_to_the_program(images):
    def program(spec):
        augment = jax.make_jaxpr(augmenting.augment, static_argnums=2)
        return str(augment(jax.random.key(0), images, spec))

    # The marks of an operation, and of noise.
    assert program(PLAIN).count("optimization_barrier") == 0
    assert program(ViewSpec(size=32)).count("optimization_barrier") == 1
    assert "erf_inv" not in program(ViewSpec(size=32))
    assert "erf_inv" in program(EVERYTHING)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_changes_its_share_of_the_images(images, name):
    options = {name: True, f"{name}_probability": 0.5, "cutout_side": (0.9, 0.9)}
    batch = jnp.tile(images, (16, 1, 1, 1))
    plain = augment_once(jax.random.key(0), batch, PLAIN)
    changed = augment_once(jax.random.key(0), batch, dataclasses.replace(PLAIN, **options))
    jax.tree.map(np.testing.assert_array_equal, plain.transform, changed.transform)
    share = (np.abs(plain.images - changed.images).max(axis=(1, 2, 3)) > 1e-3).mean()
    assert 0.35 < share < 0.65


def test_switching_one_operation_on_leaves_the_others_draws_alone(images):
    jitter = dataclasses.replace(PLAIN, color_jitter=True)
    both = dataclasses.replace(jitter, cutout=True, cutout_probability=1.0, cutout_side=(0.2, 0.2))
    views = [augment_once(jax.random.key(0), images, spec).images for spec in (jitter, both)]
    assert (np.abs(views[0] - views[1]) < 1e-4).mean() > 0.9


def test_views_are_the_same_where_jax_computes_with_64_bits(images):
    operations = [f"{name}_probability" for name in OPERATIONS]
    spec = dataclasses.replace(EVERYTHING, **dict.fromkeys(operations, 0.5))
    pixels, key = np.asarray(images), jax.random.key_data(jax.random.key(0))
    narrow = augment_once(jax.random.wrap_key_data(key), pixels, spec)
    with jax.enable_x64(True):
        wide = jax.jit(augmenting.augment, static_argnums=2)(
            jax.random.wrap_key_data(key), pixels, spec
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(wide)} == {np.dtype(np.float32)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), wide, narrow)
