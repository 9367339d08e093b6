"""Films read frame by frame as upright RGB pictures, and written, with FFmpeg by way of PyAV."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from peclr_jax.errors import MachineError, UserError
from peclr_jax.files import writing_bytes
from peclr_jax.photos import read
from peclr_jax.reading import bounded

# A file may be called a film and be a list of other files, also of some on the network.
_SAFE = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,webm,avi"}
_SUPPOSED_RATE = Fraction(25)
# In which presentation times are counted, of a second: a multiple of all usual rates.
_CLOCK = 90_000
# By how much the sides of pixels may differ that are taken for squares.
_SQUARE = 0.03
_UNTURNED = (1, 0), (0, 1)
# Seconds by which the pictures may end before the file does, where it does not count them.
_MOST_MISSING = 0.5
# Frames a second of films of a plant that grows, and of a bullet.
_SLOWEST, _FASTEST = Fraction(1, 3600), 10_000


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
      is_timed: Whether the frames' own times are to be believed.
      remarks: What it says that cannot be, and was ignored.
    """

    path: Path
    rate: Fraction
    frames: int | None
    is_timed: bool = True
    remarks: tuple[str, ...] = ()


def describe_film(path: Path) -> Film:
    """Opens a film, to learn whether that is possible.

    Raises:
      UserError: A file that holds no film, or one of too large pictures.
    """
    with _opened(path) as (container, stream):
        import av

        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > read.MOST_PIXELS:
            most = read.MOST_PIXELS // 10**6
            raise UserError(
                f"{path} has frames of {width}x{height} px, more than {most} million pixels: "
                "shrink it, as by `ffmpeg -i FILM -vf scale=3840:-2 SMALL.mp4`"
            )
        said = [rate for rate in (stream.average_rate, stream.guessed_rate) if rate]
        rate = next((r for r in said if _SLOWEST <= r <= _FASTEST), _SUPPOSED_RATE)
        remarks, is_timed = [], not said or rate == said[0]
        if not is_timed:
            remarks.append(f"its rate, {said[0]} frames a second, is of no camera: {rate} is taken")
        frames = _counted(container, stream) or None
        if frames is None and container.duration:
            frames = round(container.duration / 1_000_000 * rate) or None
        if frames is not None and not 0 < frames <= path.stat().st_size:
            remarks.append(f"its number of frames, {frames}, does not fit into the file")
            frames = None
        pixel = stream.sample_aspect_ratio or 1
        if abs(pixel - 1) > _SQUARE:
            remarks.append(
                f"its pixels are {pixel} times as wide as high, and hands are seen squeezed: make "
                "them square by `ffmpeg -i FILM -vf scale=iw*sar:ih,setsar=1 SQUARE.mp4`"
            )
        with suppress(StopIteration, av.error.FFmpegError):
            if _turn(next(container.decode(stream))) is None:
                remarks.append("its turn is by no right angle, and was ignored")
        return Film(path, Fraction(rate), frames, is_timed, tuple(remarks))


def read_frames(film: Film) -> Iterator[Frame | Fault]:
    """Yields a film's frames, one after another; last, where it is damaged, what is wrong."""
    import av

    with _opened(film.path) as (container, stream):
        counted = _counted(container, stream)
        is_avi = _is(container, "avi")
        # AVI has no presentation times: frames are shown, in their order, as packets come.
        ticks: deque[int] = deque()
        number, packets, end, first, shape = 0, 0, 0.0, None, None
        try:
            for packet in container.demux():
                end = max(end, _end(packet, film.rate))
                if packet.stream.index != stream.index:
                    continue
                packets = _count(packet, packets, is_avi=is_avi)
                # Empty frames, which no decoder takes; the end, which has no time, is none.
                if not packet.size and packet.dts is not None:
                    continue
                if is_avi and packet.dts is not None:
                    ticks.append(packet.dts)
                for picture in packet.decode():
                    if picture.is_corrupt:
                        yield Fault(number, "a frame is damaged")
                        return
                    image = _upright(picture)
                    if image.shape != (shape := shape or image.shape):
                        yield Fault(number, "its pictures change their size")
                        return
                    seen = picture.time
                    if is_avi:
                        seen = float(ticks.popleft() * stream.time_base) if ticks else None
                    is_timed = film.is_timed and seen is not None
                    time = seen if is_timed else float(number / film.rate)
                    first = time if first is None else first
                    yield Frame(number, time - first, image)
                    number += 1
        except av.error.FFmpegError as error:
            yield Fault(number, str(error.strerror))
            return
        if film.frames is None:
            return
        if packets < counted:
            yield Fault(number, f"{counted - packets} of {counted} frames are missing")
        missing = 0 if counted else container.duration / 1_000_000 - end
        if missing > _MOST_MISSING:
            yield Fault(number, f"it ends {missing:.1f} s early")


def _counted(container: Any, stream: Any) -> int:
    """Returns the number of frames that a file says are to be seen; 0 if it does not count them."""
    if not stream.frames or not _is(container, "mp4"):
        return stream.frames
    # Those that an edit list cuts off are counted in the file, but not read or not shown.
    return sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)


def _count(packet: Any, before: int, *, is_avi: bool) -> int:
    """Returns the number of frames up to a packet of the film, as `_counted` counts them."""
    count = before + (packet.size > 0 and not packet.is_discard)
    # Frames that repeat the last one have no packet in AVI, whose clock ticks once a frame.
    return max(count, packet.dts + 1) if is_avi and packet.dts is not None else count


def _end(packet: Any, rate: Fraction) -> float:
    """Returns when what is in a packet of any stream ends, seconds; 0 if it is not known."""
    start = packet.dts if packet.pts is None else packet.pts
    if start is None:
        return 0.0
    # Some files do not say how long their last frame lasts.
    return float(start * packet.time_base + max(packet.duration * packet.time_base, 1 / rate))


def _is(container: Any, name: str) -> bool:
    return name in container.format.name.split(",")


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

    if "libx264" not in av.codecs_available:
        raise UserError("films are written by libx264, which this PyAV lacks: pip install av")
    width, height = size
    padding = [(0, height % 2), (0, width % 2), (0, 0)]
    # By its name: what FFmpeg writes itself fails with one error, not with one in each callback.
    with writing_bytes(path.absolute()) as file, av.open(file.name, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
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
    bounded.opened(path, sys.maxsize, "give a film").close()
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
    (right, down), (right_of_y, down_of_y) = _turn(picture) or _UNTURNED
    if not right:  # The frame's lines become columns.
        image, right, down_of_y = image.transpose(1, 0, 2), right_of_y, down
    return np.ascontiguousarray(image[::down_of_y, ::right])


def _turn(picture: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Returns where a frame's x and y axes point when it is seen, each as (right, down).

    None if they are not at right angles, which is what broken files say.
    """
    from av.sidedata.sidedata import Type

    noted = picture.side_data.get(Type.DISPLAYMATRIX)
    if noted is None:
        return _UNTURNED
    matrix = np.frombuffer(bytes(noted), np.int32).reshape(3, 3)[:2, :2] / 65536
    sides = np.linalg.norm(matrix, axis=1, keepdims=True)
    axes = np.round(matrix / np.maximum(sides, 1e-9)).astype(int)
    if np.abs(matrix - sides * axes).max() > 0.01 or abs(np.linalg.det(axes)) != 1:
        return None
    (a, b), (c, d) = axes.tolist()
    return (a, b), (c, d)
