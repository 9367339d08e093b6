"""Batch normalisation as PyTorch's, with derivatives written for little memory traffic; folding."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from peclr_jax.devices.linear_calls import linear_call
from peclr_jax.errors import UserError

Variables = dict[str, Any]


class BatchNorm(nn.Module):
    """Batch normalisation over every axis but the last, with the variables of `flax.linen`'s.

    Its running variance is unbiased, as PyTorch's is. Both normalise by the biased variance of the
    batch; PyTorch accumulates n / (n - 1) times that variance for evaluation, Flax the biased one;
    with n = 6 rows they differ by 20 %. Under `jax.jit` over a mesh the statistics are those of the
    whole, global batch.

    The sum with a shortcut and the ReLU are part of it, because its backward pass is written by
    hand: see `standardize`. It cannot be differentiated twice, and a `jax.shard_map` of one's own
    needs `check_vma=False` around its gradient.

    Attributes:
      use_running_average: Normalise by the running statistics (evaluation).
      momentum: Weight of the past in the running statistics.
      epsilon: Added to the variance.
      dtype: Type of the result; the input's if None.
    """

    use_running_average: bool
    relu: bool = False
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch channels"],
        shortcut: Float[Array, "*batch channels"] | None = None,
    ) -> Float[Array, "*batch channels"]:
        """Normalises, adds the shortcut if there is one, and rectifies if `relu` is set."""
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        variance = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        # Restored parameters may be arrays of NumPy.
        scale = jnp.asarray(self.param("scale", nn.initializers.ones, shape, jnp.float32))
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, shape, jnp.float32))
        dtype = self.dtype or x.dtype
        if self.use_running_average or self.is_initializing():
            running = jnp.asarray(mean.value), jnp.asarray(variance.value)
            y = _affine(x, *running, scale, bias, self.epsilon)
            return finish(y.astype(dtype), shortcut, self.relu)
        values = x.size // x.shape[-1]
        if values < 2:
            raise UserError(
                "batch normalisation in training needs more than one value a channel, got an input "
                f"of shape {x.shape}; use a larger batch"
            )
        y, batch_mean, batch_variance = standardize(
            x, scale, bias, shortcut, self.epsilon, self.relu, dtype
        )
        unbiased = batch_variance * (values / (values - 1))
        mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
        variance.value = self.momentum * variance.value + (1 - self.momentum) * unbiased
        return y


def cumulative(mean: Any, updated: Any, count: int | Int[Array, ""]) -> Any:
    """Returns the mean of a batch's statistics and those of the batches before it, weighed alike.

    What a training run keeps is another average: it forgets, and after n batches the initial
    statistics still have the weight `BatchNorm.momentum`^n, of 20 batches 12 %.

    Args:
      mean: "batch_stats", the mean over `count` batches; without any, zeros (others cost digits).
      updated: What the network's forward pass in training has made of `mean`.
      count: Number of batches before this one.
    """
    weight = (1 - BatchNorm.momentum) * (count + 1)
    return jax.tree.map(lambda old, new: old + (new - old) / weight, mean, updated)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5, 6))
def standardize(
    x: Float[Array, "*batch channels"],
    scale: Float[Array, " channels"],
    bias: Float[Array, " channels"],
    shortcut: Float[Array, "*batch channels"] | None,
    epsilon: float,
    relu: bool,
    dtype: Any,
) -> tuple[Float[Array, "*batch channels"], Float[Array, " channels"], Float[Array, " channels"]]:
    r"""Normalises by the statistics of the batch.

    With :math:`\hat x = (x - \mu) / \sigma`, the gradient :math:`g` of the result where the ReLU
    lets it through, and n values a channel, the gradient of x is

    .. math::
      \frac{\gamma}{\sigma}
      \left( g - \frac{1}{n} \sum g - \hat x \frac{1}{n} \sum g \hat x \right)

    and its sums are the gradients of bias and scale. That is one pass over x and g for the sums and
    one for the result, and all that is kept of the forward pass is x, in its own type, and y where
    there is a shortcut. Derived operation by operation, the sums become four in more passes, with
    the rectified gradient written out between them, and float32 copies of x are kept.

    Args:
      x: Activations, any float type; at least two values a channel.
      scale: Gamma.
      bias: Beta.
      shortcut: Added after the normalisation, if given.
      epsilon: Added to the variance.
      relu: Whether to end with a ReLU.
      dtype: Type of the result.

    Returns:
      The result, and the batch's mean and biased variance, float32, which pass no gradient.
    """
    wide = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(wide, axes)
    # Both in one pass over x; rounding could make the difference negative.
    variance = jnp.maximum(jnp.mean(jnp.square(wide), axes) - jnp.square(mean), 0.0)
    y = _affine(x, mean, variance, scale, bias, epsilon)
    return finish(y.astype(dtype), shortcut, relu), mean, variance


class _Saved(NamedTuple):
    """Inputs of the derivatives; `y` is None without a shortcut: it follows from x, read anyway."""

    x: Array
    y: Array | None
    mean: Array
    variance: Array
    scale: Array
    bias: Array


@partial(standardize.defjvp, symbolic_zeros=True)
def _standardize_jvp(
    epsilon: float, relu: bool, dtype: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    x, scale, bias, shortcut = primals
    y, mean, variance = standardize(x, scale, bias, shortcut, epsilon, relu, dtype)
    saved = _Saved(x, None if shortcut is None else y, mean, variance, scale, bias)
    still = jnp.zeros_like(mean), jnp.zeros_like(variance)
    # What is constant has no tangent; its zeros inside would be constants to the transpose.
    moving = [one is not None and not isinstance(one, SymbolicZero) for one in tangents]
    if not any(moving):
        return (y, mean, variance), (jnp.zeros_like(y), *still)
    shortcut_dtype = None if shortcut is None else shortcut.dtype

    def push_forward(saved: _Saved, given: list[Array]) -> Array:
        full = [*map(jnp.zeros_like, (saved.x, saved.scale, saved.bias)), None]
        for place, tangent in zip(itertools.compress(range(4), moving), given, strict=True):
            full[place] = tangent
        return _push_forward(epsilon, relu, dtype, saved, tuple(full))

    def pull_back(saved: _Saved, gradient: Array) -> list[Array | None]:
        full = _pull_back(epsilon, relu, x.dtype, shortcut_dtype, saved, gradient)
        return list(itertools.compress(full, moving))

    y_dot = linear_call(push_forward, pull_back, saved, [*itertools.compress(tangents, moving)])
    return (y, mean, variance), (y_dot, *still)


def _push_forward(
    epsilon: float, relu: bool, dtype: Any, saved: _Saved, tangents: tuple[Any, ...]
) -> Array:
    """Returns the tangent of the result from those of x, scale, bias and shortcut."""
    x_dot, scale_dot, bias_dot, shortcut_dot = tangents
    axes = tuple(range(x_dot.ndim - 1))
    unit, slope = _unit(saved, epsilon)
    x_dot = x_dot.astype(jnp.float32)
    x_dot = x_dot - jnp.mean(x_dot, axes) - unit * jnp.mean(x_dot * unit, axes)
    y_dot = slope * x_dot + unit * scale_dot + bias_dot
    if shortcut_dot is not None:
        y_dot += shortcut_dot.astype(jnp.float32)
    return _rectified(y_dot, saved, epsilon, relu).astype(dtype)


def _pull_back(
    epsilon: float, relu: bool, x_dtype: Any, shortcut_dtype: Any, saved: _Saved, gradient: Array
) -> tuple[Array, Array, Array, Array | None]:
    """Returns the gradients of x, scale, bias and shortcut: the transpose of `_push_forward`."""
    axes = tuple(range(gradient.ndim - 1))
    values = gradient.size // gradient.shape[-1]
    # The barriers keep the two passes apart from each other and from the forward pass. Without
    # them compilers hand cheap values from one to the next through memory.
    saved, gradient = jax.lax.optimization_barrier((saved, gradient))
    rectified = _rectified(gradient.astype(jnp.float32), saved, epsilon, relu)
    unit, _ = _unit(saved, epsilon)
    sums = jnp.sum(rectified * unit, axes), jnp.sum(rectified, axes)

    saved, gradient, sums = jax.lax.optimization_barrier((saved, gradient, sums))
    rectified = _rectified(gradient.astype(jnp.float32), saved, epsilon, relu)
    unit, slope = _unit(saved, epsilon)
    scale_bar, bias_bar = sums
    # The last operation is of two arrays, for the reason that `finish` gives.
    x_bar = slope * rectified - (unit * scale_bar + bias_bar) * (slope / values)
    shortcut_bar = None if shortcut_dtype is None else rectified.astype(shortcut_dtype)
    return x_bar.astype(x_dtype), scale_bar, bias_bar, shortcut_bar


def _unit(saved: _Saved, epsilon: float) -> tuple[Array, Array]:
    """Returns the normalised x, and the factor of its gradient on the way to x."""
    deviation = jax.lax.rsqrt(saved.variance + epsilon)
    return (saved.x - saved.mean) * deviation, saved.scale * deviation


def _rectified(value: Array, saved: _Saved, epsilon: float, relu: bool) -> Array:
    """Returns the value where the ReLU let the result through, else zero."""
    if not relu:
        return value
    y = saved.y
    if y is None:
        y = _affine(saved.x, saved.mean, saved.variance, saved.scale, saved.bias, epsilon)
    return jnp.where(y > 0, value, 0)


def _affine(
    x: Array, mean: Array, variance: Array, scale: Array, bias: Array, epsilon: float
) -> Float[Array, "*batch channels"]:
    return (x - mean) * (jax.lax.rsqrt(variance + epsilon) * scale) + bias


def finish(y: Array, shortcut: Array | None, relu: bool) -> Array:
    """Adds the shortcut, if there is one, and rectifies.

    Args:
      y: Activations.
      shortcut: Activations to add; None adds nothing.
      relu: Whether to rectify.
    """
    y = y if shortcut is None else y + shortcut
    if not relu:
        return y
    # XLA's CPU fusion computes a maximum with a constant anew for each reader, back to the inputs
    # of the sum, also where one reads in an order that misses the cache. What depends on two arrays
    # is computed once. GPUs know a convolution that ends with a maximum.
    return jax.lax.platform_dependent(y, cpu=lambda y: jnp.where(y <= 0, 0, y), default=nn.relu)


def fold(network: nn.Module, variables: Variables) -> tuple[nn.Module, Variables]:
    """Folds BatchNorm of a network's encoder, a `ResNet`, into its convolutions, up to rounding."""
    params, statistics = variables["params"], dict(variables["batch_stats"])
    encoder: Any = network.encoder
    folded = _fold_level(params["encoder"], statistics.pop("encoder"))
    return (
        network.clone(encoder=encoder.clone(folded=True)),
        variables | {"params": params | {"encoder": folded}, "batch_stats": statistics},
    )


def _fold_level(params: Variables, statistics: Variables) -> Variables:
    """Folds the convolutions of one module ("conv1" by "bn1") and of the modules in it."""
    folded = {}
    for name, layer in params.items():
        if "kernel" in layer:
            norm = name.replace("conv", "bn")
            mean, variance = (statistics[norm][key] for key in ("mean", "var"))
            factor = params[norm]["scale"] / jnp.sqrt(variance + BatchNorm.epsilon)
            bias = params[norm]["bias"] - mean * factor
            folded[name] = {"kernel": layer["kernel"] * factor, "bias": bias}
        elif "scale" not in layer:
            folded[name] = _fold_level(layer, statistics[name])
    return folded
