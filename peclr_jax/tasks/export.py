"""A trained network for other frameworks, in a file that was read again and gave our outputs."""

import dataclasses
import json
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax import files, specs
from peclr_jax.errors import UserError
from peclr_jax.export.comparison import compare, example_views
from peclr_jax.export.formats import FormatName, formats
from peclr_jax.networks.opening import Network, open_network
from peclr_jax.specs import NonNegativeInt, Spec

CHECK = "check.json"
README = "README.txt"
_VIEWS = 4
_PACKAGES = ("peclr_jax", "jax", "jaxlib", "flax", "numpy")


@dataclasses.dataclass(frozen=True)
class ExportSpec(Spec):
    """A network to export.

    Attributes:
      task: Its name.
      recipe: Only a name.
      checkpoint: The folder of a pre-training or a fine-tuning run, or of one of its steps.
      format: "torchvision": the encoder, a .pth with torchvision's names. "safetensors": the same
        as .safetensors, which also holds networks of another width or stem. "official": the whole
        network under the names of the official PeCLR code, a .pth. "saved_model": TensorFlow;
        features of a pre-trained network, poses of a fine-tuned one. "stablehlo": the same by
        jax.export, and as plain StableHLO for ONNX and other converters.
      batch_size: Views at a time of the plain StableHLO, as most converters want a fixed number; 0
        for any.
    """

    task: Literal["export"] = "export"
    recipe: str = "default"
    checkpoint: str = "runs/pretrain"
    format: FormatName = "torchvision"
    batch_size: NonNegativeInt = 1


class Report(NamedTuple):
    """What was written: its folder, what `check.json` holds, and how to open it."""

    folder: Path
    check: dict[str, Any]
    opening: str


def run(config: ConfigDict, workdir: Path) -> None:
    """Exports a network, and prints how to open it."""
    report = export(specs.from_config(ExportSpec, config), workdir)
    console = Console()
    console.print(
        f"{report.folder} gives our outputs on {report.check['batch']} views ({CHECK} says how "
        f"exactly). To open it ({README}):\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(report.opening, highlight=False, markup=False, soft_wrap=True)


def export(spec: ExportSpec, workdir: Path) -> Report:
    """Writes a network to `workdir/FORMAT/`, reads it again and compares it with ours.

    Beside it lie `check.json`, how far its answers are from ours, and `README.txt`.

    Raises:
      UserError: A network that the format cannot hold, or that says the same of every picture.
      RuntimeError: What was written gives other outputs than our network; nothing is left of it.
    """
    folder = workdir / spec.format
    if folder.exists() and not (folder / CHECK).exists():
        raise UserError(
            f"{folder} is there already and no export of ours, so it is left alone: choose another "
            "--workdir"
        )
    kind = formats(spec.batch_size)[spec.format]
    network = open_network(spec.checkpoint, in_float32=True)
    with files.writing_folder(folder) as unfinished:
        kind.write(network, unfinished)
        reopened = kind.reopen(network, unfinished)
        batch = max(_VIEWS, spec.batch_size)
        found = compare(kind.ours(network), reopened, example_views(network.view_size, batch))
        check = {
            "format": spec.format,
            "checkpoint": network.source,
            **found,
            "batch": batch,
            "view_size": network.view_size,
            "versions": _versions(kind.packages),
        }
        with files.writing(unfinished / CHECK) as file:
            json.dump(check, file, indent=2, allow_nan=False)
        opening = kind.explain(network)
        with files.writing(unfinished / README) as file:
            file.write(f"{_title(network)}\n\n{opening}")
    return Report(folder, check, opening)


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
