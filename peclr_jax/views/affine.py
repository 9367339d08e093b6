"""The importable name of what moved to `peclr_jax.geometry.affine`."""

from peclr_jax.geometry.affine import Similarity as Similarity
