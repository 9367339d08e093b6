"""What a prediction leaves behind: one JSON file, overlays, and pages to look at."""

import hashlib
import html
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from peclr_jax.errors import printable
from peclr_jax.files import write_bytes, writing
from peclr_jax.geometry.crop import Square
from peclr_jax.outputs import FILM as FILM
from peclr_jax.pages.html import image_file_tag, image_tag, page, paragraph, table
from peclr_jax.pages.skeleton import draw_on_image, legend, skeleton_widget
from peclr_jax.photos.boxes import Hand
from peclr_jax.photos.prepare import Prepared, Skipped

JSON = "predictions.json"
PAGE = "index.html"
OVERLAYS = "overlays"
THUMBNAILS = "thumbnails"
THUMBNAIL_BYTES = 40_000
PER_PAGE = 200
"""Photos of a page, and files that are listed as skipped."""

# Bytes of a name without its ending: file systems have 255 for all of it, encrypted ones 143.
_LONGEST_STEM = 100


class Prediction(NamedTuple):
    """A hand, its last crop and its keypoints: pixels of the upright photo; camera metres.

    Attributes:
      expected_error: Of each 2D keypoint, pixels of the photo; None of networks that know none.
    """

    hand: Hand
    square: Square
    keypoints_2d: Float[np.ndarray, "21 2"]
    keypoints_3d: Float[np.ndarray, "21 3"]
    expected_error: Float[np.ndarray, "21"] | None = None


class Gallery:
    """Context manager that writes predictions as they come, `PER_PAGE` photos a page.

    The first page and the JSON file appear if no error occurs.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        meta: Mapping[str, Any],
        *,
        thumbnail_side: int,
        taken: Collection[str] = (),
    ) -> None:
        """Prepares the files.

        Args:
          folder: Where to; an empty one, or one that is not there.
          title: Of the pages.
          meta: Head of `predictions.json`; its notes are on the pages.
          thumbnail_side: Longer side of the pages' images, pixels.
          taken: Names of pictures, without endings, that are not to be given.
        """
        self._folder, self._title, self._meta = folder, title, meta
        self._thumbnail_side = thumbnail_side
        self._skipped: list[Skipped] = []
        self._names = {name.casefold() for name in taken}
        self._stack = ExitStack()
        self._first: list[str] = []
        self._cards: list[str] = []
        self._page = 1

    def __enter__(self) -> "Gallery":
        json_file = entries_file(self._folder / JSON, self._meta, self._skipped)
        self._add_entry = self._stack.enter_context(json_file)
        return self

    def add(self, photo: Prepared, predictions: Sequence[Prediction]) -> None:
        """Writes one image, its overlay, its thumbnail and its card."""
        name = self._unused_name(photo.path.stem) + ".jpg"
        picture = photo.preview.copy()
        scale = np.array(picture.size) / (photo.width, photo.height)
        for prediction in predictions:
            draw_on_image(picture, (prediction.keypoints_2d + 0.5) * scale - 0.5)
        write_bytes(self._folder / OVERLAYS / name, jpeg(picture), synced=False)
        entry = json_entry(photo, predictions) | {"overlay": f"{OVERLAYS}/{name}"}
        self._add_entry(entry)
        thumbnail = jpeg(picture, side=self._thumbnail_side, most=THUMBNAIL_BYTES)
        write_bytes(self._folder / THUMBNAILS / name, thumbnail, synced=False)
        if len(self._cards) == PER_PAGE:
            self._end_page(is_last=False)
        self._cards.append(card(entry, f"{THUMBNAILS}/{name}", photo.remarks))

    def skip(self, skipped: Skipped) -> None:
        """Notes an image that could not be read."""
        self._skipped.append(skipped)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._stack.__exit__(kind, error, traceback)

    def _finish(self) -> None:
        self._end_page(is_last=True)
        self._write_page(1, self._first, is_last=self._page == 1)

    def _end_page(self, *, is_last: bool) -> None:
        # The first page is written last: it tells of all others, and of what was skipped.
        if self._page == 1:
            self._first = self._cards
        else:
            self._write_page(self._page, self._cards, is_last=is_last)
        if not is_last:
            self._page, self._cards = self._page + 1, []

    def _write_page(self, number: int, cards: Sequence[str], *, is_last: bool) -> None:
        title = self._title if number == 1 else f"{self._title}, page {number}"
        links = navigation(number, is_last=is_last)
        with page(self._folder / page_name(number), title) as add:
            for note in self._meta["notes"]:
                add(paragraph(note))
            add(f"{links}{legend()}\n<div class=cards>")
            for one in cards:
                add(one)
            add(f"</div>{links}")
            if number == 1 and self._skipped:
                rows = [(printable(s.path), s.reason) for s in self._skipped[:PER_PAGE]]
                add(f"<h2>Skipped</h2>{table(rows, ('file', 'reason'))}")
                if (more := len(self._skipped) - len(rows)) > 0:
                    add(paragraph(f"and {more} more, which {JSON} lists", note=True))

    def _unused_name(self, stem: str) -> str:
        """Tells apart images of the same name in different folders or formats.

        Of a long name, or one that steers terminals, a digest is what tells it from others.
        """
        plain, encoded = printable(stem), os.fsencode(stem)
        if len(encoded) > _LONGEST_STEM or plain != stem:
            digest = hashlib.sha256(encoded).hexdigest()[:12]
            stem = plain.encode()[:_LONGEST_STEM].decode(errors="ignore").replace("?", "_")
            stem = f"{stem}-{digest}"
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        # Some file systems take A for a.
        name = next(name for name in candidates if name.casefold() not in self._names)
        self._names.add(name.casefold())
        return name


def page_name(number: int) -> str:
    """Returns the file name of a page, counted from 1."""
    return PAGE if number == 1 else f"{Path(PAGE).stem}_{number}.html"


def navigation(number: int, *, is_last: bool) -> str:
    """Returns the links to the pages before and after one; none if it is the only one."""
    if number == 1 and is_last:
        return ""
    before = "" if number == 1 else f'<a href="{page_name(number - 1)}">&larr; previous page</a>'
    first = "" if number <= 2 else f'<a href="{PAGE}">first page</a>'
    after = "" if is_last else f'<a href="{page_name(number + 1)}">next page &rarr;</a>'
    return f"<nav class=pages>{first}{before}<span>page {number}</span>{after}</nav>\n"


@contextmanager
def entries_file(
    path: Path, meta: Mapping[str, Any], skipped: Sequence[Skipped]
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Writes `predictions.json` entry by entry, so that its length costs no memory.

    Args:
      path: The file.
      meta: Its head.
      skipped: What could not be read, as it is known at the end.

    Yields:
      A function that takes an entry of "images"; the file appears when the block ends without an
      error.
    """
    with writing(path) as file:
        file.write(f'{{"meta": {json.dumps(meta, indent=1)},\n"images": [')
        separators = itertools.chain(["\n"], itertools.repeat(",\n"))

        def add(entry: Mapping[str, Any]) -> None:
            file.write(next(separators) + json.dumps(entry))

        yield add
        reasons = [{"file": s.path.as_posix(), "reason": s.reason} for s in skipped]
        file.write(f'\n],\n"skipped": {json.dumps(reasons, indent=1)}}}\n')


