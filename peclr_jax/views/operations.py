"""Random photometric operations: what a `ViewSpec` switches on, and their draws."""

from collections.abc import Callable
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from peclr_jax.views import color, filters
from peclr_jax.views.color import Images
from peclr_jax.views.spec import Range, ViewSpec


def apply_operations(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    """Applies the operations that a spec switches on, in the order of `OPERATIONS`.

    Each operation draws from a stream of its own, so that switching one on leaves the draws of the
    others unchanged and ablations differ in one operation only.

    Args:
      key: PRNG key.
      images: RGB in [0, 255].
      spec: Switches, probabilities and ranges.
    """
    for stream, (name, operation) in enumerate(OPERATIONS.items()):
        if not getattr(spec, name):
            continue
        operation_key = jax.random.fold_in(key, stream)
        probability = getattr(spec, f"{name}_probability")
        if probability < 1:
            choice_key, operation_key = jax.random.split(operation_key)
            shape = len(images), 1, 1, 1
            chosen = jax.random.bernoulli(choice_key, jnp.float32(probability), shape)
            changed = jnp.where(chosen, operation(operation_key, images, spec), images)
        else:
            changed = operation(operation_key, images, spec)
        # Fused into one loop, each would be computed once for every read by the next.
        images = jax.lax.optimization_barrier(changed)
    return images


def _sobel(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    del key
    return filters.sobel(images, channel_order=spec.channel_order, wrap=spec.sobel_wrap)


def _cut_out(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    batch, side = images.shape[:2]
    center_key, side_key, fill_key = jax.random.split(key, 3)
    return color.cut_out(
        images,
        center=jax.random.uniform(center_key, (batch, 2), jnp.float32, maxval=side),
        side=_uniform(side_key, batch, spec.cutout_side) * side,
        fill=_uniform(fill_key, batch, (0.0, 255.0)),
    )


def _blur(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    batch, side = images.shape[:2]
    sigma = _uniform(key, batch, spec.blur_sigma)
    return filters.gaussian_blur(images, sigma, filters.blur_kernel_size(side, spec.blur_kernel))


def _color_jitter(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    ranges = (spec.hue, spec.saturation, spec.value_gain, spec.value_offset)
    keys = jax.random.split(key, len(ranges))
    factors = (_uniform(k, len(images), bounds) for k, bounds in zip(keys, ranges, strict=True))
    return color.color_jitter(
        images, *factors, channel_order=spec.channel_order, quantize=spec.quantize
    )


def _noise(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    return color.gaussian_noise(key, images, spec.noise_deviation)


def _color_drop(key: Key[Array, ""], images: Images, spec: ViewSpec) -> Images:
    del key
    return color.color_drop(images, channel_order=spec.channel_order)


def _uniform(key: Key[Array, ""], batch: int, bounds: Range) -> Float[Array, " batch"]:
    return jax.random.uniform(key, (batch,), jnp.float32, *bounds)


OPERATIONS: MappingProxyType[str, Callable[..., Images]] = MappingProxyType(
    {
        "sobel": _sobel,
        "cutout": _cut_out,
        "blur": _blur,
        "color_jitter": _color_jitter,
        "noise": _noise,
        "color_drop": _color_drop,
    }
)
"""By the names of their switches, in the official code's order: on structure first, then colour."""
