"""The formats that networks are exported in."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from peclr_jax.export import compiled, torch_files
from peclr_jax.export.functions import (
    ViewFunction,
    Written,
    encoder_of,
    features_or_poses,
    projection_or_poses,
)
from peclr_jax.networks.opening import Network

FormatName = Literal["torchvision", "official", "safetensors", "saved_model", "stablehlo"]


class Format(NamedTuple):
    """A way to write a network.

    Attributes:
      ours: What of the network is written, as our own function.
      write: Writes the network to a folder and reads it again.
      packages: What takes part beside our own packages.
      patterns: Letters that have a meaning in the path of the folder, and may not be there.
    """

    ours: Callable[[Network], ViewFunction]
    write: Callable[[Network, Path], Written]
    packages: tuple[str, ...] = ()
    patterns: str = ""


def formats(batch_size: int) -> dict[FormatName, Format]:
    """Returns all formats; `batch_size` is that of the plain StableHLO, 0 for any."""
    stablehlo = partial(compiled.write_stablehlo, batch_size=batch_size)
    return {
        "torchvision": Format(encoder_of, torch_files.write_torchvision),
        "official": Format(projection_or_poses, torch_files.write_official),
        "safetensors": Format(encoder_of, torch_files.write_safetensors, ("safetensors",)),
        "saved_model": Format(
            features_or_poses, compiled.write_saved_model, ("tensorflow",), patterns="*?[\\"
        ),
        "stablehlo": Format(features_or_poses, stablehlo, ("tensorflow",)),
    }
