"""Random photometric operations: their choice by a `ViewSpec`, and their draws."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from peclr_jax.views import color, filters
from peclr_jax.views.spec import Range, ViewSpec

Images = Float[Array, "batch size size 3"]
Operation = Callable[[Key[Array, ""], Images], Images]


def photometric_operations(spec: ViewSpec) -> tuple[Operation, ...]:
    """Returns the operations that a spec switches on, in the order in which they are applied.

    The order is the official code's: operations on structure first, then on colour. Each operation
    draws from a stream of its own, so that switching one on leaves the draws of the others
    unchanged and ablations differ in one operation only.
    """
    return tuple(
        _with_stream(stream, _with_probability(probability, operation))
        for stream, (on, probability, operation) in enumerate(
            (
                (spec.sobel, spec.sobel_probability, _sobel(spec)),
                (spec.cutout, spec.cutout_probability, _cut_out(spec)),
                (spec.blur, spec.blur_probability, _blur(spec)),
                (spec.color_jitter, spec.color_jitter_probability, _color_jitter(spec)),
                (spec.noise, spec.noise_probability, _noise(spec)),
                (spec.color_drop, spec.color_drop_probability, _color_drop(spec)),
            )
        )
        if on
    )


def apply_operations(
    key: Key[Array, ""],
    images: Float[Array, "batch size size 3"],
    operations: tuple[Operation, ...],
) -> Float[Array, "batch size size 3"]:
    """Applies operations one after the other.

    Args:
      key: PRNG key.
      images: RGB in [0, 255].
      operations: The operations, in this order.
    """
    for operation in operations:
        # Fused into one loop, each would be computed once for every read by the next.
        images = jax.lax.optimization_barrier(operation(key, images))
    return images


def _with_stream(stream: int, operation: Operation) -> Operation:
    return lambda key, images: operation(jax.random.fold_in(key, stream), images)


def _with_probability(probability: float, operation: Operation) -> Operation:
    if probability >= 1:
        return operation

    def apply_to_some(key: Key[Array, ""], images: Images) -> Images:
        choice_key, operation_key = jax.random.split(key)
        chosen = jax.random.bernoulli(choice_key, probability, (images.shape[0], 1, 1, 1))
        return jnp.where(chosen, operation(operation_key, images), images)

    return apply_to_some


def _sobel(spec: ViewSpec) -> Operation:
    return lambda _, images: filters.sobel(
        images, channel_order=spec.channel_order, wrap=spec.sobel_wrap
    )


def _cut_out(spec: ViewSpec) -> Operation:
    def operation(key: Key[Array, ""], images: Images) -> Images:
        batch, side = images.shape[:2]
        center_key, side_key, fill_key = jax.random.split(key, 3)
        return color.cut_out(
            images,
            center=jax.random.uniform(center_key, (batch, 2), maxval=side),
            side=_uniform(side_key, batch, spec.cutout_side) * side,
            fill=_uniform(fill_key, batch, (0.0, 255.0)),
        )

    return operation


def _blur(spec: ViewSpec) -> Operation:
    def operation(key: Key[Array, ""], images: Images) -> Images:
        batch, side = images.shape[:2]
        sigma = _uniform(key, batch, spec.blur_sigma)
        return filters.gaussian_blur(
            images, sigma, filters.blur_kernel_size(side, spec.blur_kernel)
        )

    return operation


def _color_jitter(spec: ViewSpec) -> Operation:
    def operation(key: Key[Array, ""], images: Images) -> Images:
        ranges = (spec.hue, spec.saturation, spec.value_gain, spec.value_offset)
        keys = jax.random.split(key, len(ranges))
        factors = (
            _uniform(k, images.shape[0], bounds) for k, bounds in zip(keys, ranges, strict=True)
        )
        return color.color_jitter(
            images, *factors, channel_order=spec.channel_order, quantize=spec.quantize
        )

    return operation


def _noise(spec: ViewSpec) -> Operation:
    return lambda key, images: color.gaussian_noise(key, images, spec.noise_deviation)


def _color_drop(spec: ViewSpec) -> Operation:
    return lambda _, images: color.color_drop(images, channel_order=spec.channel_order)


def _uniform(key: Key[Array, ""], batch: int, bounds: Range) -> Float[Array, " batch"]:
    low, high = bounds
    return jax.random.uniform(key, (batch,), minval=low, maxval=high)
