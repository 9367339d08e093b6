"""Colours (linear RGB), textures and lights of a scene, and how they are sampled."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from peclr_jax.synthetic.sampling import Numbers, between, gaussian, named, normalize

WAVES = 6
# sRGB skin tones from dark to light, evenly drawn; about the six Fitzpatrick types.
SKIN_TONES = np.array([
    [58, 36, 26], [98, 62, 43], [141, 95, 68], [183, 132, 101], [216, 168, 138], [236, 198, 176],
], np.float32) / 255  # fmt: skip


class Appearance(NamedTuple):
    """Materials.

    Attributes:
      lightness: Place of the skin on `SKIN_TONES`, 0 dark to 1 light.
      palm_redness: How strongly blood shows in the pads of palm and fingers.
      wave_vectors: Directions and frequencies (1/mm) of the waves that mottle every surface.
      pattern: Frequency (1/mm) and contrast of the objects' and the sleeve's pattern.
    """

    lightness: Float[Array, "*scenes"]
    skin: Float[Array, "3 *scenes"]
    palm_redness: Float[Array, "*scenes"]
    crease_depth: Float[Array, "*scenes"]
    gloss: Float[Array, "*scenes"]
    wave_vectors: Float[Array, "3 waves *scenes"]
    wave_phases: Float[Array, "waves *scenes"]
    object_colors: Float[Array, "2 3 *scenes"]
    sleeve_colors: Float[Array, "2 3 *scenes"]
    pattern: Float[Array, "2 *scenes"]
    object_gloss: Float[Array, "*scenes"]


class Lights(NamedTuple):
    """A shadow-casting key light, a fill light and light from all sides; unit vectors to them."""

    key_direction: Float[Array, "3 *scenes"]
    key_color: Float[Array, "3 *scenes"]
    fill_direction: Float[Array, "3 *scenes"]
    fill_color: Float[Array, "3 *scenes"]
    ambient: Float[Array, "3 *scenes"]
    exposure: Float[Array, "*scenes"]


def to_linear(srgb: Float[Array, "*shape"] | np.ndarray) -> Float[Array, "*shape"]:
    """Undoes the display curve of colours in [0, 1]."""
    return jnp.asarray(srgb) ** 2.2


def sample_appearance(numbers: Numbers) -> Appearance:
    """Draws materials; skin tones are uniform from dark to light."""
    u = named(
        numbers, lightness=(), redness=(), creases=(), gloss=(), phases=(WAVES,), colors=(4, 3),
        grey=(4, 1), pattern=(2,), object_gloss=(), skin=(3,), waves=(3, WAVES),
    )  # fmt: skip
    # Coarse blotches and fine grain.
    frequency = np.array([0.04, 0.05, 0.09, 0.13, 0.22, 0.33], np.float32)
    # Saturated things are rarer than dull ones.
    colors = u["colors"] + (jnp.mean(u["colors"], axis=1, keepdims=True) - u["colors"]) * u["grey"]
    colors = to_linear(0.05 + 0.9 * colors)
    stripes, contrast = u["pattern"]
    return Appearance(
        lightness=u["lightness"],
        skin=_skin_tone(u["lightness"]) * (1 + 0.06 * gaussian(u["skin"])),
        palm_redness=between(u["redness"], 0.4, 1.4),
        crease_depth=between(u["creases"], 0.5, 1.2),
        gloss=between(u["gloss"], 0.02, 0.16),
        wave_vectors=gaussian(u["waves"]) * frequency,
        wave_phases=u["phases"] * 2 * jnp.pi,
        object_colors=colors[:2],
        sleeve_colors=colors[2:],
        pattern=jnp.stack([between(stripes, 0.06, 0.5), jnp.maximum(2 * contrast - 1, 0.0)]),
        object_gloss=0.5 * u["object_gloss"] ** 2,
    )


def sample_lights(numbers: Numbers) -> Lights:
    """Draws lights; the key light mostly comes from above and from the camera's side."""
    u = named(
        numbers, warmth=(), key=(), fill=(), ambient=(), exposure=(), key_offset=(3,),
        fill_offset=(3,), fill_tint=(3,), ambient_tint=(3,),
    )  # fmt: skip
    warmth = between(u["warmth"], -1.0, 1.0)
    tint = jnp.stack([1 + 0.1 * warmth, jnp.ones(()), 1 - 0.14 * warmth])
    return Lights(
        key_direction=normalize(gaussian(u["key_offset"]) + jnp.array([0.0, -0.9, -1.0])),
        key_color=tint * between(u["key"], 0.65, 1.35),
        fill_direction=normalize(gaussian(u["fill_offset"]) + jnp.array([0.0, 0.0, -0.5])),
        fill_color=(1 + 0.08 * gaussian(u["fill_tint"])) * between(u["fill"], 0.08, 0.4),
        ambient=(1 + 0.04 * gaussian(u["ambient_tint"])) * between(u["ambient"], 0.3, 0.7),
        exposure=between(u["exposure"], 0.8, 1.25),
    )


def _skin_tone(lightness: Float[Array, ""]) -> Float[Array, "3"]:
    stops = jnp.arange(len(SKIN_TONES), dtype=jnp.float32)
    weights = jnp.maximum(1 - jnp.abs(lightness * (len(SKIN_TONES) - 1) - stops), 0.0)
    return weights @ to_linear(SKIN_TONES)
