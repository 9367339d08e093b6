"""Synthetic hands: images with exact labels, a pure function of a key.

Image i of a data set depends on (key, i) alone, whatever is rendered with it. Everything compiles
into one program; nothing leaves the device.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from peclr_jax.errors import FieldError
from peclr_jax.geometry import camera
from peclr_jax.specs import Between, Fraction, NonNegativeFloat, PositiveInt, Spec
from peclr_jax.synthetic import BACKGROUNDS, background
from peclr_jax.synthetic.scene import SPAN, Motion, Probabilities, Scene, sample_scene
from peclr_jax.synthetic.tracing import Foreground, draw_foreground

SENSOR_NOISE = 0.02
"""Largest noise that is added to a channel, in parts of full scale."""


@dataclasses.dataclass(frozen=True)
class RenderSpec(Spec):
    """What to render.

    Attributes:
      size: Side of the square images, pixels.
      background: "green" (as FreiHAND was recorded), "shared" (one of a few, as FreiHAND is
        composited) or "clutter" (unique: it gives away which views belong together).
      shared_backgrounds: Number of what "shared" draws from.
      held: Probability of an object in the hand, before those that pierce or hide it are left out.
      occluder: Probability of something between the camera and the hand; likewise.
      sleeve: Probability of a sleeve on the forearm.
      span: Range of the larger side of the keypoints' box, as a fraction of the image's side.
      motion_deg: How far versions after the first are moved: the largest angle that the wrist turns
        about each axis and each joint bends, in another light; 0 moves none.
      rays_per_block: Rays traced and shaded together; a few thousand keep a CPU's caches warm.
    """

    size: Annotated[int, Between(16)] = 128
    background: str = "shared"
    shared_backgrounds: PositiveInt = 8
    held: Fraction = 0.5
    occluder: Fraction = 0.15
    sleeve: Fraction = 0.5
    span: tuple[float, float] = SPAN
    motion_deg: NonNegativeFloat = 0.0
    rays_per_block: PositiveInt = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.background not in BACKGROUNDS:
            raise FieldError("background", f"is {self.background!r}; choose one of {BACKGROUNDS}")
        low, high = self.span
        if not 0 < low <= high <= 1:
            raise FieldError("span", f"is {self.span}; it must satisfy 0 < low <= high <= 1")


def rays_per_block() -> int:
    """Returns the `RenderSpec.rays_per_block` that suits JAX's default backend."""
    return 4096 if jax.default_backend() == "cpu" else 1 << 20


class Hands(NamedTuple):
    """RGB images of right hands and their labels, joints in FreiHAND order.

    Attributes:
      keypoints_2d: Pixels (x, y), origin at the centre of the top-left pixel.
      keypoints_3d: Camera frame, metres: x right, y down, z forward.
      intrinsics: Camera matrices, pixels.
      visible: Keypoint in the image with no other surface before the flesh around it.
      mask: Pixels that show the hand or its bare forearm.
    """

    images: UInt8[Array | np.ndarray, "n size size 3"]
    keypoints_2d: Float[Array | np.ndarray, "n 21 2"]
    keypoints_3d: Float[Array | np.ndarray, "n 21 3"]
    intrinsics: Float[Array | np.ndarray, "n 3 3"]
    visible: Bool[Array | np.ndarray, "n 21"]
    mask: Bool[Array | np.ndarray, "n size size"]


@functools.partial(jax.jit, static_argnames="spec")
def render_indices(key: Key[Array, ""], indices: Int[Array, " n"], spec: RenderSpec) -> Hands:
    """Renders images by their number.

    Args:
      key: PRNG key of the data set.
      indices: Numbers of the images; each depends on the key and its own number alone.
      spec: What to render.
    """
    (hands,) = _render(key, indices, spec, (spec.background,))
    return hands


@functools.partial(jax.jit, static_argnames=("spec", "backgrounds"))
def render_versions(
    key: Key[Array, ""], indices: Int[Array, " n"], spec: RenderSpec, backgrounds: tuple[str, ...]
) -> tuple[Hands, ...]:
    """Renders images by their number, each hand before several backgrounds.

    Hands that do not move are traced once; "shared" backgrounds are drawn anew, so two versions may
    have the same. Version 0 is what `render_indices` renders.

    Args:
      key: PRNG key of the data set.
      indices: Numbers of the hands; each depends on the key and its own number alone.
      spec: What to render, except for its `background`.
      backgrounds: `RenderSpec.background` of each version.
    """
    return _render(key, indices, spec, backgrounds)


