"""FreiHAND v2 from its official files, as TFDS records."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

try:
    from data import archives, base, found, places, schema, split
except ModuleNotFoundError:  # `tfds build` in this folder, with this package not installed.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from data import archives, base, found, places, schema, split

from data.freihand import layout
from peclr_jax.errors import MissingFileError
from peclr_jax.reading import bounded


class Builder(base.HandDatasetBuilder):
    """Splits: train and validation (90/10 of the training samples), evaluation.

    The whole training set is `train+validation`.
    """

    HOMEPAGE = "https://lmb.informatik.uni-freiburg.de/projects/freihand/"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS's own interface.
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "accept the terms and download FreiHAND_pub_v2.zip (and, for the labels of the evaluation "
        "images, FreiHAND_pub_v2_eval.zip) from https://lmb.informatik.uni-freiburg.de/resources/"
        "datasets/FreihandDataset.en.html into one directory and pass it as manual_dir; the "
        "archives may also be unpacked there"
    )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        manual_dir = self.manual_dir(dl_manager)
        roots = layout.find_roots(manual_dir)
        lacking = layout.lacks(roots)
        if packed := places.find_files(manual_dir, lacking, layout.NAMES, layout.PARTS):
            roots += layout.find_roots(archives.unpacked(dl_manager, packed, layout.WANTED))
        training = layout.read_folder(roots, "training")
        evaluation = layout.read_folder(roots, "evaluation")
        if training is None and evaluation is None:
            raise MissingFileError(
                f"{manual_dir} holds neither training/rgb nor evaluation/rgb: put "
                f"{layout.ARCHIVES[0]} there, or pass the directory it was unpacked to as "
                "manual_dir"
            )
        for part in filter(None, (training, evaluation)):
            for text in part.left_out:
                self.leave_out(text)
        for part, folder in {"training": training, "evaluation": evaluation}.items():
            if folder is None:
                self.leave_out(f"the {part} images: there is no folder {part}/rgb")
        splits = {}
        if training is not None:
            # Label files that were all cut alike make versions of the hands that they lack.
            if (versions := len(training.images) // training.num_samples) > 1:
                hands = found.number_of(training.num_samples, "hand")
                self.note(f"training: {hands} in {versions} versions each", warn=False)
            held_out = split.validation_samples(training.num_samples)
            kept = np.setdiff1d(np.arange(training.num_samples), held_out)
            splits["train"] = self._generate_examples(training, kept)
            if held_out.size:
                splits["validation"] = self._generate_examples(training, held_out)
        if evaluation is not None:
            everything = np.arange(evaluation.num_samples)
            splits["evaluation"] = self._generate_examples(evaluation, everything)
        return self.counted(splits)

    def raw_files(self, manual_dir: Path) -> Iterable[Path]:
        """Returns images, labels and archives, also those beside a folder of the official name."""
        archive = "|".join(map(re.escape, layout.ARCHIVES))
        pattern = rf"{layout.WANTED}|^({archive})$"
        return places.files(manual_dir, layout.NAMES, layout.PARTS, pattern)

    def _generate_examples(
        self, folder: layout.Folder, samples: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for version in range(len(folder.images) // folder.num_samples):
            for sample in samples.tolist():
                index = sample + version * folder.num_samples
                record = schema.Record(
                    image=_content(folder.images[index]),
                    sample_id=sample,
                    version=version,
                    keypoints_2d=_entry(folder.keypoints_2d, sample),
                    keypoints_3d=_entry(folder.keypoints_3d, sample),
                    intrinsics=_entry(folder.intrinsics, sample),
                    bone_length=_entry(folder.bone_length, sample),
                    handedness="right",
                    hand_mask=_content(folder.masks[sample]) if folder.masks else None,
                )
                yield index, record.encode()


def _content(path: Path) -> bytes:
    return bounded.content(path, bounded.PHOTO, layout.REMEDY)


def _entry(labels: np.ndarray | None, sample: int) -> Any:
    return None if labels is None else labels[sample]
