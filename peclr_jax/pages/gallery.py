"""What a prediction leaves behind: one JSON file, overlays, and a page to look at."""

import html
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from peclr_jax.files import write_bytes, writing
from peclr_jax.geometry.crop import Square
from peclr_jax.pages.html import image_tag, page, paragraph, table
from peclr_jax.pages.skeleton import draw_on_image, legend, skeleton_widget
from peclr_jax.photos.boxes import Hand
from peclr_jax.photos.prepare import Prepared, Skipped

JSON = "predictions.json"
PAGE = "index.html"
OVERLAYS = "overlays"
THUMBNAIL_BYTES = 40_000


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
    """Context manager that writes predictions as they come; the files appear if no error occurs."""

    def __init__(
        self, folder: Path, title: str, meta: Mapping[str, Any], *, thumbnail_side: int
    ) -> None:
        """Prepares the files."""
        self._folder, self._title, self._meta = folder, title, meta
        self._thumbnail_side = thumbnail_side
        self._skipped: list[Skipped] = []
        self._names: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> "Gallery":
        json_file = entries_file(self._folder / JSON, self._meta, self._skipped)
        self._add_entry = self._stack.enter_context(json_file)
        self._add_html = self._stack.enter_context(page(self._folder / PAGE, self._title))
        for note in self._meta["notes"]:
            self._add_html(paragraph(note))
        self._add_html(f"{legend()}\n<div class=cards>")
        return self

    def add(self, photo: Prepared, predictions: Sequence[Prediction]) -> None:
        """Writes one image, its overlay and its card."""
        overlay = self._unused_name(photo.path.stem) + ".jpg"
        picture = photo.preview.copy()
        scale = np.array(picture.size) / (photo.width, photo.height)
        for prediction in predictions:
            draw_on_image(picture, (prediction.keypoints_2d + 0.5) * scale - 0.5)
        write_bytes(self._folder / OVERLAYS / overlay, jpeg(picture))
        entry = json_entry(photo, predictions) | {"overlay": f"{OVERLAYS}/{overlay}"}
        self._add_entry(entry)
        thumbnail = jpeg(picture, side=self._thumbnail_side, most=THUMBNAIL_BYTES)
        self._add_html(card(entry, thumbnail))

    def skip(self, skipped: Skipped) -> None:
        """Notes an image that could not be read."""
        self._skipped.append(skipped)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            self._add_html("</div>")
            if self._skipped:
                rows = [(printable(s.path), s.reason) for s in self._skipped]
                self._add_html(f"<h2>Skipped</h2>{table(rows, ('file', 'reason'))}")
        self._stack.__exit__(kind, error, traceback)

    def _unused_name(self, stem: str) -> str:
        """Tells apart images of the same name in different folders or formats."""
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        # Some file systems take A for a.
        name = next(name for name in candidates if name.casefold() not in self._names)
        self._names.add(name.casefold())
        return name


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


def card(entry: Mapping[str, Any], picture: bytes) -> str:
    """Returns the HTML of one image (PNG or JPEG): its picture, and its hands to be turned."""
    name = printable(Path(entry["file"]))
    hands = []
    for hand in entry["hands"]:
        label = f"{hand['handedness']} hand"
        widget = skeleton_widget(np.asarray(hand["keypoints_3d"], np.float64), f"{name}, {label}")
        if (error := hand.get("mean_expected_error_px")) is not None:
            label += f", expected error {error:.3g} px"
        hands.append(f"<figure>{widget}<figcaption>{label}</figcaption></figure>")
    body = f"<div class=hands>{''.join(hands)}</div>" if hands else "<p class=note>no hand</p>"
    title = html.escape(Path(name).name)
    image = image_tag(picture, alt=f"{name} with its hands")
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


def printable(path: PurePath) -> str:
    """Returns a path as text without characters that steer a terminal or a page."""
    text = path.as_posix().encode(errors="replace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)


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
