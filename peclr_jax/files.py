"""Files that are whole or absent, however a run ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Opens a text file that takes its name only once the block has ended without an error.

    Args:
      path: where it will be; missing folders are made. An older file stays until it is replaced.

    Yields:
      The file to write to, UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    try:
        # Names of files may hold bytes that are no text.
        with unfinished.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, path)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a small file, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
