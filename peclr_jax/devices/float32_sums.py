"""Gradients of kernels that are summed over the devices in float32, in networks of bfloat16.

A layer of a bfloat16 network casts its float32 kernel, so the kernel's gradient is bfloat16, too.
Left to XLA, the devices' gradients are summed as they are and widened afterwards: every sum is
rounded by 2^-9. Here each device casts for itself and widens its own gradient, and what is summed
is float32. Flax's layers take both functions:

    nn.Dense(8, dtype=jnp.bfloat16, promote_dtype=keep_parameters,
             dot_general=cast_on_devices(jax.lax.dot_general))
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from peclr_jax.devices.mesh import DATA_AXIS

Product = Callable[..., Array]


def keep_parameters(*arrays: Any, dtype: Any = None, inexact: bool = True) -> list[Any]:
    """Casts a layer's inputs and leaves its parameters: a `promote_dtype` of Flax's layers.

    Args:
      arrays: Activations; kernel and bias, or None, float32, of JAX or NumPy as restored. A bias
        makes the layer's result float32.
      dtype: Type of the layer.
      inexact: Of Flax's signature; without effect.
    """
    del inexact
    inputs, *parameters = arrays
    return [jnp.asarray(inputs, dtype), *(x if x is None else jnp.asarray(x) for x in parameters)]


def cast_on_devices(product: Product) -> Product:
    """Returns a product of activations and a kernel in the activations' type.

    Inside of a mesh of several devices (`jax.sharding.use_abstract_mesh`), over whose axis "data"
    the leading axis of the activations is split, the kernel is cast on each of them; elsewhere, and
    in a `jax.shard_map` of one's own, simply cast.

    Args:
      product: `(activations, kernel, *arguments, **options) -> activations`, linear in the kernel.
    """

    def apply(x: Array, kernel: Array, *arguments: Any, **options: Any) -> Array:
        def cast(x: Array, kernel: Array) -> Array:
            return product(x, kernel.astype(x.dtype), *arguments, **options)

        def cast_own(x: Array, kernel: Array) -> Array:
            return cast(x, jax.lax.pcast(kernel, DATA_AXIS, to="varying"))

        mesh = jax.sharding.get_abstract_mesh()
        may_split = DATA_AXIS in mesh.axis_names and DATA_AXIS not in mesh.manual_axes
        # Rows that do not divide among the devices, as of a batch of one, are on each of them.
        is_split = may_split and x.shape[0] % mesh.shape[DATA_AXIS] == 0
        if kernel.dtype == x.dtype or not is_split or mesh.size == 1:
            return cast(x, kernel)
        split = PartitionSpec(DATA_AXIS)
        spread = jax.shard_map(cast_own, in_specs=(split, PartitionSpec()), out_specs=split)
        return spread(x, kernel)

    return apply
