"""What can have happened to a file: bytes and JSON, damaged at random or by somebody's intent."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

_LONGEST = 64  # bytes that are put in, taken out or exchanged at a time
NUMBERS = (0, -1, 1, 2**31, 2**63, 10**400, -0.0, 1e-320, 1e308, float("nan"), float("inf"), 0.5)
TEXTS = ("", "\0", "../../etc/passwd", "/etc/passwd", "C:\\x", "[/x]", "<script>", "ä" * 300, "nan")
_DEEP = 5000
_PIECES = (b"[", b'{"a":', b" ", b"9", b'"', b"a", b"[],", b"{},", b"0.5 ", b"\n", b"\\", b"]")


def damage(content: bytes, random: random.Random, other: bytes = b"") -> bytes:
    """Returns the content with one to four things done to it, drawn from `random` alone.

    Args:
      content: The bytes of a file.
      random: The source of the draws.
      other: Another file, of which a piece may be put in.
    """
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        content = random.choice(_DAMAGES)(content, random, other)
    return content


def _flip(content: bytes, random: random.Random, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 8)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _extreme(content: bytes, random: random.Random, other: bytes) -> bytes:
    """Overwrites what may be a length."""
    at = _place(content, random)
    value = random.choice((b"\xff", b"\x00", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8))
    return content[:at] + value + content[at + len(value) :]


def _truncate(content: bytes, random: random.Random, other: bytes) -> bytes:
    return content[: _place(content, random)]


def _insert(content: bytes, random: random.Random, other: bytes) -> bytes:
    at = _place(content, random)
    return content[:at] + random.randbytes(random.randint(1, _LONGEST)) + content[at:]


def _delete(content: bytes, random: random.Random, other: bytes) -> bytes:
    at = _place(content, random)
    return content[:at] + content[at + random.randint(1, _LONGEST) :]


def _swap(content: bytes, random: random.Random, other: bytes) -> bytes:
    first, second = sorted((_place(content, random), _place(content, random)))
    size = min(random.randint(1, _LONGEST), second - first)
    one, two = content[first : first + size], content[second : second + size]
    return content[:first] + two + content[first + size : second] + one + content[second + size :]


def _splice(content: bytes, random: random.Random, other: bytes) -> bytes:
    other = other or content
    return content[: _place(content, random)] + other[_place(other, random) :]


Damage = Callable[[bytes, random.Random, bytes], bytes]
_DAMAGES: tuple[Damage, ...]
_DAMAGES = (_flip, _flip, _extreme, _truncate, _insert, _delete, _swap, _splice)


def _place(content: bytes, random: random.Random) -> int:
    # Headers are short, and at either end.
    near = random.randrange(min(len(content), 200) + 1)
    return random.choice((near, len(content) - near, random.randrange(len(content) + 1)))


def distort(value: Any, random: random.Random) -> Any:
    """Returns JSON with one to three of its values removed, exchanged, or of another kind."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _distort_once(value, random)
    return value


def distorted_text(text: bytes, random: random.Random) -> bytes:
    """Returns a JSON file that is distorted, or damaged as any file."""
    if random.random() < 0.3:
        return damage(text, random)
    if random.random() < 0.05:
        return b"[" * _DEEP * 40 + text
    # Numbers that no float holds are written as any other.
    return json.dumps(distort(json.loads(text), random)).encode()


def swollen(text: bytes, random: random.Random) -> bytes:
    """Returns a text, such as JSON, with a piece in it that repeats a million times, or is deep."""
    piece = random.choice(_PIECES) * random.choice((1000, 100_000, 1_000_000))
    at = random.choice((0, _place(text, random), text.rfind(b"]"), text.find(b"[") + 1))
    text = text[:at] + piece + text[at:]
    # Readers that know no NaN begin anew at it.
    return text.replace(b":", b": NaN, ", 1) if random.random() < 0.3 else text


def _distort_once(value: Any, random: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return strange(value, random)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    if random.random() < 0.7:
        value[key] = _distort_once(value[key], random)
    elif random.random() < 0.4:
        del value[key]
    elif isinstance(value, list):
        value.insert(key, random.choice((copy.deepcopy(value[key]), strange(None, random))))
    else:
        value[random.choice((*TEXTS, "a.b", "update", f"{key}s"))] = strange(None, random)
    return value


def strange(value: Any, random: random.Random) -> Any:
    """Returns a value that nobody expects in the place of another."""
    if isinstance(value, int | float) and random.random() < 0.5:
        as_float = float(value) if abs(value) < 2**63 else 0.0
        return random.choice((-value, value * 1000, value + 1, as_float, str(value)[:400]))
    nested: Any = 0.0
    for _ in range(random.choice((1, 3, 40, 200))):
        nested = [nested]
    other = random.choice(NUMBERS), random.choice(TEXTS)
    empty = random.choice((None, True, False, [], {}, [[]], {"a": {}}))
    return random.choice((*other, empty, nested, [value] * random.choice((2, 21, 22))))
