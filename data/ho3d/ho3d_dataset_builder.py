"""HO-3D v2 and v3 from their official files, as TFDS records."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import archives, base, images, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import archives, base, images, schema

from data.ho3d import layout
from peclr_jax.errors import MissingFileError


class Builder(base.HandDatasetBuilder):
    """Splits: train and evaluation, each in the order of its official list."""

    HOMEPAGE = "https://github.com/shreyashampali/ho3d"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS's own interface.
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
        root = layout.find_root(manual_dir, version) or layout.find_root(
            archives.unpacked(dl_manager, manual_dir, (archive,)), version
        )
        if root is None:
            raise MissingFileError(
                f"{manual_dir} holds neither train nor evaluation: put {archive} there, or pass "
                "the directory it was unpacked to as manual_dir"
            )
        frames = {
            "train": layout.read_train(root, version),
            "evaluation": layout.read_evaluation(root, version, manual_dir),
        }
        return {
            split: self._generate_examples(found)
            for split, found in frames.items()
            if found is not None
        }

    def _generate_examples(self, frames: layout.Frames) -> Iterator[tuple[int, dict[str, Any]]]:
        first, second = schema.REFERENCE_BONE
        joints = frames.keypoints_3d
        bones = np.linalg.norm(joints[:, first] - joints[:, second], axis=-1)
        for number, image in enumerate(images.as_jpegs(frames.images, layout.REMEDY)):
            record = schema.Record(
                image=image,
                sample_id=number,
                keypoints_2d=frames.keypoints_2d[number],
                keypoints_2d_valid=frames.valid,
                keypoints_3d=joints[number],
                keypoints_3d_valid=frames.valid,
                intrinsics=frames.intrinsics[number],
                bone_length=float(bones[number]) if frames.valid.all() else None,
                hand_box=None if frames.hand_box is None else frames.hand_box[number],
                handedness="right",
            )
            yield number, record.encode()
