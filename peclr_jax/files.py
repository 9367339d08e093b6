"""Files that are whole or absent, however a run ends."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO


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
