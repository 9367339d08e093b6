"""JSON files read part by part: memory is that of one part, however large or deep the file is."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from peclr_jax.errors import UserError, shown
from peclr_jax.reading import bounded

REMEDY = "check the file"
_CHUNK_BYTES = 1 << 16
# Depth of nested brackets; labels have a few.
_DEEPEST = 100
# Of the text of a part; the vertices of a hand have 50 kB.
_LONGEST_PART = 1 << 22
# NaN and infinity are not JSON, but Python's writer and others produce them.
_NOT_FINITE = re.compile(rb"-?(?:NaN|Infinity)")
# What may go on in the next chunk.
_WORD = re.compile(rb"[-\w]{1,16}\Z")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_QUOTE = ord('"')
# Of each byte: how much deeper what follows is, and whether it stands between values.
_STEPS = np.array([(chr(c) in "[{") - (chr(c) in "]}") for c in range(256)], np.int8)
_BETWEEN = np.array([chr(c) in "[]{},:" for c in range(256)])


def stream(path: Path, prefix: str, remedy: str = REMEDY) -> Iterator[Any]:
    """Yields the parts of a JSON file as `json.load` returns them.

    NaN and infinity become the strings "NaN" and "Infinity", which NumPy reads as numbers. Parts
    before the place where a file is broken are yielded.

    Args:
      path: The JSON file.
      prefix: Which parts, in ijson's notation: "item" for those of a list, "images.item" for those
        of the list named "images".
      remedy: What to do about a broken file, to follow a colon.
    """
    import ijson  # which only files of labels need

    depth = len(prefix.split("."))
    yield from _parts(path, depth, remedy, lambda f: ijson.items(f, prefix, use_float=True))


def fields(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the names and the values of the object that a file is, as `stream` does.

    A name that is there twice, of which other readers keep the last, is refused.
    """
    import ijson

    names: set[str] = set()
    for name, value in _parts(path, 1, REMEDY, lambda f: ijson.kvitems(f, "", use_float=True)):
        if name in names:
            raise UserError(f"{path} has {shown(name)} more than once: put all of it in one entry")
        names.add(name)
        yield name, value


def begins_with(path: Path, character: str, remedy: str = REMEDY) -> bool:
    """Returns whether a file is a list or an object, by how it begins.

    Args:
      path: The JSON file.
      character: "[" or "{".
      remedy: What to do about one that cannot be read, to follow a colon.
    """
    with _opened(path, remedy) as file:
        return file.read(_CHUNK_BYTES).lstrip().startswith(character.encode())


def mentions(path: Path, name: str) -> bool:
    """Returns whether a name is somewhere in a file, in quotes.

    Args:
      path: The JSON file.
      name: Without quotes.
    """
    wanted, rest = f'"{name}"'.encode(), b""
    with _opened(path, REMEDY) as file:
        while chunk := file.read(_CHUNK_BYTES):
            rest = rest[-len(wanted) :] + chunk
            if wanted in rest:
                return True
    return False


def _opened(path: Path, remedy: str) -> BinaryIO:
    file = bounded.opened(path, bounded.LABELS, remedy)
    # The mark that editors of Windows put first.
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    return file


def _parts(
    path: Path, depth: int, remedy: str, parse: Callable[["_Guarded"], Iterator[Any]]
) -> Iterator[Any]:
    import ijson

    broken = (ijson.JSONError, ValueError)
    count = 0
    try:
        with _opened(path, remedy) as file:
            for part in parse(_Guarded(file, path, depth, remedy)):
                yield part
                count += 1
        return
    except UserError:
        raise
    except broken as error:
        # Of some errors ijson quotes the file, in bytes as Python writes them.
        reason = str(error).removeprefix("b'").replace("\\n", "\n").splitlines()[0].strip()[:100]
    # Perhaps because of a NaN, which the caller reports: read on from that part.
    try:
        with _opened(path, remedy) as file:
            for number, part in enumerate(parse(_Guarded(file, path, depth, remedy, quoting=True))):
                if number >= count:
                    yield part
    except UserError:
        raise
    except broken as error:
        raise UserError(f"{path} is not JSON ({reason}): {remedy}") from error


class _Guarded:
    """A binary file of JSON whose reading fails before the parser's memory grows.

    That grows with the square of the depth, and with the length of each part.
    """

    def __init__(
        self, file: BinaryIO, path: Path, depth: int, remedy: str, *, quoting: bool = False
    ) -> None:
        """Prepares to read.

        Args:
          file: The file.
          path: Its name, for messages.
          depth: Of the brackets around the parts.
          remedy: What to do about a broken file.
          quoting: Whether to put quotes around NaN and infinity.
        """
        self._file, self._path, self._remedy = file, path, remedy
        self._parts_depth, self._quoting = depth, quoting
        self._depth = self._since = 0
        self._in_text = self._is_escaped = False
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Returns some more bytes, none at the end; `size` is ignored, except zero."""
        if size == 0:
            return b""
        while chunk := self._file.read(_CHUNK_BYTES):
            chunk = self._rest + chunk
            word = _WORD.search(chunk) if self._quoting else None
            at = word.start() if word else len(chunk)
            chunk, self._rest = chunk[:at], chunk[at:]
            if chunk:
                return self._checked(chunk)
        chunk, self._rest = self._rest, b""
        return self._checked(chunk) if chunk else b""

    def _checked(self, chunk: bytes) -> bytes:
        codes = self._without_escapes(chunk)
        in_text = np.logical_xor.accumulate(codes == _QUOTE) ^ self._in_text
        depth = self._depth + np.cumsum(_STEPS[codes] * ~in_text, dtype=np.int32)
        if depth.max() > _DEEPEST:
            self._fail(f"it is nested more than {_DEEPEST} times")
        ends = np.flatnonzero(_BETWEEN[codes] & ~in_text & (depth <= self._parts_depth))
        gaps = np.diff(ends, prepend=-self._since - 1, append=len(codes))
        if gaps.max() > _LONGEST_PART:
            self._fail(f"one of its entries has more than {_LONGEST_PART // 10**6} MB")
        self._since = int(gaps[-1]) - 1
        self._depth, self._in_text = int(depth[-1]), bool(in_text[-1])
        if not self._quoting:
            return chunk

        def quote(word: re.Match[bytes]) -> bytes:
            return word[0] if in_text[word.start()] else b'"' + word[0] + b'"'

        return _NOT_FINITE.sub(quote, chunk)

    def _without_escapes(self, chunk: bytes) -> np.ndarray:
        """Returns the bytes, in which no quote is one that is part of a text."""
        plain = b"_" + chunk[1:] if self._is_escaped else chunk
        if b"\\" in plain:
            plain = _ESCAPED.sub(b"__", plain)
        self._is_escaped = plain.endswith(b"\\")
        return np.frombuffer(plain, np.uint8)

    def _fail(self, problem: str) -> None:
        raise UserError(f"{self._path} is not a file of labels ({problem}): {self._remedy}")
