"""The formats that networks are exported in."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from peclr_jax.export import compiled, torch_files
from peclr_jax.export.functions import (
    ViewFunction,
    encoder_of,
    features_or_poses,
    projection_or_poses,
)
from peclr_jax.networks.opening import Network

FormatName = Literal["torchvision", "official", "safetensors", "saved_model", "stablehlo"]
_TENSORFLOW = ("tensorflow-cpu", "tensorflow")


class Format(NamedTuple):
    """A way to write a network.

    Attributes:
      ours: What of the network is written, as our own function.
      write: Writes the network to a folder.
      reopen: Reads what `write` wrote to the folder; returns a function for each file.
      explain: Returns in a few lines how to open it.
      packages: What takes part beside our own packages.
    """

    ours: Callable[[Network], ViewFunction]
    write: Callable[[Network, Path], None]
    reopen: Callable[[Network, Path], dict[str, ViewFunction]]
    explain: Callable[[Network], str]
    packages: tuple[str, ...] = ()


def formats(batch_size: int) -> dict[FormatName, Format]:
    """Returns all formats; `batch_size` is that of the plain StableHLO, 0 for any."""
    return {
        "torchvision": Format(
            encoder_of,
            torch_files.write_torchvision,
            _one_file(torch_files.ENCODER_PTH),
            torch_files.explain_torchvision,
        ),
        "official": Format(
            projection_or_poses,
            torch_files.write_official,
            _one_file(torch_files.OFFICIAL_PTH),
            torch_files.explain_official,
        ),
        "safetensors": Format(
            encoder_of,
            torch_files.write_safetensors,
            _one_file(torch_files.ENCODER_SAFETENSORS),
            torch_files.explain_safetensors,
            ("safetensors",),
        ),
        "saved_model": Format(
            features_or_poses,
            compiled.write_saved_model,
            compiled.reopen_saved_model,
            compiled.explain_saved_model,
            _TENSORFLOW,
        ),
        "stablehlo": Format(
            features_or_poses,
            partial(compiled.write_stablehlo, batch_size=batch_size),
            partial(compiled.reopen_stablehlo, batch_size=batch_size),
            partial(compiled.explain_stablehlo, batch_size=batch_size),
            _TENSORFLOW,
        ),
    }


def _one_file(name: str) -> Callable[[Network, Path], dict[str, ViewFunction]]:
    return lambda _, folder: {name: torch_files.reopen(folder / name)}
