"""3D hands in anyone's photos, from a fine-tuned network."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import BONES, JOINT_NAMES
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import estimator as estimators
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.look import Look, look
from peclr_jax.pages.gallery import JSON, OVERLAYS, PAGE, Gallery, Prediction, printable
from peclr_jax.photos.boxes import HANDEDNESS, requests
from peclr_jax.photos.find import find_images
from peclr_jax.photos.prepare import Options, Prepared, Skipped, prepare_all
from peclr_jax.runs.recipe import check_choice, check_positive

SOME_SKIPPED = 4
"""Exit code of a run that did all images but those it could not read."""


class Summary(NamedTuple):
    """What a run has done.

    Attributes:
      images: how many images were predicted on.
      hands: how many hands that were.
      skipped: the images that could not be.
      json: path of the predictions.
      page: path of the page that shows them.
      overlays: folder of the images with the hands drawn on them.
      seconds: that it took, without the loading of the network.
    """

    images: int
    hands: int
    skipped: list[Skipped]
    json: Path
    page: Path
    overlays: Path
    seconds: float


def run(config: ConfigDict, workdir: Path) -> int:
    """Predicts the hands of some photos.

    Writes to `workdir`: `predictions.json`, `index.html`, `overlays/`.

    Returns:
      The exit code: 0, or `SOME_SKIPPED` if there were images that could not be read.

    Raises:
      MissingFileError: no images, no checkpoint or no boxes file.
      UserError: an impossible config, or not a single readable image.
    """
    summary = predict(config, workdir)
    console = Console()

    def say(sentence: str) -> None:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    say(
        f"{summary.hands} hand(s) in {summary.images} image(s), {summary.seconds:.1f} s. "
        f"Open {summary.page} in a browser; the numbers are in {summary.json}."
    )
    if not summary.skipped:
        return 0
    say(f"{len(summary.skipped)} image(s) could not be read and were skipped, see above.")
    return SOME_SKIPPED


def predict(config: ConfigDict, workdir: Path) -> Summary:
    """Does what `run` does, and returns what it has done.

    Raises:
      MissingFileError: no images, no checkpoint or no boxes file.
      UserError: an impossible config, or not a single readable image.
    """
    check(config)
    paths = find_images(config.images)
    wanted = requests(paths, config.boxes, config.handedness)
    estimator = estimators.open_estimator(config)
    bone_length = config.bone_length_m or estimator.bone_length
    if not math.isfinite(bone_length):
        raise UserError(
            "the network does not tell the size of the hands that it was trained on: give it by "
            "--config.bone_length_m=0.032 (length of the middle finger's proximal bone)"
        )
    options = Options(
        estimator.view_size,
        estimator.hand_margin,
        config.central_box,
        config.overlay_side,
        config.focal_px,
        config.field_of_view_deg,
    )
    # The network is compiled for one size of batch.
    batch_size = max(1, min(config.batch_size, sum(len(request.hands) for request in wanted)))
    console = Console()
    title = f"Hands in {len(paths)} image{'s'[: len(paths) != 1]}"
    meta = describe(config, estimator, bone_length)
    began = time.perf_counter()
    images, hands, skipped = 0, 0, []
    with Gallery(workdir, title, meta, thumbnail_side=config.thumbnail_side) as gallery:
        photos = prepare_all(paths, wanted, options, config.decode_threads)
        results = (
            result
            for group in _groups(photos, batch_size)
            for result in _predict_group(estimator, group, bone_length, config.passes, batch_size)
        )
        for result in report(results, f"Predicting {len(paths)} images", len(paths)):
            if isinstance(result, Skipped):
                gallery.skip(result)
                skipped.append(result)
                sentence = f"skipped {printable(result.path)}: {result.reason}"
                console.print(sentence, highlight=False, markup=False, soft_wrap=True)
            else:
                gallery.add(*result)
                images += 1
                hands += len(result[1])
        if not images:
            raise UserError(
                f"none of the {len(paths)} image(s) of --config.images={config.images} can be "
                f"read; {printable(skipped[0].path)}: {skipped[0].reason}"
            )
    seconds = time.perf_counter() - began
    files = workdir / JSON, workdir / PAGE, workdir / OVERLAYS
    return Summary(images, hands, skipped, *files, seconds)


def check(config: ConfigDict) -> None:
    """Rejects impossible fields.

    Raises:
      UserError: one sentence that names the field and what it may be.
    """
    check_choice("handedness", config.handedness, HANDEDNESS)
    check_positive(
        config, "passes", "batch_size", "decode_threads", "overlay_side", "thumbnail_side"
    )
    for field in ("focal_px", "bone_length_m"):
        if not 0 <= config[field] < math.inf:
            raise UserError(
                f"--config.{field} must be positive, or 0 for unknown, got {config[field]}"
            )
    if not 0 < config.central_box <= 2:
        raise UserError(f"--config.central_box must lie in (0, 2], got {config.central_box}")
    if not 1 <= config.field_of_view_deg <= 170:
        raise UserError(
            f"--config.field_of_view_deg must lie in [1, 170], got {config.field_of_view_deg}"
        )


def describe(config: ConfigDict, estimator: Estimator, bone_length: float) -> dict[str, Any]:
    """Returns what the reader of the predictions must know of all of them."""
    given = config.bone_length_m > 0
    size = (
        "the given bone length" if given else "the mean bone length of the training hands"
    ) + f", {1000 * bone_length:.1f} mm from middle_mcp to middle_pip"
    return {
        "format": 1,
        "checkpoint": str(config.init.torch_checkpoint or config.checkpoint),
        "view_size": estimator.view_size,
        "passes": config.passes,
        "bone_length_m": round(bone_length, 6),
        "bone_length_from": "config" if given else "mean of the training labels",
        "joints": JOINT_NAMES,
        "bones": BONES,
        "notes": [
            f"Metric only up to the hand's size, which an image cannot show: every hand is taken "
            f"to have {size}. All of a hand's 3D coordinates scale with it.",
            "Where the camera is not known (focal_from: guess), its field of view along the "
            f"image's longer side is taken to be {config.field_of_view_deg:g} degrees; the "
            "distance to the camera scales with the focal length.",
            "There is no confidence: the network estimates none, and it puts a hand wherever it "
            "is told to look, also where there is none.",
        ],
        "units": {
            "keypoints_2d": "pixels of the upright image (after its EXIF orientation), (x, y), "
            "origin at the centre of the top-left pixel",
            "keypoints_3d": "metres, x right, y down, z forward from the camera",
            "box": "as given, x0, y0, x1, y1 in the same pixels; null: none was given",
            "crop": "what the network saw last, x0, y0, x1, y1",
        },
    }


def _groups(
    photos: Iterable[Prepared | Skipped], most_hands: int
) -> Iterator[list[Prepared | Skipped]]:
    """Puts as many photos together as have `most_hands` hands; one that has more stays alone."""
    group: list[Prepared | Skipped] = []
    hands = 0
    for photo in photos:
        more = len(photo.subjects) if isinstance(photo, Prepared) else 0
        # Photos without a hand are kept in memory, too.
        if group and (hands + more > most_hands or len(group) >= 2 * most_hands):
            yield group
            group, hands = [], 0
        group.append(photo)
        hands += more
    if group:
        yield group


def _predict_group(
    estimator: Estimator,
    photos: Sequence[Prepared | Skipped],
    bone_length: float,
    passes: int,
    batch_size: int,
) -> Iterator[tuple[Prepared, list[Prediction]] | Skipped]:
    """Looks at the hands of some photos together."""
    looks = [
        Look(subject, photo.intrinsics, photo.width, photo.height)
        for photo in photos
        if isinstance(photo, Prepared)
        for subject in photo.subjects
    ]
    batches = [looks[start : start + batch_size] for start in range(0, len(looks), batch_size)]
    predictions = iter(
        [p for batch in batches for p in look(estimator, batch, bone_length, passes, batch_size)]
    )
    for photo in photos:
        if isinstance(photo, Skipped):
            yield photo
            continue
        of_photo = [next(predictions) for _ in photo.subjects]
        if all(np.isfinite(prediction.keypoints_3d).all() for prediction in of_photo):
            yield photo, of_photo
        else:
            yield Skipped(photo.path, "the network's answer is not a finite number")
