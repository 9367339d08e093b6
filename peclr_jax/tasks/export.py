"""A trained network for other frameworks, in a file that was read again and gave our outputs."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from ml_collections import ConfigDict

from peclr_jax import files, specs
from peclr_jax.console import say
from peclr_jax.errors import UserError
from peclr_jax.export.comparison import compare, example_views
from peclr_jax.export.formats import FormatName, formats
from peclr_jax.networks.opening import open_network
from peclr_jax.places import Place
from peclr_jax.specs import Between, Spec
from peclr_jax.versions import version_of

CHECK = "check.json"
README = "README.txt"
_VIEWS = 4
_PACKAGES = ("peclr_jax", "jax", "jaxlib", "flax", "numpy")


@dataclasses.dataclass(frozen=True)
class ExportSpec(Spec):
    """A network to export.

    Attributes:
      checkpoint: The folder of a pre-training or a fine-tuning run, or of one of its steps; a file
        of configs/release.py; or "released", the network in the package.
      format: "torchvision": the encoder, a .pth with torchvision's names. "safetensors": the same
        as .safetensors, which also holds networks of another width or stem. "official": the whole
        network under the names of the official PeCLR code, a .pth. "saved_model": TensorFlow;
        features of a pre-trained network, poses of a fine-tuned one. "stablehlo": the same by
        jax.export, and as plain StableHLO for ONNX and other converters.
      batch_size: Views at a time of the plain StableHLO, as most converters want a fixed number; 0
        for any.
    """

    task: Literal["export"] = "export"
    checkpoint: Place = "runs/pretrain"
    format: FormatName = "torchvision"
    batch_size: Annotated[int, Between(0, 65536)] = 1


class Report(NamedTuple):
    """What was written: its folder, what `check.json` holds, and how to open it."""

    folder: Path
    check: dict[str, Any]
    opening: str


def run(config: ConfigDict, workdir: Path) -> None:
    """Exports a network, and prints how to open it."""
    report = export(specs.from_config(ExportSpec, config), workdir)
    say(
        f"{report.folder} gives our outputs on {report.check['batch']} views ({CHECK} says how "
        f"exactly). To open it ({README}):",
        "",
        *report.opening.splitlines(),
    )


def export(spec: ExportSpec, workdir: Path) -> Report:
    """Writes a network to `workdir/FORMAT/`, reads it again and compares it with ours.

    Beside it lie `check.json`, how far its answers are from ours, and `README.txt`.

    Raises:
      RuntimeError: What was written gives other outputs than our network; nothing is left of it.
    """
    folder = workdir / spec.format
    if folder.exists() and not (folder / CHECK).exists():
        raise UserError(
            f"{folder} is there already and no export of ours, so it is left alone: choose another "
            "--workdir"
        )
    kind = formats(spec.batch_size)[spec.format]
    if kind.patterns and (reason := files.misread(folder, kind.patterns)):
        raise UserError(
            f"no {spec.format} can be kept in {folder}, because {reason}: choose another --workdir"
        )
    network = open_network(spec.checkpoint, in_float32=True)
    with files.writing_folder(folder) as unfinished:
        written = kind.write(network, unfinished)
        # Whole batches of the program's size.
        batch = -(-_VIEWS // (spec.batch_size or 1)) * (spec.batch_size or 1)
        views = example_views(network.view_size, batch)
        found = compare(kind.ours(network), written.reopened, views)
        check = {
            "format": spec.format,
            "checkpoint": network.source,
            **found,
            "batch": batch,
            "view_size": network.view_size,
            "versions": {
                name: version
                for name in (*_PACKAGES, *kind.packages)
                if (version := version_of(name))
            },
        }
        with files.writing(unfinished / CHECK) as file:
            json.dump(check, file, indent=2, allow_nan=False)
        model = network.description.model
        with files.writing(unfinished / README) as file:
            file.write(
                f"A {model.architecture} (width {model.width}, stem {model.stem!r}) by peclr_jax, "
                f"from {network.source}.\n\n{written.opening}"
            )
    return Report(folder, check, written.opening)
