"""Every path that a user names may begin at home, in every spec and every command."""

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

import peclr_jax
from peclr_jax import places, specs
from peclr_jax.errors import UserError
from peclr_jax.places import Home
from peclr_jax.specs import Spec

ROOT = Path(__file__).parents[1]
# Fields of text that name no path. A new field of text is either a `Place` or named here.
NO_PLACES = {
    *("ArmSpec.label", "ArmSpec.series", "ComparisonSpec.against", "ComparisonSpec.arm"),
    *("ComparisonSpec.paper", "DataSpec.held_out_split", "DataSpec.names", "DataSpec.split"),
    *("DataSpec.weights", "EvaluationDataSpec.names", "EvaluationRenderedSpec.background"),
    *("ExperimentSpec.claim", "ExperimentSpec.data_name", "ExperimentSpec.name"),
    *("ExperimentSpec.only", "ExperimentSpec.title", "ExperimentSpec.x_label"),
    *("TorchInitSpec.sha256", "PredictSpec.formats", "QuestionSpec.split", "QuestionSpec.task"),
    *("ReleaseSpec.split", "RenderSpec.background", "RenderedSpec.background"),
    *("RunSpec.profile", "ShowSpec.split"),
}


def spec_classes():
    for module in pkgutil.walk_packages(peclr_jax.__path__, "peclr_jax."):
        importlib.import_module(module.name)
    waiting, found = [Spec], []
    while waiting:
        found += (more := waiting.pop().__subclasses__())
        waiting += more
    ours = {cls for cls in found if cls.__module__.startswith("peclr_jax.")}
    return sorted(ours, key=lambda cls: (cls.__module__, cls.__name__))


def texts():
    """Yields class and name of each field of text, and whether it is a place."""
    for cls in spec_classes():
        hints = get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            if field.name in inspect.get_annotations(cls):
                hint = hints[field.name]
                if get_origin(hint) in (dict, tuple):
                    continue
                kinds = [hint, *(part for part in get_args(hint) if part is not type(None))]
                if str in kinds:
                    yes = any(isinstance(p, Home) for k in kinds for p in (k, *get_args(k)))
                    yield cls, field.name, yes


def test_every_field_of_text_is_a_place_or_known_to_be_none():
    found = {f"{cls.__name__}.{name}" for cls, name, is_place in texts() if not is_place}
    assert {name for name in found if not name.endswith(".recipe")} == NO_PLACES


@pytest.mark.parametrize(
    ("cls", "name"),
    [pytest.param(c, n, id=f"{c.__name__}.{n}") for c, n, is_place in texts() if is_place],
)
def test_every_place_begins_at_home(cls, name, home):
    spec = dataclasses.replace(cls(), **{name: "~/there"})
    assert getattr(spec, name) == f"{home}/there"
    mapping = specs.to_dict(spec)
    assert specs.from_mapping(cls, mapping, "--config") == spec
    unknown = {**mapping, name: "~nobody-here/x"}
    if name == "cache_dir":
        assert getattr(specs.from_mapping(cls, unknown, "--config"), name) == ""
        return
    with pytest.raises(UserError, match=rf"--config\.{name} is '~nobody-here/x', but the user"):
        specs.from_mapping(cls, unknown, "--config")


def test_of_several_each_begins_at_home(home):
    rule = Home(separator=",")
    assert rule.convert("~/a, b,~/c") == f"{home}/a,b,{home}/c"
    assert rule.convert("") == ""


@pytest.mark.parametrize("path", ["", "a", "/a/~/b", "a~", "runs/*.jpg", "released", "C:/x"])
def test_other_paths_stay(path):
    assert places.expanded(path) == path


def test_a_home_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(places.os.path, "expanduser", lambda path: path)
    with pytest.raises(UserError, match="'~/a', but this user has no home folder: write the whole"):
        places.expanded("~/a")
    with pytest.raises(UserError, match="a character that no path can have"):
        places.expanded("a\0b")
    with pytest.raises(UserError, match="is 'gs://a/b', a URL: copy it to a disk, or mount it"):
        places.expanded("gs://a/b")


def test_arguments_of_commands_are_places(home):
    assert places.argument("~/a") == home / "a"
    with pytest.raises(argparse.ArgumentTypeError, match="nobody-here"):
        places.argument("~nobody-here/a")


# Of commands with paths: what an argument's help or name says of files and folders.
_PATH = re.compile(r"\b(folder|file|files|where|lie|checkpoint|DIR|JSON)\b|_dir\b")


@pytest.mark.parametrize(
    "path",
    [p for top in ("data", "scripts", "benchmarks") for p in sorted((ROOT / top).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_argument_that_names_a_path_is_a_place(path):
    for call in re.findall(r"add_argument\((?:[^()]|\([^()]*\))*\)", path.read_text("utf-8")):
        if _PATH.search(call) and "action=" not in call:
            assert re.search(r"type=(argument|expanded)", call), call


@pytest.mark.parametrize("text", ["", " "])
def test_an_argument_that_is_empty_is_not_the_current_folder(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is empty: name a file or a folder"):
        places.argument(text)
