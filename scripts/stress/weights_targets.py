"""Checkpoints, weights and pickles, each damaged or made to declare what it does not hold.

Targets as those of `targets`, which lists them.
"""

import json
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
import tensorstore
from mutations import damage, distort, distorted_text

from configs import finetune
from data import pickles
from data.ho3d import ho3d_dataset_builder as ho3d
from data.youtube_3d_hands import mano
from peclr_jax import specs, weights
from peclr_jax.models import torch_file, torch_weights, torch_writing
from peclr_jax.networks.estimator import open_estimator
from peclr_jax.networks.evaluation_data import default_split, resolve_data
from peclr_jax.networks.opening import open_network
from peclr_jax.networks.spec import EvaluationDataSpec
from peclr_jax.runs.initialisation import resolve
from peclr_jax.runs.spec import FinetuneSpec
from peclr_jax.training import digests, restoring
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.weights import file as weights_file

ROOT = Path(__file__).parents[2]
TORCH_FILES = ROOT / "tests/models/torch_files"

Case = Callable[[random.Random, Path], None]


def save_checkpoint(workdir: Path) -> Path:
    """Saves a small fine-tuned network of random weights."""
    config = finetune.get_config("quick+scratch")
    config.model.width, config.views.size = 4, 16
    hand = np.zeros((21, 3)).tolist()
    results = {"label_statistics": {"bone_length": 0.03, "mean_pose": hand, "mean_hand": hand}}
    spec = specs.from_config(FinetuneSpec, config)
    network = spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    shapes = jax.eval_shape(
        network.init, jax.random.key(0), np.zeros((1, 16, 16, 3)), np.eye(3)[None]
    )
    source = np.random.default_rng(0)
    state = jax.tree.map(lambda s: source.normal(size=s.shape).astype(np.float32), shapes)
    with Checkpoints(workdir, specs.to_dict(spec), results=results, save_every=1) as saver:
        saver.save(1, dict(state))
    return workdir


def _without_digests(run: Path) -> Path:
    """Who changes a checkpoint on purpose writes its digests anew, or leaves them out."""
    for path in run.rglob(digests.FILE):
        path.unlink()
    return run


def checkpoint_files(folder: Path) -> Case:
    """Any file of a checkpoint damaged: found, restored, and opened as a network."""
    whole = save_checkpoint(folder / "run")
    names = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())

    def case(random: random.Random, folder: Path) -> None:
        run = shutil.copytree(whole, folder / "run")
        name = random.choice(names)
        if random.random() < 0.1:
            (run / name).unlink()
        else:
            content, other = (run / name).read_bytes(), (run / random.choice(names)).read_bytes()
            is_json = content.startswith(b"{") and random.random() < 0.5
            damaged = distorted_text(content, random) if is_json else damage(content, random, other)
            (run / name).write_bytes(damaged)
        if random.random() < 0.8:
            _without_digests(run)
        restoring.find(run)
        restoring.restore_config(run)
        restoring.restore_params(run)
        open_estimator(run)

    return case


def checkpoint_config(folder: Path) -> Case:
    """The config inside of a checkpoint distorted: opened by every task that does so."""
    whole = _without_digests(save_checkpoint(folder / "run"))
    name = next(p.relative_to(whole) for p in whole.rglob("config/metadata"))

    def case(random: random.Random, folder: Path) -> None:
        run = shutil.copytree(whole, folder / "run")
        (run / name).write_text(json.dumps(distort(json.loads((run / name).read_text()), random)))
        use = random.randrange(3)
        if use == 0:
            description = open_network(run).description
            crop = random.choice(("box", "two_pass"))
            default_split(resolve_data(EvaluationDataSpec(), description, crop))
        elif use == 1:
            open_network(run, in_float32=True)
        else:
            config = finetune.get_config("quick")
            config.init.update(checkpoint=str(run), parts=random.choice(("encoder", "all")))
            spec, _ = resolve(specs.from_config(FinetuneSpec, config))
            spec.check_devices(1)

    return case


