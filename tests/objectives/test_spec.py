import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain
from peclr_jax import specs
from peclr_jax.errors import FieldError
from peclr_jax.geometry.affine import Similarity
from peclr_jax.objectives import contrastive
from peclr_jax.objectives.spec import OBJECTIVES, ContrastiveLossSpec, PoseLossSpec
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
