"""Hands in photos through a network, a batch at a time, in the order of the photos."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import jax.numpy as jnp
import numpy as np

from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import Sight, look
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos.prepare import Prepared, Skipped, Subject


def predict_photos(
    estimator: Estimator,
    photos: Iterable[Prepared | Skipped],
    bone_length: float,
    *,
    passes: int,
    rows: int,
) -> Iterator[tuple[Prepared, list[Prediction]] | Skipped]:
    """Yields the hands of each photo, or why it has none.

    Args:
      estimator: The network.
      photos: Only as many as a batch needs are kept in memory.
      bone_length: Of the reference bone of all hands, metres.
      passes: How often to look at each hand.
      rows: Hands that the network sees at once.
    """
    waiting: deque[Prepared | Skipped] = deque()
    pending: list[tuple[Prepared, Subject]] = []
    found: deque[Prediction] = deque()
    for photo in chain(photos, [None]):
        if photo is not None:
            waiting.append(photo)
        if isinstance(photo, Prepared):
            pending += [(photo, subject) for subject in photo.subjects]
        # Photos without a hand are kept in memory, too.
        last = photo is None or len(waiting) >= 2 * rows
        while len(pending) >= (1 if last else rows):
            found += _predict(estimator, pending[:rows], bone_length, passes, rows)
            del pending[:rows]
        while waiting and _count(waiting[0]) <= len(found):
            first = waiting.popleft()
            hands = [found.popleft() for _ in range(_count(first))]
            if isinstance(first, Skipped):
                yield first
            elif all(np.isfinite(hand.keypoints_3d).all() for hand in hands):
                yield first, hands
            else:
                yield Skipped(first.path, "the network's answer is not a finite number")


def _count(photo: Prepared | Skipped) -> int:
    return len(photo.subjects) if isinstance(photo, Prepared) else 0


def _predict(
    estimator: Estimator,
    subjects: Sequence[tuple[Prepared, Subject]],
    bone_length: float,
    passes: int,
    rows: int,
) -> list[Prediction]:
    sights = [
        Sight(s.window, s.square, photo.intrinsics, mirrored=s.hand.handedness == "left")
        for photo, s in subjects
    ]
    estimate, squares = look(estimator, sights, passes=passes, rows=rows)
    intrinsics = np.stack([sight.intrinsics for sight in sights])
    joints = estimate.lift(jnp.asarray(intrinsics, jnp.float32), bone_length)
    known = estimator.is_calibrated and estimate.expected_error is not None
    errors = np.asarray(estimate.expected_error) if known else [None] * len(sights)
    found = zip(subjects, squares, *map(np.asarray, (estimate.pose, joints)), errors, strict=True)
    return [
        Prediction(s.hand, square, pose[:, :2], hand, error)
        for (_, s), square, pose, hand, error in found
    ]
