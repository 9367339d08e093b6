"""Albedo of skin: palms, pads, nails, creases and wrinkles, from coordinates local to each bone.

Every surface point belongs to the part (bone or palm) that shaped it most; nothing is searched.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from peclr_jax.synthetic import body
from peclr_jax.synthetic.appearance import Appearance
from peclr_jax.synthetic.distance import Field, Points
from peclr_jax.synthetic.scene import Parts

Color = tuple[Field, ...]

# Half the width of the nail of every part's digit, millimetres; the palm has none.
_NAIL_WIDTH = np.append(np.repeat([7.4, 5.5, 5.7, 5.4, 4.6], 3), 1.0).astype(np.float32)


class Local(NamedTuple):
    """Coordinates of surface points in the frame of their part.

    Attributes:
      side, along, palmar: Across the part, along it from its beginning, toward the palm; mm.
      length, nail_width: Length of the part, and half the width of its digit's nail, mm.
      palm, distal: 1 where the part is the palm or wrist; 1 where it is the last bone of a digit.
      facing: Cosine between the surface's normal and the palmar direction.
    """

    side: Field
    along: Field
    palmar: Field
    length: Field
    palm: Field
    distal: Field
    nail_width: Field
    facing: Field


class Skin(NamedTuple):
    """Albedo of skin, linear RGB, and the strength of its highlight relative to bare skin."""

    albedo: Color
    gloss: Field


def localize(
    parts: Parts, weights: Float[Array, "cones rays scenes"], points: Points, normal: Points
) -> Local:
    """Finds every point's part and its coordinates there.

    Args:
      parts: Frames of the parts.
      weights: How much every cone shapes the surface at the points.
      points: Surface points, camera frame.
      normal: Unit normals there.
    """
    # The thumb's metacarpal lies in the palm; its flesh is the thenar.
    palm_weight = add_up(weights[body.DIGIT_BONES.stop :])
    share = jnp.concatenate([weights[body.DIGIT_BONES], palm_weight[None]])
    strongest = jnp.max(share, axis=0)
    nail_width = jnp.broadcast_to(_NAIL_WIDTH[:, None], parts.length.shape)
    part = np.arange(16)
    flags = np.stack([part == 15, (part % 3 == 2) & (part < 15)]).astype(np.float32)
    kinds = jnp.broadcast_to(flags[..., None], (2, *parts.length.shape))
    # One table, so that picking a part's properties is one operation a part.
    table = jnp.concatenate(
        [parts.origin, *parts.axes, parts.length[None], nail_width[None], kinds]
    )

    def add_part(state: tuple[Array, ...], part: tuple[Array, ...]) -> tuple[tuple, None]:
        picked, toward_palm, chosen = state
        share, fields, palmar = part
        # The first of equals, so that exactly one is picked; a margin, because the compiler may
        # round a share differently each time it computes it.
        here = jnp.where(share >= 0.9999 * strongest, 1 - chosen, 0.0)
        # Blended, not picked: the palmar side turns smoothly from bone to bone.
        toward_palm = toward_palm + palmar[:, None] * share
        return (picked + fields[:, None] * here, toward_palm, chosen + here), None

    nothing = jnp.zeros((len(table) + 4, *strongest.shape))
    start = nothing[: len(table)], nothing[-4:-1], nothing[-1]
    by_part = share, jnp.moveaxis(table, 1, 0), jnp.moveaxis(parts.axes[2], 1, 0)
    (picked, toward_palm, _), _ = jax.lax.scan(add_part, start, by_part)
    origin, axes, rest = picked[:3], picked[3:12].reshape(3, 3, *strongest.shape), picked[12:]
    offset = [p - o for p, o in zip(points, origin, strict=True)]
    side, along, palmar = (dot(offset, axis) for axis in axes)
    facing = dot(toward_palm, normal) * jax.lax.rsqrt(dot(toward_palm, toward_palm) + 1e-6)
    length, nail_width, palm, distal = rest
    return Local(side, along, palmar, length, palm, distal, nail_width, facing)


def add_up(terms: Float[Array, "terms *shape"] | list[Array]) -> Array:
    """Adds up fields as one fused operation; `jnp.sum` over a leading axis would not vectorise."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def dot(a: Iterable[Array], b: Iterable[Array]) -> Array:
    """Returns the dot product of two vectors given by their coordinates."""
    return add_up([x * y for x, y in zip(a, b, strict=True)])


