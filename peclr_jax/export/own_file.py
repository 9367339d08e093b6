"""A network of ours in one file of ours, which opens wherever a checkpoint is named."""

import dataclasses
import json
from pathlib import Path

from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec
from peclr_jax.networks.description import NetworkDescription
from peclr_jax.networks.opening import Network
from peclr_jax.weights import file as weights_file


def write_network(path: Path, network: Network, *, half: bool = False) -> None:
    """Writes a network and its description, without the places of its training's data.

    Args:
      path: The file, which ends in ".safetensors".
      network: One of ours.
      half: Whether the parameters are rounded to float16.
    """
    if network.module != network.description.build():
        raise UserError(
            f"{network.source} holds a network in the official layout: name a run of ours, or one "
            "of its steps"
        )
    description = without_places(network.description)
    note = json.dumps(description.to_json(), allow_nan=False)
    weights_file.write(path, network.variables, note, half=half)


def without_places(description: NetworkDescription) -> NetworkDescription:
    """Returns a description that names no folder of the machine that the network is from."""

    def nowhere(data: DataSpec) -> DataSpec:
        rendered = dataclasses.replace(data.rendered, cache_dir="")
        return dataclasses.replace(data, data_dir="", manual_dir="", rendered=rendered)

    earlier = tuple(map(nowhere, description.earlier_data))
    return dataclasses.replace(description, data=nowhere(description.data), earlier_data=earlier)
