"""Predictions for the challenges of FreiHAND and HO-3D, in the file that they want.

The data set decides the rules. `pred.zip` holds `pred.json`: a list of the joints (images, 21, 3)
and a list of the vertices (images, 778, 3), metres, in the order of all evaluation images. No mesh
is predicted: the vertices are zeros, and the scores that the challenge makes of them mean nothing.
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
from peclr_jax.console import say
from peclr_jax.errors import FieldError, UserError
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

Joints = Float[Array, "batch 21 3"]


@dataclasses.dataclass(frozen=True)
class SubmissionSpec(QuestionSpec):
    """A submission to the challenge of a data set.

    Attributes:
      data: `names` is one of `CHALLENGES`, whose rules apply.
      trial: Whether the data may be a part of the evaluation images, which makes no submission:
        `trial.zip` in place of `pred.zip`.
    """

    task: Literal["submission"] = "submission"
    data: EvaluationDataSpec = EvaluationDataSpec(names="freihand")
    split: Literal["evaluation"] = "evaluation"
    trial: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.names not in CHALLENGES:
            raise FieldError(
                "data.names",
                f"is {self.data.names!r}, no data set with a challenge: name one of "
                f"{', '.join(CHALLENGES)}",
            )
        if self.data.source not in ("", "tfds"):
            raise FieldError("data.source", f"is {self.data.source!r}: challenges are of records")


class Challenge(NamedTuple):
    """What a challenge tells of every hand, and what it wants.

    Attributes:
      name: For people.
      images: How many it wants, all in the order of its list.
      given: What it tells besides the intrinsics: the "scale", the length of the reference bone; or
        the "root", the position of the wrist, and the hand's box.
      where, knows: The files that tell it, and for which images of a batch it is there.
      crop: As in `EvaluateSpec`: by the box, if that is given.
      lift: Makes joints in camera space, metres, of an inference, the batch, and the mean bone
        length of the training hands (NaN if unknown), metres.
      order: Of our joints, as it wants them.
      axes: Signs of x, y and z; ours are x right, y down, z forward.
    """

    name: str
    images: int
    given: str
    where: str
    knows: Callable[[Batch], Bool[np.ndarray, " batch"]]
    crop: str
    lift: Callable[[Inference, Batch, float], Joints]
    order: Int[np.ndarray, "21"]
    axes: tuple[int, int, int]


def _lift_by_scale(inference: Inference, batch: Batch, _: float) -> Joints:
    """Returns the joints at the distance that the network estimates, in units of the given bone."""
    return inference.estimate.lift(inference.intrinsics, jnp.asarray(batch["bone_length"]))


def _lift_by_root(inference: Inference, batch: Batch, mean_bone: float) -> Joints:
    """Returns the joints of hands of mean size, with the wrist at the depth that is given.

    Relative depths of networks with heatmaps stay in proportion to the depth that these estimate:
    scaled to the given one, `released` was farther off on 48 photographs, 22.7 mm root-aligned in
    place of 20.9.
    """
    depth = jnp.asarray(batch["keypoints_3d"])[:, WRIST, 2]
    estimate = inference.estimate._replace(root_depth=depth / mean_bone)
    return estimate.lift(inference.intrinsics, jnp.full_like(depth, mean_bone))


_FREIHAND = Challenge(
    "FreiHAND",
    3_960,
    "scale",
    "evaluation_K.json and evaluation_scale.json",
    lambda batch: batch["bone_length_valid"],
    "two_pass",
    _lift_by_scale,
    order=np.arange(NUM_JOINTS),
    axes=(1, 1, 1),
)
_HO3D = Challenge(
    "HO-3D v2",
    11_524,
    "root or box",
    "evaluation/*/meta",
    lambda batch: batch["keypoints_3d_valid"][:, WRIST] & batch["hand_box_valid"],
    "box",
    _lift_by_root,
    order=np.argsort(skeleton.FROM_MANO),
    axes=(1, -1, -1),
)
CHALLENGES = MappingProxyType(
    {
        "freihand": _FREIHAND,
        "ho3d": _HO3D,
        "ho3d/v2": _HO3D,
        "ho3d/v3": _HO3D._replace(name="HO-3D v3", images=20_137),
    }
)
"""By the names of their data sets; "ho3d" is its first version, as everywhere."""


def run(config: ConfigDict, workdir: Path) -> None:
    """Predicts the evaluation images and writes `pred.zip`."""
    spec = specs.from_config(SubmissionSpec, config)
    path, count = submit(spec, workdir)
    challenge = CHALLENGES[spec.data.names]
    what = f"{path} holds the joints of {count:,} images in the format of {challenge.name}"
    if spec.trial:
        say(f"{what}: a trial and no submission, which has {challenge.images:,} images.")
    else:
        say(
            f"{what} and passed the format check; its vertices are zeros, for no mesh is predicted."
        )


def submit(spec: SubmissionSpec, workdir: Path) -> tuple[Path, int]:
    """Writes and checks `pred.zip`, or `trial.zip`; returns it and the number of images."""
    challenge = CHALLENGES[spec.data.names]
    network = open_network(spec.checkpoint, spec.init.torch_checkpoint)
    estimator = Estimator.of(network)
    if challenge.lift is _lift_by_root and estimator.statistics.bone_length is None:
        raise UserError(
            "the challenge does not tell the hands' size, and the network was trained on labels "
            "without a metric one: name a --config.checkpoint that was fine-tuned on metric labels"
        )
    data = open_data(spec.data, spec.split, network.description, challenge.crop, spec.batch_size)
    count = data.split.num_examples
    if count != challenge.images and not spec.trial:
        raise UserError(
            f"{data.name} has {count:,} images, but {challenge.name}'s challenge wants "
            f"{challenge.images:,}: give all of them by --config.data.manual_dir, or add "
            "--config.trial=True for a trial of the format, which is no submission"
        )
    title = f"Predicting {count} images ({spec.split})"
    batches = report(data.split.batches(), title, -(-count // spec.batch_size))
    path = workdir / ("trial.zip" if spec.trial else "pred.zip")
    submission_file.write(path, _predict_hands(spec, estimator, batches))
    submission_file.check(path, count)
    return path, count


def _predict_hands(
    spec: SubmissionSpec, estimator: Estimator, batches: Iterator[Batch]
) -> Iterator[Float[np.ndarray, "21 3"]]:
    """Yields the joints of every image, metres, in the challenge's order and axes."""
    challenge, done = CHALLENGES[spec.data.names], 0
    mean_bone = estimator.statistics.bone_length
    for batch in batches:
        _check_given(challenge, batch, done)
        inference = look_at_batch(estimator, batch, challenge.crop, spec.batch_size)
        joints = challenge.lift(inference, batch, float("nan") if mean_bone is None else mean_bone)
        wanted = np.asarray(joints, np.float64) * challenge.axes
        yield from skeleton.reorder(wanted, challenge.order)
        done += len(wanted)


def _check_given(challenge: Challenge, batch: Batch, done: int) -> None:
    """Checks that the next images, from number `done` on, are those, with what is given of them."""
    known = batch["intrinsics_valid"] & challenge.knows(batch)
    if not known.all():
        raise UserError(
            f"image {done + int(np.argmin(known))} has no intrinsics, {challenge.given}, which the "
            f"challenge gives for every image: look at {challenge.where}"
        )
    ordered = batch["sample_id"] == done + np.arange(len(known))
    if not ordered.all():
        place = int(np.argmin(ordered))
        raise UserError(
            f"image {done + place} of the records is number {batch['sample_id'][place]} of the "
            "challenge's list: delete the records and write them again"
        )