def shade_skin(local: Local, mottle: Color, appearance: Appearance, pixel: Field) -> Skin:
    """Computes albedo and gloss of skin.

    Args:
      local: Coordinates of the points.
      mottle: Three fields of smooth noise.
      appearance: The scenes' materials.
      pixel: Size of a pixel at the points, millimetres: finer lines fade.
    """
    palmar = jax.nn.sigmoid(5.0 * local.facing)
    redness = appearance.palm_redness * _pads(local, palmar) + _knuckles(local, palmar)
    lines = _creases(local, palmar, pixel) + _palm_lines(local, pixel)
    lines = jnp.clip(appearance.crease_depth * lines, 0.0, 0.85)
    nail, rim = _nails(local)

    # Palms have little pigment: they gain most on dark skin.
    dark = (1 - appearance.lightness) ** 2
    lift = np.array([1.08, 0.98, 0.94]), np.array([1.6, 1.35, 1.25]), np.array([0.03, 0.016, 0.012])
    pads = np.array([0.06, -0.13, -0.12])
    blood = np.array([-0.10, -0.34, -0.30])
    plate, plate_skin = np.array([0.20, 0.12, 0.10]), np.array([0.72, 0.62, 0.60])
    channels = []
    for c in range(3):
        base = appearance.skin[c] * (1 + mottle[0] + (0.6 * mottle[1] if c else -0.3 * mottle[1]))
        palm = base * (lift[0][c] + lift[1][c] * dark * 0.6) + lift[2][c]
        # Palms are blotched: red and pale patches.
        palm = palm * (1 + (0.12 if c == 0 else 0.5) * mottle[2])
        color = base + (palm - base) * palmar
        color = color * (1 + pads[c] * redness) * (1 + blood[c] * lines - 0.18 * lines)
        bed = plate[c] + plate_skin[c] * appearance.skin[c]
        color = color + 0.7 * nail * (bed - color) + 0.25 * rim * (0.6 - color)
        channels.append(jnp.clip(color, 0.005, 0.97))
    return Skin(tuple(channels), (1 - 0.3 * palmar) * (1 - 0.6 * lines) + 2.5 * nail)


def _pads(local: Local, palmar: Field) -> Field:
    """Redness of finger pulps, thenar, hypothenar and the pads below the fingers."""
    digit = (1 - local.palm) * (0.35 + 0.9 * local.distal * (local.along > 0.35 * local.length))
    x, y = local.side, local.along
    hollow = _blob((x - 1.0) / 17, (y - 52.0) / 20)
    return palmar * (digit + local.palm * (1.0 - 1.6 * hollow))


def _knuckles(local: Local, palmar: Field) -> Field:
    near = _blob(local.along / 7, 0 * local.along) * (1 - local.palm)
    return 0.8 * (1 - palmar) * (near + 0.6 * local.distal)


def _creases(local: Local, palmar: Field, pixel: Field) -> Field:
    """Flexion creases on the palmar side of joints, wrinkles on their back."""
    on_digit = 1 - local.palm
    to_end = local.length - local.along + 60 * local.distal
    joint = jnp.minimum(jnp.abs(local.along), jnp.abs(to_end))
    flexion = _line(joint, 0.9, pixel) + 0.5 * _line(joint - 2.6, 0.6, pixel)
    wrinkles = sum(_line(joint - offset, 0.6, pixel) for offset in (0.5, 2.4, 4.4))
    return on_digit * (0.55 * palmar * flexion + 0.22 * (1 - palmar) * wrinkles)


def _palm_lines(local: Local, pixel: Field) -> Field:
    """Heart, head and life line, the wrist's crease, and a few fine ones."""
    x, y = local.side, local.along
    heart = _line((y - 66 - 0.006 * (x + 20) ** 2) * 0.8, 0.8, pixel) * (x < 12)
    head = _line((y - 53 - 0.5 * x) * 0.88, 0.8, pixel) * (x > -24)
    life = _line((x - 7 - 0.011 * (y - 8) ** 2) * 0.75, 0.9, pixel) * (y < 66) * (y > 6)
    wrist = _line(y + 2 + 0.01 * x * x, 0.8, pixel) + _line(y + 7 + 0.008 * x * x, 0.7, pixel)
    fine = _line((y - 40 + 1.1 * x) * 0.65, 0.5, pixel) * (jnp.abs(x) < 14)
    inside = local.palm * jax.nn.sigmoid(12 * (local.facing - 0.45))
    return inside * (0.5 * jnp.maximum(jnp.maximum(heart, head), life) + 0.3 * wrist + 0.25 * fine)


def _nails(local: Local) -> tuple[Field, Field]:
    """Coverage of the nail and of its free edge."""
    across = local.side / local.nail_width
    along = (local.along - 0.66 * local.length) / (1.2 * local.nail_width)
    shape = 1 - across**4 - along**4
    on_back = local.distal * (local.palmar < -1.5)
    nail = on_back * jax.nn.sigmoid(5 * shape)
    return nail, nail * jax.nn.sigmoid(8 * (along - 0.75))


def _blob(u: Field, v: Field) -> Field:
    """A smooth bump of unit radius without an exponential."""
    inside = jnp.maximum(1 - 0.5 * (u * u + v * v), 0.0)
    return inside * inside


def _line(distance: Field, width: float, pixel: Field) -> Field:
    """A line `width` mm wide as a pixel sees it: below a pixel's size it fades, not flickers."""
    seen = jnp.sqrt(width * width + 0.2 * pixel * pixel)
    u = distance / seen
    inside = jnp.maximum(1 - 0.33 * u * u, 0.0)
    return inside * inside * (width / seen)
