"""What is said of records: images, labelled ones, and each label that is known."""

from types import SimpleNamespace

import numpy as np

from data import found
from data.schema import Record

POINTS = np.arange(63, dtype=float).reshape(21, 3)


def only(*joints):
    return np.isin(np.arange(21), joints)


def said(*records):
    counts = {}
    examples = list(enumerate(record.encode() for record in records))
    assert list(found.counted(iter(examples), counts)) == examples
    return found.describe(counts)


def photo(**labels):
    return Record(image=b"", sample_id=0, **labels)


def test_everything_is_known():
    record = photo(
        keypoints_2d=POINTS[:, :2], keypoints_3d=POINTS, intrinsics=np.eye(3), bone_length=0.1
    )
    known = "21 joints in 3D, 21 joints in 2D, intrinsics, bone length, box"
    assert said(record) == f"1 image, 1 labelled ({known})"
    assert said(*1234 * [record]) == f"1,234 images, 1,234 labelled ({known})"


def test_nothing_is_known():
    assert said() == "0 images, 0 labelled"
    assert said(photo()) == "1 image, 0 labelled"


def test_the_wrist_alone_is_no_label():
    wrist = photo(keypoints_3d=POINTS, keypoints_3d_valid=only(0), intrinsics=np.eye(3))
    assert said(wrist, wrist) == "2 images, 0 labelled (the wrist in 3D, intrinsics)"


def test_labels_that_some_images_have_are_counted():
    some = photo(keypoints_2d=POINTS[:, :2], keypoints_2d_valid=only(4, 8, 12))
    more = photo(keypoints_2d=POINTS[:, :2], hand_box=np.arange(4.0))
    assert said(some, more, photo()) == "3 images, 2 labelled (3 to 21 joints in 2D: 2, box: 2)"
    assert said(some, photo()) == "2 images, 1 labelled (3 joints in 2D: 1, box: 1)"


def test_records_of_earlier_versions_have_no_counts():
    splits = {"train": SimpleNamespace(num_examples=2000), "test": SimpleNamespace(num_examples=1)}
    for metadata in ({}, None, {"found": {}}):
        info = SimpleNamespace(metadata=metadata, splits=splits)
        assert found.lines(info) == ["train: 2,000 images", "test: 1 image"]


def test_what_is_left_out_is_said_last():
    info = SimpleNamespace(metadata={"left_out": ["2 photos"]}, splits={})
    assert found.lines(info) == ["left out: 2 photos"]
