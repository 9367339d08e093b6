"""The config inside of a checkpoint, which may be anybody's: checked before any of it is used.

What it says of a network and of how it was trained is needed to ask that network anything. It is
data, not code, but data that sizes of arrays and names of functions are taken from. Nothing is read
or written at places that it names: see `peclr_jax.networks.inference.resolve_data`.
"""

import math
from collections.abc import Mapping
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from peclr_jax import specs, trees
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.runs import recipe
from peclr_jax.training import restoring

# Fields without which no network is made, and an example of each.
_MODEL: dict[str, Any] = {"architecture": "", "width": 1, "stem": "", "dtype": "", "remat": ""}
_HEADS: dict[str, dict[str, Any]] = {
    "pretrain": {"hidden": 1, "num_points": 1},
    "finetune": {"hidden": 1, "head": "", "frozen": False},
}
_STATISTICS = {"bone_length": (), "mean_pose": (21, 3), "mean_hand": (21, 3)}
# Far beyond what any run of ours has, far below what would fill a machine's memory.
_LARGEST = {
    "model.width": 4096,
    "model.hidden": 2**16,
    "model.num_points": 2**16,
    "views.size": 4096,
    "data.source_size": 8192,
    "data.hand_margin": 100,
    "data.source_margin": 100,
    "data.rendered.size": 4096,
    "data.rendered.count": 2**31,
    "data.rendered.held_out": 2**31,
    "data.rendered.versions": 1024,
    "data.rendered.shared_backgrounds": 1024,
    "data.rendered.chunk": 2**16,
}
_SMALLEST_MARGIN = 0.1
_DEEPEST = 8


def read(checkpoint: str | PathLike[str]) -> ConfigDict:
    """Reads the config of the run that made a checkpoint.

    Args:
      checkpoint: a run's directory, or that of one of its steps.

    Raises:
      MissingFileError: there is no checkpoint.
      UserError: it is damaged, or its config is none of a training's.
    """
    return checked(restoring.restore_config(checkpoint), f"the checkpoint {checkpoint}")


def checked(stored: Any, source: str) -> ConfigDict:
    """Returns a stored config, fields that it lacks being those of before there were others.

    Args:
      stored: what a checkpoint, or a file that stands for one, holds.
      source: what holds it, for the message.

    Raises:
      UserError: a field that is missing, of another type, or beyond all reason.
    """
    try:
        config = ConfigDict(_plain(stored))
        task = config.get("task")
        if isinstance(task, str) and task in _HEADS:
            return _completed(config)
    except ValueError as error:
        reason = str(error).replace("--config.", "")
        raise UserError(
            f"the config in {source} is not one that a training of ours writes ({reason}): get the "
            "checkpoint again from where it was made"
        ) from error
    raise UserError(
        f"{source} is a checkpoint of the task {str(task)[:40]!r}: name one of a pre-training or a "
        "fine-tuning run"
    )


