"""What a checkpoint, or a file that was exported from one, says of the network in it.

It may be anybody's, and sizes of arrays and names of functions are taken from it: all of it is
checked here, before any of it is used. Nothing is read or written at places that it names
(SECURITY.md).
"""

import dataclasses
import json
from collections.abc import Mapping
from os import PathLike
from typing import Annotated, Any, TypeVar

from flax import linen as nn

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.spec import PoseNetworkSpec, ProjectorSpec
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.photos.looking import LookingRule
from peclr_jax.specs import Between, NonNegativeFloat
from peclr_jax.training import restoring

Spec = TypeVar("Spec")

LABEL_STATISTICS = "label_statistics"
"""Name of the label statistics among the results of a fine-tuning run."""
_MODELS: dict[str, type[ProjectorSpec] | type[PoseNetworkSpec]] = {
    "pretrain": ProjectorSpec,
    "finetune": PoseNetworkSpec,
}
# Fields of the model that the first runs did not write; every other one must be there.
_ADDED_LATER = ("pointwise",)
_LONGEST_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network, and how it was trained.

    Attributes:
      data: The hands that it was trained on; its folders are the trainer's, and are not read.
      view_size: Side of the views that it was trained on, pixels.
      statistics: Of the training labels; None if they are unknown.
    """

    task: str
    recipe: str
    model: ProjectorSpec | PoseNetworkSpec
    data: DataSpec
    view_size: int
    refine_root_depth: bool = False
    statistics: LabelStatistics | None = None
    looking: LookingRule = LookingRule()

    def build(self) -> nn.Module:
        """Makes the network."""
        if isinstance(self.model, PoseNetworkSpec):
            return self.model.build(refine_root_depth=self.refine_root_depth)
        return self.model.build()

    def to_json(self) -> dict[str, Any]:
        """Returns the description as `from_note` reads it, to be written beside weights."""
        config = {
            "task": self.task,
            "recipe": self.recipe,
            "model": specs.to_dict(self.model),
            "data": specs.to_dict(self.data),
            "views": {"size": self.view_size},
            # Only whether the loss weighs the root's depth is read.
            "loss": {"root_depth": float(self.refine_root_depth)},
        }
        statistics = self.statistics and {LABEL_STATISTICS: specs.to_dict(self.statistics)}
        return {"config": config, "results": statistics or {}}


def read_description(checkpoint: str | PathLike[str]) -> NetworkDescription:
    """Reads the description of the network in a run's folder, or in that of one of its steps."""
    return from_json(
        restoring.restore_config(checkpoint),
        restoring.restore_results(checkpoint),
        f"the checkpoint {checkpoint}",
    )


def from_note(note: str, source: str) -> NetworkDescription:
    """Reads the description that lies beside weights in a file.

    It is JSON: {"config": ..., "results": ...}, or the config alone, as it was once written.
    """
    try:
        found = json.loads(note)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{source} holds a config that is no JSON ({error}): get the file again from where it "
            "was made"
        ) from error
    if isinstance(found, Mapping) and "config" in found:
        return from_json(found["config"], found.get("results"), source)
    return from_json(found, {}, source)


def from_json(config: Any, results: Any, source: str) -> NetworkDescription:
    """Checks and upgrades what a run has written; the only function that reads it.

    Missing fields take the defaults they had before they were added, and unknown ones are ignored.

    Args:
      config: Of the run. Runs of earlier versions wrote their label statistics into it.
      results: Of the run; may be empty.
      source: What holds them, for messages.
    """
    task = config.get("task") if isinstance(config, Mapping) else None
    if isinstance(config, Mapping) and not (isinstance(task, str) and task in _MODELS):
        raise UserError(
            f"{source} is a checkpoint of the task {str(task)[:_LONGEST_SHOWN]!r}: name one of a "
            "pre-training or a fine-tuning run"
        )
    try:
        return _describe(config, results)
    except UserError as error:
        raise UserError(
            f"the config in {source} is not one that a training of ours writes ({error}): get the "
            "checkpoint again from where it was made"
        ) from error


@dataclasses.dataclass(frozen=True)
class _Views:
    size: Annotated[int, Between(1, 4096)] = 0


@dataclasses.dataclass(frozen=True)
class _Loss:
    root_depth: NonNegativeFloat = 0.0


def _describe(config: Any, results: Any) -> NetworkDescription:
    if not isinstance(config, Mapping):
        raise UserError(f"it is of type {type(config).__name__}, no object")
    task = config["task"]
    model = _read(_MODELS[task], config, "model", optional=_ADDED_LATER)
    data = _read(DataSpec, config, "data", optional=None)
    size = _read(_Views, config, "views").size
    if size < model.smallest_view:
        raise UserError(
            f"views.size is {size}, too small for the encoder's stem, which needs at least "
            f"{model.smallest_view} px"
        )
    recipe = config.get("recipe")
    return NetworkDescription(
        task=task,
        recipe=recipe if isinstance(recipe, str) else "",
        model=model,
        data=data,
        view_size=size,
        refine_root_depth=task == "finetune" and _read(_Loss, config, "loss").root_depth > 0,
        statistics=_read_statistics(config, results) if task == "finetune" else None,
        looking=LookingRule(data.hand_margin),
    )


def _read_statistics(config: Mapping[str, Any], results: Any) -> LabelStatistics | None:
    if isinstance(results, Mapping) and LABEL_STATISTICS in results:
        return _read(LabelStatistics, results, LABEL_STATISTICS, optional=None)
    if "statistics" in config:  # written before statistics were a result
        return _read(LabelStatistics, config, "statistics", optional=None)
    return None


def _read(
    cls: type[Spec],
    sections: Mapping[str, Any],
    name: str,
    *,
    optional: tuple[str, ...] | None = (),
) -> Spec:
    """Reads a section, of which the `optional` fields may be missing, None for all of them."""
    values = sections.get(name)
    if not isinstance(values, Mapping):
        raise UserError(f"it has no section {name!r}")
    known = _known(cls, values)
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for field in fields if optional is not None else ():
        if field not in known and field not in (optional or ()):
            raise UserError(f"it has no field {name}.{field}")
    return specs.from_mapping(cls, known, name)


def _known(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values whose fields are known."""
    known = {}
    for field in dataclasses.fields(cls):
        if field.name not in values:
            continue
        value = values[field.name]
        nested = dataclasses.is_dataclass(field.default) and isinstance(value, Mapping)
        known[field.name] = _known(field.default, value) if nested else value
    return known
