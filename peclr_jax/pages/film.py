"""What a prediction on a film leaves behind: one JSON file, the film drawn on, and a page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from peclr_jax.pages.gallery import FILM, JSON, PAGE, Prediction, entries_file, json_entry
from peclr_jax.pages.html import page, paragraph
from peclr_jax.pages.skeleton import draw_on_image, legend
from peclr_jax.photos.film import writing_film
from peclr_jax.photos.prepare import Prepared, Skipped


@contextmanager
def film_page(
    folder: Path,
    title: str,
    meta: Mapping[str, Any],
    skipped: Sequence[Skipped],
    *,
    size: tuple[int, int],
    rate: Fraction,
) -> Iterator[Callable[[int, float, Prepared, Mapping[int, Prediction]], None]]:
    """Writes a film's predictions frame by frame; the files appear if no error occurs.

    Args:
      folder: Where to.
      title: Of the page.
      meta: Head of `predictions.json`.
      skipped: Where the film breaks off, as it is known at the end.
      size: Width and height of the frames, pixels.
      rate: Frames a second, on average.

    Yields:
      A function that takes a frame's number, its time in seconds, its picture and its hands.
    """
    with (
        page(folder / PAGE, title) as add_html,
        entries_file(folder / JSON, meta, skipped) as add_entry,
        writing_film(folder / FILM, size, rate) as add_picture,
    ):

        def add(number: int, time: float, photo: Prepared, hands: Mapping[int, Prediction]) -> None:
            entry = json_entry(photo, list(hands.values()))
            entry["hands"] = [
                {"track": track} | hand for track, hand in zip(hands, entry["hands"], strict=True)
            ]
            add_entry(entry | {"frame": number, "time_s": round(time, 4)})
            picture = photo.preview.copy()
            for hand in hands.values():
                draw_on_image(picture, hand.keypoints_2d)
            add_picture(np.asarray(picture), time)

        yield add
        for note in meta["notes"]:
            add_html(paragraph(note))
        for fault in skipped:
            add_html(paragraph(f"The film is damaged: {fault.reason}"))
        add_html(legend().partition("\n")[0])
        add_html(f'<video src="{FILM}" controls loop muted style="max-width: 100%"></video>')
