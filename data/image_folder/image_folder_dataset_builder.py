"""A folder of photos or video frames, as TFDS records."""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import base, found, images, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, found, images, schema

from data.image_folder import layout
from peclr_jax.photos.boxes import Hand


@dataclasses.dataclass(kw_only=True)
class PhotoConfig(tfds.core.BuilderConfig):
    """Size at which photos are stored: pixels of the longer side at most, `None` for no limit."""

    longest: int | None


class Builder(base.HandDatasetBuilder):
    """Splits: train and validation (the last tenth of every folder), one record a hand.

    The metadata say how many `unreadable_files` were left out.
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own interface.
        "1.0.0": "First release.",
        "2.0.0": "Joints in space and scores; validation holds the last photos of every folder.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012 - TFDS's own interface.
        PhotoConfig(name=name, description=description, longest=longest)
        for name, description, longest in (
            ("original", "Photos at their own size, upright JPEGs byte for byte.", None),
            ("1024px", "Photos shrunk so that the longer side has at most 1024 px.", 1024),
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "pass a folder of your own photos as manual_dir; folders in it are searched as well, and "
        "a boxes.json in it may say where the hands are"
    )

    @staticmethod
    def identify(manual_dir: Path) -> str:
        """Returns the folder's path and a checksum of its files' names, sizes and dates."""
        return f"{base.HandDatasetBuilder.identify(manual_dir)} ({layout.checksum(manual_dir)})"

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = layout.read_folder(self.manual_dir(dl_manager))
        self.info.metadata["unreadable_files"] = folder.unreadable
        if folder.unreadable:
            self.leave_out(f"{found.number_of(folder.unreadable, 'photo')} that cannot be read")
        held_out = layout.held_out([photo.path for photo in folder.photos])
        numbered = list(enumerate(folder.photos))
        splits = {
            "train": self._generate_examples([p for p in numbered if p[0] not in held_out]),
            "validation": self._generate_examples([p for p in numbered if p[0] in held_out]),
        }
        return self.counted(splits if held_out else {"train": splits["train"]})

    def _generate_examples(
        self, numbered: list[tuple[int, layout.Photo]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        longest = self.builder_config.longest
        photos = [photo for _, photo in numbered]
        encoded = images.ahead(functools.partial(layout.as_jpeg, longest=longest), photos)
        for (sample, photo), image in zip(numbered, encoded, strict=True):
            for number, hand in enumerate(photo.hands):
                record = schema.Record(
                    image=image,
                    sample_id=sample,
                    handedness=hand.handedness,
                    score=hand.score,
                    **_labels(hand, photo, longest),
                )
                yield f"{sample}_{number}", record.encode()


def _labels(hand: Hand, photo: layout.Photo, longest: int | None) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if hand.box is not None:
        corners = np.reshape(hand.box, (2, 2))
        labels["hand_box"] = layout.scale_points(corners, photo, longest).reshape(4)
    if hand.keypoints is not None:
        points = np.array([point or (0, 0) for point in hand.keypoints], np.float64)
        labels["keypoints_2d"] = layout.scale_points(points, photo, longest)
        labels["keypoints_2d_valid"] = np.array([point is not None for point in hand.keypoints])
    if hand.keypoints_3d is not None:
        points = np.array([point or (0, 0, 0) for point in hand.keypoints_3d], np.float64)
        valid = np.array([point is not None for point in hand.keypoints_3d])
        labels |= {"keypoints_3d": points, "keypoints_3d_valid": valid}
        if valid[list(schema.REFERENCE_BONE)].all():
            start, end = points[list(schema.REFERENCE_BONE)]
            labels["bone_length"] = float(np.linalg.norm(start - end))
    return labels
