"""Photos reduced to the pixels that the network and the pages need."""

import io
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from peclr_jax.errors import UserError
from peclr_jax.geometry import crop as geometry
from peclr_jax.geometry.crop import Square
from peclr_jax.photos import crop, read, search
from peclr_jax.photos.boxes import Box, Hand, Request, is_inside
from peclr_jax.photos.crop import Window
from peclr_jax.photos.looking import LookingRule
from peclr_jax.photos.read import Photo, UnreadableImageError
from peclr_jax.photos.search import Search

# Pixels kept per pixel of the first view, for a closer second view, where the hand's place is
# unknown and where a box gives it. The second view may lie beside the first: how many times as wide
# the region kept is.
_CLOSER_UNKNOWN, _CLOSER_BOX, _BESIDE = 4, 2, 2
# Across the diagonal, of a piece that a telephoto lens has seen, and of a fisheye.
_ANGLES_DEG = 0.2, 150.0
# Small photos are enlarged for the pages: lines drawn on them would hide the hand.
_SMALLEST_PREVIEW = 480
# Largest side of a box over the photo's longer one, and smallest side of a box in pixels.
_LARGEST_BOX, _SMALLEST_BOX = 16, 1e-2


class Options(NamedTuple):
    """How photos are prepared.

    Attributes:
      view_size, preview_side: Side of the network's view, and largest of the preview, pixels.
      focal_px: Focal length in pixels, for all photos; 0 if unknown.
      field_of_view_deg: Field of view along the longer side, where nothing else is known.
      search: Where to look for hands without a box.
    """

    view_size: int
    looking: LookingRule
    preview_side: int
    focal_px: float
    field_of_view_deg: float
    search: Search = "center"


class Subject(NamedTuple):
    """A hand as the user gives it, where to look first, and the pixels kept around.

    Attributes:
      squares: The one around the hand's box; without a box, all places where it may be.
    """

    hand: Hand
    squares: tuple[Square, ...]
    window: Window


