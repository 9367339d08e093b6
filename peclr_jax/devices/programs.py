"""Compiled programs that later runs start with: none that is damaged is run, each heals."""

import hashlib
from pathlib import Path

from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface

from peclr_jax import console, files
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.reading import bounded

_LARGEST = 2**31
_DIGEST_BYTES = 32


class Programs(CacheInterface):
    """A folder of programs, each behind a digest of itself and of its key.

    JAX's own folder takes what it finds there: a truncated program is complained of in every run
    and never written anew, and another one is run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder

    def get(self, key: str) -> bytes | None:
        """Returns a program, None if there is none that is whole."""
        path = self._file(key)
        try:
            content = bounded.content(path, _LARGEST)
        except MissingFileError:
            return None
        except UserError as error:
            problem = str(error)
        else:
            digest, program = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if digest == _digest(key, program):
                return program
            problem = f"the compiled program {path} is damaged"
        console.tell(f"note: {problem}; it is compiled again")
        return None

    def put(self, key: str, value: bytes) -> None:
        """Writes a program, whole or not at all."""
        files.write_bytes(self._file(key), _digest(key, value) + value)

    def _file(self, key: str) -> Path:
        return self._path / f"{key}.program"


def keep_in(folder: Path) -> None:
    """Makes JAX keep its programs in a folder as `Programs`, and those of other folders as ever."""
    others = compilation_cache.get_file_cache

    def open_folder(path: str) -> tuple[CacheInterface, str] | None:
        return (Programs(folder), path) if path == str(folder) else others(path)

    compilation_cache.get_file_cache = open_folder


def _digest(key: str, program: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + program).digest()
