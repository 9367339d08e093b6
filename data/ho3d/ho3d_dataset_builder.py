"""HO-3D v2 and v3 from their official files, as TFDS records."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import archives, base, images, places, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import archives, base, images, places, schema

from data.ho3d import layout
from data.raw import origin
from peclr_jax.errors import MissingFileError
from peclr_jax.geometry import camera


class Builder(base.HandDatasetBuilder):
    """Splits: train and validation (one person of the training frames), and evaluation.

    Each is in the order of its official list; the whole training set is `train+validation`.
    """

    HOMEPAGE = "https://github.com/shreyashampali/ho3d"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own interface.
        "1.0.0": "First release.",
        "2.0.0": "The sequences of one person are held out as validation.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=version, description=f"HO-3D {version}.")
        for version in layout.SUFFIXES
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "accept the terms and download HO3D_v2.zip or HO3D_v3.zip (and, for the labels of the "
        "evaluation frames, that version's evaluation_xyz.json) by way of "
        "https://github.com/shreyashampali/ho3d, and pass the directory they lie in, or the one "
        "that the archive was unpacked to, as manual_dir"
    )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        manual_dir = self.manual_dir(dl_manager)
        version = self.builder_config.name
        archive = f"HO3D_{version}.zip"
        root = layout.find_root(manual_dir, version)
        packed = places.find_files(manual_dir, [archive], layout.NAMES, layout.PARTS)
        if root is None and packed:
            root = layout.find_root(archives.unpacked(dl_manager, packed, layout.WANTED), version)
        # That of another version, which is said where its images are looked for.
        root = root or next(iter(layout.find_roots(manual_dir)), None)
        if root is None:
            raise MissingFileError(
                f"{manual_dir} holds neither train nor evaluation: put {archive} there, or pass "
                "the directory it was unpacked to as manual_dir"
            )
        train = layout.read_train(root, version)
        evaluation = layout.read_evaluation(root, version, manual_dir)
        for part, frames in zip(layout.PARTS, (train, evaluation), strict=True):
            if frames is None:
                self.leave_out(f"the {part} frames: {root / part} is not there")
        splits = {}
        if train is not None:
            held_out = layout.held_out(train.images)
            for split, rows in {"train": ~held_out, "validation": held_out}.items():
                if rows.any():
                    splits[split] = self._generate_examples(train, np.flatnonzero(rows))
        if evaluation is not None:
            everything = np.arange(len(evaluation.images))
            splits["evaluation"] = self._generate_examples(evaluation, everything)
        return self.counted(splits)

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns the version's images, labels and archive, and joints published later."""
        version = self.builder_config.name
        for place in places.find(manual_dir, lambda _: True, layout.NAMES, layout.PARTS):
            names = (f"HO3D_{version}.zip", layout.GROUND_TRUTH)
            yield from (path for name in names if (path := place / name).is_file())
        root = layout.find_root(manual_dir, version)
        for part in layout.PARTS if root else ():
            yield from filter(Path.is_file, [root / f"{part}.txt"])
            yield from origin.walk(root / part, layout.WANTED)

    def _generate_examples(
        self, frames: layout.Frames, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        bones = camera.bone_length(frames.keypoints_3d)
        encoded = images.as_jpegs((frames.images[row] for row in rows), layout.REMEDY)
        for number, image in zip(rows.tolist(), encoded, strict=True):
            record = schema.Record(
                image=image,
                sample_id=number,
                keypoints_2d=frames.keypoints_2d[number],
                keypoints_2d_valid=frames.valid,
                keypoints_3d=frames.keypoints_3d[number],
                keypoints_3d_valid=frames.valid,
                intrinsics=frames.intrinsics[number],
                bone_length=float(bones[number]) if frames.valid.all() else None,
                hand_box=None if frames.hand_box is None else frames.hand_box[number],
                handedness="right",
            )
            yield number, record.encode()
