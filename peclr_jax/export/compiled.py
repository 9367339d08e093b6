"""Trained networks as programs, weights included: StableHLO by `jax.export`, and SavedModel."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from peclr_jax import files
from peclr_jax.export.functions import (
    ViewFunction,
    Written,
    explain_views,
    features_or_poses,
)
from peclr_jax.networks.opening import Network

JAX_EXPORT = "network.jax_export"
MLIR = "network.mlirbc"
_PLATFORMS = ("cpu", "cuda", "tpu")


def lower(
    function: ViewFunction, side: int, batch: int, platforms: tuple[str, ...]
) -> export.Exported:
    """Traces a function into StableHLO.

    Args:
      function: Of views.
      side: Of the views, pixels.
      batch: Views at a time; 0 for any number.
      platforms: Where the program is to run.
    """
    count: Any = batch or export.symbolic_shape("batch")[0]
    shapes = {
        "images": jax.ShapeDtypeStruct((count, side, side, 3), jnp.uint8),
        "intrinsics": jax.ShapeDtypeStruct((count, 3, 3), jnp.float32),
    }
    # Otherwise accelerators may round the factors of products to ten bits.
    with jax.default_matmul_precision("float32"):
        return export.export(jax.jit(function.call), platforms=platforms)(
            *(shapes[name] for name in function.inputs)
        )


def portable_module(exported: export.Exported) -> bytes:
    """Returns the StableHLO as bytecode for the oldest readers that there may be.

    JAX's own choice is for readers of the last four weeks, and TensorFlow's releases are older.
    """
    oldest = stablehlo.get_version_from_compatibility_requirement(
        stablehlo.StablehloCompatibilityRequirement.MAX
    )
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        return stablehlo.serialize_portable_artifact(module, oldest)


def write_stablehlo(network: Network, folder: Path, batch_size: int) -> Written:
    """Writes the program for JAX, and as plain StableHLO, which TensorFlow reads again.

    Args:
      network: Pre-trained or fine-tuned.
      folder: Where to write.
      batch_size: Views at a time of the plain StableHLO; 0 for any number.
    """
    function = features_or_poses(network)
    exported = lower(function, network.view_size, 0, _PLATFORMS)
    files.write_bytes(folder / JAX_EXPORT, bytes(exported.serialize()))
    plain = lower(function, network.view_size, batch_size, _PLATFORMS[:1])
    files.write_bytes(folder / MLIR, portable_module(plain))
    restored = export.deserialize(bytearray((folder / JAX_EXPORT).read_bytes()))
    module = (folder / MLIR).read_bytes()

    def call(*inputs: np.ndarray) -> dict[str, Any]:
        size = batch_size or len(inputs[0])
        parts = [
            _call_in_tensorflow(plain, module, [array[start : start + size] for array in inputs])
            for start in range(0, len(inputs[0]), size)
        ]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    calls = {JAX_EXPORT: restored.call, MLIR: call}
    reopened = {name: function._replace(call=call) for name, call in calls.items()}
    return Written(reopened, explain_stablehlo(network, batch_size))


def write_saved_model(network: Network, folder: Path) -> Written:
    """Writes a SavedModel of named tensors, read again by its signature alone, as when served."""
    from peclr_jax.input_pipeline.records import import_tensorflow

    tf = import_tensorflow()
    function = features_or_poses(network)
    exported = lower(function, network.view_size, 0, _PLATFORMS)
    module = portable_module(exported)
    signature = [
        tf.TensorSpec(_known(aval.shape), aval.dtype, name)
        for name, aval in zip(function.inputs, exported.in_avals, strict=True)
    ]

    @tf.function(input_signature=signature, autograph=False)
    def serve(*inputs: Any) -> dict[str, Any]:
        return _call_in_tensorflow(exported, module, inputs)

    model = tf.Module()
    model.call = serve
    tf.saved_model.save(model, str(folder), signatures={"serving_default": serve})
    restored = tf.saved_model.load(str(folder))

    def call(*inputs: np.ndarray) -> dict[str, Any]:
        named = zip(function.inputs, inputs, strict=True)
        tensors = {name: tf.constant(array) for name, array in named}
        answer = restored.signatures["serving_default"](**tensors)
        return {name: tensor.numpy() for name, tensor in answer.items()}

    inputs = ", ".join(f"{name}={name}" for name in function.inputs)
    opening = f"""\
import tensorflow as tf
network = tf.saved_model.load("saved_model").signatures["serving_default"]
outputs = network({inputs})

{_describe(network)}"""
    return Written({"saved_model.pb": function._replace(call=call)}, opening)


def _call_in_tensorflow(exported: export.Exported, module: bytes, inputs: Any) -> dict[str, Any]:
    """Runs a module, serialised from `exported`, as a TensorFlow operation."""
    # TensorFlow's own door for StableHLO, through which jax2tf goes as well.
    from tensorflow.compiler.tf2xla.python import xla

    outputs = xla.call_module(
        list(inputs),
        version=exported.calling_convention_version,
        module=module,
        Tout=[aval.dtype for aval in exported.out_avals],
        Sout=[_known(aval.shape) for aval in exported.out_avals],
        platforms=[platform.upper() for platform in exported.platforms],
    )
    return jax.tree.unflatten(exported.out_tree, outputs)


def _known(shape: tuple[Any, ...]) -> list[int | None]:
    """Returns a shape as TensorFlow writes it: None for the size that is free."""
    return [size if isinstance(size, int) else None for size in shape]


def explain_stablehlo(network: Network, batch_size: int) -> str:
    """Returns how to open `write_stablehlo`'s files."""
    inputs = ", ".join(features_or_poses(network).inputs)
    size = f"{batch_size} view(s)" if batch_size else "any number of views"
    return f"""\
from pathlib import Path
import jax
network = jax.export.deserialize(bytearray(Path("{JAX_EXPORT}").read_bytes()))
outputs = network.call({inputs})

It runs on CPU, CUDA and TPU, for any number of views. {MLIR} is the same for
converters (ONNX and others) and compilers: portable StableHLO bytecode, for {size} at
a time.
{_describe(network)}"""


def _describe(network: Network) -> str:
    side = network.view_size
    images = f"images: (B, {side}, {side}, 3) uint8, RGB views of hands."
    views = explain_views(network)
    if not network.estimates_poses:
        return f"{images}\noutputs: features (B, C) float32, the encoder's.\n{views}"
    return f"""\
{images}
intrinsics: (B, 3, 3) float32, camera matrices of the views, pixels.
outputs: keypoints_25d (B, 21, 3), x and y in pixels of the view and depth relative to the wrist;
root_depth (B,), the wrist's. Depths are in lengths of the middle finger's proximal bone; joints in
FreiHAND's order.
{views}"""
