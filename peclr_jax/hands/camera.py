"""The importable name of `peclr_jax.geometry.camera` before it moved."""

from peclr_jax.geometry.camera import *  # noqa: F403
