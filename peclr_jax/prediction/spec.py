"""What a prediction is asked for, and what is told of it beside the numbers."""

import dataclasses
import math
from typing import Annotated, Any, Literal, NamedTuple

from peclr_jax.errors import UserError
from peclr_jax.hands.skeleton import BONES, JOINT_NAMES
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.spec import TorchFileSpec
from peclr_jax.photos.prepare import Options
from peclr_jax.photos.search import Search
from peclr_jax.places import Place
from peclr_jax.prediction.formats import read_formats
from peclr_jax.specs import Between, NonNegativeFloat, PositiveFloat, Spec
from peclr_jax.weights import RELEASED

_CONFIDENCE = (
    "The expected error (expected_error_px) is the mean distance of a 2D keypoint from the truth "
    "over held-out images on which the network was as sure. It was calibrated on hands: where "
    "there is none, the network puts one all the same, as a rule with a large expected error."
)
_SIDE_UNKNOWN = (
    "Nothing told whether hands are right or left, and this network cannot tell: where "
    "handedness_from is guess, a right hand is supposed (--config.handedness=left for left ones)."
)
_SIDE_FOUND = (
    "Where handedness_from is network, the hand was looked at as a right and as a left one, and "
    "the answer with the smaller expected error is kept, which is sometimes the wrong one."
)
_NO_CONFIDENCE = (
    "There is no confidence: the network estimates none, or was not calibrated, and it puts a hand "
    "wherever it is told to look, also where there is none."
)

BoneLength = Annotated[float, Between(0, 1)]
"""Metres; a length in millimetres or centimetres is beyond."""
PictureSide = Annotated[int, Between(1, 16384)]


@dataclasses.dataclass(frozen=True)
class PredictSpec(Spec):
    """Prediction on photos or on a film.

    Attributes:
      checkpoint: "released", the network in the package; else a fine-tuning run's folder, that of
        one of its steps, or a file of configs/release.py.
      init: A network of PyTorch's in its place.
      images: A file, a folder with all in it, or a glob in quotes; JPEG, PNG, WebP, AVIF, HEIC,
        TIFF, BMP, GIF. Or one film: MP4, MOV, MKV, WebM, AVI.
      boxes: Where the hands are, and of which side: a JSON file of ours (photos/boxes.py) or of
        COCO, or a folder of YOLO's text files; "" to search each photo. Those of a film are of its
        first frame.
      handedness: Of hands of which the boxes file says nothing. Networks know right hands, as
        the official ones; crops and answers of left ones are mirrored. "auto": both ways are looked
        at, and that with the smaller expected error is kept; "right" for networks that tell none.
      hands: Most hands to find in a photo that is searched, beside those with boxes; more if the
        boxes file lists more without one.
      search: Where: "center", the middle alone; "windows", also in overlapping squares of 1 and 1/2
        of the photo's shorter side; "auto", these in photos beyond an aspect of 1.3 and for several
        hands. Networks that tell no expected error look at the middle alone.
      largest_error: Of the second and later hands that a search may keep: mean expected error over
        the larger side of the keypoints' box; of calibrated networks. Most hands are below 0.08,
        and most of what is none above. A film's hand is lost at twice that.
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
      formats: Of the output, with commas between: json, csv, npz, coco (COCO keypoints).
      smooth: Of films, whether keypoints and joints go through a one-euro filter.
      min_cutoff, beta: Of that filter: cutoff at rest, Hz (lower is smoother), and by how much it
        rises with the speed, Hz per side of the hand's box a second (higher lags less).
      overlay_side, thumbnail_side: Of photos: longer side of the overlays and of the page's images,
        pixels. A film is drawn on in its own size.
    """

    task: Literal["predict"] = "predict"
    checkpoint: Place = RELEASED
    init: TorchFileSpec = TorchFileSpec()
    images: Place = ""
    boxes: Place = ""
    handedness: Literal["auto", "right", "left"] = "auto"
    hands: Annotated[int, Between(1, 1000)] = 1
    search: Search = "auto"
    largest_error: PositiveFloat = 0.08
    central_box: Annotated[float, Between(0, 2, above=True)] = 0.67
    passes: Annotated[int, Between(1, 100)] = 2
    focal_px: Annotated[float, Between(0, 1e6)] = 0.0
    field_of_view_deg: Annotated[float, Between(1, 170)] = 40.0
    bone_length_m: BoneLength = 0.0
    batch_size: Annotated[int, Between(1, 65536)] = 16
    decode_threads: Annotated[int, Between(1, 1024)] = 2
    formats: str = "json"
    smooth: bool = False
    min_cutoff: PositiveFloat = 1.5
    beta: NonNegativeFloat = 10.0
    overlay_side: PictureSide = 1280
    thumbnail_side: PictureSide = 480

    def __post_init__(self) -> None:
        super().__post_init__()
        read_formats(self.formats)


