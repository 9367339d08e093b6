"""What the files are that lie among photos: pictures, and what to do with all others."""

import sys
from pathlib import Path, PurePath
from typing import NamedTuple

from PIL import features

from peclr_jax.errors import UserError, printable
from peclr_jax.reading import bounded

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo", ".png", ".apng"),
    *(".webp", ".avif", ".heic", ".heif", ".hif", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
)
"""Endings of the files that are read as photos, in small letters."""

NAMES = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP, GIF"

HEAD = 512
"""As many bytes of a file as tell what it is."""


class Kind(NamedTuple):
    """Files that are no pictures to be read.

    Attributes:
      name: In the plural.
      remedy: What makes pictures of them; "" if nothing does.
    """

    name: str
    remedy: str


_FRAMES = "take photos of it by `ffmpeg -i FILM -vf fps=2 -q:v 2 FILM_%05d.jpg`"
_FILM = Kind("films", f"predict one by --config.images=FILM, or {_FRAMES}")
OTHER_FILM = Kind("films of a kind that is not read", "convert each by `ffmpeg -i FILM FILM.mp4`")
_CONVERTED = "convert them by `magick mogrify -format png '*{suffix}'`"
_RAW = Kind("raw photos", "develop them by `magick mogrify -format jpg '*{suffix}'`")
_OTHER = Kind("pictures of a kind that is not read", _CONVERTED)
_ARCHIVE = Kind("archives", "unpack them")
_MISNAMED = Kind("pictures whose names do not say so", "rename each, as by `mv NAME NAME.jpg`")
NO_PICTURES = Kind("files that are no pictures", "")
_KINDS = {
    _FILM: "mp4 m4v mov qt 3gp 3g2 insv lrv avi mkv webm",
    OTHER_FILM: "mts m2ts mpg mpeg wmv flv ogv vob mjpeg",
    _RAW: "dng cr2 cr3 crw nef nrw arw sr2 raf rw2 orf pef srw gpr 3fr iiq x3f",
    _OTHER: "jp2 j2k jpx jpf jxl jxr wdp psd xcf tga ppm pgm pbm pnm exr hdr ico icns pcx svg eps",
    _ARCHIVE: "zip tar gz tgz bz2 xz zst 7z rar",
    # Looked at by their names alone: there are as many as photos, where each has its labels.
    NO_PICTURES: "txt json jsonl csv tsv xml yaml yml html md aae xmp npy npz pkl py log ini db",
}
_BY_SUFFIX = {f".{suffix}": kind for kind, text in _KINDS.items() for suffix in text.split()}
FILMS = tuple(suffix for suffix, kind in _BY_SUFFIX.items() if kind == _FILM)
"""Endings of the files that are read as films, in small letters."""

# The brands of HEIC and AVIF in the box that both begin with; films have others.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


def kind_of(path: Path) -> Kind | None:
    """Returns what a file is, None if it is to be read as a photo: by its name.

    Only files without a known ending are opened.
    """
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return None
    if (kind := _BY_SUFFIX.get(suffix)) is not None:
        return kind._replace(remedy=kind.remedy.format(suffix=path.suffix))
    return _MISNAMED if _is_picture(head_of(path)) else NO_PICTURES


def head_of(path: Path) -> bytes:
    """Returns a file's first bytes, none of one that cannot be read."""
    try:
        with bounded.opened(path, sys.maxsize) as file:
            return file.read(HEAD)
    except UserError:
        return b""


def why_unreadable(head: bytes) -> str:
    """Returns why no decoder knows a file, by its first bytes, and what to do."""
    if is_heic(head) and not load_heic_decoder():
        return "a HEIC image, which pi-heif reads: `pip install pi-heif`"
    if _is_avif(head) and not features.check("avif"):
        return "an AVIF image, which Pillow reads from 11.3 on: `pip install -U pillow`"
    if _is_picture(head):
        return (
            "damaged, or of a kind that Pillow does not know: copy it again, or save it with 8 "
            "bits a colour"
        )
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    what = "nor AVIF, HEIC, TIFF, BMP or GIF: convert it, as by `magick FILE FILE.jpg`"
    if not head.strip(b"\0"):
        what = "but an empty file: copy it again from where it came"
    elif is_film(head):
        what = f"but a film: give it one of the names of films ({', '.join(FILMS)}), or {_FRAMES}"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        what = "but a web page or drawing: download the photo again"
    elif head.startswith(b"version https://git-lfs"):
        what = "but stands for one that Git has not fetched: `git lfs pull`"
    return f"not a JPEG, PNG or WebP image, {what}"


def is_film(head: bytes) -> bool:
    """Whether a file that begins so is a film."""
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    is_photo = _is_picture(head) or head[8:12] == b"crx "  # of Canon's cameras
    return (head[4:8] == b"ftyp" and not is_photo) or is_avi or head[:4] == b"\x1aE\xdf\xa3"


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC, or another HEIF."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC


def load_heic_decoder() -> bool:
    """Has Pillow read HEIC; returns whether the decoder is installed."""
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener()
    return True


def _is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _AVIF


def _is_picture(head: bytes) -> bool:
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")
    return (
        head.startswith(starts)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or is_heic(head)
        or _is_avif(head)
    )


class LeftOut(NamedTuple):
    """Files or folders that were passed over, and what to do with them."""

    kind: Kind
    paths: list[Path]

    def __str__(self) -> str:
        some = ", ".join(printable(PurePath(*path.parts[-2:])) for path in self.paths[:3])
        more = ", ..." if len(self.paths) > 3 else ""
        remedy = f": {self.kind.remedy}" if self.kind.remedy else ""
        return f"{self.kind.name} ({len(self.paths)}: {some}{more}){remedy}"
