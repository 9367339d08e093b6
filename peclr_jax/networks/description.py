"""What a checkpoint, or a file that was exported from one, says of the network in it.

It may be anybody's, and sizes of arrays and names of functions are taken from it: all of it is
checked here before use. Nothing is read or written at places that it names (SECURITY.md).
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeVar

from flax import linen as nn

from peclr_jax import specs, weights
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models.spec import PoseNetworkSpec, ProjectorSpec
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.objectives.spec import PoseLossSpec
from peclr_jax.photos.looking import LookingRule
from peclr_jax.training import restoring
from peclr_jax.views.spec import ViewSpec
from peclr_jax.weights import file as weights_file

Spec = TypeVar("Spec")

LABEL_STATISTICS = "label_statistics"
"""Name of the label statistics among the results of a fine-tuning run."""
CALIBRATION = "calibration"
"""Name of the calibration there, once the network is calibrated."""
EARLIER_DATA = "earlier_data"
"""Name there of the data of the fine-tunings that a fine-tuning went on from."""
HEATMAP_TURNS_DEG = (0.0, -30.0, 30.0)
"""Turns of the view at which networks with heatmaps look; chosen on held-out photographs."""
_MODELS: dict[str, type[ProjectorSpec] | type[PoseNetworkSpec]] = {
    "pretrain": ProjectorSpec,
    "finetune": PoseNetworkSpec,
}
# Fields of the model that the first runs did not write; every other one must be there.
_ADDED_LATER = ("pointwise", "channels", "finest")
_LONGEST_SHOWN = 40
# Of images that are cut out or rendered as a stranger's checkpoint says: what memory and time are
# given to it.
_LARGEST_IMAGE, _MOST_IMAGES, _MOST_PIXELS = 1024, 2**17, 2**24
_PLACES = ("data_dir", "manual_dir")


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network, and how it was trained.

    Attributes:
      data: The hands that it was trained on; its folders are the trainer's, and are not read.
      earlier_data: Those of the fine-tunings whose weights its training started from.
      view_size: Side of the views that it was trained on, pixels.
      statistics: Of the training labels; None if they are unknown.
      calibration: Of its heatmaps; None if it has none.
    """

    task: str
    recipe: str
    model: ProjectorSpec | PoseNetworkSpec
    data: DataSpec
    view_size: int
    refine_root_depth: bool = False
    statistics: LabelStatistics | None = None
    calibration: Calibration | None = None
    looking: LookingRule = LookingRule()
    earlier_data: tuple[DataSpec, ...] = ()

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
        found = {LABEL_STATISTICS: self.statistics, CALIBRATION: self.calibration}
        results: dict[str, Any] = {
            name: specs.to_dict(result) for name, result in found.items() if result
        }
        if self.earlier_data:
            results[EARLIER_DATA] = [specs.to_dict(data) for data in self.earlier_data]
        return {"config": config, "results": results}


def read_description(checkpoint: str | PathLike[str]) -> NetworkDescription:
    """Reads the description of a network: of a run or one of its steps, or of a file of ours."""
    if file := weights.find(checkpoint):
        return from_note(weights_file.read_note(file), str(file))
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


def _describe(config: Any, results: Any) -> NetworkDescription:
    if not isinstance(config, Mapping):
        raise UserError(f"it is of type {type(config).__name__}, no object")
    task, recipe = config["task"], config.get("recipe")
    cls = _MODELS[task]
    required = [f.name for f in dataclasses.fields(cls) if f.name not in _ADDED_LATER]
    model = _read(cls, config, "model", *required)
    data = _read_data(config)
    _check_images(data)
    size = _read_field(ViewSpec, config, "views", "size")
    if size < model.smallest_view:
        raise UserError(
            f"views.size is {size}, too small for the encoder's stem, which needs at least "
            f"{model.smallest_view} px"
        )
    posed = task == "finetune"
    return NetworkDescription(
        task=task,
        recipe=recipe if isinstance(recipe, str) else "",
        model=model,
        data=data,
        view_size=size,
        refine_root_depth=posed and _read_field(PoseLossSpec, config, "loss", "root_depth") > 0,
        statistics=_read_statistics(config, results) if posed else None,
        calibration=_read_calibration(results) if posed else None,
        looking=LookingRule(data.hand_margin, turns_deg=_turns(model)),
        earlier_data=_read_earlier_data(results) if posed else (),
    )