class Summary(NamedTuple):
    """What a prediction has done.

    Attributes:
      images, hands: How many images or frames, and hands in them.
      skipped: Images that could not be used, or faults of a film.
      seconds: Of the prediction.
      boxes_left_out: Boxes outside of their images.
      is_of_film: Whether the images are a film's frames.
    """

    images: int
    hands: int
    skipped: int
    seconds: float
    boxes_left_out: int = 0
    is_of_film: bool = False


def bone_length_of(spec: PredictSpec, estimator: Estimator) -> float:
    """Returns the length of the reference bone of all hands, metres.

    Raises:
      UserError: Neither the spec nor the network tells it.
    """
    if bone_length := spec.bone_length_m or estimator.statistics.bone_length:
        return bone_length
    raise UserError(
        "the network does not tell the size of the hands that it was trained on: give it by "
        "--config.bone_length_m=0.032 (length of the middle finger's proximal bone)"
    )


def options_of(spec: PredictSpec, estimator: Estimator) -> Options:
    """Returns how photos are prepared for a network."""
    return Options(
        estimator.view_size,
        dataclasses.replace(estimator.looking, central_box=spec.central_box),
        spec.overlay_side,
        spec.focal_px,
        spec.field_of_view_deg,
        where_to_search(spec, estimator),
    )


def largest_error_of(spec: PredictSpec, estimator: Estimator) -> float:
    """Returns the largest relative error of more hands to find: any of networks not calibrated."""
    return spec.largest_error if estimator.is_calibrated else math.inf


def where_to_search(spec: PredictSpec, estimator: Estimator) -> Search:
    """Returns where hands without a box are searched; "auto" is left to the photos' shape."""
    if not estimator.tells_error:
        return "center"
    return "windows" if spec.search == "auto" and spec.hands > 1 else spec.search


def describe(spec: PredictSpec, estimator: Estimator, bone_length: float) -> dict[str, Any]:
    """Returns the head of `predictions.json`: what was asked, and what the reader must know.

    Args:
      spec: Of the prediction.
      estimator: The network.
      bone_length: Of the reference bone, metres.
    """
    given, auto = spec.bone_length_m > 0, spec.handedness == "auto"
    size = "the given bone length" if given else "the mean bone length of the training hands"
    return {
        "format": 1,
        "checkpoint": spec.init.torch_checkpoint or spec.checkpoint,
        "view_size": estimator.view_size,
        "passes": spec.passes,
        "formats": read_formats(spec.formats),
        "search": where_to_search(spec, estimator),
        "bone_length_m": round(bone_length, 6),
        "bone_length_from": "config" if given else "mean of the training labels",
        "joints": JOINT_NAMES,
        "bones": BONES,
        "notes": [
            "Metric only up to the hand's size, which an image cannot show: the unit of length is "
            f"the bone from middle_mcp to middle_pip, taken for {1000 * bone_length:.1f} mm "
            f"({size}). All of a hand's 3D coordinates scale with it. A hand that is estimated too "
            "far away comes out too large, one too near too small: its own bone may have half or "
            "twice that length where the camera is not known.",
            "Where the camera is not known (focal_from: guess), its field of view along the "
            f"image's longer side is taken to be {spec.field_of_view_deg:g} degrees; the "
            "distance to the camera scales with the focal length.",
            _CONFIDENCE if estimator.is_calibrated else _NO_CONFIDENCE,
            *([_SIDE_FOUND if estimator.tells_error else _SIDE_UNKNOWN] if auto else []),
        ],
        "units": {
            "keypoints_2d": "pixels of the upright image (after its EXIF orientation), (x, y), "
            "origin at the centre of the top-left pixel",
            "keypoints_3d": "metres, x right, y down, z forward from the camera",
            "expected_error_px": "pixels in the same image, of each 2D keypoint; null: not known",
            "box": "as given, x0, y0, x1, y1 in the same pixels; null: none was given",
            "crop": "what the network saw last, x0, y0, x1, y1",
        },
    }
