"""The importable name of `peclr_jax.geometry.affine` before it moved."""

from peclr_jax.geometry.affine import *  # noqa: F403
