"""Files that are whole or absent, however a run ends."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO


def misread(path: str | os.PathLike[str], letters: str) -> str:
    """Returns why libraries would take a path for another than it is, "" if they would not.

    Args:
      path: Made absolute here, for the current folder is a part of it.
      letters: What has a meaning to the library.
    """
    text = os.path.abspath(path)
    found = [letter for letter in letters if letter in text.replace(os.sep, "/")]
    if found:
        return f"{' and '.join(found)} in its path would be taken for a pattern"
    # Libraries in C++ are told of a path in UTF-8.
    same = os.fsencode(text) == text.encode(errors="replace")
    return "" if same else "its path is no UTF-8"


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Opens a UTF-8 text file that replaces `path` once the block has ended without an error."""
    # Names of files may hold bytes that are no text.
    with _replacing(path, "x", encoding="utf-8", errors="backslashreplace") as file:
        yield file


@contextmanager
def writing_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a binary file that replaces `path` once the block has ended without an error."""
    with _replacing(path, "xb") as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a small file, all of it or nothing."""
    with writing_bytes(path) as file:
        file.write(content)


@contextmanager
def _replacing(path: Path, mode: str, **settings: str) -> Iterator[Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    # Opened anew, so that nothing is written through a link that somebody has put there.
    unfinished.unlink(missing_ok=True)
    try:
        with unfinished.open(mode, **settings) as file:  # type: ignore[call-overload]
            yield file
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, path)


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Reads a file that has one JSON object a line.

    Args:
      path: The file; one that is not there has no lines.

    Returns:
      The objects, and the number of lines that are none, as a power cut or a full disk leave them.
    """
    records, broken = [], 0
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            record = json.loads(line.decode())
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif line.strip():
            broken += 1
    return records, broken


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Offers an empty folder that replaces `path` once the block has ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    replaced = path.with_name(path.name + ".replaced")
    # What a killed run left behind.
    for folder in (unfinished, replaced):
        shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if path.exists():
        os.replace(path, replaced)
    os.replace(unfinished, path)
    shutil.rmtree(replaced, ignore_errors=True)
