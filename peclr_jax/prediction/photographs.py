"""Hands in photos through a network, a batch at a time, in the order of the photos."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import crop
from peclr_jax.geometry.crop import Square
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import Sight, look_once
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos import search
from peclr_jax.photos.boxes import HANDEDNESS, Hand
from peclr_jax.photos.prepare import Prepared, Skipped, Subject


class Answer(NamedTuple):
    """What the network says of a hand.

    Attributes:
      keypoints: Pixels of the photo.
      joints: Camera metres.
      error: Expected, of each keypoint, pixels of the photo; None of networks that tell none.
    """

    keypoints: Float[np.ndarray, "21 2"]
    joints: Float[np.ndarray, "21 3"]
    error: Float[np.ndarray, "21"] | None


class Candidate(NamedTuple):
    """A hand that may be where it is looked for, and of the side that it is supposed to be of.

    Attributes:
      subject: Index of the photo's hand whose box it is looked for in; None where the hands without
        a box are searched, all at once.
    """

    subject: int | None
    hand: Hand
    sight: Sight


Found = tuple[Candidate, Answer]
Wanted = tuple[Prepared | Skipped, list[Candidate]]
Seen = tuple[Prepared | Skipped, list[Found]]


def rows_for(
    estimator: Estimator, hands: Iterable[Hand], search_in: search.Search, largest: int
) -> int:
    """Returns how many views the network should see at once.

    As many as these hands have in a first look, but a power of two, so that few programs are
    compiled for any number of hands.

    Args:
      estimator: The network.
      hands: All that are asked for.
      search_in: Where a hand without a box is looked for.
      largest: Most views.
    """
    views = sum(
        len(_sides(hand, estimator)) * (1 if hand.box or search_in == "center" else 16)
        for hand in hands
    )
    return min(1 << max(views - 1, 0).bit_length(), largest)


def predict_photos(
    estimator: Estimator,
    photos: Iterable[Prepared | Skipped],
    bone_length: float,
    *,
    passes: int,
    rows: int,
    hands: int = 1,
    worst: float = np.inf,
) -> Iterator[tuple[Prepared, list[Prediction]] | Skipped]:
    """Yields the hands of each photo, or why it has none.

    Args:
      estimator: The network.
      photos: Only as many as a batch needs are kept in memory.
      bone_length: Of the reference bone of all hands, metres.
      passes: How often to look at each hand.
      rows: Views that the network sees at once.
      hands: Most hands to find in a photo, beside those with boxes, where one without a box is
        listed; if more are, as many.
      worst: Largest expected error of a photo's second and later hands, over the side of their box;
        of those without a box.
    """
    wanted = ((photo, _first(photo, estimator)) for photo in photos)
    seen = _look(wanted, estimator, bone_length, rows)
    for number in range(1, passes):
        # Which answers are worth another look is clear after the first.
        most = hands if number == 1 else None
        seen = _look(_follow(seen, estimator, most), estimator, bone_length, rows)
    for photo, found in seen:
        yield (
            photo if isinstance(photo, Skipped) else _finish(photo, found, estimator, hands, worst)
        )


def look_at(
    estimator: Estimator, sights: Sequence[Sight], bone_length: float, rows: int
) -> list[Answer]:
    """Looks once at hands in photos.

    Args:
      estimator: The network.
      sights: At most `rows` hands.
      bone_length: Of the reference bone of all hands, metres.
      rows: Views that the network sees at once.
    """
    estimate = look_once(estimator, sights, rows)
    intrinsics = np.stack([sight.intrinsics for sight in sights])
    joints = estimate.lift(jnp.asarray(intrinsics, jnp.float32), bone_length)
    keypoints = np.asarray(estimate.pose)[..., :2]
    error = estimate.expected_error
    errors = [None] * len(sights) if error is None else np.asarray(error)
    return [Answer(*answer) for answer in zip(keypoints, np.asarray(joints), errors, strict=True)]


def _first(photo: Prepared | Skipped, estimator: Estimator) -> list[Candidate]:
    """Returns what to look at in a photo: all places where each hand may be, and both sides."""
    if isinstance(photo, Skipped):
        return []
    # Hands without a box may all be in the same places.
    wanted: dict[tuple[int | None, str], tuple[Subject, Hand]] = {}
    for number, subject in enumerate(photo.subjects):
        index = None if subject.hand.box is None else number
        for hand in _sides(subject.hand, estimator):
            wanted.setdefault((index, hand.handedness), (subject, hand))
    return [
        Candidate(
            index,
            hand,
            Sight(subject.window, square, photo.intrinsics, mirrored=side == "left"),
        )
        for (index, side), (subject, hand) in wanted.items()
        for square in _places(subject, estimator)
    ]


def _sides(hand: Hand, estimator: Estimator) -> list[Hand]:
    if hand.handedness != "auto":
        return [hand]
    sides = HANDEDNESS if estimator.tells_error else ("right",)
    return [_of_side(hand, side, estimator) for side in sides]


def _of_side(hand: Hand, side: str, estimator: Estimator) -> Hand:
    if hand.handedness == side:
        return hand
    told_by = "network" if estimator.tells_error else "guess"
    return hand._replace(handedness=side, handedness_from=told_by)


def _places(subject: Subject, estimator: Estimator) -> tuple[Square, ...]:
    return subject.squares if estimator.tells_error else subject.squares[:1]


def _look(
    wanted: Iterable[Wanted], estimator: Estimator, bone_length: float, rows: int
) -> Iterator[Seen]:
    """Looks once at the candidates of photos, in full batches, and yields what was found."""
    waiting: deque[Wanted] = deque()
    pending: list[Sight] = []
    answers: deque[Answer] = deque()
    for item in chain(wanted, [None]):
        if item is not None:
            waiting.append(item)
            pending += [candidate.sight for candidate in item[1]]
        # Photos without a hand are kept in memory, too.
        last = item is None or len(waiting) >= 2 * rows
        while len(pending) >= (1 if last else rows):
            answers += look_at(estimator, pending[:rows], bone_length, rows)
            del pending[:rows]
        while waiting and len(waiting[0][1]) <= len(answers):
            photo, candidates = waiting.popleft()
            yield photo, [(candidate, answers.popleft()) for candidate in candidates]


def _follow(seen: Iterable[Seen], estimator: Estimator, hands: int | None) -> Iterator[Wanted]:
    """Yields what to look at again, around what was found; all if no number of hands is given."""
    for photo, found in seen:
        kept = found
        if hands is not None and not isinstance(photo, Skipped):
            groups = _groups(found, lambda one: (one.subject, one.hand.handedness)).values()
            boxed = sum(subject.hand.box is not None for subject in photo.subjects)
            # Of a side; what turns out to have a box takes nobody's place.
            most = max(hands, len(photo.subjects) - boxed) + boxed + 1
            kept = [one for group in groups for one in _best(group, most)]
        yield photo, [_closer(candidate, answer, estimator) for candidate, answer in kept]


def _closer(candidate: Candidate, answer: Answer, estimator: Estimator) -> Candidate:
    square = estimator.looking.following(candidate.sight.square, answer.keypoints)
    return candidate._replace(sight=candidate.sight._replace(square=square))


def _finish(
    photo: Prepared, found: Sequence[Found], estimator: Estimator, hands: int, worst: float
) -> tuple[Prepared, list[Prediction]] | Skipped:
    groups = _groups(found, lambda candidate: candidate.subject)
    searched = groups.pop(None, [])
    kept = [(number, one) for number, group in groups.items() for one in _best(group, 1)]
    boxes = [crop.bounding_box(answer.keypoints) for _, (_, answer) in kept]
    kept += _searched(photo, searched, boxes, estimator, hands, worst)
    kept.sort(key=lambda one: one[0])
    if not all(np.isfinite(answer.joints).all() for _, (_, answer) in kept):
        return Skipped(photo.path, "the network's answer is not a finite number")
    return photo, [
        Prediction(
            candidate.hand,
            candidate.sight.square,
            answer.keypoints,
            answer.joints,
            answer.error if estimator.is_calibrated else None,
        )
        for _, (candidate, answer) in kept
    ]


def _searched(
    photo: Prepared,
    found: list[Found],
    boxes: Sequence[Float[np.ndarray, "4"]],
    estimator: Estimator,
    hands: int,
    worst: float,
) -> list[tuple[int, Found]]:
    """Returns what to keep of a search, the best first, each with its index in the photo's list."""
    if not found:
        return []
    numbers = [i for i, subject in enumerate(photo.subjects) if subject.hand.box is None]
    wanted = search.wanted_hands([photo.subjects[number].hand for number in numbers], hands)
    sides = [candidate.hand.handedness for candidate, _ in found]
    kept = []
    for index, place in search.assign(
        *_measured(found), sides, [hand.handedness for hand in wanted], given=boxes, worst=worst
    ):
        candidate, answer = found[index]
        hand = _of_side(wanted[place], candidate.hand.handedness, estimator)
        # Those that are not listed follow the last that is.
        number = numbers[min(place, len(numbers) - 1)]
        kept.append((number, (candidate._replace(hand=hand), answer)))
    return kept


def _groups(found: Iterable[Found], key: Callable[[Candidate], Any]) -> dict[Any, list[Found]]:
    groups: dict[Any, list[Found]] = {}
    for candidate, answer in found:
        groups.setdefault(key(candidate), []).append((candidate, answer))
    return groups


def _best(group: list[Found], most: int) -> list[Found]:
    """Returns what to keep of what may be the same hand or hands, the best first."""
    return [group[index] for index in search.best(*_measured(group), most=most)]


def _measured(
    found: Sequence[Found],
) -> tuple[Float[np.ndarray, "hands 21 2"], Float[np.ndarray, " hands"]]:
    """Returns keypoints and relative errors, all 0 of networks that tell none."""
    keypoints = np.stack([answer.keypoints for _, answer in found])
    none = np.zeros(keypoints.shape[1])
    errors = [none if answer.error is None else answer.error for _, answer in found]
    return keypoints, search.relative_errors(keypoints, np.stack(errors))