SIDES = (0, 1, 3, -1, 2**20, 2**31, 2**40, 2**62)
ARRAY_TYPES = ("<f4", "<f8", "<i8", "|S9", "|O", "<U99999999", "|V4", ">f4", "bfloat16")


def checkpoint_metadata(folder: Path) -> Case:
    """What Orbax and its arrays say of themselves: names, shapes, pieces, types, compression."""
    whole = _without_digests(save_checkpoint(folder / "run"))
    state = next(whole.rglob("_METADATA")).parent.relative_to(whole)
    arrays = sorted(key for key in _arrays(whole / state).list().result() if b".zarray" in key)

    def case(random: random.Random, folder: Path) -> None:
        run = shutil.copytree(whole, folder / "run")
        metadata = run / state / "_METADATA"
        if random.random() < 0.4:
            metadata.write_bytes(distorted_text(metadata.read_bytes(), random))
        else:
            store = _arrays(run / state)
            for key in random.sample(arrays, random.choice((1, 1, 3))):
                said = json.loads(store[key])
                field = random.choice(("shape", "chunks", "dtype", "any"))
                if field == "any":
                    said = distort(said, random)
                elif field == "dtype":
                    said[field] = random.choice(ARRAY_TYPES)
                else:
                    said[field] = [random.choice((side, *SIDES)) for side in said[field]]
                store[key] = json.dumps(said)
        restoring.restore_params(run)
        open_network(run)

    return case


def _arrays(state: Path) -> Any:
    return tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{state}/"}).result()


def pickled_labels(folder: Path) -> Case:
    """HO-3D's pickles and MANO's, one by one."""
    found = sorted((ROOT / "data/ho3d/dummy_data").rglob("*.pkl"))

    def case(random: random.Random, folder: Path) -> None:
        path = folder / "0000.pkl"
        content, other = (random.choice(found).read_bytes() for _ in range(2))
        path.write_bytes(damage(content, random, other))
        loaded = pickles.load(path, inert=("chumpy", "scipy"))
        ho3d.layout._label(path, loaded, "camMat", (3, 3))

    return case


def regressors(folder: Path) -> Case:
    """MANO's regressor in each of its files."""
    matrix = np.full((16, 778), 1 / 778)
    np.save(folder / "J_regressor.npy", matrix)
    torch_writing.write(folder / "mano_mesh_to_joints_mat.pth", {"": matrix})
    (folder / "MANO_RIGHT.pkl").write_bytes(pickle.dumps({"J_regressor": matrix}))
    found = sorted(folder.iterdir())

    def case(random: random.Random, folder: Path) -> None:
        chosen = random.choice(found)
        other = random.choice(found).read_bytes()
        (folder / chosen.name).write_bytes(damage(chosen.read_bytes(), random, other))
        mano.read_regressor([folder])

    return case


def torch_weights_files(folder: Path) -> Case:
    """`.pth` in both formats of PyTorch's, Lightning's checkpoints and safetensors."""
    found = [TORCH_FILES / name for name in ("zip.pth", "stream.pth", "lightning.ckpt")]
    tensors = {"a": np.ones((3, 2), np.float32), "b": np.ones(2, np.int64)}
    safetensors.numpy.save_file(tensors, folder / "small.safetensors")
    ours = {"state_dict": tensors, "peclr_jax": '{"task": "finetune"}'}
    torch_writing.write(folder / "ours.pth", ours)
    found += sorted(folder.iterdir())

    def case(random: random.Random, folder: Path) -> None:
        chosen = random.choice(found)
        path = folder / "weights.pth"
        path.write_bytes(damage(chosen.read_bytes(), random, random.choice(found).read_bytes()))
        if random.random() < 0.5:
            torch_file.read(path)
            torch_file.read_text(path, "peclr_jax")
        else:
            torch_weights.read_weights(path)

    return case


