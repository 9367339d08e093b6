"""The rendered data set as records. The renderer has tests of its own; here it is a stand-in."""

import jax
import numpy as np
import pytest

from data import build, schema
from data.synthetic_hands import synthetic_hands_dataset_builder as module


def fake_dataset(key, count, spec, *, chunk):
    """Joints drawn from the key, seen by a camera, on plain images."""
    intrinsics = np.array([[40.0, 0, 12], [0, 40, 12], [0, 0, 1]], np.float32)
    for start in range(0, count, chunk):
        rows = range(start, min(start + chunk, count))
        draws = [jax.random.uniform(jax.random.fold_in(key, row), (21, 3)) for row in rows]
        points = 0.1 * np.asarray(draws) + [-0.05, -0.05, 0.4]
        projected = points @ intrinsics.T
        yield module.render.Hands(
            images=np.full((len(rows), spec.size, spec.size, 3), 90, np.uint8),
            keypoints_2d=projected[..., :2] / projected[..., 2:],
            keypoints_3d=points,
            intrinsics=np.broadcast_to(intrinsics, (len(rows), 3, 3)),
            visible=np.ones((len(rows), 21), bool),
            mask=np.ones((len(rows), spec.size, spec.size), bool),
        )


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(module.render, "render_dataset", fake_dataset)
    config = module.HandsConfig(name="test", size=24, count=6, held_out=3, background="green")
    builder = module.Builder(data_dir=tmp_path_factory.mktemp("records"), config=config)
    builder = build.prepare(builder).builder
    monkeypatch.undo()
    return {split: list(builder.as_data_source(split)) for split in builder.info.splits}


def test_splits_share_no_hand(records):
    assert {split: len(r) for split, r in records.items()} == {
        "train": 6,
        "validation": 3,
        "test": 3,
    }
    hands = [r["keypoints_3d"].tobytes() for part in records.values() for r in part]
    assert len(set(hands)) == len(hands)


def test_labels_are_complete_and_agree(records):
    for record in records["train"]:
        assert record["image"].shape == (24, 24, 3)
        assert all(np.all(record[f"{name}_valid"]) for name in schema.LABELS)
        projected = record["keypoints_3d"] @ record["intrinsics"].T
        np.testing.assert_allclose(
            projected[:, :2] / projected[:, 2:], record["keypoints_2d"], atol=1e-2
        )
        assert schema.HANDEDNESS[record["handedness"]] == "right"
        assert record["hand_mask"].startswith(b"\x89PNG")


def test_configurations_are_named_by_size_and_count():
    config = module.Builder.builder_configs["128px_32k"]
    assert (config.size, config.count, config.background) == (128, 32768, "shared")
    assert module.Builder.builder_configs["64px_4k_green"].background == "green"
