"""The one record: absent labels are marked, never invented."""

import numpy as np
import pytest

from data import schema


def test_absent_labels_are_zero_and_not_valid():
    example = schema.Record(image=b"", sample_id=3).encode()
    for name in schema.LABELS:
        assert not np.any(example[f"{name}_valid"])
        assert not np.any(example[name])
    assert not example["visible_valid"].any()
    assert example["hand_mask"] == b""
    assert example["handedness"] == "unknown"
    assert example["score"] == 1


def test_box_comes_from_the_valid_joints_only():
    points = np.arange(42, dtype=float).reshape(21, 2)
    points[5] = np.nan
    valid = np.ones(21, bool)
    valid[[0, 5]] = False
    record = schema.Record(b"", 0, keypoints_2d=points, keypoints_2d_valid=valid)
    example = record.encode()
    np.testing.assert_array_equal(example["hand_box"], [2, 3, 40, 41])
    assert example["hand_box_valid"]
    np.testing.assert_array_equal(example["keypoints_2d"][5], 0)


def test_what_is_no_label_is_refused():
    points = np.zeros((21, 3))
    points[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"keypoints_3d of sample 7.*NaN"):
        schema.Record(image=b"", sample_id=7, keypoints_3d=points).encode()
    with pytest.raises(ValueError, match=r"intrinsics of sample 1.*shape \(4, 4\)"):
        schema.Record(image=b"", sample_id=1, intrinsics=np.eye(4)).encode()


def test_every_label_is_a_feature():
    features = schema.features()
    example = schema.Record(image=b"", sample_id=0).encode()
    assert set(features) == set(example)
    for name, (shape, valid_shape) in schema.LABELS.items():
        assert features[name].shape == shape
        assert features[f"{name}_valid"].shape == valid_shape
