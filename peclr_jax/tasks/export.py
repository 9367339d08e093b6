"""A trained network for other frameworks, in a file that was read again and gave our outputs."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Num
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax import files
from peclr_jax.errors import UserError
from peclr_jax.export import compiled as export_compiled
from peclr_jax.export import torch_files as export_torch
from peclr_jax.export.functions import ViewFunction, encode, estimate, project
from peclr_jax.geometry import camera
from peclr_jax.models.projector import Projector
from peclr_jax.networks.opening import Network, open_network

CHECK = "check.json"
README = "README.txt"
# The 2.5D pose's quadratic for the root's depth multiplies rounding errors.
TOLERANCE = {"features": 3e-5, "projection": 3e-5, "keypoints_25d": 3e-5, "root_depth": 1e-3}
"""Largest difference from our own network that an output may have, over its largest value."""
_VIEWS = 4
_PACKAGES = ("peclr_jax", "jax", "jaxlib", "flax", "numpy")

Outputs = dict[str, Num[np.ndarray, "..."]]
Do = Callable[[Network, ConfigDict, Path], Any]


class Format(NamedTuple):
    """A way to write a network.

    Attributes:
      ours: what of the network is written, as our own function.
      write: writes it to a folder.
      reopen: reads it again; a function for each file.
      explain: says in a few lines how to open it.
      packages: that take part beside our own.
    """

    ours: Callable[[Network], ViewFunction]
    write: Do
    reopen: Callable[[Network, ConfigDict, Path], dict[str, ViewFunction]]
    explain: Callable[[Network, ConfigDict], str]
    packages: tuple[str, ...] = ()


class Report(NamedTuple):
    """What was written.

    Attributes:
      folder: that holds it.
      check: what `check.json` holds.
      opening: how to open it.
    """

    folder: Path
    check: dict[str, Any]
    opening: str


def _encoder(network: Network) -> ViewFunction:
    return encode(network.module.encoder, network.part("encoder"))


def _whole(network: Network) -> ViewFunction:
    if isinstance(network.module, Projector):
        return project(network.module, network.variables)
    return estimate(network.module, network.variables)


def _one_file(name: str) -> Callable[[Network, ConfigDict, Path], dict[str, ViewFunction]]:
    return lambda network, config, folder: {name: export_torch.reopen(folder / name)}


FORMATS = {
    "torchvision": Format(
        _encoder,
        export_torch.write_torchvision,
        _one_file(export_torch.ENCODER_PTH),
        export_torch.explain_torchvision,
    ),
    "official": Format(
        _whole,
        export_torch.write_official,
        _one_file(export_torch.OFFICIAL_PTH),
        export_torch.explain_official,
    ),
    "safetensors": Format(
        _encoder,
        export_torch.write_safetensors,
        _one_file(export_torch.ENCODER_SAFETENSORS),
        export_torch.explain_safetensors,
        ("safetensors",),
    ),
    "saved_model": Format(
        export_compiled.of,
        export_compiled.write_saved_model,
        export_compiled.reopen_saved_model,
        export_compiled.explain_saved_model,
        ("tensorflow-cpu", "tensorflow"),
    ),
    "stablehlo": Format(
        export_compiled.of,
        export_compiled.write_stablehlo,
        export_compiled.reopen_stablehlo,
        export_compiled.explain_stablehlo,
        ("tensorflow-cpu", "tensorflow"),
    ),
}


def run(config: ConfigDict, workdir: Path) -> None:
    """Writes a network in the format that the config names, to `workdir/FORMAT/`.

    Beside it lie `check.json`, how far its answers are from ours, and `README.txt`.

    Raises:
      UserError: an impossible config, or a network that the format cannot hold, or that says the
        same of every picture.
      MissingFileError: there is no checkpoint.
      RuntimeError: what was written gives other outputs than our network; nothing is left of it.
    """
    report = export(config, workdir)
    console = Console()
    console.print(
        f"{report.folder} gives our outputs on {report.check['batch']} views ({CHECK} says how "
        f"exactly). To open it ({README}):\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(report.opening, highlight=False, markup=False, soft_wrap=True)


def export(config: ConfigDict, workdir: Path) -> Report:
    """Writes and checks what `run` promises.

    Args:
      config: as in configs/export.py.
      workdir: where to write.
    """
    if config.format not in FORMATS:
        raise UserError(f"--config.format is {config.format!r}, none of {', '.join(FORMATS)}")
    if config.batch_size < 0:
        raise UserError(
            f"--config.batch_size must be positive, or 0 for any, got {config.batch_size}"
        )
    folder = workdir / config.format
    if folder.exists() and not (folder / CHECK).exists():
        raise UserError(
            f"{folder} is there already and no export of ours, so it is left alone: choose another "
            "--workdir"
        )
    kind, network = FORMATS[config.format], open_network(config.checkpoint, in_float32=True)
    with files.writing_folder(folder) as unfinished:
        kind.write(network, config, unfinished)
        reopened = kind.reopen(network, config, unfinished)
        batch = max(_VIEWS, config.batch_size)
        found = compare(kind.ours(network), reopened, example_views(network.view_size, batch))
        check = {
            "format": config.format,
            "checkpoint": network.source,
            **found,
            "batch": batch,
            "view_size": network.view_size,
            "versions": _versions(kind.packages),
        }
        with files.writing(unfinished / CHECK) as file:
            json.dump(check, file, indent=2, allow_nan=False)
        opening = kind.explain(network, config)
        with files.writing(unfinished / README) as file:
            file.write(f"{_title(network)}\n\n{opening}")
    return Report(folder, check, opening)


def compare(
    ours: ViewFunction, others: dict[str, ViewFunction], views: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Compares functions of views with our own.

    Args:
      ours: our network.
      others: to be compared, by the name of the file that they are from.
      views: by the names of inputs.

    Returns:
      "max_abs_difference" by file and output, "tolerance" and "peak" by output.

    Raises:
      UserError: our network says the same of all views, or what is not finite.
      RuntimeError: an output that is missing, not finite, or further off than `TOLERANCE`.
    """
    expected = _answer(ours, views)
    for name, output in expected.items():
        if not np.isfinite(output).all():
            raise UserError(f"the network's {name} are not finite: name another checkpoint")
    if not any(np.ptp(output, axis=0).any() for output in expected.values()):
        raise UserError(
            f"the network's {' and '.join(expected)} are the same for all pictures, so that "
            "nothing can be compared: name the checkpoint of a network that has learnt something"
        )
    peaks = {name: float(np.abs(output).max()) for name, output in expected.items()}
    tolerances = {name: TOLERANCE[name] * peak for name, peak in peaks.items()}
    differences: dict[str, dict[str, float]] = {}
    for file, function in others.items():
        answer = _answer(function, views)
        if shapes(answer) != shapes(expected):
            raise RuntimeError(
                f"{file} gives {shapes(answer)} where our network gives {shapes(expected)}: a "
                "fault of the export; nothing was kept"
            )
        differences[file] = {
            name: float(np.abs(answer[name] - expected[name]).max()) for name in expected
        }
        for name, difference in differences[file].items():
            if not difference <= tolerances[name]:  # also of NaN
                raise RuntimeError(
                    f"the {name} from {file} differ by {difference:.2g} from those of our network, "
                    f"more than {tolerances[name]:.2g}: a fault of the export; nothing was kept"
                )
    return {"max_abs_difference": differences, "tolerance": tolerances, "peak": peaks}


