"""YouTube3DHands from its official files, as TFDS records."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

try:
    from data import base, images, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, images, schema

from data.youtube_3d_hands import layout, mano
from peclr_jax.errors import MissingFileError


class Builder(base.HandDatasetBuilder):
    """Splits: train, validation and test, as far as their files are there.

    The metadata say how many `missing_frames` each split has: their hands are left out.
    """

    HOMEPAGE = "https://www.arielai.com/mesh_hands/"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS's own interface.
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "ask for access at https://github.com/arielai/youtube_3d_hands, put youtube_train.json, "
        "youtube_val.json and youtube_test.json into one directory, the frames of the videos "
        "beside them at youtube/VIDEO_ID/video/frames/FRAME_ID.png (or .jpg), and pass it as "
        "manual_dir"
    )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        root = self.manual_dir(dl_manager)
        regressor = mano.read_regressor(root)
        found = {name: layout.read_split(root, name, regressor) for name in layout.SPLITS}
        splits = {name: split for name, split in found.items() if split is not None}
        if not any(split.images for split in splits.values()):
            what = "no youtube_train.json, youtube_val.json or youtube_test.json"
            if splits:
                what = "no video frame of youtube_{train,val,test}.json"
            raise MissingFileError(f"{root} holds {what}: {self.MANUAL_DOWNLOAD_INSTRUCTIONS}")
        self.info.metadata["missing_frames"] = {
            name: split.missing_frames for name, split in splits.items()
        }
        return {
            name: self._generate_examples(split, has_all_joints=regressor is not None)
            for name, split in splits.items()
            if split.images
        }

    def _generate_examples(
        self, split: layout.Split, has_all_joints: bool
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, image in enumerate(images.as_jpegs(split.images, layout.REMEDY)):
            sample = int(split.sample_ids[row])
            record = schema.Record(
                image=image,
                sample_id=sample,
                keypoints_2d=split.keypoints_2d[row],
                keypoints_2d_valid=split.valid,
                # The tight box of the tips alone would cut off the rest of the hand.
                hand_box=None if has_all_joints else split.hand_boxes[row],
                handedness="left" if split.is_left[row] else "right",
            )
            yield sample, record.encode()
