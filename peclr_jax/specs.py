"""Specs: frozen dataclasses that document, check and build what a config describes.

A spec is the default of its section in `configs/`. This module holds the one conversion between
specs and the mappings that people and files write: flags (`ConfigDict`), the JSON inside of a
checkpoint, the arms of an experiment. Values are checked for their type and against the bounds of
a field's annotation; unknown names are told with the nearest known one.

    @dataclasses.dataclass(frozen=True)
    class ExampleSpec(Spec):
        width: Annotated[int, Between(1, 4096)] = 64
        stem: Literal["imagenet", "small"] = "imagenet"
"""

import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union

import numpy as np
from ml_collections import ConfigDict

from peclr_jax.errors import FieldError, UserError, nearest, shown

T = TypeVar("T")

# A field that a config gives elsewhere; it is neither read from a mapping nor written to one.
ELSEWHERE = types.MappingProxyType({"elsewhere": True})
LARGEST_INT = 2**31 - 1
"""Of what is counted: programs for devices count in 32 bits."""
# Devices compute in float32, where larger numbers are infinite and smaller ones are zero.
_LARGEST_FLOAT, _SMALLEST_FLOAT = 3e38, 1e-37
_DEEPEST = 8


@dataclasses.dataclass(frozen=True)
class Between:
    """Bounds of a number, both included unless `above` says that `least` is not."""

    least: int | float = -math.inf
    most: int | float = math.inf
    above: bool = False

    def problem(self, value: int | float) -> str | None:
        """Returns what is wrong with a value, None if it lies within the bounds."""
        if self.above and 0 < value - self.least < _SMALLEST_FLOAT:
            return f"is {value!r}, which float32 takes for {self.least:g}"
        if (self.least < value if self.above else self.least <= value) and value <= self.most:
            return None
        if self.most < LARGEST_INT:
            low = "(" if self.above else "["
            return f"must lie in {low}{self.least}, {self.most}], got {value!r}"
        if value > self.most:
            return f"must be at most {self.most}, got {value!r}"
        if self.least == 0:
            return f"must be {'positive' if self.above else 'zero or more'}, got {value!r}"
        return f"must be {'more than' if self.above else 'at least'} {self.least:g}, got {value!r}"

    def convert(self, value: T) -> T:
        """Returns the value, which bounds leave as it is."""
        return value


PositiveInt = Annotated[int, Between(1, LARGEST_INT)]
PositiveFloat = Annotated[float, Between(0, above=True)]
NonNegativeInt = Annotated[int, Between(0, LARGEST_INT)]
NonNegativeFloat = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
Seed = Annotated[int, Between(0, 2**32 - 1)]
"""Of random numbers: JAX's keys are of 32 bits, and larger ones would be cut off."""


def check_seeds(field: str, seeds: Sequence[int]) -> None:
    """Checks the seeds of trainings, of which statistics are made: some, and no two alike."""
    if not seeds:
        raise FieldError(field, "is empty: give at least one, for example (0,)")
    if len(set(seeds)) < len(seeds):
        raise FieldError(field, f"has one more than once: {seeds}")


class Spec:
    """Base of all specs: checks the types and bounds of its fields when it is made.

    Lists become tuples, and whole numbers floats, where an annotation says so. A spec that checks
    its fields against each other extends `__post_init__` and raises a `FieldError`.
    """

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for name, hint in _hints(cls).items():
            object.__setattr__(self, name, _read(getattr(self, name), hint, name, 0))


