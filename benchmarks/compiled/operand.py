"""Types and shapes of the arrays in programs."""

import math
import re
from typing import NamedTuple

_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_SHAPE = re.compile(r"\b(pred|bf16|[sufc]\d+[a-z0-9]*)\[([\d,]*)\]")


class Operand(NamedTuple):
    """The type and shape of an array."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        bits = _BITS.get(self.dtype) or int(re.search(r"\d+", self.dtype).group())
        return math.prod(self.shape) * bits // 8


def operands_of(text: str) -> tuple[Operand, ...]:
    """Returns the arrays that a type in the text of a program names."""
    return tuple(
        Operand(dtype, tuple(map(int, filter(None, dimensions.split(",")))))
        for dtype, dimensions in _SHAPE.findall(text)
    )
