"""The importable names of what moved to `peclr_jax.geometry.camera`."""

from peclr_jax.geometry.camera import from_25d as from_25d
from peclr_jax.geometry.camera import root_depth as root_depth
from peclr_jax.geometry.camera import to_25d as to_25d