def _check_images(data: DataSpec) -> None:
    """Refuses sizes and counts that are fit for a training, but not for what others look at."""
    rendered = data.rendered
    for name, value, most in (
        ("source_size", data.source_size, _LARGEST_IMAGE),
        ("rendered.size", rendered.size, _LARGEST_IMAGE),
        ("rendered.held_out", rendered.held_out, _MOST_IMAGES),
        ("rendered.chunk * rendered.size^2", rendered.chunk * rendered.size**2, _MOST_PIXELS),
    ):
        if value > most:
            raise UserError(f"data.{name} is {value}, more than the {most} of any checkpoint")


def _readable(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the section with the trainer's folders, where their home is not known here."""

    def kept(value: Any) -> Any:
        unknown = isinstance(value, str) and os.path.expanduser(value).startswith("~")
        return f"./{value}" if unknown else value

    return {**data, **{name: kept(data[name]) for name in _PLACES if name in data}}


def _turns(model: ProjectorSpec | PoseNetworkSpec) -> tuple[float, ...]:
    """Returns the turns that a look is made at; only heatmaps tell which answer to trust."""
    heatmaps = isinstance(model, PoseNetworkSpec) and model.head == "heatmap"
    return HEATMAP_TURNS_DEG if heatmaps else LookingRule.turns_deg


def _read_statistics(config: Mapping[str, Any], results: Any) -> LabelStatistics | None:
    # Runs of earlier versions wrote them into their config.
    for holder, name in ((results, LABEL_STATISTICS), (config, "statistics")):
        if isinstance(holder, Mapping) and name in holder:
            return _read(LabelStatistics, holder, name)
    return None


def _read_data(config: Mapping[str, Any]) -> DataSpec:
    return _read(DataSpec, {"data": _readable(_section(config, "data"))}, "data")


def _read_earlier_data(results: Any) -> tuple[DataSpec, ...]:
    if not (isinstance(results, Mapping) and EARLIER_DATA in results):
        return ()
    earlier = results[EARLIER_DATA]
    if not isinstance(earlier, list):
        raise UserError(f"{EARLIER_DATA} is of type {type(earlier).__name__}, no list")
    return tuple(_read_data({"data": data}) for data in earlier)


def _read_calibration(results: Any) -> Calibration | None:
    if isinstance(results, Mapping) and CALIBRATION in results:
        return _read(Calibration, results, CALIBRATION)
    return None


def _read_field(cls: type[Spec], config: Mapping[str, Any], section: str, name: str) -> Any:
    value = _section(config, section, name)[name]
    return getattr(specs.from_mapping(cls, {name: value}, section), name)


def _read(cls: type[Spec], config: Mapping[str, Any], name: str, *required: str) -> Spec:
    return specs.from_mapping(cls, _known(cls, _section(config, name, *required)), name)


def _section(config: Mapping[str, Any], name: str, *required: str) -> Mapping[str, Any]:
    values = config.get(name)
    if not isinstance(values, Mapping):
        raise UserError(f"it has no section {name!r}")
    if missing := [field for field in required if field not in values]:
        raise UserError(f"it has no field {name}.{missing[0]}")
    return values


def _known(cls: Any, values: Any) -> Any:
    """Returns values without those that are no fields of a spec, however deep."""
    if not (dataclasses.is_dataclass(cls) and isinstance(values, Mapping)):
        return values
    fields = [field for field in dataclasses.fields(cls) if field.name in values]
    return {field.name: _known(field.default, values[field.name]) for field in fields}