def shapes(outputs: Outputs) -> dict[str, tuple[int, ...]]:
    """Returns the outputs' shapes by name."""
    return {name: outputs[name].shape for name in sorted(outputs)}


def example_views(side: int, count: int) -> dict[str, np.ndarray]:
    """Returns coarse random pictures, the same at each call, and intrinsics that differ."""
    random = np.random.default_rng(0)
    # Unlike noise pixel by pixel, they do not all look alike to a network.
    patches = random.integers(0, 256, (count, 8, 8, 3), np.uint8)
    nearest = np.arange(side) * 8 // side
    intrinsics = np.tile(np.asarray(camera.assumed_intrinsics(side), np.float32), (count, 1, 1))
    intrinsics[:, :2] *= random.uniform(0.8, 1.25, (count, 2, 1)).astype(np.float32)
    return {"images": patches[:, nearest][:, :, nearest], "intrinsics": intrinsics}


def _answer(function: ViewFunction, views: dict[str, np.ndarray]) -> dict[str, Any]:
    inputs = [views[name] for name in function.inputs]
    with jax.default_matmul_precision("float32"):
        outputs = function.call(*inputs)
    return {name: np.asarray(output) for name, output in outputs.items()}


def _title(network: Network) -> str:
    model = network.description.model
    return (
        f"A {model.architecture} (width {model.width}, stem {model.stem!r}) by peclr_jax, from "
        f"{network.source}."
    )


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for package in (*_PACKAGES, *packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # TensorFlow has two names, we may be uninstalled
            continue
    return versions