class Prepared(NamedTuple):
    """An upright photo reduced to what is needed of it.

    Attributes:
      width, height: Of the photo, pixels.
      focal_from: Source of the focal length: "boxes", "config", "exif" or "guess".
      preview: The whole photo, resized, to draw on.
      remarks: What of it was ignored or not looked at, and why.
      left_out: Why boxes that were given are left out.
    """

    path: Path
    width: int
    height: int
    focal_px: float
    focal_from: str
    subjects: list[Subject]
    preview: Image.Image
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics of the photo: square pixels, the principal point at its centre."""
        center_x, center_y = (self.width - 1) / 2, (self.height - 1) / 2
        return np.array([[self.focal_px, 0, center_x], [0, self.focal_px, center_y], [0, 0, 1]])


class Skipped(NamedTuple):
    """A photo that cannot be predicted on, and why."""

    path: Path
    reason: str


def prepare(
    path: Path, request: Request, options: Options, content: bytes | Image.Image | None = None
) -> Prepared | Skipped:
    """Reads a photo and keeps the pixels that its hands need.

    Args:
      path: The image file.
      request: The photo's hands and camera.
      options: How photos are prepared.
      content: What the file would hold, or a Pillow image in its place: `path` is then only a name.
    """
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        photo = read.read(path if source is None else source, **_fewest_pixels(request, options))
        return reduce(path, photo, request, options)
    except UserError as error:
        return Skipped(path, str(error))


def reduce(path: Path, photo: Photo, request: Request, options: Options) -> Prepared:
    """Keeps of a photo the pixels that its hands need.

    Args:
      path: The image file, or the film.
      photo: What was read of it.
      request: The photo's hands and camera.
      options: How photos are prepared.

    Raises:
      UnreadableImageError: None of the boxes is in the photo, or no camera has the focal length.
    """
    problems = [_problem(photo, hand.box) for hand in request.hands]
    left_out = tuple(problem for problem in problems if problem)
    if left_out and len(left_out) == len(problems):
        raise UnreadableImageError("; ".join(left_out))
    if options.search == "auto" and sum(hand.box is None for hand in request.hands) > 1:
        options = options._replace(search="windows")  # not all of them are in the middle
    subjects, kept = [], 0
    for hand, problem in zip(request.hands, problems, strict=True):
        if not problem:
            subjects.append(_subject(photo, hand, options, share=kept > read.MOST_PIXELS))
            kept += math.prod(subjects[-1].window.image.size)
    focal_px, focal_from = _focal(photo, request, options)
    preview = _preview(photo.pixels.image, options.preview_side)
    size = photo.width, photo.height
    remarks = photo.remarks
    if max(size) > search.MOST_ASPECT * min(size) and any(len(s.squares) > 1 for s in subjects):
        remarks += (
            f"it is more than {search.MOST_ASPECT:.0f} times as long as wide: hands between the "
            "places where it was searched may be missed; cut it into shorter pieces",
        )
    return Prepared(path, *size, focal_px, focal_from, subjects, preview, remarks, left_out)


def prepare_all(
    paths: Sequence[Path], requests: Sequence[Request], options: Options, threads: int
) -> Iterator[Prepared | Skipped]:
    """Prepares photos in order on several threads, a few ahead of the consumer.

    Args:
      paths: The image files.
      requests: The hands and the camera of each.
      options: How photos are prepared.
      threads: How many photos are read at a time.
    """
    jobs = zip(paths, requests, strict=True)
    with ThreadPoolExecutor(threads) as pool:

        def submit(count: int) -> Iterator[Future[Prepared | Skipped]]:
            return (pool.submit(prepare, *job, options) for job in islice(jobs, count))

        waiting = deque(submit(threads + 1))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(submit(1))
        finally:
            pool.shutdown(cancel_futures=True)


def _fewest_pixels(request: Request, options: Options) -> dict[str, float]:
    smallest, reduction = float(options.preview_side), float("inf")
    for hand in request.hands:
        if hand.box is None:
            share = options.looking.central_share
            smallest = max(smallest, _CLOSER_UNKNOWN * options.view_size / share)
        else:
            side = options.looking.first(hand.box, 0, 0).side
            reduction = min(reduction, max(1.0, side / (_CLOSER_BOX * options.view_size)))
    return {"smallest": smallest, "reduction": reduction}


def _problem(photo: Photo, box: Box | None) -> str | None:
    """Returns why a box cannot be used, None if it can."""
    if box is None:
        return None
    x0, y0, x1, y1 = box
    side, longer = max(x1 - x0, y1 - y0), max(photo.width, photo.height)
    what, where = f"the box {list(box)}", f"image of {photo.width}x{photo.height} px"
    if not is_inside(box, (photo.width, photo.height)):
        return f"{what} lies outside of the {where}"
    if not _SMALLEST_BOX <= side <= _LARGEST_BOX * longer:
        return f"{what} is too large or too small for an {where}"
    return None


def _subject(photo: Photo, hand: Hand, options: Options, *, share: bool) -> Subject:
    """Returns a hand with its own pixels, or sharing all of the photo's with others."""
    square = options.looking.first(hand.box, photo.width, photo.height)
    closer = _CLOSER_UNKNOWN if hand.box is None else _CLOSER_BOX
    region = square._replace(side=_BESIDE * square.side)
    most = _BESIDE * closer * options.view_size
    squares: tuple[Square, ...] = (square,)
    if hand.box is None:
        squares = search.windows(square, photo.width, photo.height, options.search)
    if len(squares) > 1:
        # All of the photo, at the resolution that the middle of it would be kept at.
        longer = max(photo.width, photo.height)
        whole = geometry.central(photo.width, photo.height, longer / min(photo.width, photo.height))
        most = math.ceil(most * longer / region.side)
        region = whole
    return Subject(hand, squares, photo.pixels if share else crop.keep(photo.pixels, region, most))


def _focal(photo: Photo, request: Request, options: Options) -> tuple[float, str]:
    size = photo.width, photo.height
    if request.focal_px is not None:
        return _seen(request.focal_px, size), "boxes"
    if options.focal_px > 0:
        return _seen(options.focal_px, size), "config"
    if photo.focal_35mm is not None:
        return read.focal_from_35mm(photo.focal_35mm, size), "exif"
    return read.focal_from_field_of_view(options.field_of_view_deg, size), "guess"


def _seen(focal_px: float, size: tuple[int, int]) -> float:
    """Returns a focal length that was given, unless no camera has it."""
    angle = math.degrees(2 * math.atan2(math.hypot(*size) / 2, focal_px))
    if not _ANGLES_DEG[0] <= angle <= _ANGLES_DEG[1]:
        raise UnreadableImageError(
            f"focal_px={focal_px:g} sees {angle:.3g} degrees of an image of {size[0]}x{size[1]} "
            "px, as no camera does: give pixels of the image, not millimetres"
        )
    return float(focal_px)


def _preview(image: Image.Image, most: int) -> Image.Image:
    side = max(image.size)
    wanted = min(max(side, min(_SMALLEST_PREVIEW, most)), most)
    if wanted == side:
        return image
    zoom = wanted / side
    size = max(1, round(zoom * image.width)), max(1, round(zoom * image.height))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
