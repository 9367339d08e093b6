"""Cheap stand-ins for hands and networks where these are not what is tested."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from peclr_jax.models import resnet

SHALLOW = partial(resnet.ResNet, stage_sizes=(1,), block=resnet.BasicBlock)


@contextmanager
def shallow_networks(network: Callable[..., resnet.ResNet] = SHALLOW) -> Iterator[None]:
    """A single block in place of the eight of a ResNet-18, or another network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.BY_NAME, "resnet18", network)
        yield


class FakeHands(NamedTuple):
    images: jax.Array
    keypoints_2d: jax.Array
    keypoints_3d: jax.Array
    intrinsics: jax.Array
    visible: jax.Array
    mask: jax.Array


def fake_render(key, indices, size=32):
    """Images whose grey level is the index, with joints drawn from the key."""

    def one(index):
        joints = jax.random.uniform(jax.random.fold_in(key, index), (21, 3))
        joints = joints * 0.1 + jnp.array([-0.05, -0.05, 0.5])
        intrinsics = jnp.array([[100.0, 0, 15.5], [0, 100.0, 15.5], [0, 0, 1]])
        projected = joints @ intrinsics.T
        return FakeHands(
            images=jnp.full((size, size, 3), index, jnp.uint8),
            keypoints_2d=projected[:, :2] / projected[:, 2:],
            keypoints_3d=joints,
            intrinsics=intrinsics,
            visible=jnp.ones(21, bool),
            mask=jnp.ones((size, size), bool),
        )

    return jax.vmap(one)(indices)


def fake_versions(key, indices, count=1):
    """Versions of the hands of `fake_render`, each 64 grey levels above the one before."""
    hands = fake_render(key, indices)
    return [hands._replace(images=hands.images + jnp.uint8(64 * i)) for i in range(count)]
