"""A folder of photos or video frames, as TFDS records."""

import dataclasses
import functools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import base, found, images, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, found, images, schema

from data.image_folder import labels, layout
from peclr_jax.geometry import camera
from peclr_jax.photos.boxes import Hand


@dataclasses.dataclass(kw_only=True)
class PhotoConfig(tfds.core.BuilderConfig):
    """Size at which photos are stored: pixels of the longer side at most, `None` for no limit."""

    longest: int | None


class Builder(base.HandDatasetBuilder):
    """Splits: train and validation (the last tenth of every folder), one record a hand.

    The metadata say how many `unreadable_files` were left out, and how many photos are `copies` of
    others: each shares the other's `sample_id` and split, and has a `version` of 1 or more.
    """

    VERSION = tfds.core.Version("2.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own interface.
        "1.0.0": "First release.",
        "2.0.0": "Joints in space and scores; validation holds the last photos of every folder.",
        "2.1.0": "Photos of the same content share their number and lie in one split.",
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

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns the photos and their labels."""
        return layout.raw_files(manual_dir)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = layout.read_folder(self.manual_dir(dl_manager))
        self.info.metadata["unreadable_files"] = folder.unreadable
        if folder.unreadable:
            self.leave_out(f"{found.number_of(folder.unreadable, 'photo')} that cannot be read")
        for text in folder.left_out:
            self.leave_out(text)
        for text in folder.notes:
            self.note(text, warn=False)
        self.info.metadata["copies"] = folder.copies
        if folder.copies:
            self.note(
                f"exact copies of other photos: {folder.copies:,}, in the same split as these and "
                "left out of pre-training"
            )
        photos = folder.photos
        held_out = layout.held_out([p.path for p in photos], [p.sample for p in photos])
        numbered = list(enumerate(photos))
        splits = {
            "train": self._generate_examples([p for n, p in numbered if n not in held_out]),
            "validation": self._generate_examples([p for n, p in numbered if n in held_out]),
        }
        return self.counted(splits if held_out else {"train": splits["train"]})

    def _generate_examples(
        self, photos: list[layout.Photo]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        longest = self.builder_config.longest
        encoded = images.ahead(functools.partial(layout.as_jpeg, longest=longest), photos)
        for photo, image in zip(photos, encoded, strict=True):
            for number, hand in enumerate(photo.hands):
                record = schema.Record(
                    image=image,
                    sample_id=photo.sample,
                    version=photo.copy,
                    handedness=hand.handedness,
                    score=hand.score,
                    **_labels(hand, photo, longest),
                )
                yield f"{photo.sample}_{photo.copy}_{number}", record.encode()


def _labels(hand: Hand, photo: layout.Photo, longest: int | None) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if hand.box is not None:
        corners = np.reshape(hand.box, (2, 2))
        known["hand_box"] = layout.scale_points(corners, photo, longest).reshape(4)
    if hand.keypoints is not None:
        points, known["keypoints_2d_valid"] = labels.as_array(hand.keypoints, 2)
        known["keypoints_2d"] = layout.scale_points(points, photo, longest)
    if hand.keypoints_3d is not None:
        points, valid = labels.as_array(hand.keypoints_3d, 3)
        known |= {"keypoints_3d": points, "keypoints_3d_valid": valid}
        if valid[list(camera.REFERENCE_BONE)].all():
            known["bone_length"] = float(camera.bone_length(points))
    return known