def check_variables(
    variables: Mapping[str, Any], network: nn.Module, config: ConfigDict, source: str
) -> None:
    """Checks that a checkpoint holds the network that its config describes.

    Args:
      variables: "params" and "batch_stats".
      network: made by the config.
      config: of the checkpoint, checked.
      source: what holds them, for the message.

    Raises:
      UserError: a tensor is missing, unknown, of another shape, or not of floating point.
    """
    side = config.views.size
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    cameras = jax.ShapeDtypeStruct((1, 3, 3), jnp.float32)
    inputs = (images, cameras) if config.task == "finetune" else (images,)
    wanted = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    if difference := trees.first_difference(dict(variables), wanted):
        raise UserError(
            f"{source} holds {difference.name} as {difference.found}, but the network that its "
            f"config describes has {difference.wanted}: it is damaged, or put together from "
            "several; get it again from where it was made"
        )


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns JSON whose names can be those of fields."""
    if depth > _DEEPEST:
        raise UserError(f"it is nested more than {_DEEPEST} times")
    if depth == 0 and not isinstance(value, Mapping):
        raise UserError(f"it is of type {type(value).__name__}, no mapping")
    if isinstance(value, list | tuple):
        return tuple(_plain(item, depth + 1) for item in value)
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if not name.isidentifier() or hasattr(ConfigDict, name):
            raise UserError(f"it has a field {name[:40]!r}")
    return {name: _plain(item, depth + 1) for name, item in value.items()}


def _completed(config: ConfigDict) -> ConfigDict:
    _check_model(config)
    _complete_data(config)
    if config.task == "finetune":
        _check_finetuning(config)
    recipe.check_view_size(config)
    specs.from_mapping(DataSpec, config.data.to_dict(), "--config.data")
    return config


def _check_model(config: ConfigDict) -> None:
    for section in ("model", "data", "views"):
        if not isinstance(config.get(section), ConfigDict):
            raise UserError(f"it has no section {section!r}")
    for name, example in (_MODEL | _HEADS[config.task]).items():
        _check_type(f"model.{name}", config.model.get(name), example)
    # Runs of before the field are still read.
    config.model.pointwise = config.model.get("pointwise", "platform")
    _check_type("model.pointwise", config.model.pointwise, "")
    recipe.check_model(config)
    _check_type("views.size", config.views.get("size"), 1)
    for name, most in _LARGEST.items():
        if not name.startswith("data."):
            _check_range(name, _field(config, name, 1), 1, most)


def _complete_data(config: ConfigDict) -> None:
    """Checks the fields of the data by their defaults, which stand for those that are missing."""
    data = specs.to_config(DataSpec())
    _take(data, config.data, "data")
    config.data = data
    for name, most in _LARGEST.items():
        if name.startswith("data."):
            least = _SMALLEST_MARGIN if name.endswith("_margin") else 0
            _check_range(name, _field(config, name, 1), least, most)


def _take(fields: ConfigDict, given: ConfigDict, section: str) -> None:
    for name, example in fields.items():
        if name not in given:
            continue
        value, field = given[name], f"{section}.{name}"
        if isinstance(example, ConfigDict):
            if not isinstance(value, ConfigDict):
                raise UserError(f"{field} is {str(value)[:40]!r}, no section")
            _take(example, value, field)
            continue
        _check_type(field, value, example)
        fields[name] = float(value) if isinstance(example, float) else value


def _check_finetuning(config: ConfigDict) -> None:
    for section in ("loss", "statistics"):
        if not isinstance(config.get(section), ConfigDict):
            raise UserError(f"it has no section {section!r}")
    _check_type("loss.root_depth", config.loss.get("root_depth"), 1.0)
    for name, shape in _STATISTICS.items():
        value = config.statistics.get(name)
        if value is not None and not _are_numbers(value, shape):
            raise UserError(f"statistics.{name} is not {shape or 'one'} of finite numbers")
        config.statistics[name] = value


def _are_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return _is_number(value)
    return (
        isinstance(value, tuple)
        and len(value) == shape[0]
        and all(_are_numbers(item, shape[1:]) for item in value)
    )


def _is_number(value: Any) -> bool:
    # Larger integers than floats can be are none of ours.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 2**63
        and math.isfinite(value)
    )


def _check_type(name: str, value: Any, example: Any) -> None:
    """Raises ValueError for a value that is not of its example's kind."""
    if isinstance(example, bool | str):
        fits = type(value) is type(example)
    elif isinstance(example, tuple):
        fits = _are_numbers(value, (len(example),))
    else:
        fits = _is_number(value) and (isinstance(example, float) or isinstance(value, int))
    if not fits:
        raise UserError(f"{name} is {str(value)[:40]!r}")


def _check_range(name: str, value: int | float, least: int | float, most: int | float) -> None:
    if not least <= value <= most:
        raise UserError(f"{name} is {value}, not within {least} and {most}")


def _field(config: ConfigDict, name: str, default: Any) -> Any:
    value: Any = config
    for part in name.split("."):
        value = value.get(part, default) if isinstance(value, ConfigDict) else default
    return value
