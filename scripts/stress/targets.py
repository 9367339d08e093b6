"""What of ours reads what others wrote, each fed with a damaged case of it.

A target is made with a folder of its own, and called with a source of randomness and an empty
folder for each case. It puts a damaged file there and reads it as our commands do; whatever it
raises is judged by `fuzz`.
"""

import random
import shutil
import sys
import zipfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
import label_targets as labels
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from mutations import damage, distorted_text, strange
from PIL import Image
from weights_targets import (
    checkpoint_config,
    checkpoint_files,
    checkpoint_metadata,
    pickle_programs,
    pickled_labels,
    regressors,
    safetensors_files,
    torch_weights_files,
)

import main
from configs import finetune, pretrain
from data import archives, images, validation
from data.dexter_object import dexter_object_dataset_builder as dexter_object
from data.freihand import freihand_dataset_builder as freihand
from data.ho3d import ho3d_dataset_builder as ho3d
from data.image_folder import image_folder_dataset_builder as image_folder
from data.youtube_3d_hands import mano
from data.youtube_3d_hands import youtube_3d_hands_dataset_builder as youtube
from peclr_jax import specs
from peclr_jax.input_pipeline.from_rendered import cached
from peclr_jax.photos import boxes, crop, prepare
from peclr_jax.photos.looking import LookingRule
from peclr_jax.runs.initialisation import resolve
from peclr_jax.runs.spec import FinetuneSpec, PretrainSpec

ROOT = Path(__file__).parents[2]
TORCH_FILES = ROOT / "tests/models/torch_files"
IMAGES = ROOT / "data/image_folder/dummy_data"

Case = Callable[[random.Random, Path], None]
Maker = Callable[[Path], Case]


FLAG_TEXTS = ("", "nan", "inf", "1e308", "True", "(nan,1.0)", "(1.0,inf)", "1", "-1", "0", "1e400")
FLAG_TEXTS += ("9" * 400, "[", "(1,", "(2.0,1.0)", "a,b", "x")
RECIPES = {"finetune": finetune.get_config, "pretrain": pretrain.get_config}


def config_flags(folder: Path) -> Case:
    """Flags with values of every kind, as far as the checks before anything is allocated."""
    fields = {task: sorted(_flat(recipe("quick").to_dict())) for task, recipe in RECIPES.items()}

    def case(random: random.Random, folder: Path) -> None:
        task = random.choice(sorted(RECIPES))
        chosen = random.sample(fields[task], random.choice((1, 1, 2)))
        argv = [f"--config.{name}={random.choice(FLAG_TEXTS)}" for name in chosen]
        flags.FLAGS.unparse_flags()
        for name in [name for name in flags.FLAGS if name.startswith("config.")]:
            delattr(flags.FLAGS, name)  # of the case before
        argv = ["main", f"--config={ROOT}/configs/{task}.py:quick", *argv]
        with mock.patch.object(sys, "argv", argv):  # where the config's flag looks for its fields'
            main.parse_flags(argv)
        check_config(main.CONFIG.value)

    return case


def config_fields(folder: Path) -> Case:
    """Fields with numbers at and beyond the ends of what they can be."""

    def case(random: random.Random, folder: Path) -> None:
        config = RECIPES[random.choice(("pretrain", "finetune"))]("quick")
        flat = _flat(config.to_dict())
        for name in random.sample(sorted(flat), random.choice((1, 1, 2))):
            value = strange(flat[name], random)
            if isinstance(value, list | dict | None) or "\0" in str(value):
                continue  # flags give no such values
            if isinstance(flat[name], int) and isinstance(value, float):
                continue
            try:
                config.update_from_flattened_dict({name: value})
            except (TypeError, OverflowError):  # by the config itself: flags refuse these, too
                continue
        check_config(config)

    return case


