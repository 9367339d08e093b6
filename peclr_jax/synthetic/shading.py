"""Colour of traced surface points: materials, one shadowed light, ambient occlusion."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from peclr_jax.synthetic import body
from peclr_jax.synthetic.appearance import Appearance, Lights
from peclr_jax.synthetic.distance import (
    Field,
    Points,
    Rays,
    distances,
    scene_distance,
    sharp_distance,
)
from peclr_jax.synthetic.scene import Scene
from peclr_jax.synthetic.skin import Color, add_up, dot, localize, shade_skin

# Probes: distance along the normal, millimetres, with the weight of its opening; along the light.
_AMBIENT_PROBES = np.array([[4.0, 0.45], [10.0, 0.32], [22.0, 0.23]], np.float32)
_SHADOW_PROBES = np.array([5.0, 10.0, 18.0, 30.0, 50.0, 80.0], np.float32)
# Light that scatters in skin reaches past the terminator, red the farthest.
_SCATTER = np.array([0.34, 0.18, 0.13])


class Surface(NamedTuple):
    """What rays hit.

    Attributes:
      points, normal: Camera frame, millimetres; normals are unit vectors.
      weights: How much every cone of the hand shapes it there, summing to one.
      on_skin, on_object: Whether bare skin or an object is nearest; else the sleeve is.
    """

    points: Points
    normal: Points
    weights: Float[Array, "cones rays scenes"]
    on_skin: Bool[Array, "rays scenes"]
    on_object: Bool[Array, "rays scenes"]


def _surface_at(scene: Scene, points: Points) -> Surface:
    d, hand, sleeve, thing = distances(scene.geometry, points)
    on_object = thing < jnp.minimum(hand, sleeve)
    # Cones up to 5 mm beyond the nearest one take part in the surface.
    weights = jnp.maximum(1 - (d[body.HAND] - hand) / 5.0, 1e-4) ** 2
    weights = weights / add_up(weights)
    on_skin = (hand <= sleeve) & ~on_object
    return Surface(points, _normal(scene, points), weights, on_skin, on_object)


def _normal(scene: Scene, points: Points) -> Points:
    """Unit gradient of the distance, from the corners of a tetrahedron 0.6 mm away on each axis."""
    corners = jnp.array([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])

    def probe(gradient: Points, corner: Float[Array, "3"]) -> tuple[Points, None]:
        shifted = tuple(p + 0.6 * c for p, c in zip(points, corner, strict=True))
        distance = scene_distance(scene.geometry, shifted)
        return tuple(g + c * distance for g, c in zip(gradient, corner, strict=True)), None

    start = tuple(jnp.zeros_like(p) for p in points)
    gradient, _ = jax.lax.scan(probe, start, corners)
    inverse = jax.lax.rsqrt(dot(gradient, gradient) + 1e-9)
    return tuple(g * inverse for g in gradient)


def shade(
    scene: Scene, rays: Rays, distance: Field, pixel: Float[Array, " scenes"]
) -> tuple[Color, Surface]:
    """Computes the linear RGB of the surfaces that rays hit.

    Args:
      scene: The scenes.
      rays: Rays from the camera.
      distance: Along the rays to the surface, millimetres.
      pixel: Side of a pixel at unit distance, one for every scene.
    """
    surface = _surface_at(scene, rays.at(distance))
    albedo, gloss = _materials(scene, surface, pixel * distance)
    lit, openness = _shadow(scene, surface), _openness(scene, surface)
    return _light(scene.lights, rays, surface, albedo, gloss, lit, openness), surface


def _openness(scene: Scene, surface: Surface) -> Field:
    """Ambient occlusion: how free the space above the surface is, 0 to 1."""

    def probe(total: Field, step: Float[Array, "2"]) -> tuple[Field, None]:
        lifted = tuple(p + n * step[0] for p, n in zip(surface.points, surface.normal, strict=True))
        free = sharp_distance(scene.geometry, lifted) / step[0]
        return total + step[1] * jnp.clip(free, 0.0, 1.0), None

    start = jnp.zeros_like(surface.points[0])
    return jax.lax.scan(probe, start, jnp.asarray(_AMBIENT_PROBES))[0]


def _shadow(scene: Scene, surface: Surface) -> Field:
    """Soft shadow of the key light: 1 in light, 0 in shadow."""
    light = scene.lights.key_direction

    def probe(lit: Field, step: Float[Array, ""]) -> tuple[Field, None]:
        lifted = tuple(
            p + n * 2.0 + toward * step
            for p, n, toward in zip(surface.points, surface.normal, light, strict=True)
        )
        free = sharp_distance(scene.geometry, lifted)
        return jnp.minimum(lit, jnp.clip(0.5 + free / (0.16 * step + 1.0), 0.0, 1.0)), None

    start = jnp.ones_like(surface.points[0])
    return jax.lax.scan(probe, start, jnp.asarray(_SHADOW_PROBES))[0]


def _materials(scene: Scene, surface: Surface, pixel: Field) -> tuple[Color, Field]:
    appearance = scene.appearance
    local = localize(scene.parts, surface.weights, surface.points, surface.normal)
    palm = [p - o[-1] for p, o in zip(surface.points, scene.parts.origin, strict=True)]
    mottle = _mottle(appearance, palm)
    skin = shade_skin(local, mottle, appearance, pixel)
    stripes = _stripes(appearance, palm)
    colors = []
    for c in range(3):
        thing, cloth = (
            (first + (second - first) * stripes) * (1 + mottle[0])
            for first, second in (appearance.object_colors[:, c], appearance.sleeve_colors[:, c])
        )
        other = jnp.where(surface.on_object, thing, cloth)
        colors.append(jnp.where(surface.on_skin, skin.albedo[c], other))
    other_gloss = jnp.where(surface.on_object, appearance.object_gloss, 0.01)
    gloss = jnp.where(surface.on_skin, appearance.gloss * skin.gloss, other_gloss)
    return tuple(colors), gloss


def _mottle(appearance: Appearance, offset: list[Field]) -> Color:
    """Three fields of smooth noise, fixed to the hand: overall, redness, patches of the palm."""
    vectors = appearance.wave_vectors[:, :, None]
    phases = dot(offset, vectors) + appearance.wave_phases[:, None]
    # Each wave bends the next: straight ones would show as stripes.
    waves = jnp.sin(phases + 2.0 * jnp.sin(jnp.roll(phases, 1, axis=0)))
    return (
        0.035 * (waves[0] + waves[2] + 0.7 * waves[5]),
        0.05 * (waves[1] + 0.8 * waves[4]),
        0.09 * (waves[3] + waves[4] + waves[5]),
    )


def _stripes(appearance: Appearance, offset: list[Field]) -> Field:
    """A pattern for objects and sleeves, between 0 and its contrast."""
    vectors = appearance.wave_vectors[:, 0]
    along = dot(offset, vectors) * jax.lax.rsqrt(dot(vectors, vectors) + 1e-9)
    frequency, contrast = appearance.pattern
    return contrast * jax.nn.sigmoid(6 * jnp.sin(frequency * along))


def _light(
    lights: Lights, rays: Rays, surface: Surface, albedo: Color, gloss: Field, lit: Field,
    openness: Field,
) -> Color:  # fmt: skip
    normal = surface.normal
    facing = dot(normal, lights.key_direction)
    fill = jnp.clip(0.3 + 0.7 * dot(normal, lights.fill_direction), 0.0, 1.0)
    sky = 0.74 - 0.26 * normal[1]
    view = dot(normal, rays)
    half = [light - r for light, r in zip(lights.key_direction, rays, strict=True)]
    shine = jnp.clip(dot(normal, half) * jax.lax.rsqrt(dot(half, half) + 1e-6), 0.0, 1.0)
    shine = shine**16  # a power of two costs four multiplications
    sheen = 0.05 * openness * jnp.clip(1 + view, 0.0, 1.0) ** 3
    highlight = gloss * shine * lit * (facing > 0) + sheen
    colors = []
    for c in range(3):
        scatter = jnp.where(surface.on_skin, _SCATTER[c], 0.0)
        diffuse = jnp.clip((facing + scatter) / (1 + scatter), 0.0, 1.0)
        bounced = _bounce(openness, albedo[c])
        # Light bleeds into shadows on skin.
        key = lights.key_color[c] * diffuse * (lit + 0.35 * scatter * (1 - lit) * bounced)
        soft = lights.fill_color[c] * fill * bounced + lights.ambient[c] * sky * bounced
        colors.append(albedo[c] * (key + soft) + highlight * lights.key_color[c])
    return tuple(colors)


def _bounce(openness: Field, albedo: Field) -> Field:
    """Occlusion lightened by light between surfaces: contacts turn dark red, not black.

    Fit: Jimenez et al. 2016, "Practical real-time strategies for accurate indirect occlusion".
    """
    a = 2.0404 * albedo - 0.3324
    b = 0.6417 - 4.7951 * albedo
    c = 2.7552 * albedo + 0.6903
    return jnp.maximum(openness, ((openness * a + b) * openness + c) * openness)
