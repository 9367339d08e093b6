"""3D hands in anyone's photos, from a fine-tuned network."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import BONES, JOINT_NAMES
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks.estimator import Estimator, open_estimator
from peclr_jax.networks.photographs import predict_photos
from peclr_jax.networks.spec import TorchFileSpec
from peclr_jax.pages.gallery import JSON, PAGE, Gallery, printable
from peclr_jax.pages.terminal import say
from peclr_jax.photos.boxes import requests
from peclr_jax.photos.find import find_images
from peclr_jax.photos.prepare import Options, Skipped, prepare_all
from peclr_jax.specs import Between, NonNegativeFloat, PositiveInt, Spec

SOME_SKIPPED = 4
"""Exit code of a run that did all images but those it could not read."""


@dataclasses.dataclass(frozen=True)
class PredictSpec(Spec):
    """Prediction on photos.

    Attributes:
      checkpoint: A fine-tuning run's folder, or that of one of its steps.
      init: A network of PyTorch's in its place.
      images: A file, a folder, or a glob in quotes; JPEG, PNG, WebP.
      boxes: JSON of where the hands are, and of which side; "" for one in the middle of each photo.
      handedness: Of hands of which the boxes file says nothing. Networks know right hands, as in
        the paper; crops and answers of left ones are mirrored.
      central_box: Where no box is given: side of the one supposed in the middle, over the photo's
        shorter side; 0.67, at the usual hand_margin of 1.5, shows all of a square photo.
      passes: How often to look, after the first around the last keypoints; 1 trusts boxes as given.
      focal_px: The cameras' focal length in pixels of the photo; 0 if unknown. The first is used
        that is known: "focal_px" in the boxes file; this; the camera's own note (EXIF, focal length
        in 35 mm film); `field_of_view_deg`. The optical axis passes through the photo's centre.
      field_of_view_deg: Along the longer side; 40 as with a 50 mm lens. A guess too wide distorts
        hands, one too narrow only moves them away, hence not the 65 to 70 of a phone.
      bone_length_m: Length of the middle finger's proximal bone, metres, which all 3D coordinates
        are proportional to; 0 for the mean over the training hands.
      batch_size, decode_threads: Hands that the network sees at once, and threads that decode.
      overlay_side, thumbnail_side: Longer side of the overlays and of the page's images, pixels.
    """

    task: Literal["predict"] = "predict"
    recipe: str = "photos"
    checkpoint: str = ""
    init: TorchFileSpec = TorchFileSpec()
    images: str = ""
    boxes: str = ""
    handedness: Literal["right", "left"] = "right"
    central_box: Annotated[float, Between(0, 2, above=True)] = 0.67
    passes: PositiveInt = 2
    focal_px: NonNegativeFloat = 0.0
    field_of_view_deg: Annotated[float, Between(1, 170)] = 40.0
    bone_length_m: NonNegativeFloat = 0.0
    batch_size: PositiveInt = 16
    decode_threads: PositiveInt = 2
    overlay_side: PositiveInt = 1280
    thumbnail_side: PositiveInt = 480


class Summary(NamedTuple):
    """Images and hands predicted, images skipped, and seconds without opening the network."""

    images: int
    hands: int
    skipped: int
    seconds: float


def run(config: ConfigDict, workdir: Path) -> int:
    """Predicts the hands of some photos; returns 0, or `SOME_SKIPPED` if any could not be read."""
    spec = specs.from_config(PredictSpec, config)
    summary = predict(spec, workdir)
    tell(summary, workdir)
    return SOME_SKIPPED if summary.skipped else 0


def tell(summary: Summary, workdir: Path) -> None:
    """Prints what `predict` has done, and where it lies."""
    say(
        f"{summary.hands} hand(s) in {summary.images} image(s), {summary.seconds:.1f} s. "
        f"Open {workdir / PAGE} in a browser; the numbers are in {workdir / JSON}."
    )
    if summary.skipped:
        say(f"{summary.skipped} image(s) could not be read and were skipped, see above.")


def predict(spec: PredictSpec, workdir: Path) -> Summary:
    """Writes `predictions.json`, `index.html` and `overlays/` to `workdir`."""
    paths = find_images(spec.images)
    wanted = requests(paths, spec.boxes, spec.handedness)
    estimator = open_estimator(spec.checkpoint, spec.init.torch_checkpoint)
    bone_length = find_bone_length(spec, estimator)
    options = make_options(spec, estimator)
    # The network is compiled for one size of batch.
    rows = max(1, min(spec.batch_size, sum(len(request.hands) for request in wanted)))
    title = f"Hands in {len(paths)} image{'s'[: len(paths) != 1]}"
    meta = describe(spec, estimator, bone_length)
    began = time.perf_counter()
    images, hands, skipped = 0, 0, []
    with Gallery(workdir, title, meta, thumbnail_side=spec.thumbnail_side) as gallery:
        photos = prepare_all(paths, wanted, options, spec.decode_threads)
        results = predict_photos(estimator, photos, bone_length, passes=spec.passes, rows=rows)
        for result in report(results, f"Predicting {len(paths)} images", len(paths)):
            if isinstance(result, Skipped):
                gallery.skip(result)
                skipped.append(result)
                say(f"skipped {printable(result.path)}: {result.reason}")
            else:
                gallery.add(*result)
                images += 1
                hands += len(result[1])
        if not images:
            raise UserError(
                f"none of the {len(paths)} image(s) of --config.images={spec.images} can be "
                f"read; {printable(skipped[0].path)}: {skipped[0].reason}"
            )
    return Summary(images, hands, len(skipped), time.perf_counter() - began)


def find_bone_length(spec: PredictSpec, estimator: Estimator) -> float:
    """Returns the reference bone's length that all hands are given, metres."""
    if not (bone_length := spec.bone_length_m or estimator.statistics.bone_length):
        raise UserError(
            "the network does not tell the size of the hands that it was trained on: give it by "
            "--config.bone_length_m=0.032 (length of the middle finger's proximal bone)"
        )
    return bone_length


def make_options(spec: PredictSpec, estimator: Estimator) -> Options:
    """Returns how photos are prepared for a network."""
    return Options(
        estimator.view_size,
        dataclasses.replace(estimator.looking, central_box=spec.central_box),
        spec.overlay_side,
        spec.focal_px,
        spec.field_of_view_deg,
    )


def describe(spec: PredictSpec, estimator: Estimator, bone_length: float) -> dict[str, Any]:
    """Returns what `predictions.json` says of all its images.

    Args:
      spec: How they are predicted.
      estimator: The network.
      bone_length: Of the reference bone, metres.
    """
    given = spec.bone_length_m > 0
    size = "the given bone length" if given else "the mean bone length of the training hands"
    return {
        "format": 1,
        "checkpoint": spec.init.torch_checkpoint or spec.checkpoint,
        "view_size": estimator.view_size,
        "passes": spec.passes,
        "bone_length_m": round(bone_length, 6),
        "bone_length_from": "config" if given else "mean of the training labels",
        "joints": JOINT_NAMES,
        "bones": BONES,
        "notes": [
            f"Metric only up to the hand's size, which an image cannot show: every hand is taken "
            f"to have {size}, {1000 * bone_length:.1f} mm from middle_mcp to middle_pip. All of a "
            "hand's 3D coordinates scale with it.",
            "Where the camera is not known (focal_from: guess), its field of view along the "
            f"image's longer side is taken to be {spec.field_of_view_deg:g} degrees; the "
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
