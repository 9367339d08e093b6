"""Checkpoints as attackers write them: arrays that declare what they do not have."""

import json
import shutil

import numpy as np
import tensorstore as ts

from tests.conftest import REFERENCE

# Of an earlier version: it has no digests, which an attacker would write anew.
WHOLE = REFERENCE / "before_specs/finetune"


def copied(folder):
    """Returns a copy of a small run's folder."""
    return shutil.copytree(WHOLE, folder / "run")


def state_of(run):
    (found,) = run.glob("checkpoints/*/state")
    return found


def kernel(run):
    """Returns the name of one of its arrays."""
    names = json.loads((state_of(run) / "_METADATA").read_text())["tree_metadata"]
    entries = ([part["key"] for part in names[name]["key_metadata"]] for name in names)
    return next(".".join(keys) for keys in entries if keys[0] == "params" and keys[-1] == "kernel")


def declare(run, name, **changes):
    """Changes what an array says of itself, such as its shape or its chunks."""
    arrays = ts.KvStore.open({"driver": "ocdbt", "base": f"file://{state_of(run)}/"}).result()
    said = json.loads(arrays[f"{name}/.zarray"])
    arrays[f"{name}/.zarray"] = json.dumps(said | changes)


def add(run, name, size):
    """Adds an array without values, which takes no room."""
    metadata = state_of(run) / "_METADATA"
    content = json.loads(metadata.read_text())
    parts = name.split(".")
    content["tree_metadata"][str(tuple(parts))] = {
        "key_metadata": [{"key": part, "key_type": 2} for part in parts],
        "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
    }
    metadata.write_text(json.dumps(content))
    where = {"driver": "ocdbt", "base": f"file://{state_of(run)}/", "path": f"{name}/"}
    layout = ts.ChunkLayout(chunk_shape=[min(size, 2**20)])
    spec = {"driver": "zarr", "kvstore": where}
    ts.open(spec, create=True, dtype=np.float32, shape=[size], chunk_layout=layout).result()


def change_config(run, **fields):
    """Changes fields of the config inside."""
    (path,) = run.glob("checkpoints/*/config/metadata")
    config = json.loads(path.read_text())
    for name, value in fields.items():
        node, (*sections, last) = config, name.split("__")
        for section in sections:
            node = node[section]
        node[last] = value
    path.write_text(json.dumps(config))
