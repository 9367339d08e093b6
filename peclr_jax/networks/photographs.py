"""Hands in photos through a network, a batch at a time, in the order of the photos."""

from collections.abc import Iterable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from peclr_jax.geometry import camera
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.looking import Looked, Sight, look
from peclr_jax.pages.gallery import Prediction
from peclr_jax.photos.prepare import Prepared, Skipped


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
    for group in _groups(photos, rows):
        yield from _predict_group(estimator, group, bone_length, passes, rows)


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
    rows: int,
) -> Iterator[tuple[Prepared, list[Prediction]] | Skipped]:
    subjects = [
        (photo, subject)
        for photo in photos
        if isinstance(photo, Prepared)
        for subject in photo.subjects
    ]
    predictions: list[Prediction] = []
    for start in range(0, len(subjects), rows):
        group = subjects[start : start + rows]
        sights = [
            Sight(
                subject.window,
                subject.square,
                photo.intrinsics,
                mirrored=subject.hand.handedness == "left",
            )
            for photo, subject in group
        ]
        looked = look(estimator, sights, passes=passes, rows=rows)
        joints = _lift(looked, sights, bone_length)
        predictions += [
            Prediction(subject.hand, square, pose[:, :2], hand)
            for (_, subject), square, pose, hand in zip(
                group, looked.squares, looked.pose, joints, strict=True
            )
        ]
    waiting = iter(predictions)
    for photo in photos:
        if isinstance(photo, Skipped):
            yield photo
            continue
        of_photo = [next(waiting) for _ in photo.subjects]
        if all(np.isfinite(prediction.keypoints_3d).all() for prediction in of_photo):
            yield photo, of_photo
        else:
            yield Skipped(photo.path, "the network's answer is not a finite number")


def _lift(
    looked: Looked, sights: Sequence[Sight], bone_length: float
) -> Float[np.ndarray, "hands 21 3"]:
    """Returns the joints in the cameras' space, metres."""
    intrinsics = np.stack([sight.intrinsics for sight in sights])
    joints = camera.from_25d(
        jnp.asarray(looked.pose, jnp.float32),
        jnp.asarray(intrinsics, jnp.float32),
        bone_length,
        z_root=jnp.asarray(looked.root_depth),
    )
    return np.asarray(joints)
