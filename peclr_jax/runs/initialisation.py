"""What a network starts from: random numbers, a checkpoint of ours, or a file of PyTorch's."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from peclr_jax import files, specs, trees, weights
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.spec import ENCODER_FIELDS
from peclr_jax.networks.description import read_description
from peclr_jax.networks.opening import read_variables
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec

Run = TypeVar("Run", bound=PretrainSpec | FinetuneSpec)


class Initialisation(NamedTuple):
    """What a network starts from.

    Attributes:
      variables: The parts of "params" and "batch_stats" that are given, not random.
      source: Where they are from, to log.
      trained_on: Data of the fine-tunings that they are from.
    """

    variables: dict[str, dict[str, Any]]
    source: str
    trained_on: tuple[DataSpec, ...] = ()

    def fill(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Puts what is given in the place of random parameters, if it fits them."""
        filled = {collection: dict(parts) for collection, parts in variables.items()}
        for collection, parts in self.variables.items():
            for part, tensors in parts.items():
                if trees.first_difference(tensors, filled[collection].get(part)):
                    raise UserError(
                        f"the {part} in {self.source} has not the tensors that this config asks "
                        "for: use the model's fields of that run, or --config.init.parts=encoder"
                    )
                filled[collection][part] = jax.tree.map(jnp.asarray, tensors)
        return filled


RANDOM = Initialisation({}, "random initialisation")


def resolve(spec: Run) -> tuple[Run, Initialisation]:
    """Reads the weights to start from; closes the encoder's fields that a checkpoint decides.

    The paper is silent on the start of pre-training; the official code takes ImageNet's weights.
    """
    if spec.init.torch_checkpoint:
        return _from_torch(spec)
    if isinstance(spec, FinetuneSpec):
        if spec.init.checkpoint:
            return _from_checkpoint(spec)
        if spec.model.open_fields:
            raise UserError(
                f"--config.model.{spec.model.open_fields[0]} is to be that of the pre-trained "
                "checkpoint, but none is named: give --config.init.checkpoint=WORKDIR, or train "
                "from scratch by the recipe's variant +scratch"
            )
    return spec, RANDOM


def pin(spec: Run) -> Run:
    """Notes the content of the file that a run starts from, which may change under its name.

    Folders are left alone, for they may be yet to be written. So is a file that is not there.
    """
    path: Path | None = None
    if spec.init.torch_checkpoint:
        path = Path(spec.init.torch_checkpoint)
    elif isinstance(spec, FinetuneSpec):
        path = weights.find(spec.init.checkpoint)
    if path is None or not path.is_file():
        return spec
    return _with_digest(spec, files.digest(path), path)


def _with_digest(spec: Run, found: str, path: object) -> Run:
    """Returns the spec with the digest of what it starts from, if that is the one it asks for."""
    if spec.init.sha256.lower() not in ("", found):
        raise UserError(
            f"{path} has the SHA-256 {found}, not that of --config.init.sha256: name what it is "
            "of, or leave the field empty"
        )
    init: Any = dataclasses.replace(spec.init, sha256=found)
    return dataclasses.replace(spec, init=init)


def _from_torch(spec: Any) -> tuple[Any, Initialisation]:
    from peclr_jax.models import torch_weights

    path = spec.init.torch_checkpoint
    weights = torch_weights.read_weights(path)
    spec = pin(spec)
    spec = _match_encoder(spec, weights._asdict(), path)
    # Others have such a stem with stride 1, which the tensors do not tell.
    small = ", its 3x3 stem taken with stride 2" if weights.stem == "small" else ""
    source = f"{path} ({weights.layout}{small})"
    if spec.init.parts == "encoder":
        is_encoder = weights.layout == "torchvision"
        parts = {
            collection: {"encoder": tree if is_encoder else tree["encoder"]}
            for collection, tree in weights.variables.items()
        }
        return spec, Initialisation(parts, source)
    if spec.task != "pretrain" or weights.layout != "hybrid2":
        raise UserError(
            f"--config.init.parts='all' asks {path} for more than an encoder, but its layout "
            f"({weights.layout}) does not hold what this network has: use "
            "--config.init.parts=encoder"
        )
    return spec, Initialisation(weights.variables, source)


def _from_checkpoint(spec: FinetuneSpec) -> tuple[Any, Initialisation]:
    spec = pin(spec)
    path = spec.init.checkpoint
    trained = read_description(path)
    spec = _match_encoder(spec, specs.to_dict(trained.model), f"the checkpoint {path}")
    restored, source = read_variables(path, trained)
    if weights.find(path) is None:
        spec = _with_digest(spec, trees.digest(restored), source)
    if spec.init.parts == "encoder":
        if not all("encoder" in parts for parts in restored.values()):
            raise UserError(
                f"the checkpoint {path} holds no encoder: get it again from where it was made, or "
                "name another --config.init.checkpoint"
            )
        restored = {name: {"encoder": parts["encoder"]} for name, parts in restored.items()}
    elif trained.task != spec.task:
        raise UserError(
            f"--config.init.parts='all' goes on from a fine-tuned network, but {path} is of the "
            f"task {trained.task!r}: use 'encoder', or name a fine-tuning run"
        )
    supervised = (trained.data, *trained.earlier_data) if trained.task == "finetune" else ()
    return spec, Initialisation(restored, source, supervised)


def _match_encoder(spec: Any, found: Mapping[str, Any], source: str) -> Any:
    """Returns the spec with its encoder's open fields filled in, the others checked."""
    open_fields = spec.model.open_fields if isinstance(spec, FinetuneSpec) else ()
    for field in ENCODER_FIELDS:
        wanted = getattr(spec.model, field)
        if field not in open_fields and wanted != found[field]:
            raise UserError(
                f"{source} holds an encoder with model.{field}={found[field]!r}, the config asks "
                f"for {wanted!r}: set --config.model.{field}={found[field]}, or name a checkpoint "
                "of the network that you want"
            )
    filled = {field: found[field] for field in open_fields}
    return dataclasses.replace(spec, model=dataclasses.replace(spec.model, **filled))