def check_config(config: ConfigDict) -> None:
    """Does what a training does before it allocates anything."""
    if config.task == "finetune":
        config.init.checkpoint = ""
        small = {"architecture": "resnet18", "width": 16, "stem": "small"}
        chosen = {name: value for name, value in small.items() if config.model[name] in ("auto", 0)}
        config.model.update(chosen)
        spec, _ = resolve(specs.from_config(FinetuneSpec, config))
        peak = spec.optimizer.learning_rate
        spec.model.network.build(refine_root_depth=spec.refine_root_depth)
    else:
        spec = specs.from_config(PretrainSpec, config)
        peak = spec.peak_learning_rate
        spec.model.build()
    spec.check_devices(1)
    spec.optimizer.build(spec.schedule(48, peak).learning_rate)
    spec.key(0)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        key = prefix + name
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return flat


def _layout(name: str, read_all: Callable[[Path], None]) -> Maker:
    raw = ROOT / "data" / name / "dummy_data"

    def make(_: Path) -> Case:
        files = sorted(p.relative_to(raw) for p in raw.rglob("*") if p.is_file())
        labels = [p for p in files if p.suffix in (".json", ".txt", ".pkl", ".pth")]

        def case(random: random.Random, folder: Path) -> None:
            copied = shutil.copytree(raw, folder / "raw")
            chosen = random.choice(labels if random.random() < 0.8 else files)
            content = (copied / chosen).read_bytes()
            other = (copied / random.choice(files)).read_bytes()
            is_json = chosen.suffix == ".json"
            damaged = distorted_text(content, random) if is_json else damage(content, random, other)
            (copied / chosen).write_bytes(damaged)
            read_all(copied)

        return case

    return make


def _read_freihand(root: Path) -> None:
    for name in ("training", "evaluation"):
        if folder := freihand.layout.read_folder([root], name):
            samples = np.arange(folder.num_samples)
            deque(freihand.Builder._generate_examples(None, folder, samples), 0)


def _read_ho3d(root: Path) -> None:
    for version in ("v2", "v3"):
        found = ho3d.layout.find_root(root / f"HO3D_{version}", version)
        train = ho3d.layout.read_train(found, version)
        for frames in (train, ho3d.layout.read_evaluation(found, version, root)):
            rows = np.arange(len(frames.images))
            deque(ho3d.Builder._generate_examples(None, frames, rows), 0)


def _read_youtube(root: Path) -> None:
    regressor = mano.read_regressor([root])
    builder: Any = SimpleNamespace(leave_out=lambda what: None)
    for name in youtube.layout.SPLITS:
        if (split := youtube.layout.read_split([root], name, regressor)) is not None:
            with_joints = regressor is not None
            deque(youtube.Builder._generate_examples(builder, name, split, with_joints), 0)


def _read_dexter_object(root: Path) -> None:
    frames = dexter_object.layout.read_frames(dexter_object.layout.find_roots(root))
    deque(dexter_object.Builder._generate_examples(None, frames), 0)


def _read_image_folder(root: Path) -> None:
    deque(image_folder.layout.raw_files(root), 0)
    folder = image_folder.layout.read_folder(root)
    builder: Any = SimpleNamespace(builder_config=SimpleNamespace(longest=32))
    deque(image_folder.Builder._generate_examples(builder, list(folder.photos)), 0)