def from_config(cls: type[T], config: ConfigDict) -> T:
    """Makes a spec of a task's config with the flags applied: the first line of every task."""
    return from_mapping(cls, config.to_dict(), "--config")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Makes a spec of a mapping; fields that it lacks take their defaults.

    Args:
      cls: The spec's class.
      values: Nested as the spec is.
      where: What holds the mapping, which names of fields are appended to: "--config".
    """
    try:
        return _make(cls, values, "", 0)
    except FieldError as error:
        raise UserError(f"{where}.{error.field} {error.problem}") from None


def to_dict(spec: Any) -> dict[str, Any]:
    """Returns a spec as nested dictionaries, the inverse of `from_mapping`."""
    return {
        field.name: _plain(getattr(spec, field.name))
        for field in dataclasses.fields(spec)
        if not field.metadata.get("elsewhere")
    }


def to_config(spec: Any) -> ConfigDict:
    """Returns a spec as a config whose fields flags can change, for the files in `configs/`."""
    return _config(to_dict(spec))


def _config(values: Mapping[str, Any]) -> ConfigDict:
    config = ConfigDict(sort_keys=False)
    for name, value in values.items():
        config[name] = _config(value) if isinstance(value, Mapping) else value
    return config


def changed(spec: T, changes: Mapping[str, Any], where: str) -> T:
    """Returns a copy of a spec with some fields changed.

    Args:
      spec: The spec.
      changes: Field to value; nested mappings, dotted names, or both.
      where: What asks for the changes, for messages.
    """
    values = to_dict(spec)
    for name, value in _flat(changes).items():
        *path, last = name.split(".")
        node: Any = values
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            known = _flat(to_dict(spec))
            raise UserError(f"{where} changes {name}, which is no field{nearest(name, known)}")
        node[last] = value
    return from_mapping(type(spec), values, where)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return {
        name: hint
        for name, hint in typing.get_type_hints(cls, include_extras=True).items()
        if name in cls.__dataclass_fields__
    }


def _make(cls: Any, values: Any, path: str, depth: int) -> Any:
    if not isinstance(values, Mapping):
        raise FieldError(path.rstrip(".") or "itself", f"is {shown(values)}, no section of fields")
    if depth > _DEEPEST:
        raise FieldError(path.rstrip("."), f"is nested more than {_DEEPEST} times")
    hints = {
        field.name: _hints(cls)[field.name]
        for field in dataclasses.fields(cls)
        if not field.metadata.get("elsewhere")
    }
    for name in values:
        if name not in hints:
            known = nearest(str(name), hints)
            raise FieldError(f"{path}{shown(name).strip(chr(39))}", f"is no field{known}")
    found = {
        name: _read(values[name], hint, f"{path}{name}", depth)
        for name, hint in hints.items()
        if name in values
    }
    try:
        return cls(**found)
    except FieldError as error:
        raise FieldError(f"{path}{error.field}", error.problem) from None


def _read(value: Any, hint: Any, name: str, depth: int) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        value = _read(value, arguments[0], name, depth)
        for rule in arguments[1:]:
            if problem := rule.problem(value):
                raise FieldError(name, problem)
            value = rule.convert(value)
        return value
    if origin is Literal:
        if not isinstance(value, type(arguments[0])) or value not in arguments:
            choices = ", ".join(map(repr, arguments))
            raise FieldError(name, f"is {shown(value)}, none of {choices}")
        return value
    if origin in (Union, types.UnionType):  # X | None
        inner = next(part for part in arguments if part is not type(None))
        return None if value is None else _read(value, inner, name, depth)
    if origin is tuple:
        return _read_tuple(value, arguments, name, depth)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise FieldError(name, f"is {shown(value)}, no section of fields")
        return {
            key: _read(item, arguments[1], f"{name}.{key}", depth + 1)
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else _make(hint, value, f"{name}.", depth + 1)  # type: ignore[arg-type]
    return _read_scalar(value, hint, name)


def _read_tuple(value: Any, kinds: tuple[Any, ...], name: str, depth: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise FieldError(name, f"is {shown(value)}, no list of values")
    if kinds[1:] == (...,):
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        values = f"{len(value)} value{'s'[: len(value) != 1]}"
        raise FieldError(name, f"has {values}, not {len(kinds)}: {shown(value)}")
    return tuple(_read(item, kind, name, depth) for item, kind in zip(value, kinds, strict=True))


_CALLED = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}


def _read_scalar(value: Any, kind: Any, name: str) -> Any:
    if isinstance(value, np.generic):  # whose comparisons may overflow
        value = value.item()
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    fits = {
        bool: isinstance(value, bool),
        int: number and isinstance(value, numbers.Integral),
        float: number,
        str: isinstance(value, str),
    }
    if kind not in fits:
        return value
    if not fits[kind]:
        raise FieldError(name, f"is {shown(value)}, not {_CALLED[kind]}")
    if kind is int and abs(value) >= 2**63:
        raise FieldError(name, f"is {shown(value)}, not a finite number of 64 bits")
    if number and not (abs(value) < 1e300 and math.isfinite(value)):
        raise FieldError(name, f"is {shown(value)}, not a finite number")
    if kind is float and abs(value) > _LARGEST_FLOAT:
        raise FieldError(name, f"is {shown(value)}, which float32 cannot hold")
    return kind(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
