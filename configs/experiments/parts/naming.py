"""What an experiment's data are called on its page."""

from ml_collections import ConfigDict

RENDERED = "rendered hands before green screens"
"""What is trained and evaluated on below the scale `paper`, for people."""
_RENDERED = {"green": RENDERED, "clutter": "rendered hands before clutter"}
_TITLES = {
    "freihand": "FreiHAND",
    "youtube_3d_hands": "YouTube3DHands",
    "ho3d/v2": "HO-3D v2",
    "dexter_object": "Dexter+Object",
}


def evaluated_on_others(config: ConfigDict) -> str:
    """Returns the data sets of the evaluations, and what networks were trained on.

    Args:
      config: Of an experiment whose evaluations name their data sets.
    """
    sets = dict.fromkeys(wanted.data.names for wanted in config.evaluations.values())
    first, second = (_images(training.data) for training in (config.pretrain, config.finetune))
    trained = f"pre-trained on {first} and fine-tuned on {second}"
    if first == second:
        trained = f"trained on {first}"
    return f"{' and '.join(map(_title, sets))}, by networks {trained}"


def _images(data: ConfigDict) -> str:
    if data.source == "rendered":
        return _RENDERED[data.rendered.background]
    return " and ".join(map(_title, data.names.split(",")))


def _title(name: str) -> str:
    return _TITLES.get(name, name)