def photos(folder: Path) -> Case:
    """Bytes of pictures of every kind, through reading, cutting out and encoding again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(noise).save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(noise).convert("P").save(folder / "palette.png")
    Image.fromarray(noise).convert("RGBA").save(folder / "alpha.png")
    for name in ("frame.bmp", "page.tif", "film.gif", "phone.avif"):
        Image.fromarray(noise).save(folder / name)
    several = {"save_all": True, "append_images": [Image.fromarray(noise[::-1])]}
    Image.fromarray(noise).save(folder / "several.jpg", "MPO", exif=exif, **several)
    found = sorted(folder.iterdir())
    found += sorted(p for p in IMAGES.rglob("*.*") if p.suffix != ".json")
    options = prepare.Options(32, LookingRule(central_box=0.5), 64, 0.0, 40.0)

    def case(random: random.Random, folder: Path) -> None:
        chosen = random.choice(found)
        path = folder / f"photo{chosen.suffix}"
        path.write_bytes(damage(chosen.read_bytes(), random, random.choice(found).read_bytes()))
        box = None
        if random.random() < 0.5:
            ends = [random.choice((-5.0, 0.0, 1e-9, 3.0, 50.0, 1e4, 1e7, 1e300)) for _ in range(4)]
            box = (min(ends[:2]), min(ends[2:]), max(ends[:2]) + 1e-3, max(ends[2:]) + 1e-3)
        prepared = prepare.prepare(path, boxes.Request((boxes.Hand("right", box),)), options)
        if isinstance(prepared, prepare.Prepared):
            for subject in prepared.subjects:
                crop.cut_out(subject.window, subject.squares[0], options.view_size)
        images.as_jpeg(path, "fetch it again")

    return case


def records(folder: Path) -> Case:
    """JPEGs that passed the checks of raw files, decoded as records are."""
    from peclr_jax.input_pipeline import crop as tf_crop
    from peclr_jax.input_pipeline.records import import_tensorflow

    tf = import_tensorflow()
    found = [p.read_bytes() for p in sorted(IMAGES.rglob("*.jpg"))]

    def case(random: random.Random, folder: Path) -> None:
        path = folder / "0.jpg"
        path.write_bytes(damage(random.choice(found), random, random.choice(found)))
        if validation.check_jpeg(path) is not None:
            return
        encoded = tf.constant([path.read_bytes()])
        shape = tf_crop.jpeg_shapes(encoded)
        box = tf.constant([[1.0, 1.0, 20.0, 20.0]])
        window = tf_crop.window_around(box, tf.constant([True]), shape, 1.5, 24)
        part = tf_crop.inside(window, shape)
        one = jax.tree.map(lambda a: a[0], window)
        tf_crop.cut_out(encoded[0], one, part[0], 24, tf.constant(False))

    return case


def zip_archives(folder: Path) -> Case:
    """A data set's official archive."""
    made = folder / "HANDS.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "data/freihand/dummy_data").rglob("*"))[:12]:
            if path.is_file():
                archive.writestr(f"HANDS/{path.name}", path.read_bytes())
    content = made.read_bytes()

    def case(random: random.Random, folder: Path) -> None:
        (folder / "HANDS.zip").write_bytes(damage(content, random))
        manager: Any = SimpleNamespace(download_dir=folder / "downloads")
        archives.unpacked(manager, [folder / "HANDS.zip"])

    return case


def kept_hands(folder: Path) -> Case:
    """What is kept of rendered hands for later runs."""
    from peclr_jax.input_pipeline.stores import MemoryStore

    store = MemoryStore({"image": np.zeros((2, 8, 8, 3), np.uint8)})
    cached(str(folder), {}, lambda: store)
    (kept,) = folder.iterdir()

    def case(random: random.Random, folder: Path) -> None:
        (folder / kept.name).write_bytes(damage(kept.read_bytes(), random))
        cached(str(folder), {}, lambda: store)

    return case


TARGETS: dict[str, Maker] = {
    "config flags": config_flags,
    "config fields": config_fields,
    "checkpoint files": checkpoint_files,
    "checkpoint config": checkpoint_config,
    "checkpoint metadata": checkpoint_metadata,
    "freihand": _layout("freihand", _read_freihand),
    "ho3d": _layout("ho3d", _read_ho3d),
    "youtube_3d_hands": _layout("youtube_3d_hands", _read_youtube),
    "dexter_object": _layout("dexter_object", _read_dexter_object),
    "image_folder": _layout("image_folder", _read_image_folder),
    "pickles": pickled_labels,
    "pickle programs": pickle_programs,
    "regressors": regressors,
    "photos": photos,
    "records": records,
    **labels.TARGETS,
    "torch files": torch_weights_files,
    "safetensors": safetensors_files,
    "archives": zip_archives,
    "kept hands": kept_hands,
}
