"""Wrong values at every field of every config: taken, or refused in a sentence that names it."""

import functools
import importlib
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.experiments.plan import plan
from peclr_jax.experiments.spec import ExperimentSpec
from peclr_jax.networks.spec import EquivarianceSpec, EvaluateSpec
from peclr_jax.prediction.spec import PredictSpec
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec
from peclr_jax.tasks.demo import DemoSpec
from peclr_jax.tasks.export import ExportSpec
from peclr_jax.tasks.release import ReleaseSpec
from peclr_jax.tasks.serve import ServeSpec
from peclr_jax.tasks.show import ShowSpec
from peclr_jax.tasks.submission import SubmissionSpec

ROOT = Path(__file__).parents[1]
SPECS = {
    "demo": DemoSpec,
    "equivariance": EquivarianceSpec,
    "evaluate": EvaluateSpec,
    "experiment": ExperimentSpec,
    "export": ExportSpec,
    "finetune": FinetuneSpec,
    "predict": PredictSpec,
    "pretrain": PretrainSpec,
    "release": ReleaseSpec,
    "serve": ServeSpec,
    "show": ShowSpec,
    "submission": SubmissionSpec,
}
INFINITE, NAN = float("inf"), float("nan")
NUMBERS = (NAN, INFINITE, -INFINITE, 2**70, -(2**70), 10**400, 10**5000, 1e300)
# Impossible for any number, list of numbers, text, switch or section.
IMPOSSIBLE = {
    bool: (None, 1, 0, "yes", (), {}, NAN),
    int: (None, True, 1.5, "1", (), (1,), {}, -1, *NUMBERS),
    float: (None, True, "1", (), (1.0,), {}, *NUMBERS[:3], *NUMBERS[5:]),
    str: (None, 1, 1.5, True, (), ("a",), {"a": 1}),
    tuple: (None, 1, "a", {}, (NAN,), ("a", 1), (None,), (1.0, NAN), ((),)),
    ConfigDict: (None, 1, "a", (), {"no_field_of_this_name": 1}),
}
# May be taken or refused, but nothing else may happen.
ODD = {
    int: (0, 2**31 - 1, 2**31, 2**32, 2**62),
    float: (0.0, -1.0, -0.0, 1e-300, 1e-30, 1e30, 5, 2**40),
    str: ("", "\0", "~", "~nobody-here/x", ",", "a,,b", "x" * 5000, "1:0", "../..", "\ud800"),
    tuple: ((), (0.0, 0.0), (2.0, 1.0), (1.0, 2.0, 3.0), (1e30, 1e31), (-1, -1)),
}
# Text that may be left out, and lists that may have any length.
OPEN = {"photos", "seeds", "probe_seeds", "metrics"}


# Sections of a larger config that have a config of their own.
OWN = ("pretrain.", "finetune.", "probe.", "evaluate.", "predict.", "equivariance.", "evaluations.")


def configs():
    """Yields the module of every config; of experiments, which have one spec, one."""
    for path in [*sorted((ROOT / "configs").glob("*.py")), ROOT / "configs/experiments/table1.py"]:
        if path.stem == "released":  # an experiment
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if hasattr(module, "get_config"):
            yield module


@functools.cache
def base(module):
    """Returns the smallest recipe of a config."""
    return module.get_config(*(["smoke"] if "experiments" in module.__name__ else []))


def leaves(config, prefix=""):
    for name, value in config.items():
        yield f"{prefix}{name}", value
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")


@functools.cache
def values_of(module):
    return base(module).to_dict()


def replaced(values, name, value):
    """Returns nested values with one of them replaced; the others are shared, not copied."""
    first, _, rest = name.partition(".")
    return values | {first: replaced(values[first], rest, value) if rest else value}


def read(module, name, value):
    config = replaced(values_of(module), name, value)
    spec = specs.from_mapping(SPECS[base(module).task], config, "--config")
    if name.startswith("arms."):  # whose changes are checked once they are applied
        plan(spec)


def kind_of(value):
    if isinstance(value, list):
        return tuple
    return next((kind for kind in IMPOSSIBLE if type(value) is kind), None)


def is_of_another(module, name):
    """Whether a field is in a section that has a config of its own, but for the first of them."""
    if name.startswith("arms."):  # one of them
        return next(iter(base(module).arms)) not in name.split(".")
    larger = base(module).task in ("experiment", "demo")
    return larger and name.startswith(OWN) and not name.endswith(("seed", "views.scale"))


def names_it(error, name):
    """Whether a sentence names a field, or one that it stands in relation to, beside it."""
    told = str(error)
    if not told.startswith("--config") or "\n" in told:
        return False
    last = name.rpartition(".")[2]
    return name in told or last in told


@pytest.mark.parametrize("module", configs(), ids=lambda module: module.__name__)
def test_wrong_values_are_taken_or_named(module):
    refused, wrong = 0, []
    free = ("arms.", "paper.", "evaluations.", "comparisons.")  # sections of any names
    for name, value in leaves(base(module)):
        kind = kind_of(value)
        if kind is None or ("paper" in name.split(".")) or is_of_another(module, name):
            continue
        of_any_names = any(part in f"{name}." for part in free) and kind is ConfigDict
        values = (*IMPOSSIBLE[kind], *ODD.get(kind, ()))
        for strange in values[:: 6 if name.startswith("arms.") else 1]:
            try:
                read(module, name, strange)
            except UserError as error:
                refused += 1
                if not names_it(error, name):
                    wrong.append((name, strange, str(error)))
            except Exception as error:
                wrong.append((name, strange, repr(error)))
            else:
                if strange == {} and name.startswith("arms."):
                    continue  # a section without changes
                last = name.rpartition(".")[2]
                fits = (kind is tuple and last in OPEN) or (strange is None and last in OPEN)
                if strange in IMPOSSIBLE[kind] and not (fits or of_any_names):
                    wrong.append((name, strange, "taken"))
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert refused > 50
