"""YouTube3DHands from its official files, as TFDS records."""

import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import base, found, images, places, schema
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import base, found, images, places, schema

from data.youtube_3d_hands import frames, layout, mano
from peclr_jax.errors import MissingFileError, UserError
from peclr_jax.geometry import crop

# Side of the stored crops over the larger side of the hand's box: views take 2.25 unless told
# otherwise. Nothing is resampled, for errors are measured in the pixels of records.
_MARGIN = 3.0


class Builder(base.HandDatasetBuilder):
    """Splits: train, validation and test, as far as their files are there.

    An image is the part of a frame around the hand. The metadata say how much of it there is
    (`crop_margin`), and how many `missing_frames` each split has: their hands are left out.
    """

    HOMEPAGE = "https://www.arielai.com/mesh_hands/"
    VERSION = tfds.core.Version("2.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 - TFDS's own interface.
        "1.0.0": "First release.",
        "2.0.0": "Crops around the hands instead of whole frames; frames of any size.",
        "2.1.0": "Joints in space, of hands of one size: for errors after a Procrustes alignment.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "ask for access at https://github.com/arielai/youtube_3d_hands, put youtube_train.json, "
        "youtube_val.json and youtube_test.json into one directory, the frames of the videos "
        "beside them at youtube/VIDEO_ID/video/frames/FRAME_ID.png (or .jpg), and pass it as "
        "manual_dir"
    )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        manual_dir = self.manual_dir(dl_manager)
        roots = layout.find_roots(manual_dir)
        regressor = mano.read_regressor([manual_dir, *roots])
        read = {name: layout.read_split(roots, name, regressor) for name in layout.SPLITS}
        splits = {name: split for name, split in read.items() if split is not None}
        left_out = [text for split in splits.values() for text in split.left_out]
        if not any(split.images for split in splits.values()):
            what = "no youtube_train.json, youtube_val.json or youtube_test.json"
            if splits:
                what = f"no video frame of youtube_{{train,val,test}}.json ({'; '.join(left_out)})"
            raise MissingFileError(
                f"{manual_dir} holds {what}: {self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        left_out += [
            f"{name}: there is no {layout.FILES[name]}" for name in read if name not in splits
        ]
        for text in left_out:
            self.leave_out(text)
        for first, second in itertools.combinations(splits, 2):
            self._compare(first, splits[first].videos, second, splits[second].videos)
        self.info.metadata["missing_frames"] = {
            name: split.missing_frames for name, split in splits.items()
        }
        self.info.metadata["crop_margin"] = _MARGIN
        return self.counted(
            {
                name: self._generate_examples(name, split, has_all_joints=regressor is not None)
                for name, split in splits.items()
                if split.images
            }
        )

    def _compare(
        self, first: str, videos: frozenset[str], second: str, others: frozenset[str]
    ) -> None:
        """Notes which videos two splits share, and refuses a split without any of its own."""
        shared = videos & others
        for name, own in ((second, others), (first, videos)):
            if shared and shared == own:
                other = first if name == second else second
                raise UserError(
                    f"{layout.FILES[name]} has no video that {layout.FILES[other]} has not "
                    f"({found.number_of(len(shared), 'video')}, such as {min(shared)}): "
                    f"{layout.REMEDY}"
                )
        if shared:
            self.note(f"{first} and {second} share {found.number_of(len(shared), 'video')}")

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns the JSON files, the frames and MANO's files."""
        names = [*layout.FILES.values(), *mano.FILES]
        files = "|".join(re.escape(Path(name).name) for name in names)
        pattern = rf"^({files})$|/frames/[^/]+$"
        return places.files(manual_dir, layout.NAMES, [layout.PART], pattern)

    def _generate_examples(
        self, name: str, split: layout.Split, has_all_joints: bool
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        boxes = crop.bounding_box(split.keypoints_2d) if has_all_joints else split.hand_boxes

        def cut_out(row: int) -> images.Crop | None:
            given = split.images[row], boxes[row], _MARGIN, frames.EXTRACT
            return frames.unless_broken(images.cut_out, *given)

        broken = []
        for row, part in enumerate(images.ahead(cut_out, range(len(split.images)))):
            if part is None:
                broken.append(split.images[row])
                continue
            sample, in_space = int(split.sample_ids[row]), split.keypoints_3d[row]
            record = schema.Record(
                image=part.image,
                sample_id=sample,
                keypoints_2d=split.keypoints_2d[row] - part.origin,
                keypoints_2d_valid=split.valid,
                # Without intrinsics and a bone's length, which say that they have place and size.
                keypoints_3d=None if np.isnan(in_space).any() else in_space,
                # The tight box of the tips alone would cut off the rest of the hand.
                hand_box=boxes[row] - np.tile(part.origin, 2),
                handedness="left" if split.is_left[row] else "right",
            )
            yield sample, record.encode()
        if len(broken) == len(split.images):
            raise UserError(
                f"no frame of {name} is whole, the first being {broken[0]}: {frames.EXTRACT}"
            )
        if broken:  # which is known only of frames that were decoded to their ends
            self.leave_out(f"{name}: {frames.describe_broken(broken)}")
