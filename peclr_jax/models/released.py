"""The network of the official fine-tuned releases, `RN_25D_wMLPref`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from peclr_jax.errors import UserError
from peclr_jax.geometry import camera
from peclr_jax.hands.skeleton import MIDDLE_MCP, NUM_JOINTS, WRIST
from peclr_jax.models.heads import RootDepthRefiner
from peclr_jax.models.pose_network import PoseOutput, place
from peclr_jax.models.resnet import ResNet

NUM_OUTPUTS = 3 * NUM_JOINTS + 1
"""Outputs of the released linear layer: the 64th is unused."""

VIEW_SIDE = 224
"""Side of the views that the released networks were trained on; their output is in its pixels."""


class ReleasedHead(nn.Module):
    """The linear layer of the released networks: features to a 2.5D pose in view pixels."""

    @nn.compact
    def __call__(self, features: Float[Array, "batch features"]) -> Float[Array, "batch 21 3"]:
        """Returns (x px, y px, depth), joints in FreiHAND's order; the root's depth is zero."""
        outputs = nn.Dense(NUM_OUTPUTS, name="fc")(features)
        pose = outputs[:, : 3 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 3)
        return pose.at[:, WRIST, 2].set(0.0)


class ReleasedPoseNetwork(nn.Module):
    """Estimates 2.5D poses, as `PoseNetwork`, with the released weights.

    Parameters lie under "encoder", "head" and "refiner"; joints are in FreiHAND's order, into which
    `torch_weights` permutes the official one.

    Attributes:
      palm_root: Whether the weights' root is the palm, half way to the middle MCP, or the wrist.
    """

    encoder: ResNet
    palm_root: bool = True

    def setup(self) -> None:
        """Builds the parts whose sizes the weights determine."""
        self.head = ReleasedHead()
        self.refiner = RootDepthRefiner()

    def __call__(
        self,
        images: Float[Array, "batch side side 3"],
        intrinsics: Float[Array, "batch 3 3"],
        train: bool = False,
    ) -> PoseOutput:
        """Estimates 2.5D poses in view pixels, rooted at the wrist, and root depths.

        Args:
          images: ImageNet-standardised views, of the side that the weights were trained on.
          intrinsics: Camera matrices of the views, pixels.
          train: Use and update the statistics of the batch (collection "batch_stats").
        """
        pose = self.head(self.encoder(images, train))
        output = place(pose, intrinsics, self.refiner, train)
        return palm_to_wrist(output, intrinsics) if self.palm_root else output


def palm_to_wrist(output: PoseOutput, intrinsics: Float[Array, "batch 3 3"]) -> PoseOutput:
    """Makes the wrist joint 0 and root, officially 2 palm - middle MCP in camera space."""
    # The palm is half way, so the wrist is as far from it as the knuckle, on the other side.
    knuckle = output.pose[:, MIDDLE_MCP, 2]
    joints = camera.from_25d(output.pose, intrinsics, z_root=output.root_depth)
    wrist = 2 * joints[:, WRIST] - joints[:, MIDDLE_MCP]
    pixel = camera.project(wrist[:, None], intrinsics)[:, 0]
    pose = output.pose.at[:, :, 2].add(knuckle[:, None])
    pose = pose.at[:, WRIST].set(jnp.pad(pixel, ((0, 0), (0, 1))))
    return PoseOutput(pose, output.root_depth - knuckle)


def from_pose_network(variables: dict[str, Any], view_side: int) -> dict[str, Any]:
    """Turns the variables of a `PoseNetwork` into those of `ReleasedPoseNetwork(palm_root=False)`.

    The layer gives pixels instead of multiples of half the view's side, its unused 64th output is
    zero, and a network without refinement gets one whose correction is zero.
    """
    params, statistics = variables["params"], variables["batch_stats"]
    if set(params.get("head", ())) != {"pose"}:
        raise UserError(
            f"the head holds {sorted(params.get('head', ()))}, which has no place in the official "
            "layout: export a network that was fine-tuned with --config.model.head=linear"
        )
    if "refiner" not in params:
        refiner = _no_correction()
        params = params | {"refiner": refiner["params"]}
        statistics = statistics | {"refiner": refiner["batch_stats"]}
    head = {"fc": _in_pixels(params["head"]["pose"], view_side)}
    return {"params": params | {"head": head}, "batch_stats": statistics}


def _in_pixels(pose: dict[str, Any], view_side: int) -> dict[str, np.ndarray]:
    """Folds `pose_network.to_pixels` into the linear layer."""
    half, center = view_side / 2, (view_side - 1) / 2
    factor = np.tile([half, half, 1.0], NUM_JOINTS)
    shift = np.tile([center, center, 0.0], NUM_JOINTS)
    kernel = np.asarray(pose["kernel"], np.float64) * factor
    bias = np.asarray(pose["bias"], np.float64) * factor + shift
    return {
        "kernel": np.pad(kernel, ((0, 0), (0, 1))).astype(np.float32),
        "bias": np.pad(bias, (0, 1)).astype(np.float32),
    }


def _no_correction() -> dict[str, Any]:
    """Returns variables of a `RootDepthRefiner` whose output is zero."""
    inputs = (np.zeros((1, *shape), np.float32) for shape in ((NUM_JOINTS,), (NUM_JOINTS, 2), ()))
    shapes = jax.eval_shape(RootDepthRefiner().init, jax.random.key(0), *inputs)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32), shapes
    )
