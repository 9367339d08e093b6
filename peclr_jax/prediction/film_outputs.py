"""3D hands in a film, frame by frame; `predict` comes here if it is given a film."""

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from peclr_jax.console import say
from peclr_jax.errors import UserError, printable
from peclr_jax.hands.smoothing import OneEuro
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks.estimator import Estimator
from peclr_jax.pages.film import film_page
from peclr_jax.pages.gallery import FILM, PAGE
from peclr_jax.photos.boxes import Request
from peclr_jax.photos.film import Fault, Film, Frame, read_frames
from peclr_jax.photos.prepare import Skipped
from peclr_jax.prediction.films import Tracker, follow_hands, smooth
from peclr_jax.prediction.formats import convert, read_formats
from peclr_jax.prediction.replacing import replacing
from peclr_jax.prediction.spec import (
    PredictSpec,
    Summary,
    bone_length_of,
    describe,
    largest_error_of,
    options_of,
)


def predict_film(
    spec: PredictSpec, film: Film, request: Request, estimator: Estimator, workdir: Path
) -> Summary:
    """Writes `predictions.json`, `overlay.mp4` and `index.html` to `workdir`.

    Args:
      spec: Of the prediction.
      film: The film.
      request: Hands and camera of its first frame.
      estimator: The network.
      workdir: Where to.
    """
    tracker = Tracker(
        estimator,
        request,
        options_of(spec, estimator),
        bone_length_of(spec, estimator),
        spec.passes,
        spec.batch_size,
        spec.hands,
        largest_error_of(spec, estimator),
    )
    meta = describe(spec, estimator, tracker.bone_length) | {"overlay": FILM}
    meta["notes"] = [*meta["notes"], *film.remarks]
    skipped: list[Skipped] = []
    frames = _whole(read_frames(film), film, skipped)
    if (first := next(frames, None)) is None:
        raise UserError(
            f"{film.path} has no frame that can be read"
            + "".join(f" ({fault.reason})" for fault in skipped)
        )
    size = first.image.shape[1], first.image.shape[0]
    began, count, hands, left_out = time.perf_counter(), 0, 0, 0
    followed = follow_hands(tracker, film, itertools.chain([first], frames))
    if spec.smooth:
        followed = smooth(followed, OneEuro(spec.min_cutoff, spec.beta))
    name = printable(film.path)
    say(*(f"{name}: {remark}" for remark in film.remarks))
    with replacing(workdir) as new:
        with film_page(new, f"Hands in {name}", meta, skipped, size=size, rate=film.rate) as add:
            for frame, photo, found in report(followed, f"Predicting {name}", film.frames):
                say(*(f"left out of {name}: {reason}" for reason in photo.left_out))
                left_out += len(photo.left_out)
                add(frame.number, frame.time, photo, found)
                count, hands = count + 1, hands + len(found)
        convert(new, read_formats(spec.formats))
    seconds = time.perf_counter() - began
    summary = Summary(count, hands, len(skipped), seconds, left_out, is_of_film=True)
    _tell(summary, skipped, name, workdir)
    return summary


def _whole(frames: Iterable[Frame | Fault], film: Film, skipped: list[Skipped]) -> Iterator[Frame]:
    """Yields the frames up to a fault, and notes it."""
    for frame in frames:
        if isinstance(frame, Fault):
            reason = f"after {frame.frames} frames: {frame.reason}"
            skipped.append(Skipped(film.path, reason))
        else:
            yield frame


def _tell(summary: Summary, skipped: list[Skipped], name: str, workdir: Path) -> None:
    rate = summary.images / summary.seconds
    say(
        f"{summary.images} frame(s), {summary.hands} hand(s), {rate:.1f} frames a second. The film "
        f"with its hands is {workdir / FILM}; {workdir / PAGE} shows it."
    )
    for fault in skipped:
        say(f"{name} is damaged {fault.reason}; what comes before is predicted.")
    if summary.boxes_left_out:
        say(f"{summary.boxes_left_out} box(es) could not be used and were left out, see above.")