def _render(
    key: Key[Array, ""], indices: Int[Array, " n"], spec: RenderSpec, backgrounds: tuple[str, ...]
) -> tuple[Hands, ...]:
    specs = [dataclasses.replace(spec, background=name) for name in backgrounds]
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(indices)
    keys = jax.vmap(functools.partial(jax.random.split, num=3))(keys)
    scenes = [_sample_scenes(keys[:, 0], spec)]
    if spec.motion_deg:
        scenes += [
            _sample_scenes(keys[:, 0], spec, version) for version in range(1, len(backgrounds))
        ]
    # Traced together, by one program.
    traced = draw_foreground(
        jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1), *scenes),
        *(spec.size, spec.rays_per_block),
    )
    foregrounds = [
        Foreground(*(leaf[start : start + len(indices)] for leaf in traced))
        for start in range(0, len(traced.coverage), len(indices))
    ]
    versions = []
    for version, spec in enumerate(specs):
        fold = functools.partial(jax.random.fold_in, data=version)
        # The first version keeps its keys, as images of a single version do.
        drawn = jax.vmap(jax.vmap(fold))(keys[:, 1:]) if version else keys[:, 1:]
        background_keys, grain_keys = drawn.T
        behind = _backgrounds(background_keys, spec)
        pose = version % len(scenes)
        images = _develop(foregrounds[pose], behind, scenes[pose], grain_keys, spec)
        versions.append(_label(scenes[pose], foregrounds[pose], images))
    return tuple(versions)


def _sample_scenes(keys: Key[Array, " n"], spec: RenderSpec, version: int = 0) -> Scene:
    """Draws the scene of each key, moved for further versions."""
    probabilities = Probabilities(spec.held, spec.occluder, spec.sleeve)

    def sample(key: Key[Array, ""]) -> Scene:
        motion = Motion(jax.random.fold_in(key, version), spec.motion_deg) if version else None
        return sample_scene(key, probabilities, spec.span, motion)

    return jax.vmap(sample, out_axes=-1)(keys)


def render_dataset(
    key: Key[Array, ""],
    count: int,
    spec: RenderSpec,
    *,
    chunk: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Hands]:
    """Renders a data set in NumPy pieces, as the caller asks for them.

    Args:
      key: PRNG key.
      count: Number of images.
      spec: What to render.
      chunk: Images a piece; the images do not depend on it.
      on_progress: Called with the number of images done after every piece.
    """
    for start in range(0, count, chunk):
        # The last piece is rendered in full, so that one program serves all.
        hands = render_indices(key, jnp.arange(start, start + chunk), spec)
        done = min(start + chunk, count)
        yield Hands(*(np.asarray(leaf)[: done - start] for leaf in hands))
        if on_progress is not None:
            on_progress(done)


def _backgrounds(keys: Key[Array, " n"], spec: RenderSpec) -> Float[Array, "n size size 3"]:
    draw = background.green_screen if spec.background == "green" else background.clutter
    draw_all = jax.vmap(functools.partial(draw, size=spec.size))
    if spec.background != "shared":
        return draw_all(keys)
    shared = jax.random.split(jax.random.key(0), spec.shared_backgrounds)
    drawn = draw_all(shared)
    choice = jax.vmap(lambda k: jax.random.randint(k, (), 0, spec.shared_backgrounds))(keys)
    return drawn[choice]


def _develop(
    foreground: Foreground,
    behind: Float[Array, "n size size 3"],
    scene: Scene,
    keys: Key[Array, " n"],
    spec: RenderSpec,
) -> UInt8[Array, "n size size 3"]:
    """Composites, exposes and quantises as a camera does."""
    lights = scene.lights
    behind = behind * (0.35 * lights.key_color + 0.6 * lights.ambient + 0.25).T[:, None, None]
    image = behind + (foreground.color - behind) * foreground.coverage[..., None]
    image = image * lights.exposure[:, None, None, None]
    image = image / (1 + 0.18 * image)  # highlights roll off
    image = jnp.clip(image, 1e-5, 1.0) ** (1 / 2.2)
    grain = jax.vmap(lambda k: jax.random.bits(k, (spec.size, spec.size, 3), jnp.uint8))(keys)
    image = image + SENSOR_NOISE * (grain.astype(jnp.float32) / 127.5 - 1)
    return jnp.round(255 * jnp.clip(image, 0.0, 1.0)).astype(jnp.uint8)


def _label(scene: Scene, foreground: Foreground, images: UInt8[Array, "n size size 3"]) -> Hands:
    size = images.shape[1]
    joints = jnp.moveaxis(scene.joints, -1, 0)
    focal = (scene.focal * size)[:, None]
    center = (size - 1) / 2
    middle = np.array([[0, 0, center], [0, 0, center], [0, 0, 1]], np.float32)
    intrinsics = focal[..., None] * np.diag([1, 1, 0]).astype(np.float32) + middle
    keypoints = camera.project(joints, intrinsics)

    mask = foreground.skin & (foreground.coverage >= 0.5)
    nearest = jnp.round(keypoints).astype(jnp.int32)
    inside = jnp.all((nearest >= 0) & (nearest < size), axis=-1)
    x, y = jnp.moveaxis(jnp.clip(nearest, 0, size - 1), -1, 0)
    at = jnp.arange(len(images))[:, None], y, x
    # The flesh around a joint, and the depth that one pixel of a slanted surface spans.
    flesh = 1.3 * scene.radii.T + 2.0 + joints[..., 2] / focal
    behind = jnp.linalg.norm(joints, axis=-1) - foreground.distance[at]
    visible = inside & mask[at] & (behind < flesh)
    return Hands(images, keypoints, joints / 1000, intrinsics, visible, mask)
