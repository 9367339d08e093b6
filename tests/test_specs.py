import dataclasses
from typing import Annotated, Literal

import numpy as np
import pytest
from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.errors import FieldError, UserError
from peclr_jax.specs import Between, PositiveInt


@dataclasses.dataclass(frozen=True)
class Inner(specs.Spec):
    span: tuple[float, float] = (0.0, 1.0)
    margin: float = dataclasses.field(default=1.5, metadata=specs.ELSEWHERE)

    def __post_init__(self):
        super().__post_init__()
        if self.span[0] > self.span[1]:
            raise FieldError("span", "must be ordered")


@dataclasses.dataclass(frozen=True)
class Outer(specs.Spec):
    count: PositiveInt = 1
    share: Annotated[float, Between(0, 1, above=True)] = 1.0
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    name: str = ""
    seeds: tuple[int, ...] = (0,)
    maybe: int | None = None
    inner: Inner = Inner()
    several: dict[str, Inner] = dataclasses.field(default_factory=dict)


def test_a_config_and_its_spec_say_the_same():
    several = {"x": Inner(), "a": Inner()}
    spec = Outer(count=3, seeds=(1, 2), inner=Inner((0.25, 0.5)), several=several)
    config = specs.to_config(spec)
    assert list(config.several) == list(config.to_dict()["several"]) == ["x", "a"]
    assert specs.from_config(Outer, config) == spec
    assert "margin" not in config.inner
    config.update_from_flattened_dict({"inner.span": (0, 1), "share": 0.5})
    assert specs.from_config(Outer, config).inner.span == (0.0, 1.0)


def test_missing_fields_take_their_defaults_and_values_their_types():
    spec = specs.from_mapping(Outer, {"share": 1, "seeds": [3], "inner": {"span": [0, 1]}}, "x")
    assert spec == Outer(share=1.0, seeds=(3,))
    assert type(spec.share) is float
    assert hash(dataclasses.replace(spec.inner, span=[0, 1])) == hash(Inner())
    assert Outer(count=np.int32(2)).count == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, r"--config\.count must be at least 1, got 0"),
        ({"count": 1.5}, r"--config\.count is 1\.5, not a whole number"),
        ({"count": True}, r"--config\.count is True, not a whole number"),
        ({"count": 10**400}, r"--config\.count is 1000.*not a finite number"),
        ({"share": 0.0}, r"--config\.share must lie in \(0, 1\], got 0\.0"),
        ({"share": float("nan")}, r"--config\.share is nan, not a finite number"),
        ({"share": None}, r"--config\.share is None, not a number"),
        ({"kind": "c"}, r"--config\.kind is 'c', none of 'a', 'b'"),
        ({"kind": ["a"]}, r"--config\.kind is \['a'\], none of"),
        ({"flag": 1}, r"--config\.flag is 1, not True or False"),
        ({"name": 3}, r"--config\.name is 3, not text"),
        ({"seeds": 3}, r"--config\.seeds is 3, no list of values"),
        ({"seeds": ["a"]}, r"--config\.seeds is 'a', not a whole number"),
        ({"maybe": "a"}, r"--config\.maybe is 'a', not a whole number"),
        ({"inner": 3}, r"--config\.inner is 3, no section of fields"),
        ({"inner": {"span": (1, 2, 3)}}, r"--config\.inner\.span has 3 values, not 2"),
        ({"inner": {"span": (2, 1)}}, r"--config\.inner\.span must be ordered"),
        ({"inner": {"margin": 1.0}}, r"--config\.inner\.margin is no field"),
        ({"inner": {"spam": 1}}, r"--config\.inner\.spam is no field; did you mean 'span'\?"),
        ({"several": {"x": {"span": 1}}}, r"--config\.several\.x\.span is 1, no list"),
        ({"several": []}, r"--config\.several is \[\], no section"),
    ],
)
def test_one_sentence_names_the_field(values, message):
    with pytest.raises(UserError, match=message):
        specs.from_mapping(Outer, values, "--config")


def test_what_a_stranger_nests_without_end_is_refused():
    nested: dict = {}
    for _ in range(50):
        nested = {"several": {"x": nested}}
    with pytest.raises(UserError, match="config"):
        specs.from_mapping(Outer, nested, "the config")


def test_changes_are_by_dotted_names_or_nested():
    spec = specs.changed(Outer(), {"inner.span": (0, 0.5), "count": 2}, "arm 'x'")
    assert spec == specs.changed(Outer(), {"inner": {"span": (0, 0.5)}, "count": 2}, "arm 'x'")
    assert spec.inner.span == (0.0, 0.5)
    with pytest.raises(UserError, match=r"arm 'x' changes inner\.spam, .* 'inner\.span'"):
        specs.changed(Outer(), {"inner.spam": 1}, "arm 'x'")
    with pytest.raises(UserError, match=r"arm 'x'\.count must be at least 1"):
        specs.changed(Outer(), {"count": 0}, "arm 'x'")


def test_a_config_with_references_becomes_a_spec():
    config = ConfigDict({"name": "x", "several": {}})
    config.several.y = ConfigDict({"span": (0.0, 1.0)})
    assert specs.from_config(Outer, config).several == {"y": Inner()}
