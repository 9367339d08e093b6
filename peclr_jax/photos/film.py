"""Films read frame by frame as upright RGB pictures, and written, with FFmpeg by way of PyAV."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from peclr_jax.errors import MachineError, UserError
from peclr_jax.files import writing_bytes

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
# A file may be called a film and be a list of other files, also of some on the network.
_SAFE = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi"}
_SUPPOSED_RATE = Fraction(25)
# In which presentation times are counted, of a second: a multiple of all usual rates.
_CLOCK = 90_000


# Seconds by which the pictures may end before the file does, where it does not count them.
_MOST_MISSING = 0.5


class Frame(NamedTuple):
    """A frame of a film.

    Attributes:
      number: From 0.
      time: Seconds from the first frame.
      image: Upright, RGB.
    """

    number: int
    time: float
    image: UInt8[np.ndarray, "height width 3"]


class Fault(NamedTuple):
    """Where a film breaks off that should go on, and why."""

    frames: int
    reason: str


class Film(NamedTuple):
    """What a film's file says of it.

    Attributes:
      rate: Frames a second, on average; supposed where the file says nothing.
      frames: How many; None if unknown.
    """

    path: Path
    rate: Fraction
    frames: int | None


def describe_film(path: Path) -> Film:
    """Opens a film, to learn whether that is possible.

    Raises:
      UserError: A file that holds no film.
    """
    with _opened(path) as (container, stream):
        rate = Fraction(stream.average_rate or stream.guessed_rate or _SUPPOSED_RATE)
        frames = stream.frames or None
        if frames is None and container.duration:
            frames = round(container.duration / 1_000_000 * rate) or None
        return Film(path, rate, frames)


def read_frames(film: Film) -> Iterator[Frame | Fault]:
    """Yields a film's frames, one after another; last, where it is damaged, what is wrong."""
    import av

    with _opened(film.path) as (container, stream):
        number, packets, time, first, shape = 0, 0, 0.0, None, None
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
                for picture in packet.decode():
                    if picture.is_corrupt:
                        yield Fault(number, "a frame is damaged")
                        return
                    image = _upright(picture)
                    if image.shape != (shape := shape or image.shape):
                        yield Fault(number, "its pictures change their size")
                        return
                    time = float(number / film.rate) if picture.time is None else picture.time
                    first = time if first is None else first
                    yield Frame(number, time - first, image)
                    number += 1
        except av.error.FFmpegError as error:
            yield Fault(number, str(error.strerror))
            return
        if packets < stream.frames:
            yield Fault(number, f"{stream.frames - packets} of {stream.frames} frames are missing")
        missing = film.frames / film.rate - time if film.frames and not stream.frames else 0
        if missing > _MOST_MISSING:
            yield Fault(number, f"it ends {missing:.1f} s early")


@contextmanager
def writing_film(
    path: Path, size: tuple[int, int], rate: Fraction
) -> Iterator[Callable[[UInt8[np.ndarray, "height width 3"], float], None]]:
    """Writes an MP4 that browsers play (H.264); it appears when the block ends without an error.

    The codec has even sides only: the last column or row of others is doubled.

    Args:
      path: The file.
      size: Width and height, pixels.
      rate: Frames a second, on average.

    Yields:
      A function that takes an RGB frame and its time in seconds, which must grow.
    """
    import av

    width, height = size
    padding = [(0, height % 2), (0, width % 2), (0, 0)]
    with writing_bytes(path) as file, av.open(file, "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        last = -1

        def add(image: UInt8[np.ndarray, "height width 3"], time: float) -> None:
            nonlocal last
            picture = av.VideoFrame.from_ndarray(np.pad(image, padding, "edge"), format="rgb24")
            last = max(last + 1, round(_CLOCK * time))
            picture.pts, picture.time_base = last, Fraction(1, _CLOCK)
            container.mux(stream.encode(picture))

        yield add
        container.mux(stream.encode())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a film and picks its first stream that moves."""
    try:
        import av
    except ImportError:
        raise UserError("films need PyAV: pip install av") from None
    try:
        container = av.open(str(path.absolute()), options=_SAFE)
    except PermissionError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}") from None
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{path} cannot be opened as a film ({error.strerror}): give a whole MP4, MOV, MKV, "
            "WebM or AVI"
        ) from None
    with container:
        pictures = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & pictures]
        if not streams:
            raise UserError(f"{path} has no video stream, only sound or a still: give a film")
        if streams[0].codec_context is None:
            raise UserError(f"{path} has a video codec that is unknown here: convert it to H.264")
        yield container, streams[0]


def _upright(picture: Any) -> UInt8[np.ndarray, "height width 3"]:
    """Returns a frame as it is to be seen: phones note how they were held."""
    image = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(picture.rotation / 90)))
