"""Trained networks as files of PyTorch weights, written and read again."""

import json
from pathlib import Path
from typing import Any

from peclr_jax.errors import UserError
from peclr_jax.export.functions import (
    ViewFunction,
    Written,
    encode,
    estimate,
    explain_views,
    project,
)
from peclr_jax.export.own_file import without_places
from peclr_jax.models import released, resnet, torch_weights, torch_writing
from peclr_jax.models.heads import ProjectionHead
from peclr_jax.models.projector import Projector
from peclr_jax.models.released import ReleasedPoseNetwork
from peclr_jax.networks.opening import Network
from peclr_jax.weights.file import NOTE

# What torchvision and the official code can hold.
_WIDTH, _STEM = 64, "imagenet"


def check_published(network: Network) -> None:
    """Checks that an encoder is one that torchvision has."""
    model = network.description.model
    if not _is_published(network):
        raise UserError(
            f"{network.source} holds a {model.architecture} of width {model.width} with the stem "
            f"{model.stem!r}, but torchvision's and the official networks have width {_WIDTH} and "
            f"the stem {_STEM!r}: use --config.format=safetensors, whose names are the same"
        )


def write_torchvision(network: Network, folder: Path) -> Written:
    """Writes the encoder under torchvision's names, without a classifier."""
    check_published(network)
    file = folder / "encoder.pth"
    torch_writing.write(file, torch_weights.to_state_dict(network.part("encoder")))
    return Written(
        {file.name: reopen(file)},
        f"""\
import torch, torchvision
network = torchvision.models.{network.description.model.architecture}()
network.fc = torch.nn.Identity()
network.load_state_dict(torch.load("{file.name}", weights_only=True))
features = network.eval()(views)

{_describe(network)}""",
    )


def write_safetensors(network: Network, folder: Path) -> Written:
    """Writes an encoder of any width and stem under torchvision's names."""
    model, file = network.description.model, folder / "encoder.safetensors"
    metadata = {
        "format": "pt",  # by which readers know whose layout the tensors have
        "architecture": model.architecture,
        "width": str(model.width),
        "stem": model.stem,
    }
    state_dict = torch_weights.to_state_dict(network.part("encoder"))
    torch_writing.write_safetensors(file, state_dict, metadata)
    fits = (
        "a torchvision or timm network"
        if _is_published(network)
        else f"a network with width {model.width} and the stem {model.stem!r} (small: 3x3 with "
        "stride 2, no pooling), which neither torchvision nor timm has ready-made"
    )
    return Written(
        {file.name: reopen(file)},
        f"""\
import safetensors.torch
state_dict = safetensors.torch.load_file("{file.name}")

A {model.architecture} under torchvision's names, without a classifier: for {fits}.
{_describe(network)}""",
    )


def write_official(network: Network, folder: Path) -> Written:
    """Writes the whole network under the names of the official code."""
    check_published(network)
    file = folder / "official.pth"
    variables = network.variables
    if network.estimates_poses:
        variables = released.from_pose_network(variables, network.view_size)
    content: dict[str, Any] = {"state_dict": torch_weights.to_state_dict(variables)}
    if network.estimates_poses:
        # What the tensors do not tell; also the sign that the root is the wrist, not the palm.
        content[NOTE] = json.dumps(without_places(network.description).to_json())
    torch_writing.write(file, content)
    explain = _explain_poses if network.estimates_poses else _explain_projections
    views = _describe(network)
    return Written(
        {file.name: reopen(file)},
        f"""\
import torch
checkpoint = torch.load("{file.name}", weights_only=True)
network.load_state_dict(checkpoint["state_dict"])
{explain(file.name, views)}""",
    )


def reopen(file: Path) -> ViewFunction:
    """Reads weights, in any layout that is written here, by nothing but what their file holds."""
    weights = torch_weights.read_weights(file)
    encoder = resnet.BY_NAME[weights.architecture](width=weights.width, stem=weights.stem)
    variables = weights.variables
    if weights.layout == "torchvision":
        return encode(encoder, variables)
    if weights.layout == "released":
        return estimate(ReleasedPoseNetwork(encoder, palm_root=False), variables)
    hidden, outputs = variables["params"]["head"]["dense2"]["kernel"].shape
    return project(Projector(encoder, ProjectionHead(hidden, outputs // 2)), variables)


def _explain_projections(file: str, views: str) -> str:
    return f"""
network: the official Hybrid2Model; or, for the encoder alone, a torchvision network by
peclr_to_torchvision(network, "{file}").
{views}"""


def _explain_poses(file: str, views: str) -> str:
    return f"""\
outputs = network.eval()(views, K)

network: the official RN_25D_wMLPref. It answers in AIT's order of joints and in pixels of
the view, as the released ones do. Unlike theirs its first joint is the wrist itself, not the palm:
leave out the step from palm to wrist. Its 64th output is zero.
{views}K: (B, 3, 3) float32, camera matrices of the views, pixels. Always give them: without them
the network assumes a camera for views of 224 px, so that 3D joints from views of 128 px, for
example, are some 30 cm off.

After training in PyTorch keep the entry "{NOTE}" of {file}, without which the new file
is not read here (--config.init.torch_checkpoint):
torch.save({{**checkpoint, "state_dict": network.state_dict()}}, "trained.pth")
"""


def _describe(network: Network) -> str:
    side = network.view_size
    return f"""\
views: (B, 3, {side}, {side}) float32, RGB in [0, 1], standardised by the mean
(0.485, 0.456, 0.406) and the deviation (0.229, 0.224, 0.225).
{explain_views(network)}"""


def _is_published(network: Network) -> bool:
    model = network.description.model
    return (model.width, model.stem) == (_WIDTH, _STEM)
