import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain
from peclr_jax import specs
from peclr_jax.errors import FieldError, UserError
from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import contrastive, maps, weighting
from peclr_jax.objectives.spec import (
    COMPARISONS,
    OBJECTIVES,
    ContrastiveLossSpec,
    PoseLossSpec,
)
from peclr_jax.objectives.weighting import Keypoints
from peclr_jax.runs.spec import PretrainSpec


def test_every_objective_can_be_named():
    hints = typing.get_type_hints(ContrastiveLossSpec)
    assert typing.get_args(hints["objective"]) == tuple(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_spec_computes_its_objective(name):
    points = jax.random.normal(jax.random.key(0), (8, 5, 2))
    transform = Similarity(jnp.arange(8.0), jnp.ones(8), jnp.full((8, 2), 0.1))
    loss, parts = ContrastiveLossSpec(objective=name, temperature=0.3, chunk=3)(points, transform)
    expected = contrastive.nt_xent(OBJECTIVES[name](points, transform), 0.3)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    total = np.log(7) + parts["uniformity"] - parts["alignment"]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_every_comparison_can_be_named():
    hints = typing.get_type_hints(ContrastiveLossSpec)
    assert typing.get_args(hints["weights"]) == tuple(COMPARISONS)


def test_weights_and_maps_are_added_as_asked():
    keys = jax.random.split(jax.random.key(0), 4)
    points = jax.random.normal(keys[0], (8, 5, 2))
    transform = Similarity(jnp.linspace(0, 1, 8), jnp.ones(8), jnp.full((8, 2), 0.1))
    keypoints = Keypoints(jax.random.uniform(keys[1], (8, 21, 2)), jnp.ones((8, 21), bool))
    stage = tuple(jax.random.normal(key, (4, 4, 4, 3)) for key in keys[2:])
    plain = jax.jit(ContrastiveLossSpec().__call__)
    _, parts = plain(points, transform, keypoints=keypoints, stage=stage)
    assert parts.keys() == {"alignment", "uniformity"}
    spec = ContrastiveLossSpec(weights="adaptive", maps=0.5, view_size=32)
    loss, found = jax.jit(spec.__call__)(points, transform, keypoints=keypoints, stage=stage)
    halves = tuple(jax.tree.map(lambda x, at=at: x[at : at + 4], transform) for at in (0, 4))
    expected = weighting.weighted_nt_xent(
        contrastive.equivariant_projections(points, transform),
        weighting.adaptive_weights(keypoints),
        0.5,
    )
    of_maps = jax.jit(maps.equivariance_loss, static_argnums=(3, 4))(*stage, halves, 32, 0.5)
    np.testing.assert_allclose(found["maps"], of_maps, rtol=1e-5)
    np.testing.assert_allclose(loss, expected + 0.5 * found["maps"], rtol=1e-5)
    # Alignment and uniformity stay those of the projections.
    for name, value in parts.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    with pytest.raises(UserError, match=r"weights='adaptive' .* set --config\.data\.labels=True"):
        spec(points, transform)
    with pytest.raises(UserError, match=r"loss\.maps=1 compares maps, of which none were given"):
        ContrastiveLossSpec(maps=1.0)(points, transform)


def test_the_direct_arm_knows_the_side_of_the_views():
    points = jax.random.normal(jax.random.key(0), (8, 5, 2))
    transform = Similarity(jnp.zeros(8), jnp.ones(8), jnp.linspace(0, 0.1, 16).reshape(8, 2))
    config = pretrain.get_config()
    config.update_from_flattened_dict(
        {"views.size": 224, "data.source_size": 336, "loss.objective": "direct_translation"}
    )
    loss, _ = specs.from_config(PretrainSpec, config).loss(points, transform)
    projections = contrastive.direct_projections(points, transform, 224)
    np.testing.assert_allclose(loss, contrastive.nt_xent(projections, 0.5), rtol=1e-6)


def test_terms_are_weighed_by_their_names():
    spec = PoseLossSpec(keypoints_2d=2.0, relative_depth=0.5, root_depth=0.0)
    terms = {"keypoints_2d": jnp.array(1.0), "relative_depth": jnp.array(4.0)}
    assert spec.total(terms | {"root_depth": jnp.array(jnp.nan)}) == 4.0
    with pytest.raises(FieldError, match="keypoints_2d"):
        PoseLossSpec(keypoints_2d=0.0)
