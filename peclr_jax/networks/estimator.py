"""A fine-tuned network, ready to be asked about images."""

import functools
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from peclr_jax.errors import UserError
from peclr_jax.geometry import affine, camera
from peclr_jax.geometry.affine import Similarity
from peclr_jax.models.heads import Localisation
from peclr_jax.models.normalization import fold
from peclr_jax.models.pose_network import to_pixels
from peclr_jax.networks.calibration import Calibration
from peclr_jax.networks.label_statistics import LabelStatistics
from peclr_jax.networks.opening import Network, open_network
from peclr_jax.networks.proportions import has_heatmaps, in_proportion, known_bones
from peclr_jax.photos.looking import LookingRule
from peclr_jax.views.augment import normalize


class Estimate(NamedTuple):
    """What the network says of a batch of hands.

    Attributes:
      pose: 2.5D: (x px, y px) in the source image, root-relative depth in bone lengths.
      root_depth: Of the wrist, in bone lengths.
      expected_error: Of each joint in the source image, pixels, by the network's calibration; None
        of heads without heatmaps.
      localisation: What it follows from: how sharply joints are localised in the view.
    """

    pose: Float[Array, "batch 21 3"]
    root_depth: Float[Array, " batch"]
    expected_error: Float[Array, "batch 21"] | None = None
    localisation: Localisation | None = None

    def lift(
        self, intrinsics: Float[Array, "batch 3 3"], bone_length: Float[Array, " batch"] | float
    ) -> Float[Array, "batch 21 3"]:
        """Returns the joints in the source's camera space; they and the bone length in metres."""
        return camera.from_25d(self.pose, intrinsics, bone_length, z_root=self.root_depth)


@dataclass(frozen=True)
class Estimator:
    """A network that estimates poses, and what belongs to it.

    Attributes:
      view_size: Side of the views that it was trained on, pixels.
      source_margin: Side of a source crop over the side of the canonical view.
    """

    module: nn.Module
    variables: dict[str, Any] = field(repr=False)
    view_size: int
    source_margin: float
    looking: LookingRule = LookingRule()
    statistics: LabelStatistics = LabelStatistics()
    calibration: Calibration = Calibration()

    @classmethod
    def of(cls, network: Network) -> "Estimator":
        """Makes an estimator of a network, which must be a fine-tuned one."""
        description = network.description
        if not network.estimates_poses:
            raise UserError(
                f"{network.source} is a checkpoint of the task {description.task!r}, which knows "
                "no poses: name one of a fine-tuning run (python main.py "
                f"--config=configs/finetune.py --config.init.checkpoint={network.source} makes one)"
            )
        return cls(
            network.module,
            jax.tree.map(jnp.asarray, network.variables),
            description.view_size,
            description.data.source_margin,
            description.looking,
            description.statistics or LabelStatistics(),
            description.calibration or Calibration(),
        )

    @property
    def tells_error(self) -> bool:
        """Whether estimates have an expected error, which comes of heatmaps."""
        return has_heatmaps(self.module)

    @property
    def is_calibrated(self) -> bool:
        """Whether the expected error is one, in pixels, and not only larger where it is larger."""
        return self.tells_error and self.calibration.joints > 0

    def __call__(
        self,
        images: UInt8[Array | np.ndarray, "batch source source 3"],
        matrix: Float[Array | np.ndarray, "batch 2 3"],
        intrinsics: Float[Array | np.ndarray, "batch 3 3"],
    ) -> Estimate:
        """Estimates the pose of one hand in each RGB source image, shown as a view by `matrix`."""
        network, variables = self._folded
        settings = self.view_size, self.looking.turns_deg, self.calibration
        estimate = _estimate(network, variables, settings, images, matrix, intrinsics)
        if self._bones is None:
            return estimate
        pose = in_proportion(
            estimate.pose, estimate.root_depth, jnp.asarray(intrinsics), self._bones
        )
        return estimate._replace(pose=pose)

    @functools.cached_property
    def _bones(self) -> Float[Array, " bones"] | None:
        return known_bones(self.module, self.statistics)

    @functools.cached_property
    def _folded(self) -> tuple[nn.Module, dict[str, Any]]:
        return fold(self.module, self.variables)

    def mean_estimate(self, matrix: Float[Array, "batch 2 3"]) -> Float[Array, "batch 21 3"]:
        """Moves the mean 2.5D pose of training from views to source pixels; zeros if unknown."""
        mean = self.statistics.mean_pose or np.zeros((21, 3))
        pose = to_pixels(jnp.asarray(mean, jnp.float32), self.view_size)
        return _to_source(jnp.tile(pose, (len(matrix), 1, 1)), matrix)


def open_estimator(
    checkpoint: str | PathLike[str], torch_checkpoint: str | PathLike[str] = ""
) -> Estimator:
    """Opens a network that estimates poses, as `open_network` does."""
    return Estimator.of(open_network(checkpoint, torch_checkpoint))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _estimate(
    network: nn.Module,
    variables: dict[str, Any],
    settings: tuple[int, tuple[float, ...], Calibration],
    images: UInt8[Array, "batch source source 3"],
    matrix: Float[Array, "batch 2 3"],
    intrinsics: Float[Array, "batch 3 3"],
) -> Estimate:
    view_size, turns_deg, calibration = settings
    turned = [_turn(matrix, angle, view_size) for angle in turns_deg]
    pixels = [affine.apply_to_images(images, to_view, view_size) for to_view in turned]
    views, matrices = normalize(jnp.concatenate(pixels)), jnp.concatenate(turned)
    cameras = camera.warp_intrinsics(matrices, jnp.tile(intrinsics, (len(turned), 1, 1)))
    output: Any = network.apply(variables, views, cameras)
    answers = _to_source(output.pose, matrices), output.root_depth, output.localisation
    if output.localisation is None:
        return Estimate(*answers[:2])
    pose, root_depth, localisation = jax.tree.map(
        lambda array: array.reshape(len(turned), -1, *array.shape[1:]), answers
    )
    weight = localisation.spread**-2
    weight = weight / weight.sum(0)
    # Of spreads and peaks the geometric mean, as the calibration takes their logarithms.
    localisation = jax.tree.map(lambda array: jnp.exp(jnp.log(array).mean(0)), localisation)
    error = calibration(localisation) * (view_size / 2) / affine.zoom(matrix)[:, None]
    pose = (pose * weight[..., None]).sum(0)
    return Estimate(pose, root_depth.mean(0), error, localisation)


def _turn(
    matrix: Float[Array, "batch 2 3"], angle_deg: float, size: int
) -> Float[Array, "batch 2 3"]:
    count = len(matrix)
    angle = jnp.full(count, jnp.deg2rad(angle_deg))
    turn = Similarity(angle, jnp.ones(count), jnp.zeros((count, 2)))
    return affine.compose_matrices(matrix, affine.to_matrix(turn, size)) if angle_deg else matrix


def _to_source(
    pose: Float[Array, "batch 21 3"], matrix: Float[Array, "batch 2 3"]
) -> Float[Array, "batch 21 3"]:
    pixels = affine.apply_to_points(affine.invert_matrix(matrix), pose[..., :2])
    return jnp.concatenate([pixels, pose[..., 2:]], axis=-1)
