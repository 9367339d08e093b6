"""A fine-tuned network, ready to be asked about images."""

import functools
import json
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num, UInt8
from ml_collections import ConfigDict

from peclr_jax.errors import UserError
from peclr_jax.geometry import affine, camera, crop
from peclr_jax.input_pipeline.config import default_config as default_data_config
from peclr_jax.models import resnet, torch_file, torch_weights
from peclr_jax.models.normalization import fold
from peclr_jax.models.pose_network import PoseNetwork, to_pixels
from peclr_jax.models.released import VIEW_SIDE, ReleasedPoseNetwork
from peclr_jax.networks import stored
from peclr_jax.runs import pose_recipe
from peclr_jax.training import restoring
from peclr_jax.views.augment import normalize

NOTE = "peclr_jax"
"""Under which our files of weights in the official layout hold their run's config, as JSON."""
# Side of the released networks' views over the larger side of the hand's box (official test code).
_RELEASED_HAND_MARGIN = 1 / 0.7


class Estimate(NamedTuple):
    """What the network says of a batch of hands.

    Attributes:
      pose: 2.5D: (x px, y px) in the source image, root-relative depth in bone lengths.
      root_depth: of the wrist, in bone lengths.
    """

    pose: Float[Array, "batch 21 3"]
    root_depth: Float[Array, " batch"]

    def lift(
        self, intrinsics: Float[Array, "batch 3 3"], bone_length: Float[Array, " batch"]
    ) -> Float[Array, "batch 21 3"]:
        """Returns the joints in the source's camera space, metres.

        Args:
          intrinsics: of the source images, pixels.
          bone_length: of the reference bone, metres.
        """
        return camera.from_25d(self.pose, intrinsics, bone_length, z_root=self.root_depth)


@dataclass(frozen=True)
class Estimator:
    """A fine-tuned network and what belongs to it.

    Attributes:
      config: of the fine-tuning run, resolved.
      network: the network.
      variables: its parameters and running statistics.
    """

    config: ConfigDict
    network: PoseNetwork | ReleasedPoseNetwork
    variables: dict[str, Any]

    @property
    def view_size(self) -> int:
        """Side of the views that it was trained on, pixels."""
        return self.config.views.size

    @property
    def hand_margin(self) -> float:
        """Side of the canonical view over the larger side of the hand's box."""
        return self.config.data.hand_margin

    @property
    def source_margin(self) -> float:
        """Side of a source crop over the side of the canonical view."""
        return self.config.data.source_margin

    @property
    def bone_length(self) -> float:
        """Mean length of the reference bone over the training labels, metres; NaN if unknown."""
        length = self.config.statistics.bone_length
        return float("nan") if length is None else length

    @property
    def mean_pose(self) -> Float[np.ndarray, "21 3"]:
        """Mean 2.5D pose of the training labels in the canonical view, normalised as the head's.

        Zeros if unknown, and so is `mean_hand`.
        """
        return self._statistic("mean_pose")

    @property
    def mean_hand(self) -> Float[np.ndarray, "21 3"]:
        """Mean shape of the training hands (Procrustes mean), metres, wrist at the origin."""
        return self._statistic("mean_hand")

    def knows(self, name: str) -> bool:
        """Whether the training labels' "mean_pose", "mean_hand" or "bone_length" is known."""
        return self.config.statistics[name] is not None

    def _statistic(self, name: str) -> Float[np.ndarray, "21 3"]:
        value = self.config.statistics[name]
        return np.zeros((21, 3), np.float32) if value is None else np.asarray(value, np.float32)

    def __call__(
        self,
        images: UInt8[Array | np.ndarray, "batch source source 3"],
        matrix: Float[Array | np.ndarray, "batch 2 3"],
        intrinsics: Float[Array | np.ndarray, "batch 3 3"],
    ) -> Estimate:
        """Estimates the pose of one hand in each image.

        Args:
          images: RGB sources.
          matrix: source pixels to the view that the network is shown.
          intrinsics: of the sources, pixels.
        """
        return _estimate(*self._folded, self.view_size, images, matrix, intrinsics)

    @functools.cached_property
    def _folded(self) -> tuple[nn.Module, dict[str, Any]]:
        return fold(self.network, self.variables)

    def mean_estimate(self, matrix: Float[Array, "batch 2 3"]) -> Float[Array, "batch 21 3"]:
        """Returns the training set's mean 2.5D pose, the same in every view, in source pixels."""
        pose = to_pixels(jnp.asarray(self.mean_pose), self.view_size)
        return _to_source(jnp.tile(pose, (len(matrix), 1, 1)), matrix)


def open_estimator(config: ConfigDict) -> Estimator:
    """Opens the network that `config.init.torch_checkpoint` names, or else `config.checkpoint`.

    Raises:
      MissingFileError: there is no such checkpoint.
      UserError: it knows no poses.
    """
    path = config.init.torch_checkpoint
    return load_released(path) if path else load(config.checkpoint)


