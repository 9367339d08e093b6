"""Counts what records hold, so that people see which labels were found."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# Label name -> what people call it.
_JOINTS = {"keypoints_3d": "in 3D", "keypoints_2d": "in 2D"}
_OTHERS = {"intrinsics": "intrinsics", "bone_length": "bone length", "hand_box": "box"}

Example = tuple[Any, dict[str, Any]]


def counted(examples: Iterator[Example], counts: dict[str, Any]) -> Iterator[Example]:
    """Yields keys and encoded records, and counts them.

    Args:
      examples: As a builder generates them.
      counts: Filled with the numbers of `images`, of those that are `labelled` (any joint but the
        wrist is known), of those with each label, and of joints in them: `fewest` and `most`; and
        with the `sha256` of all records.
    """
    counts |= {"images": 0, "labelled": 0, "labels": {}, "fewest": {}, "most": {}}
    content = hashlib.sha256()
    for key, record in examples:
        for name in sorted(record):
            content.update(_as_bytes(record[name]))
        counts["images"] += 1
        joints = [np.asarray(record[f"{name}_valid"]) for name in _JOINTS]
        counts["labelled"] += bool(np.any(joints, axis=0)[1:].any())
        for name, valid in zip(_JOINTS, joints, strict=True):
            if number := int(valid.sum()):
                counts["fewest"][name] = min(counts["fewest"].get(name, number), number)
                counts["most"][name] = max(counts["most"].get(name, 0), number)
        for name in (*_JOINTS, *_OTHERS):
            if np.any(record[f"{name}_valid"]):
                counts["labels"][name] = counts["labels"].get(name, 0) + 1
        counts["sha256"] = content.hexdigest()
        yield key, record


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, io.BytesIO):
        return value.getvalue()
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()


def describe(counts: Mapping[str, Any]) -> str:
    """Returns "3,960 images, 3,960 labelled (21 joints in 3D, ...)" for what was `counted`."""
    labels, images = counts["labels"], counts["images"]
    known = {name: f"{_joints(counts, name)} {where}" for name, where in _JOINTS.items()} | _OTHERS
    parts = [
        text + (f": {labels[name]:,}" if labels[name] != images else "")
        for name, text in known.items()
        if labels.get(name)
    ]
    details = f" ({', '.join(parts)})" if parts else ""
    return f"{number_of(images, 'image')}, {counts['labelled']:,} labelled{details}"


def _joints(counts: Mapping[str, Any], name: str) -> str:
    fewest, most = counts["fewest"].get(name, 0), counts["most"].get(name, 0)
    if most == 1 and not counts["labelled"]:
        return "the wrist"
    return f"{most} joints" if fewest == most else f"{fewest} to {most} joints"


def lines(info: Any) -> list[str]:
    """Returns a line for each split of records, and one for each kind of thing left out or noted.

    Args:
      info: The TFDS info of records that were written.
    """
    metadata = info.metadata or {}
    found = metadata.get("found", {})
    return [
        *(
            f"{split}: "
            + (describe(found[split]) if split in found else number_of(known.num_examples, "image"))
            for split, known in info.splits.items()
        ),
        *(f"left out: {what}" for what in metadata.get("left_out", [])),
        *metadata.get("notes", []),
    ]


def number_of(number: int, what: str) -> str:
    """Returns "1 frame" or "2,000 frames"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
