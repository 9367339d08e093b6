"""Rates that a card attains: of a large matrix product, and of a large copy."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Figures


def prepare(side: int, copied: int, seconds: float) -> Callable[[], Figures]:
    """Measures bfloat16 products of random square matrices, and copies within the memory.

    Args:
      side: Side of the matrices.
      copied: Bytes of the array that is read and written.
      seconds: Time to measure each for.
    """
    import jax
    import jax.numpy as jnp

    left, right = (
        jax.random.normal(jax.random.key(seed), (side, side), jnp.bfloat16) for seed in range(2)
    )
    source = jax.random.bits(jax.random.key(2), (copied // 4,), jnp.uint32)
    product = jax.jit(jnp.matmul)
    # Every element is changed, or the compiler might leave out the copy.
    copy = jax.jit(lambda array: array ^ 1)

    def rate(function: Callable[..., Any], *arguments: Any) -> float:
        jax.block_until_ready(function(*arguments))
        calls, began = 0, time.perf_counter()
        while not calls or time.perf_counter() - began < seconds:
            result = None
            for _ in range(10):
                result = function(*arguments)
            jax.block_until_ready(result)
            calls += 10
        return calls / (time.perf_counter() - began)

    return lambda: {
        "matmul_tflops": 2 * side**3 * rate(product, left, right) / 1e12,
        "copy_tbs": 2 * source.nbytes * rate(copy, source) / 1e12,
    }