def load_released(path: str | PathLike[str]) -> Estimator:
    """Reads a network in the layout of the official fine-tuned releases.

    Of the releases themselves the training labels are not known, hence no mean pose, mean hand or
    mean size of hands; what we wrote in their layout tells its run's config.

    Args:
      path: a file of PyTorch's; nothing in it is executed.

    Raises:
      MissingFileError: there is no such file.
      UserError: it does not hold such a network.
    """
    weights = torch_weights.read_weights(path)
    note = torch_file.read_text(path, NOTE)
    if weights.layout != "released":
        raise UserError(
            f"{path} holds no pose network but weights of the layout {weights.layout!r}: fine-tune "
            "them first (python main.py --config=configs/finetune.py "
            f"--config.init.torch_checkpoint={path})"
        )
    encoder = resnet.BY_NAME[weights.architecture](width=weights.width, stem=weights.stem)
    network = ReleasedPoseNetwork(encoder, palm_root=note is None)
    config = _noted_config(note, str(path)) if note else _released_config()
    return Estimator(config, network, jax.tree.map(jnp.asarray, weights.variables))


def _noted_config(note: str, source: str) -> ConfigDict:
    """What we wrote beside the tensors, or somebody else."""
    try:
        found = json.loads(note)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{source} holds a config that is no JSON ({error}): get the file again from where it "
            "was made"
        ) from error
    config = stored.checked(found, source)
    if config.task != "finetune":
        raise UserError(
            f"{source} holds a pose network, but the config of the task {config.task!r}: get the "
            "file again from where it was made"
        )
    return config


def _released_config() -> ConfigDict:
    """What must be known of the official networks to use them."""
    config = ConfigDict({"task": "finetune", "recipe": "released"})
    config.data = default_data_config()
    config.data.update(
        source="tfds",
        names="freihand",
        source_size=round(VIEW_SIDE * config.data.source_margin),
        hand_margin=_RELEASED_HAND_MARGIN,
    )
    config.views = ConfigDict({"size": VIEW_SIDE})
    config.statistics = ConfigDict({"bone_length": None, "mean_pose": None, "mean_hand": None})
    return config


def load(checkpoint: str | PathLike[str]) -> Estimator:
    """Restores a fine-tuned network.

    Args:
      checkpoint: a fine-tuning run's directory, or that of one of its steps.

    Raises:
      MissingFileError: there is no checkpoint.
      UserError: it is not of a fine-tuning run.
    """
    if not str(checkpoint):
        raise UserError(
            "no checkpoint is named: give --config.checkpoint=WORKDIR of a fine-tuning run "
            "(python main.py --config=configs/finetune.py makes one)"
        )
    config = stored.read(checkpoint)
    if config.task != "finetune":
        raise UserError(
            f"{checkpoint} is a checkpoint of the task {config.task!r}, which knows no "
            "poses: name one of a fine-tuning run (python main.py --config=configs/finetune.py "
            f"--config.init.checkpoint={checkpoint} makes one)"
        )
    network = pose_recipe.make_pose_network(config)
    variables = restoring.restore_params(checkpoint)
    stored.check_variables(variables, network, config, f"the checkpoint {checkpoint}")
    return Estimator(config, network, jax.tree.map(jnp.asarray, variables))


def canonical_matrix(
    estimator: Estimator, source_side: int, batch: int
) -> Float[Array, "batch 2 3"]:
    """Returns the matrices from source crops, cut as in training, to canonical views.

    Args:
      estimator: says how large views are and how much wider sources.
      source_side: side of the source crops, pixels.
      batch: how many.
    """
    matrix = crop.source_to_canonical(source_side, estimator.view_size, estimator.source_margin)
    return jnp.tile(matrix, (batch, 1, 1))


def around(
    keypoints_2d: Num[Array, "batch points 2"], view_size: int, hand_margin: float
) -> Float[Array, "batch 2 3"]:
    """Returns the matrices to views centred on the keypoints' boxes, sized as in training.

    Args:
      keypoints_2d: in source pixels; the two opposite corners of a box will do.
      view_size: side of the views, pixels.
      hand_margin: side of a view over the larger side of the box.
    """
    return crop.to_matrix(crop.around(crop.bounding_box(keypoints_2d), hand_margin), view_size)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _estimate(
    network: nn.Module,
    variables: dict[str, Any],
    view_size: int,
    images: UInt8[Array, "batch source source 3"],
    matrix: Float[Array, "batch 2 3"],
    intrinsics: Float[Array, "batch 3 3"],
) -> Estimate:
    views = normalize(affine.apply_to_images(images, matrix, view_size))
    output: Any = network.apply(variables, views, camera.warp_intrinsics(matrix, intrinsics))
    return Estimate(_to_source(output.pose, matrix), output.root_depth)


def _to_source(
    pose: Float[Array, "batch 21 3"], matrix: Float[Array, "batch 2 3"]
) -> Float[Array, "batch 21 3"]:
    pixels = affine.apply_to_points(affine.invert_matrix(matrix), pose[..., :2])
    return jnp.concatenate([pixels, pose[..., 2:]], axis=-1)