def card(entry: Mapping[str, Any], picture: bytes | str, remarks: Sequence[str] = ()) -> str:
    """Returns the HTML of one image: its picture, and its hands to be turned.

    Args:
      entry: What `predictions.json` says of it.
      picture: PNG or JPEG, to be a part of the page; or the path of a file beside it.
      remarks: What of it was ignored.
    """
    name = printable(entry["file"])
    hands = []
    for hand in entry["hands"]:
        label = f"{hand['handedness']} hand"
        widget = skeleton_widget(np.asarray(hand["keypoints_3d"], np.float64), f"{name}, {label}")
        if (error := hand.get("mean_expected_error_px")) is not None:
            label += f", expected error {error:.3g} px"
        hands.append(f"<figure>{widget}<figcaption>{label}</figcaption></figure>")
    body = f"<div class=hands>{''.join(hands)}</div>" if hands else "<p class=note>no hand</p>"
    body += "".join(paragraph(remark, note=True) for remark in remarks)
    title, alt = html.escape(Path(name).name), f"{name} with its hands"
    if isinstance(picture, bytes):
        image = image_tag(picture, alt=alt)
    else:
        image = image_file_tag(picture, (entry["width"], entry["height"]), alt=alt)
    return f'<div class=card title="{html.escape(name)}"><h3>{title}</h3>{image}{body}</div>'


def jpeg(image: Image.Image, *, side: int | None = None, most: int | None = None) -> bytes:
    """Encodes an image.

    Args:
      image: RGB.
      side: Largest length of its longer side, pixels; a larger image is shrunk.
      most: Largest number of bytes; the quality is lowered to keep it.
    """
    if side is not None and max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), reducing_gap=3.0)
    for quality in (88, 80, 70, 55, 40, 25, 10):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if most is None or buffer.tell() <= most:
            break
    return buffer.getvalue()


def json_entry(photo: Prepared, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Returns what `predictions.json` holds of an image."""
    return {
        "file": photo.path.as_posix(),
        "width": photo.width,
        "height": photo.height,
        "intrinsics": np.round(photo.intrinsics, 2).tolist(),
        "focal_from": photo.focal_from,
        "hands": [_json_hand(prediction) for prediction in predictions],
        **({"boxes_left_out": list(photo.left_out)} if photo.left_out else {}),
    }


def _json_hand(prediction: Prediction) -> dict[str, Any]:
    error = prediction.expected_error
    return {
        "handedness": prediction.hand.handedness,
        "handedness_from": prediction.hand.handedness_from,
        "box": prediction.hand.box,
        "crop": [round(edge, 2) for edge in prediction.square.edges],
        "keypoints_2d": np.round(prediction.keypoints_2d.astype(float), 2).tolist(),
        "keypoints_3d": np.round(prediction.keypoints_3d.astype(float), 5).tolist(),
        "expected_error_px": None if error is None else np.round(error.astype(float), 2).tolist(),
        "mean_expected_error_px": None if error is None else round(float(error.mean()), 2),
    }
