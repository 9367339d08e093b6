"""The data that a network is measured on: named, or as in its training."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from peclr_jax import input_pipeline, specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline import Split, from_rendered
from peclr_jax.input_pipeline.spec import RENDERED, DataSpec, as_list
from peclr_jax.networks.description import NetworkDescription
from peclr_jax.networks.spec import EvaluationDataSpec

# Data sets whose split to evaluate on is not called "evaluation".
_SPLITS = {
    "youtube_3d_hands": "test",
    "dexter_object": "test",
    "synthetic_hands": "test",
    "image_folder": "validation",
}


class EvaluationData(NamedTuple):
    """A split that a network is to be shown.

    Attributes:
      name: For people.
      trained_on: In words that, and where, it holds images that the network was fine-tuned on; ""
        if it does not, as far as names tell.
      fingerprint: What tells its images from others, "" of rendered hands.
      hands: What decides each hand, if they are rendered.
    """

    name: str
    split: Split
    trained_on: str = ""
    fingerprint: str = ""
    hands: dict[str, Any] | None = None


def open_data(
    given: EvaluationDataSpec,
    split_name: str,
    description: NetworkDescription,
    crop: str,
    batch_size: int,
) -> EvaluationData:
    """Opens a split that a network is to be shown.

    Args:
      given: What the user names.
      split_name: "" for `default_split`.
      description: Of the network.
      crop: "box" or "two_pass", as in `EvaluateSpec`.
      batch_size: Images at a time.
    """
    data = resolve_data(given, description, crop)
    split_name = split_name or default_split(data)
    split = input_pipeline.open_split(data, split_name, batch_size=batch_size)
    trained_on = dict.fromkeys(
        find_trained_on(trained, data, split_name)
        for trained in (description.data, *description.earlier_data)
    )
    return EvaluationData(
        name=describe_data(data, split_name),
        split=split,
        trained_on="; ".join(filter(None, trained_on)),
        fingerprint=fingerprint_of_records(data),
        hands=from_rendered.first_hands(data) if data.source == RENDERED else None,
    )


def fingerprint_of_records(data: DataSpec) -> str:
    """Returns what tells records from others; "" of rendered hands, which their spec decides.

    Args:
      data: What is evaluated on.
    """
    return "" if data.source == RENDERED else input_pipeline.fingerprint(data)


def check_split(data: DataSpec, split_name: str) -> None:
    """Checks that data have a split, and that its records have labels, without reading them.

    Args:
      data: What is to be evaluated on.
      split_name: One name, or one for each data set with commas between.

    Raises:
      UserError: No such split, one that names images twice, or none of its images has a label.
    """
    if data.source == RENDERED:
        from_rendered.check_split(split_name)
        return
    # Imported here because this is what brings TensorFlow in.
    from peclr_jax.input_pipeline import from_records

    parts = from_records.choose_evaluated(data, split_name)
    if not any(from_records.may_be_labelled(*part) for part in parts):
        raise UserError(
            f"none of the images of {describe_data(data, split_name)} has a label to compare with: "
            "write the records again with the labels' files beside the images, or name another "
            "split"
        )


def find_trained_on(trained: DataSpec, data: DataSpec, split_name: str) -> str:
    """Returns in words whether a split holds images that a network was trained on; "" if not.

    Data sets are told apart by their names, and by the folders of their raw files if both are said:
    photographs of one's own may have the layout, and the name, of a published data set.

    Args:
      trained: What the network was trained on.
      data: What it is asked about.
      split_name: Of the split.
    """
    if data.source == RENDERED:
        # Those that are held out are others, whatever the spec.
        same = trained.has_rendered and split_name == "train"
        names = ["rendered hands"] if same else []
    else:
        places = _places(data), _places(trained)
        common = []
        if trained.source != RENDERED:
            asked = dataclasses.replace(data, split=split_name)
            common = input_pipeline.overlapping(asked, trained)
        names = [
            data.record_names[own]
            for own, other in common
            if len({places[0][own], places[1][other]} - {""}) < 2
        ]
    if not names:
        return ""
    return (
        f"the network was trained on images of {', '.join(names)} ({split_name}), whose errors are "
        "not those of new images"
    )


def _places(data: DataSpec) -> list[str]:
    """Returns the folder of raw files of each data set, "" where it is not said."""
    given = as_list(data.manual_dir) or [""] * len(data.record_names)
    return [place and str(Path(place).expanduser().resolve()) for place in given]


def named_data(given: EvaluationDataSpec, trained: DataSpec) -> tuple[str, str]:
    """Returns the source and the names of the data that a network is to be shown.

    Args:
      given: What the user names.
      trained: What the network was fine-tuned on.
    """
    others = given.names or given.manual_dir
    source = given.source or ("tfds" if others else trained.source)
    if others and trained.source == RENDERED:
        return source, given.names or DataSpec.names
    # Of a mixture the records, which the rendered hands were to help with.
    names = ",".join(trained.record_names) if trained.is_mixed else trained.names
    return source, given.names or names


def resolve_data(given: EvaluationDataSpec, description: NetworkDescription, crop: str) -> DataSpec:
    """Completes what the user names by what the network was trained on.

    Args:
      given: What the user names.
      description: Of the network.
      crop: "box" or "two_pass", as in `EvaluateSpec`.
    """
    trained = description.data
    source, names = named_data(given, trained)
    others = given.names or given.manual_dir
    input_pipeline.check_read(source, given)
    if source == "tfds" and not (others or given.data_dir):
        _check_usual_place(trained, names)
    rule, source_size = description.looking, given.source_size or trained.source_size
    if crop == "two_pass" and not given.source_size:
        source_size = round(rule.detail * description.view_size / rule.central_share)
    changes = {
        "source": source,
        "source_size": source_size,
        "crop": "hand" if crop == "box" else "image",
        "cache": "none",
        "pairs": "image",
        "labels": True,
        "label_fraction": 1.0,
        "weights": "",
        "split": DataSpec.split,  # the one that is asked for is given when it is opened
        "names": names,
        # A checkpoint may be anybody's: nothing is read or written at places that it names.
        "manual_dir": given.manual_dir,
        "data_dir": given.data_dir,
        "decode_threads": given.decode_threads,
        "rendered": {
            "cache_dir": given.rendered.cache_dir,
            "held_out": given.rendered.held_out or trained.rendered.held_out,
            "background": given.rendered.background or trained.rendered.background,
        },
    }
    return specs.changed(trained, changes, "--config.data")


def _check_usual_place(trained: DataSpec, names: str) -> None:
    """Checks that the data of a training are found by their name alone."""
    places = {name: getattr(trained, name) for name in ("manual_dir", "data_dir")}
    flags = " ".join(f"--config.data.{name}={place!r}" for name, place in places.items() if place)
    if flags:
        raise UserError(
            f"the network was trained on data at a place that only its checkpoint names, and that "
            f"may be anybody's: if they are yours, add {flags}; else name other data by "
            f"--config.data.names={names}"
        )


def default_split(data: DataSpec) -> str:
    """Returns the split that is meant to be evaluated on, or one each, separated by commas."""
    if data.source == RENDERED:
        return "held_out"
    splits = [_SPLITS.get(name.partition("/")[0], "evaluation") for name in data.record_names]
    return splits[0] if len(set(splits)) == 1 else ",".join(splits)


def describe_data(data: DataSpec, split_name: str) -> str:
    """Returns a name for people: "freihand (evaluation)"."""
    return f"{'rendered hands' if data.source == RENDERED else data.names} ({split_name})"
