"""3D hands in anyone's photos and films, from a fine-tuned network."""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.console import say
from peclr_jax.errors import UserError, printable
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.labels.requests import requests
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.pages.gallery import JSON, PAGE, Gallery, Prediction
from peclr_jax.photos.film import describe_film
from peclr_jax.photos.find import Pictures, find_film, find_pictures
from peclr_jax.photos.prepare import Prepared, Skipped, prepare_all
from peclr_jax.prediction.film_outputs import predict_film
from peclr_jax.prediction.formats import convert, read_formats
from peclr_jax.prediction.photographs import predict_photos, rows_for
from peclr_jax.prediction.replacing import check_workdir, replacing, taken_names
from peclr_jax.prediction.spec import (
    PredictSpec,
    Summary,
    bone_length_of,
    describe,
    largest_error_of,
    options_of,
)

_REMARKS = 10
SOME_SKIPPED = 4
"""Exit code of a run that did all images and boxes but those that it could not use."""


def run(config: ConfigDict, workdir: Path) -> int:
    """Predicts the hands of photos or of a film; returns 0, or `SOME_SKIPPED` if not all of it."""
    spec = specs.from_config(PredictSpec, config)
    summary = predict(spec, workdir)
    if not summary.is_of_film:
        tell(summary, workdir)
    return exit_code(summary)


def exit_code(summary: Summary) -> int:
    """Returns 0, or `SOME_SKIPPED` if something given was not predicted."""
    return SOME_SKIPPED if summary.skipped or summary.boxes_left_out else 0


def tell(summary: Summary, workdir: Path) -> None:
    """Prints what `predict` has done, and where it lies."""
    say(
        f"{summary.hands} hand(s) in {summary.images} image(s), {summary.seconds:.1f} s. "
        f"Open {workdir / PAGE} in a browser; the numbers are in {workdir / JSON}."
    )
    if summary.skipped:
        say(f"{summary.skipped} image(s) could not be used and were skipped, see above.")
    if summary.boxes_left_out:
        say(f"{summary.boxes_left_out} box(es) could not be used and were left out, see above.")


def predict(spec: PredictSpec, workdir: Path) -> Summary:
    """Writes `predictions.json`, pages and `overlays/`, or `overlay.mp4`, to `workdir`."""
    film = find_film(spec.images)
    pictures = Pictures([film], []) if film else find_pictures(spec.images)
    paths = pictures.paths
    check_workdir(workdir, paths)
    wanted, notes = requests(paths, spec.boxes, spec.handedness)
    say(*(f"left out {left_out}" for left_out in pictures.left_out), *notes)
    opened = film and describe_film(film)
    estimator = open_estimator(spec.checkpoint, spec.init.torch_checkpoint)
    if opened:
        return predict_film(spec, opened, wanted[0], estimator, workdir)
    bone_length = bone_length_of(spec, estimator)
    options = options_of(spec, estimator)
    hands = [hand for request in wanted for hand in request.hands]
    rows = rows_for(estimator, hands, options.search, spec.batch_size)
    title = f"Hands in {len(paths)} image{'s'[: len(paths) != 1]}"
    meta = describe(spec, estimator, bone_length)
    began = time.perf_counter()
    photos = prepare_all(paths, wanted, options, spec.decode_threads)
    results = predict_photos(
        estimator,
        photos,
        bone_length,
        passes=spec.passes,
        rows=rows,
        hands=spec.hands,
        worst=largest_error_of(spec, estimator),
    )
    taken = taken_names(workdir)
    with replacing(workdir) as new:
        with Gallery(new, title, meta, thumbnail_side=spec.thumbnail_side, taken=taken) as gallery:
            told = report(results, f"Predicting {len(paths)} images", len(paths))
            count = _show(told, gallery)
            if not count.images:
                raise UserError(
                    f"none of the {len(paths)} image(s) of --config.images={spec.images} can be "
                    f"used; {printable(count.skipped[0].path)}: {count.skipped[0].reason}"
                )
        convert(new, read_formats(spec.formats))
    tell_remarks(count.remarks)
    seconds = time.perf_counter() - began
    return Summary(count.images, count.hands, len(count.skipped), seconds, count.boxes_left_out)


@dataclasses.dataclass
class _Count:
    """What was predicted so far, and what was not."""

    images: int = 0
    hands: int = 0
    boxes_left_out: int = 0
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    remarks: dict[str, list[Path]] = dataclasses.field(default_factory=dict)


def _show(
    results: Iterable[tuple[Prepared, list[Prediction]] | Skipped], gallery: Gallery
) -> _Count:
    """Adds results to a gallery as they come; prints what was skipped or left out."""
    count = _Count()
    for result in results:
        if isinstance(result, Skipped):
            gallery.skip(result)
            count.skipped.append(result)
            say(f"skipped {printable(result.path)}: {result.reason}")
            continue
        photo, hands = result
        for reason in photo.left_out:
            say(f"left out of {printable(photo.path)}: {reason}")
        gallery.add(photo, hands)
        for remark in photo.remarks:
            count.remarks.setdefault(remark, []).append(photo.path)
        count.images += 1
        count.hands += len(hands)
        count.boxes_left_out += len(photo.left_out)
    return count


def tell_remarks(remarks: Mapping[str, Sequence[Path]]) -> None:
    """Prints what of photos was ignored or not looked at: each remark once, the first few of all.

    The pages have them all.
    """
    for remark, paths in itertools.islice(remarks.items(), _REMARKS):
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        say(f"{printable(paths[0])}{more}: {remark}")
    if len(remarks) > _REMARKS:
        say(f"{len(remarks) - _REMARKS} more remarks of this kind are on the pages.")
