"""Dexter+Object from its official files, as TFDS records."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import base, images, places, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, images, places, schema

from data.dexter_object import layout


class Builder(base.HandDatasetBuilder):
    """One split, test: the data set is for testing only."""

    HOMEPAGE = "https://handtracker.mpi-inf.mpg.de/projects/RealtimeHO/dexter+object.htm"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS's own interface.
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "accept the terms and download Dexter+Object from https://handtracker.mpi-inf.mpg.de/"
        "projects/RealtimeHO/dexter+object.htm, unpack it and pass the directory that holds data/ "
        "as manual_dir"
    )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        frames = layout.read_frames(layout.find_roots(self.manual_dir(dl_manager)))
        if frames.absent:
            self.leave_out(f"the sequences {', '.join(frames.absent)}, which are not there")
        for text in frames.left_out:
            self.leave_out(text)
        for text in frames.notes:
            self.note(text)
        return self.counted({"test": self._generate_examples(frames)})

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns the colour images and the labels."""
        pattern = r"(?i)(3D\.txt|/color/[^/]+)$"
        return places.files(manual_dir, layout.NAMES, layout.SEQUENCES, pattern)

    def _generate_examples(self, frames: layout.Frames) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, image in enumerate(images.as_jpegs(frames.images, layout.REMEDY)):
            box = frames.hand_box[number]
            record = schema.Record(
                image=image,
                sample_id=number,
                keypoints_2d=frames.keypoints_2d[number],
                keypoints_2d_valid=frames.valid[number],
                keypoints_3d=frames.keypoints_3d[number],
                keypoints_3d_valid=frames.valid[number],
                intrinsics=layout.INTRINSICS,
                hand_box=None if np.isnan(box).any() else box,
                handedness="left",
            )
            yield number, record.encode()
