"""Trained networks opened: our checkpoints of both tasks, and PyTorch files in official layout."""

import dataclasses
import math
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from peclr_jax import places, weights
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.models import resnet, torch_file, torch_weights
from peclr_jax.models.released import VIEW_SIDE, ReleasedPoseNetwork
from peclr_jax.models.spec import PoseNetworkSpec
from peclr_jax.models.torch_weights import TorchWeights
from peclr_jax.networks.description import NetworkDescription, from_note, read_description
from peclr_jax.photos.looking import LookingRule
from peclr_jax.training import restoring
from peclr_jax.weights import file as weights_file

# Side of the released networks' views over the larger side of the hand's box (official test code).
_RELEASED_HAND_MARGIN = 1 / 0.7


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network, its variables as NumPy arrays, and the file or folder that it is from."""

    description: NetworkDescription
    module: nn.Module
    variables: dict[str, Any] = dataclasses.field(repr=False)
    source: str

    @property
    def estimates_poses(self) -> bool:
        """Whether it was fine-tuned."""
        return self.description.task == "finetune"

    @property
    def view_size(self) -> int:
        """Side of the views that it was trained on, pixels."""
        return self.description.view_size

    def part(self, name: str) -> dict[str, Any]:
        """Returns the variables of one part, such as "encoder"."""
        return {
            collection: parts[name] for collection, parts in self.variables.items() if name in parts
        }


def open_network(
    checkpoint: str | PathLike[str],
    torch_checkpoint: str | PathLike[str] = "",
    *,
    in_float32: bool = False,
) -> Network:
    """Opens a trained network.

    Args:
      checkpoint: The folder of a pre-training or a fine-tuning run, or of one of its steps; a file
        that configs/release.py wrote; or "released", the network in the package.
      torch_checkpoint: In its place, a file as of `TorchFileSpec`; nothing in it is executed.
      in_float32: Whether it computes so, and without rematerialisation, whatever the run did.
    """
    if str(torch_checkpoint):
        return _open_torch(places.named("the checkpoint", str(torch_checkpoint)))
    if not str(checkpoint):
        raise UserError(
            "no checkpoint is named: give --config.checkpoint=WORKDIR of a run (python main.py "
            "--config=configs/finetune.py makes one that estimates poses)"
        )
    whole = places.named("the checkpoint", str(checkpoint))
    checkpoint = whole if isinstance(checkpoint, str) else Path(whole)
    description = read_description(checkpoint)
    if in_float32:
        model = dataclasses.replace(description.model, dtype="float32", remat="none")
        description = dataclasses.replace(description, model=model)
    return Network(description, description.build(), *read_variables(checkpoint, description))


def read_variables(
    checkpoint: str | PathLike[str], description: NetworkDescription
) -> tuple[dict[str, Any], str]:
    """Reads the variables of a network of ours as NumPy arrays, compared with it beforehand.

    Args:
      checkpoint: As of `open_network`.
      description: What `read_description` says of it.

    Returns:
      (variables, the file or folder that they are from).
    """
    wanted = _shapes(description.build(), description.view_size, description.task)
    if file := weights.find(checkpoint):
        return weights_file.read(file, wanted), str(file)
    return restoring.restore_params(checkpoint, wanted), str(restoring.find(checkpoint))


def _open_torch(path: str) -> Network:
    """Opens a file in the releases' layout; ours have a description, and the wrist as the root."""
    weights = torch_weights.read_weights(path)
    if weights.layout != "released":
        raise UserError(
            f"{path} holds no pose network but weights of the layout {weights.layout!r}: fine-tune "
            "them first (python main.py --config=configs/finetune.py "
            f"--config.init.torch_checkpoint={path})"
        )
    note = torch_file.read_text(path, weights_file.NOTE)
    if note is None and not np.any(weights.variables["params"]["head"]["fc"]["kernel"][:, -1]):
        raise UserError(
            f"{path} holds a pose network that this package wrote, but without its description, as "
            "if another program had saved its tensors again: keep the exported file's entry "
            f"{weights_file.NOTE!r} by torch.save({{**checkpoint, 'state_dict': "
            "network.state_dict()}, file), where checkpoint is what torch.load gives of that file; "
            "or, if the tensors are as they were, export it once more by configs/export.py or name "
            "the run itself by --config.checkpoint"
        )
    description = _describe_release(weights) if note is None else from_note(note, path)
    if description.task != "finetune":
        raise UserError(
            f"{path} holds a pose network, but the config of the task {description.task!r}: get "
            "the file again from where it was made"
        )
    encoder = resnet.BY_NAME[weights.architecture](width=weights.width, stem=weights.stem)
    module = ReleasedPoseNetwork(encoder, palm_root=note is None)
    return Network(description, module, weights.variables, path)


def _describe_release(weights: TorchWeights) -> NetworkDescription:
    data = DataSpec(
        source="tfds",
        names="freihand",
        source_size=round(VIEW_SIDE * DataSpec.source_margin),
        hand_margin=_RELEASED_HAND_MARGIN,
    )
    model: Any = {name: getattr(weights, name) for name in ("architecture", "width", "stem")}
    return NetworkDescription(
        task="finetune",
        recipe="released",
        model=PoseNetworkSpec(**model),
        data=data,
        view_size=VIEW_SIDE,
        refine_root_depth=True,
        # The official test code bounds nothing.
        looking=LookingRule(_RELEASED_HAND_MARGIN, 0.33, closest=0.0, widest=math.inf),
    )


def _shapes(module: nn.Module, side: int, task: str) -> Any:
    """Returns the shapes of a network's variables."""
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    cameras = jax.ShapeDtypeStruct((1, 3, 3), jnp.float32)
    inputs = (images, cameras) if task == "finetune" else (images,)
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)
