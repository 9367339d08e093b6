"""Checks what labels mean: those of the right shape that no hand and no camera can have.

What is possible passes: a hand partly outside of the picture, a mirrored one, a crop's camera.
Every failure names the first entry of its kind, what was found and the remedy.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from peclr_jax.errors import UserError
from peclr_jax.geometry.camera import REFERENCE_BONE

Where = Callable[[int], str]
"""Names the file, the entry and the label of a number in an array."""

# Metres. The longest hands have some 25 cm; a newborn's has 6, and 2 as a fist.
_LARGEST_HAND, _SMALLEST_HAND = 0.5, 0.02
# An adult's bone has 3 to 6 cm. Detectors find ones of a millimetre, but nobody measures them.
_LONGEST_BONE, _SHORTEST_BONE, _SHORTEST_FOUND = 0.15, 0.002, 1e-4
_FARTHEST_HAND = 10.0
# Of labels that are given twice.
_BONE_TOLERANCE = 0.05
# From so many joints on a hand cannot be as small as a point.
_ALL_OF_A_HAND = 15
# A pinhole camera of less, in larger sides of the image, would see more than 150 degrees.
_SHORTEST_FOCAL = 0.1
_SHORTEST_FOCAL_PX = 10.0
# Share of the joints that must lie no farther outside than the picture is large.
_NEAR_SHARE = 0.1
# From so many hands on most of them lie in their pictures.
_SEVERAL = 4
# Labels and cameras have fractions: of so many joints none is at the origin by chance.
_AT_ORIGIN = 3
_METRES = "give metres"
_MARK = "mark unknown joints as such"
_MATRIX = "[[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels"

Sizes = Float[np.ndarray, "#entries 2"]


def check_intrinsics(
    matrices: Float[np.ndarray, "entries 3 3"], sizes: Sizes | None, where: Where, remedy: str
) -> None:
    """Refuses matrices that are not of a pinhole camera, in pixels of its image.

    Args:
      matrices: The cameras.
      sizes: Width and height of the images in pixels, None where unknown.
      where: Names an entry.
      remedy: What to do about a broken file.
    """
    last, focal = matrices[:, 2], matrices[:, [0, 1], [0, 1]]
    center, skew = matrices[:, :2, 2], matrices[:, 0, 1]

    def shown(entry: int) -> str:
        return str(matrices[entry].tolist())

    def refuse(bad: Bool[np.ndarray, " entries"], problem: str, hint: str = "") -> None:
        hint = hint or f"give {_MATRIX}"
        _refuse(bad, lambda i: f"{where(i)} is {shown(i)}, {problem}", f"{hint}, or {remedy}")

    refuse(~np.any(matrices, (1, 2)), "all zero")
    turned = np.any(last[:, :2], 1) & ~np.any(center, 1)
    refuse(turned, "a transposed camera matrix")
    refuse(np.all(np.isclose(last, [0, 0, -1]), 1), "a negated camera matrix")
    refuse(~np.all(np.isclose(last, [0, 0, 1]), 1), "whose last row is not 0, 0, 1")
    refuse(np.any(focal <= 0, 1), "with a focal length that is not positive")
    refuse(np.abs(matrices[:, 1, 0]) > 1e-3 * focal[:, 1], "whose second row does not begin with 0")
    shortest = _SHORTEST_FOCAL_PX if sizes is None else _SHORTEST_FOCAL * sizes.max(-1)
    of_size = "" if sizes is None else " for such an image"
    refuse(
        focal.min(1) < shortest,
        f"with a focal length too short{of_size}: it is normalised or not in pixels",
        "give pixels",
    )
    refuse(np.abs(skew) > 0.5 * focal[:, 0], "with a skew that no camera has")
    in_corner = (center >= 0) & (center <= 1)
    # A crop's principal point may lie anywhere, but not in the same row of pixels for all.
    normalised = np.all(in_corner, 1) | np.any(np.all(in_corner, 0))
    refuse(normalised, "with a normalised principal point", "give pixels")


def check_joints(
    joints: Float[np.ndarray, "entries joints 3"],
    valid: Bool[np.ndarray, "#entries joints"] | None,
    where: Where,
    remedy: str,
    axes: str = "x right, y down, z forward",
) -> None:
    """Refuses joints in camera space that are no hand in metres before the camera.

    Args:
      joints: Metres, x right, y down, z forward.
      valid: Which are known, None for all.
      where: Names an entry.
      remedy: What to do about a broken file.
      axes: Those of the file.
    """
    known = _known(joints, valid)
    depth = np.where(known, joints[..., 2], np.inf)
    behind = (depth <= 0).argmax(1)
    _refuse(
        depth.min(1) <= 0,
        lambda i: (
            f"{where(i)}: joint {behind[i]} lies behind the camera "
            f"(z = {depth[i, behind[i]]} m, z being forward)"
        ),
        f"give metres, {axes}, or {remedy}",
    )
    check_hands(joints, valid, where, remedy)
    _refuse(
        (depth.min(1) > _FARTHEST_HAND) & known.any(1),
        lambda i: f"{where(i)}: the hand lies {depth[i].min():.4g} m from the camera",
        f"{_METRES}, or {remedy}",
    )


def check_hands(
    joints: Float[np.ndarray, "entries joints 3"],
    valid: Bool[np.ndarray, "#entries joints"] | None,
    where: Where,
    remedy: str,
    mark: str = _MARK,
) -> None:
    """Refuses joints, from any origin, that are not as far from each other as those of a hand.

    Args:
      joints: Metres.
      valid: Which are known, None for all.
      where: Names an entry.
      remedy: What to do about a broken file.
      mark: What to do about joints that are not known.
    """
    known = _known(joints, valid)
    size, count = np.linalg.norm(_extent(joints, known), axis=-1), known.sum(1)
    _refuse(
        size > _LARGEST_HAND,
        lambda i: f"{where(i)}: the hand is {size[i]:.4g} m large, no hand more than 0.3",
        f"{_METRES}, or {remedy}",
    )
    _refuse_unknown(joints, known, where, f"{mark}, or {remedy}")
    _refuse(
        (size < _SMALLEST_HAND) & (count >= _ALL_OF_A_HAND),
        lambda i: f"{where(i)}: the hand is {size[i]:.4g} m large, no hand less than 0.02",
        f"{_METRES}, or {remedy}",
    )
    first, second = REFERENCE_BONE
    if joints.shape[1] > max(REFERENCE_BONE):
        bone = np.linalg.norm(joints[:, first] - joints[:, second], axis=-1)
        _refuse(
            known[:, first]
            & known[:, second]
            & ((bone < _SHORTEST_FOUND) | (bone > _LONGEST_BONE)),
            lambda i: f"{where(i)}: joints {first} and {second} lie {bone[i]:.4g} m apart",
            f"{_METRES}, or {remedy}",
        )


def check_bone_lengths(
    lengths: Float[np.ndarray, " entries"],
    joints: Float[np.ndarray, "entries 21 3"] | None,
    where: Where,
    remedy: str,
) -> None:
    """Refuses lengths of the reference bone that it cannot have, or has not.

    Args:
      lengths: Metres.
      joints: Metres, None where unknown.
      where: Names an entry.
      remedy: What to do about a broken file.
    """
    _refuse(
        ~_is_bone(lengths),
        lambda i: f"{where(i)} is {lengths[i]:.4g} m, no length of a finger's bone",
        f"give the distance of joints 9 and 10 in metres, or {remedy}",
    )
    if joints is not None:
        first, second = REFERENCE_BONE
        bone = np.linalg.norm(joints[:, first] - joints[:, second], axis=-1)
        _refuse(
            np.abs(lengths - bone) > _BONE_TOLERANCE * bone,
            lambda i: (
                f"{where(i)} is {lengths[i]:.4g} m, but joints {first} and {second} lie "
                f"{bone[i]:.4g} m apart"
            ),
            f"give their distance, or {remedy}",
        )


def check_pixels(
    points: Float[np.ndarray, "entries joints 2"],
    valid: Bool[np.ndarray, "#entries joints"] | None,
    sizes: Sizes,
    where: Where,
    remedy: str,
    mark: str = _MARK,
) -> None:
    """Refuses joints that are not in pixels of their picture, or mostly not, in most pictures.

    Args:
      points: Pixels (x, y).
      valid: Which are known, None for all.
      sizes: Width and height of the pictures in pixels.
      where: Names an entry.
      remedy: What to do about a broken file.
      mark: What to do about joints that are not known.
    """
    known = _known(points, valid)
    _refuse_unknown(points, known, where, f"{mark}, or {remedy}")
    count = known.sum(1)
    low = np.where(known[..., None], points, np.inf).min((1, 2), initial=np.inf)
    high = np.where(known[..., None], points, -np.inf).max((1, 2), initial=-np.inf)
    _refuse(
        (count > 1) & (low >= -1) & (high <= 1),
        lambda i: f"{where(i)}: all joints lie between {low[i]:.3g} and {high[i]:.3g} px",
        f"give pixels instead of fractions of the picture, or {remedy}",
    )
    sizes = np.broadcast_to(sizes, (len(points), 2))
    outside = np.maximum(-points, points - sizes[:, None] + 1)
    near = ((outside <= sizes[:, None]).all(-1) & known).sum(1)
    is_outside = (outside > 0.5).any(-1) & known
    inside = count - is_outside.sum(1)
    far = near < _NEAR_SHARE * count
    # A hand may lie just outside, or half, but not that of nearly every picture.
    for hidden, several in ((inside == 0, 2), (2 * inside < count, _SEVERAL)):
        hidden &= count > 0
        far |= hidden & (2 * hidden.sum() > (count > 0).sum()) & (hidden.sum() >= several)

    def tell(entry: int) -> str:
        joint = int(is_outside[entry].argmax())
        share = "nearly all" if inside[entry] <= _NEAR_SHARE * count[entry] else "most"
        x, y = points[entry, joint]
        width, height = sizes[entry].astype(int)
        return (
            f"{where(entry)}: {share} joints lie outside of the picture of {width}x{height} px, "
            f"such as joint {joint} at ({x:.4g}, {y:.4g})"
        )

    _refuse(far, tell, f"check the labels and the camera against the pictures, or {remedy}")


def _known(
    points: Float[np.ndarray, "entries joints axes"],
    valid: Bool[np.ndarray, "#entries joints"] | None,
) -> Bool[np.ndarray, "entries joints"]:
    return np.broadcast_to(True if valid is None else valid, points.shape[:2])


def _extent(
    points: Float[np.ndarray, "entries joints axes"], known: Bool[np.ndarray, "entries joints"]
) -> Float[np.ndarray, "entries axes"]:
    """Returns the sides of the box around the known points, zero without any."""
    low = np.where(known[..., None], points, np.inf).min(1)
    high = np.where(known[..., None], points, -np.inf).max(1)
    return np.where(np.any(known, 1)[:, None], high - low, 0)


def _refuse_unknown(
    points: Float[np.ndarray, "entries joints axes"],
    known: Bool[np.ndarray, "entries joints"],
    where: Where,
    remedy: str,
) -> None:
    """Refuses joints that are one point, or zero, as COCO and others write unknown ones."""
    count = known.sum(1)
    # Of COCO's zeros half a pixel is subtracted.
    zero = known & ((points == 0) | (points == -0.5)).all(-1)
    _refuse(
        (_extent(points, known).max(-1) == 0) & (count > 2),
        lambda i: f"{where(i)}: all {count[i]} joints are the same point",
        remedy,
    )
    _refuse(
        zero.sum(1) >= _AT_ORIGIN,
        lambda i: (
            f"{where(i)}: joints {', '.join(map(str, np.flatnonzero(zero[i])))} all lie at "
            f"{points[i][zero[i]][0].tolist()}, where other formats have unknown ones"
        ),
        remedy,
    )


def _is_bone(lengths: Float[np.ndarray, " entries"]) -> Bool[np.ndarray, " entries"]:
    return (lengths >= _SHORTEST_BONE) & (lengths <= _LONGEST_BONE)


def _refuse(bad: Bool[np.ndarray, " entries"], tell: Where, remedy: str) -> None:
    found = np.flatnonzero(bad)
    if found.size:
        others = len(found) - 1
        more = f" (and {others:,} other {'entry' if others == 1 else 'entries'})" if others else ""
        raise UserError(f"{tell(int(found[0]))}{more}: {remedy}")
