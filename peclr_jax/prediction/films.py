"""Hands of a film: searched once, then followed from frame to frame."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from peclr_jax.errors import UserError
from peclr_jax.geometry import crop
from peclr_jax.geometry.crop import Square
from peclr_jax.hands import smoothing
from peclr_jax.hands.smoothing import OneEuro, Smoothed
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import Sight
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos import prepare, search
from peclr_jax.photos.boxes import Hand, Request
from peclr_jax.photos.crop import Window
from peclr_jax.photos.film import Film, Frame
from peclr_jax.photos.prepare import Options, Prepared, Skipped
from peclr_jax.photos.read import Photo, UnreadableImageError
from peclr_jax.prediction.photographs import look_at, predict_photos

# A search costs as much as many frames: how many pass before a lost hand is searched again, and
# before another one is, where fewer are found than may be there.
_LOST, _MORE = 10, 60
# Largest error of a hand that is followed, over that of one to begin with: what was a hand a frame
# ago is more likely to be one, and hands that move are blurred.
_FOLLOWED = 2
# Sides of the square around a hand, over the frame's longer side: beyond them it is none any more.
_SMALLEST, _LARGEST = 0.01, 2.0
# Mean distance of the keypoints of two tracks, over a hand's side, below which they follow one.
_ONE_HAND = 0.2

Hands = Mapping[int, Prediction]
"""The hands of a frame, by numbers that they keep throughout the film."""


class Tracker(NamedTuple):
    """What hands of a film are found and followed with.

    Attributes:
      request: The hands and the camera of the first frame.
      bone_length: Of the reference bone of all hands, metres.
      passes, rows: As of photos, in a search; a hand that is followed is looked at once a frame.
      most: Largest number of hands, unless more are listed.
      largest_error: Expected error over the side of the hand's box, beyond which another hand is
        not begun with; one that is followed is lost beyond twice that.
    """

    estimator: Estimator
    request: Request
    options: Options
    bone_length: float
    passes: int
    rows: int
    most: int
    largest_error: float

    @property
    def is_lost_at(self) -> float:
        """Relative error beyond which a hand that is followed is lost."""
        return _FOLLOWED * self.largest_error


def follow_hands(
    tracker: Tracker, film: Film, frames: Iterable[Frame]
) -> Iterator[tuple[Frame, Prepared, Hands]]:
    """Yields each frame, its camera with the picture as preview, and its hands.

    Args:
      tracker: The network, and what is known.
      film: Where the frames are from.
      frames: The frames, of which one at a time is in memory.

    Yields:
      Also the boxes that are left out, with the first frame.
    """
    hands: dict[int, Prediction] = {}
    again, wanted = Request(()), list[Hand]()
    numbers, searched, camera = itertools.count(), 0, None
    for frame in frames:
        image = Image.fromarray(frame.image)
        if camera is None:
            given = _reduced(film, image, tracker.request, tracker)
            camera = given._replace(subjects=[])
            again = Request(tuple(subject.hand._replace(box=None) for subject in given.subjects))
            wanted = search.wanted_hands(again.hands, tracker.most)
            hands = {next(numbers): hand for hand in _searched(given, tracker, len(wanted))}
        else:
            hands = _followed(hands, image, camera, tracker, len(wanted)) if hands else {}
            hands = _distinct(hands, image)
            waited = frame.number - searched
            errors = [_error(hand, image) for hand in hands.values()]
            lost = not hands or max(errors) > tracker.is_lost_at or np.isinf(errors).any()
            is_due = waited >= _LOST if lost else (waited >= _MORE and len(hands) < len(wanted))
            if is_due and wanted:
                searched = frame.number
                found = _searched(_reduced(film, image, again, tracker), tracker, len(wanted))
                hands = _merged(hands, found, image, tracker, wanted, numbers)
        yield frame, camera._replace(preview=image), hands
        camera = camera._replace(left_out=())


def smooth(
    followed: Iterable[tuple[Frame, Prepared, Hands]], settings: OneEuro
) -> Iterator[tuple[Frame, Prepared, Hands]]:
    """Sends keypoints and joints of each hand through a one-euro filter, by the frames' times.

    Args:
      followed: Frames with their hands.
      settings: Of the filter, whose unit of length is the side of the hand's box.
    """
    states: dict[int, tuple[Smoothed, Smoothed]] = {}
    for frame, photo, hands in followed:
        last, states = states, {}
        for number, hand in hands.items():
            arrays = hand.keypoints_2d, hand.keypoints_3d
            before = last.get(number, (None, None))
            in_image, in_space = (
                smoothing.follow(settings, state, frame.time, array, _side(array))
                for state, array in zip(before, arrays, strict=True)
            )
            states[number] = in_image, in_space
        yield (
            frame,
            photo,
            {
                number: hand._replace(
                    keypoints_2d=states[number][0].value, keypoints_3d=states[number][1].value
                )
                for number, hand in hands.items()
            },
        )


def _side(points: Float[np.ndarray, "21 dims"]) -> float:
    return max(float(np.ptp(points, axis=0).max()), 1e-6)


def _reduced(film: Film, image: Image.Image, request: Request, tracker: Tracker) -> Prepared:
    photo = Photo(*image.size, Window(image, -0.5, -0.5, (1.0, 1.0)), None)
    again = request._replace(focal_px=tracker.request.focal_px)
    try:
        return prepare.reduce(film.path, photo, again, tracker.options)
    except UnreadableImageError as error:
        raise UserError(f"{film.path}: {error}") from error


def _searched(photo: Prepared, tracker: Tracker, most: int) -> list[Prediction]:
    boxed = sum(subject.hand.box is not None for subject in photo.subjects)
    (result,) = predict_photos(
        tracker.estimator,
        [photo],
        tracker.bone_length,
        passes=tracker.passes,
        rows=tracker.rows,
        hands=most - boxed,
        worst=tracker.largest_error,
    )
    return [] if isinstance(result, Skipped) else result[1]


def _followed(
    hands: Hands, image: Image.Image, camera: Prepared, tracker: Tracker, rows: int
) -> dict[int, Prediction]:
    """Looks at each hand once, around where it was in the frame before."""
    estimator, window = tracker.estimator, Window(image, -0.5, -0.5, (1.0, 1.0))
    sights = [
        Sight(
            window,
            _bounded(estimator.looking.following(hand.square, hand.keypoints_2d), image),
            camera.intrinsics,
            mirrored=hand.hand.handedness == "left",
        )
        for hand in hands.values()
    ]
    answers = look_at(estimator, sights, tracker.bone_length, rows)
    return {
        number: Prediction(
            hand.hand._replace(box=None),
            sight.square,
            answer.keypoints,
            answer.joints,
            answer.error if estimator.is_calibrated else None,
        )
        for (number, hand), sight, answer in zip(hands.items(), sights, answers, strict=True)
        if np.isfinite(answer.joints).all()
    }


def _distinct(hands: Hands, image: Image.Image) -> dict[int, Prediction]:
    """Returns hands without those that have come to lie on another one, which the network follows.

    Boxes do not tell: hands that cross share them for a while.
    """
    kept: dict[int, Prediction] = {}
    for number in sorted(hands, key=lambda number: _error(hands[number], image)):
        points = hands[number].keypoints_2d
        near = _ONE_HAND * _side(points)
        if all(_distance(points, other.keypoints_2d) > near for other in kept.values()):
            kept[number] = hands[number]
    return {number: hand for number, hand in hands.items() if number in kept}


def _distance(one: Float[np.ndarray, "21 2"], other: Float[np.ndarray, "21 2"]) -> float:
    return float(np.linalg.norm(one - other, axis=-1).mean())


def _bounded(square: Square, image: Image.Image) -> Square:
    """Returns a square that is neither a speck nor far larger than the frame."""
    return square._replace(side=np.clip(square.side, *_bounds(image)))


def _bounds(image: Image.Image) -> tuple[float, float]:
    longer = max(image.size)
    return _SMALLEST * longer, _LARGEST * longer


def _error(hand: Prediction, image: Image.Image) -> float:
    """Returns the expected error over the side of the hand's box.

    Infinite outside of the frame, and where the square around the hand has come to its bounds, as
    step by step it does where a network says the same of all that it sees.
    """
    smallest, largest = _bounds(image)
    if not smallest < hand.square.side < largest:
        return float("inf")
    x0, y0, x1, y1 = crop.bounding_box(hand.keypoints_2d)
    if not (0 <= (x0 + x1) / 2 < image.width and 0 <= (y0 + y1) / 2 < image.height):
        return float("inf")
    if hand.expected_error is None:
        return 0.0
    return float(search.relative_errors(hand.keypoints_2d[None], hand.expected_error[None])[0])


def _merged(
    hands: Hands,
    found: list[Prediction],
    image: Image.Image,
    tracker: Tracker,
    wanted: Sequence[Hand],
    numbers: Iterator[int],
) -> dict[int, Prediction]:
    """Returns the best of what was followed and of what was found; who is the same keeps a number.

    Two are the same if they are of the same side and `search.assign` would not keep both.
    """
    # A search gives one hand at any error, which is no other hand where one is followed.
    if any(_error(hand, image) <= tracker.is_lost_at for hand in hands.values()):
        found = [one for one in found if _error(one, image) <= tracker.largest_error]
    everything = [*hands.items(), *((None, one) for one in found)]
    if not everything:
        return {}
    keypoints = np.stack([one.keypoints_2d for _, one in everything])
    errors = np.array([_error(one, image) for _, one in everything])
    assigned = search.assign(
        keypoints,
        errors,
        [one.hand.handedness for _, one in everything],
        [hand.handedness for hand in wanted],
        worst=tracker.is_lost_at,
    )
    kept = [index for index, _ in assigned]
    free = dict(hands)
    for number in (everything[index][0] for index in kept):
        if number is not None:
            del free[number]
    merged = {}
    for number, one in (everything[index] for index in kept):
        if number is None:
            same = (n for n, other in free.items() if _are_same(one, other))
            number = next(same, None)
            number = next(numbers) if number is None else number
            free.pop(number, None)
        merged[number] = one
    return merged


def _are_same(one: Prediction, other: Prediction) -> bool:
    if one.hand.handedness != other.hand.handedness:
        return False
    return not search.differ(*(crop.bounding_box(hand.keypoints_2d) for hand in (one, other)))
