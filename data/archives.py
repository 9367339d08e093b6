"""Unpacks official archives beside the records: safely, and as a whole or not at all."""

import contextlib
import hashlib
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import tensorflow_datasets as tfds
from tqdm import auto as tqdm

from peclr_jax import files, outputs
from peclr_jax.errors import MachineError, UserError, is_machine_fault, printable

# Images are compressed already and texts shrink to a tenth: archives that grow more are bombs.
_LARGEST_GROWTH = 100
_HARMLESS_BYTES = 1 << 26  # unpacked size that is accepted whatever the growth
_MOST_FILES = 2_000_000  # the largest release, HO-3D v3, has less than half a million
_REMEDY = "download it again from the data set's own page"


def unpacked(
    dl_manager: tfds.download.DownloadManager, archives: Sequence[Path], wanted: str = ""
) -> Path:
    """Returns a directory with the content of zip archives, as far as it is wanted.

    All archives are unpacked into one directory below the download directory, in the given order,
    and not again as long as they stay the same. A single folder of the archive's own name around
    all of its content is left out: of `HO3D_v2.zip`, `HO3D_v2/train` becomes `train`.

    Args:
      dl_manager: As TFDS passes it to the builder.
      archives: At least one; all are checked as a whole.
      wanted: Regular expression that is found in the paths of the files to unpack.
    """
    # TFDS's own extraction passes over unsafe names in silence, queues the whole archive in memory
    # and takes any archive of the same name for the same one.
    folder = Path(dl_manager.download_dir) / "extracted"
    target = folder / f"{archives[0].stem[:60]}-{_fingerprint(archives, wanted)}"
    if target.is_dir():
        return target
    members = {archive: _members(archive, wanted) for archive in archives}
    with outputs.held(folder, "data_dir", f"the content of {archives[0].name}"):
        if target.is_dir():  # by another process meanwhile
            return target
        _check_space(folder, members)
        with files.writing_folder(target) as content:
            for archive in archives:
                _unpack(archive, members[archive], content)
    outputs.mark(folder.parent)
    return target


def _fingerprint(archives: Sequence[Path], wanted: str) -> str:
    facts = [(str(path.resolve()), (s := path.stat()).st_size, s.st_mtime_ns) for path in archives]
    return hashlib.sha256(repr((facts, wanted)).encode()).hexdigest()[:16]


def _members(archive: Path, wanted: str) -> dict[str, zipfile.ZipInfo]:
    """Returns the wanted files of an archive by the relative path at which each is to lie."""
    with _damage_named(archive), zipfile.ZipFile(archive) as content:
        files = [member for member in content.infolist() if not member.is_dir()]
    for member in files:
        _check_member(archive, member)
    files = [member for member in files if _is_wanted(member.filename, wanted)]
    if not files:
        raise UserError(f"{archive} holds no file of the official archive: {_REMEDY}")
    if len(files) > _MOST_FILES:
        raise UserError(
            f"{archive} holds {len(files):,} files, more than any archive of these data sets; it "
            f"is not the official one, and nothing of it was unpacked: {_REMEDY}"
        )
    _check_growth(archive, sum(member.file_size for member in files))
    paths = [PurePosixPath(member.filename) for member in files]
    wrapped = all(len(path.parts) > 1 and path.parts[0] == archive.stem for path in paths)
    return {
        str(path.relative_to(archive.stem) if wrapped else path): member
        for path, member in zip(paths, files, strict=True)
    }


def _is_wanted(name: str, wanted: str) -> bool:
    # macOS adds a folder of notes, of which each is called like a file of the archive.
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return not hidden and re.search(wanted, name) is not None


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    # Windows reads "\\" and "C:" as parts of a path, whoever wrote the archive.
    if PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        problem = "which leads out of the directory that it is unpacked to"
    elif stat.S_ISLNK(member.external_attr >> 16):
        problem = "which is a link"
    else:
        return
    raise UserError(
        f"{archive} holds {name!r}, {problem}; it is not the official archive, and nothing of it "
        f"was unpacked: {_REMEDY}"
    )


def _check_growth(archive: Path, unpacked: int) -> None:
    size = archive.stat().st_size
    if unpacked > max(_HARMLESS_BYTES, _LARGEST_GROWTH * size):
        raise UserError(
            f"{archive} has {size / 1e6:.1f} MB and would become {unpacked / 1e6:.0f} MB, which no "
            "archive of images does; it is not the official one, and nothing of it was unpacked: "
            f"{_REMEDY}"
        )


def _check_space(folder: Path, members: dict[Path, dict[str, zipfile.ZipInfo]]) -> None:
    needed = sum(info.file_size for files in members.values() for info in files.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        listed = " and ".join(str(archive) for archive in members)
        raise MachineError(
            f"{listed} would take {needed / 1e9:.1f} GB when unpacked, but only {free / 1e9:.1f} "
            f"GB are free in {folder}: make room, or pass another --data_dir"
        )


def _unpack(archive: Path, members: dict[str, zipfile.ZipInfo], folder: Path) -> None:
    progress = tqdm.tqdm(
        members.items(), desc=f"Unpacking {printable(archive.name)}", unit=" files", leave=False
    )
    with _damage_named(archive), zipfile.ZipFile(archive) as content:
        for path, member in progress:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # Reading to the end checks the member's sum.
            with content.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)


@contextlib.contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    # `zipfile` raises errors of every kind over damaged, encrypted and unknown members.
    except Exception as error:
        if is_machine_fault(error):
            raise
        raise UserError(
            f"{archive} is not a zip archive, corrupt or truncated ({error}): {_REMEDY}"
        ) from error
