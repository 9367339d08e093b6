"""Commands that a kill must not harm, and what each of them comes to."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from small_run import ROOT

UNFINISHED = (".partial", ".replaced", ".orbax-checkpoint-tmp", "incomplete.")
"""What stands in the names of files and folders that are not complete."""
_SMOKE = "configs/experiments/table1.py:smoke+one_seed"
# Of what a command comes to: the time that it took, and where.
_NOT_OF_THE_RESULT = ("seconds", "minutes", "started")


class Command(NamedTuple):
    """A command that writes to a folder.

    Attributes:
      arguments: Returns its command line for a folder.
      outcome: Returns what lies there in the end, to be compared.
    """

    arguments: Callable[[Path], list[str]]
    outcome: Callable[[Path], Any]


def commands(shared: Path) -> dict[str, Command]:
    """Returns the commands by name; the first one makes the network that the others need.

    Args:
      shared: Folder of that network, and of what programs keep for each other.
    """
    networks, photos = shared / "networks", shared / "photos"
    _draw_photos(photos)

    def experiment(folder: Path) -> list[str]:
        # The run that nobody kills keeps its networks for the other commands.
        where = networks if folder.name == "whole" else folder / "networks"
        return _main(_SMOKE, folder, shared, networks_dir=where, only="random")

    def asked(config: str, **fields: object) -> Callable[[Path], list[str]]:
        def arguments(folder: Path) -> list[str]:
            network = next(networks.glob("finetune-*"))
            return _main(config, folder, shared, checkpoint=network, **fields)

        return arguments

    return {
        "experiment": Command(experiment, lambda folder: _json(folder / "results.json")["arms"]),
        "evaluate": Command(
            asked(
                "configs/evaluate.py", batch_size=4, pictures=2, **{"data.rendered.cache_dir": ""}
            ),
            lambda folder: _json(folder / "metrics.json"),
        ),
        "predict": Command(
            asked("configs/predict.py", images=photos, batch_size=2, formats="json,csv,npz,coco"),
            lambda folder: _json(folder / "predictions.json")["images"],
        ),
        "export": Command(
            asked("configs/export.py", format="safetensors"),
            lambda folder: _tensors(folder / "safetensors/encoder.safetensors"),
        ),
        "records": Command(_building, _records),
    }


def unreadable(folder: Path) -> list[str]:
    """Returns the files of final names that are not whole, as far as that can be seen."""
    wrong = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if any(mark in str(path.relative_to(folder)) for mark in UNFINISHED):
            continue
        try:
            _read(path)
        except Exception as error:
            wrong.append(f"{path}: {error!r}")
    return wrong


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif path.suffix in (".png", ".jpg"):
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            dict(arrays)
    elif path.suffix == ".html" and not path.read_text("utf-8").rstrip().endswith("</html>"):
        raise ValueError("its end is missing")
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        load_file(path)


def _main(config: str, folder: Path, shared: Path, **fields: object) -> list[str]:
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    program = [sys.executable, str(ROOT / "main.py"), f"--config={ROOT}/{config}"]
    return [*program, *flags, f"--workdir={folder}", f"--cache_dir={shared / 'cache'}"]


def _draw_photos(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    for number in range(6):
        pixels = noise.integers(0, 256, (120, 160, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def _building(folder: Path) -> list[str]:
    raw = ROOT / "data/freihand/dummy_data"
    build = [sys.executable, "-m", "data.build", "freihand"]
    return [*build, f"--manual_dir={raw}", f"--data_dir={folder}"]


def _records(data_dir: Path) -> dict[str, list[str]]:
    """Digests each record, decoded: how fields are ordered in its bytes is not determined."""
    from data.build import make_builder  # brings TensorFlow in

    builder = make_builder("freihand", data_dir)

    def digest(record: object) -> str:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(record)]
        facts = [(str(leaf.dtype), leaf.shape, leaf.tolist()) for leaf in leaves]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    return {
        split: [digest(record) for record in builder.as_data_source(split)]
        for split in builder.info.splits
    }


def _json(path: Path) -> Any:
    return _without(json.loads(path.read_text("utf-8")))


def _without(value: Any) -> Any:
    """Returns a value without what differs from run to run, such as the time and its folder."""
    if isinstance(value, dict):
        return {k: _without(v) for k, v in value.items() if k not in _NOT_OF_THE_RESULT}
    if isinstance(value, list):
        return [_without(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _tensors(path: Path) -> dict[str, Any]:
    """Reads tensors and description: how these are ordered in the file is not determined."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118
        return {"metadata": file.metadata(), **tensors}
