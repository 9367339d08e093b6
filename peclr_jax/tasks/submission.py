"""Predictions for the challenges of FreiHAND and HO-3D, in the file that they want.

`pred.zip` holds `pred.json`: a list of the joints (images, 21, 3) and a list of the vertices
(images, 778, 3), metres, in the order of the evaluation images. No mesh is predicted: the vertices
are zeros, and the scores that the challenge makes of them mean nothing.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.hands import skeleton
from peclr_jax.hands.skeleton import NUM_JOINTS, WRIST
from peclr_jax.input_pipeline import Batch
from peclr_jax.input_pipeline.reporting import report
from peclr_jax.networks import submission_file
from peclr_jax.networks.estimator import Estimator
from peclr_jax.networks.evaluation_data import open_data
from peclr_jax.networks.looking import Inference, look_at_batch
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluationDataSpec, QuestionSpec
from peclr_jax.pages.terminal import say

Joints = Float[Array, "batch 21 3"]


@dataclasses.dataclass(frozen=True)
class SubmissionSpec(QuestionSpec):
    """A submission to a challenge.

    Attributes:
      challenge: Whose rules say what is given of every hand, and the joints' order and axes.
      crop: As in `EvaluateSpec`; "box" needs FreiHAND_pub_v2_eval.zip beside FreiHAND's images.
    """

    task: Literal["submission"] = "submission"
    challenge: Literal["freihand", "ho3d"] = "freihand"
    data: EvaluationDataSpec = EvaluationDataSpec(names="freihand")
    split: str = "evaluation"
    crop: Literal["box", "two_pass"] = "two_pass"


class Challenge(NamedTuple):
    """What a challenge tells of every hand, and how it wants the joints.

    Attributes:
      given: What it tells besides the intrinsics: "scale", the length of the reference bone, or
        "root", the position of the wrist.
      where, knows: The files that tell it, and for which images of a batch it is there.
      lift: Makes joints in camera space, metres, of an inference, the batch, and the mean bone
        length of the training hands (NaN if unknown), metres.
      order: Of our joints, as it wants them.
      axes: Signs of x, y and z; ours are x right, y down, z forward.
    """

    given: str
    where: str
    knows: Callable[[Batch], Bool[np.ndarray, " batch"]]
    lift: Callable[[Inference, Batch, float], Joints]
    order: Int[np.ndarray, "21"]
    axes: tuple[int, int, int]


def _lift_by_scale(inference: Inference, batch: Batch, _: float) -> Joints:
    """Returns the joints at the distance that the network estimates, in units of the given bone."""
    return inference.estimate.lift(inference.intrinsics, jnp.asarray(batch["bone_length"]))


def _lift_by_root(inference: Inference, batch: Batch, mean_bone: float) -> Joints:
    """Returns the joints of hands of mean size, with the wrist at the depth that is given."""
    depth = jnp.asarray(batch["keypoints_3d"])[:, WRIST, 2]
    estimate = inference.estimate._replace(root_depth=depth / mean_bone)
    return estimate.lift(inference.intrinsics, jnp.full_like(depth, mean_bone))


CHALLENGES = MappingProxyType(
    {
        "freihand": Challenge(
            "scale",
            "evaluation_K.json and evaluation_scale.json",
            lambda batch: batch["bone_length_valid"],
            _lift_by_scale,
            order=np.arange(NUM_JOINTS),
            axes=(1, 1, 1),
        ),
        "ho3d": Challenge(
            "root",
            "evaluation/*/meta",
            lambda batch: batch["keypoints_3d_valid"][:, WRIST],
            _lift_by_root,
            order=np.argsort(skeleton.FROM_MANO),
            axes=(1, -1, -1),
        ),
    }
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Predicts the evaluation images and writes `pred.zip`."""
    spec = specs.from_config(SubmissionSpec, config)
    count = submit(spec, workdir)
    say(
        f"{workdir / 'pred.zip'} holds the joints of {count} images and passed the format check; "
        "its vertices are zeros, for no mesh is predicted."
    )


def submit(spec: SubmissionSpec, workdir: Path) -> int:
    """Writes and checks `pred.zip`; returns the number of images."""
    challenge = CHALLENGES[spec.challenge]
    network = open_network(spec.checkpoint, spec.init.torch_checkpoint)
    estimator = Estimator.of(network)
    if challenge.given == "root" and estimator.statistics.bone_length is None:
        raise UserError(
            "the challenge does not tell the hands' size, and the network was trained on labels "
            "without a metric one: name a --config.checkpoint that was fine-tuned on metric labels"
        )
    data = open_data(spec.data, spec.split, network.description, spec.crop, spec.batch_size)
    count = data.split.num_examples
    title = f"Predicting {count} images ({data.split_name})"
    batches = report(data.split.batches(), title, -(-count // spec.batch_size))
    path = workdir / "pred.zip"
    submission_file.write(path, _predict_hands(spec, estimator, batches))
    submission_file.check(path, count)
    return count


def _predict_hands(
    spec: SubmissionSpec, estimator: Estimator, batches: Iterator[Batch]
) -> Iterator[Float[np.ndarray, "21 3"]]:
    """Yields the joints of every image, metres, in the challenge's order and axes."""
    challenge, done = CHALLENGES[spec.challenge], 0
    mean_bone = estimator.statistics.bone_length
    for batch in batches:
        _check_given(challenge, batch, spec.crop, done)
        inference = look_at_batch(estimator, batch, spec.crop, spec.batch_size)
        joints = challenge.lift(inference, batch, float("nan") if mean_bone is None else mean_bone)
        wanted = np.asarray(joints, np.float64) * challenge.axes
        yield from skeleton.reorder(wanted, challenge.order)
        done += len(wanted)


def _check_given(challenge: Challenge, batch: Batch, crop: str, done: int) -> None:
    """Checks that the next images, from number `done` on, have what the challenge gives."""
    known = batch["intrinsics_valid"] & challenge.knows(batch)
    lacking, remedy = f"intrinsics or {challenge.given}", ""
    if crop == "box":
        known &= batch["hand_box_valid"]
        lacking = f"intrinsics, {challenge.given} or box"
        remedy = ", or choose --config.crop=two_pass"
    if not known.all():
        raise UserError(
            f"image {done + int(np.argmin(known))} has no {lacking}, which the challenge gives for "
            f"every image: look at {challenge.where}{remedy}"
        )
