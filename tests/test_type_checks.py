import importlib

import jax.numpy as jnp
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from peclr_jax import specs
from peclr_jax.objectives import contrastive
from peclr_jax.objectives.spec import ContrastiveLossSpec
from tests.type_checks import modules


def test_all_signatures_can_be_checked():
    for module in modules():
        importlib.import_module(module)


def test_shapes_are_checked():
    with pytest.raises(TypeCheckError):
        contrastive.nt_xent(jnp.ones((4, 2, 2)), 0.5)


def test_types_are_checked_where_there_are_no_shapes():
    with pytest.raises(BeartypeCallHintViolation):
        specs.from_mapping(ContrastiveLossSpec, {}, 3)