INSTRUCTIONS = (
    *(pickle.MARK, pickle.POP, pickle.DUP, pickle.NONE, pickle.EMPTY_LIST, pickle.EMPTY_DICT),
    *(pickle.EMPTY_SET, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2),
    *(pickle.LIST, pickle.DICT, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.ADDITEMS, pickle.FROZENSET, pickle.REDUCE, pickle.BUILD, pickle.NEWOBJ, pickle.OBJ),
    *(pickle.MEMOIZE, b"h\x00", b"h\x01", b"q\x00", b"q\x01", pickle.BINPERSID, b"K\x03"),
    *(b"\x8a\x08" + struct.pack("<q", side) for side in SIDES),
    *(b"U\x01x", b"X\x02\x00\x00\x00f8", b"C\x08abcdefgh", b"\x96" + b"\xff" * 7 + b"\x00"),
    *(b"X\x07\x00\x00\x00storage", b"X\x06\x00\x00\x00camMat", b"J\xff\xff\xff\xff"),
    *(
        b"c" + name + b"\n"
        for name in (
            *(b"numpy.core.multiarray\n_reconstruct", b"numpy.core.multiarray\nscalar"),
            *(b"numpy.core.numeric\n_frombuffer", b"numpy\ndtype", b"numpy\nndarray"),
            *(b"_codecs\nencode", b"builtins\nbytes", b"builtins\nset", b"builtins\ncomplex"),
            *(b"collections\nOrderedDict", b"copyreg\n_reconstructor", b"torch\nFloatStorage"),
            *(b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter"),
            *(b"torch._tensor\n_rebuild_from_type_v2", b"os\nsystem", b"chumpy.ch\nCh"),
        )
    ),
)


def pickle_programs(folder: Path) -> Case:
    """Pickles that no pickler writes: instructions in any order, some of them many times."""

    def case(random: random.Random, folder: Path) -> None:
        program = b"".join(
            random.choice(INSTRUCTIONS) * random.choice((1, 1, 1, 1, 2, 50))
            for _ in range(random.choice((5, 20, 100)))
        )
        values = pickle.NONE * 60
        if random.random() < 0.5:
            path = folder / "0000.pkl"
            path.write_bytes(b"\x80\x04" + values + program + b".")
            pickles.as_numbers(pickles.load(path, inert=("chumpy",)), 1000)
        else:
            path = folder / "weights.pth"
            torch_writing.write(path, {"a": np.ones(3, np.float32)})
            good = path.read_bytes()
            at = good.index(b"\x80\x02")
            stream = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
            path.write_bytes(stream + b"\x80\x02" + values + program + b".\x80\x02].")
            torch_file.read(path)
            path.write_bytes(good[:at])
            torch_file.read(path)

    return case


def safetensors_files(folder: Path) -> Case:
    """Headers of safetensors that say something else, of our files and of anybody's."""
    tensors = {"params/a": np.ones((3, 2), np.float32), "params/b": np.ones(2, np.float16)}
    content = safetensors.numpy.save(tensors, {weights_file.NOTE: '{"task": "finetune"}'})
    size = 8 + int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8:size]), content[size:]
    kinds = ("F8_E4M3", "F8_E5M2", "F4", "BF16", "F64", "I64", "BOOL", "C64")

    def case(random: random.Random, folder: Path) -> None:
        said = distort(header, random)
        for entry in said.values() if isinstance(said, dict) else ():
            if isinstance(entry, dict) and "shape" in entry and random.random() < 0.5:
                entry["shape"] = [random.choice(SIDES) for _ in range(random.randrange(4))]
            if isinstance(entry, dict) and "dtype" in entry and random.random() < 0.3:
                entry["dtype"] = random.choice(kinds)
        text = json.dumps(said).encode()
        length = random.choice((len(text), len(text), len(text), *SIDES[4:]))
        path = folder / "weights.safetensors"
        path.write_bytes(struct.pack("<Q", length) + text + values)
        use = random.randrange(3)
        if use == 0:
            torch_weights.read_weights(path)
        elif use == 1:
            weights_file.read_note(path)
            weights_file.read(path, {"params": {"a": tensors["params/a"]}})
        else:
            assert weights.find(path) == path
            open_network(path)

    return case
