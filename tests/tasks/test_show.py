"""A look at a split: which hands are shown, with which labels, and that it is drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import show as recipes
from peclr_jax import specs
from peclr_jax.tasks import show

DUMMY = Path(__file__).parents[2] / "data/freihand/dummy_data"


def configure(records, **fields):
    config = recipes.get_config()
    config.update_from_flattened_dict(
        {
            "data.manual_dir": str(DUMMY),
            "data.data_dir": str(records),
            "data.source_size": 24,
            "split": "train+validation",
            "count": 6,
            "columns": 3,
            **fields,
        }
    )
    return config


def test_labelled_hands(records, tmp_path, capsys):
    show.run(configure(records), tmp_path)
    with Image.open(tmp_path / "hands.png") as picture:
        assert picture.width > picture.height > 100
    printed = " ".join(capsys.readouterr().out.split())
    assert "freihand (train+validation): 16 images" in printed
    assert "of the 6 shown" in printed
    assert "2D keypoints, all 21 │ 6" in printed
    assert "hands.png" in printed


@pytest.mark.slow
def test_each_transformation_alone(records, tmp_path):
    spec = specs.from_config(
        show.ShowSpec,
        configure(records, show="transformations", count=2, **{"data.source_size": 48}),
    )
    _, batch = show.show(spec, tmp_path)
    with Image.open(tmp_path / "transformations.png") as picture:
        assert picture.width > 3 * picture.height
    views = show.transformed(batch["image"], spec.data)
    assert len(views) == 1 + 9  # Fig. 4
    for name, images in views.items():
        assert images.shape == (2, 32, 32, 3)
        assert (name == "none") == np.allclose(images, views["none"])


def test_hands_without_labels(records, tmp_path, monkeypatch):
    """As of a folder of photographs: every mask is false."""
    drawn = {}

    def skeletons(images, keypoints_2d, valid, **options):
        drawn.update(options, valid=valid)
        return original(images, keypoints_2d, valid, **options)

    original = show.figures.skeletons
    monkeypatch.setattr(show.figures, "skeletons", skeletons)
    monkeypatch.setattr(show.input_pipeline, "open_split", lambda *_, **__: Unlabelled())
    total, batch = show.show(specs.from_config(show.ShowSpec, configure(records)), tmp_path)
    assert total == 2
    assert set(show.count_labels(batch).values()) == {0}
    assert not drawn["valid"].any()
    assert np.isnan(drawn["boxes"]).all()
    assert drawn["title"] == "freihand (train+validation): 2 of 2"
    assert (tmp_path / "hands.png").exists()


class Unlabelled:
    num_examples = 2

    @property
    def store(self):
        return self

    def stream(self, indices):
        for rows in indices:
            count = len(rows)
            yield {
                "image": np.full((count, 24, 24, 3), 90, np.uint8),
                "keypoints_2d": np.zeros((count, 21, 2), np.float32),
                "hand_box": np.zeros((count, 4), np.float32),
                **{f"keypoints_{n}_valid": np.zeros((count, 21), bool) for n in ("2d", "3d")},
                **{
                    f"{name}_valid": np.zeros(count, bool)
                    for name in ("hand_box", "intrinsics", "bone_length")
                },
                "mirrored": np.zeros(count, bool),
            }


def test_rows_are_spread_evenly():
    np.testing.assert_array_equal(show.spread(100, 4), [12, 37, 62, 87])
    np.testing.assert_array_equal(show.spread(3, 24), [0, 1, 2])
    large = show.spread(130_240, 24)
    assert len(set(large.tolist())) == 24
    assert np.ptp(np.diff(large)) <= 1


def test_labels_are_counted():
    (batch,) = Unlabelled().stream([np.arange(2)])
    batch["keypoints_2d_valid"][0] = True
    batch["keypoints_3d_valid"][:, 4] = True
    batch["hand_box_valid"][1] = batch["mirrored"][1] = True
    assert {label: count for label, count in show.count_labels(batch).items() if count} == {
        "2D keypoints, all 21": 1,
        "3D keypoints, some": 2,
        "box": 1,
        "left hand, shown mirrored": 1,
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "count must lie in"),
        ({"columns": 0}, "columns must lie in"),
        ({"split": "evening"}, "has no split 'evening'; it has: train"),
    ],
)
def test_impossible_configs(fields, message, records, tmp_path):
    with pytest.raises(ValueError, match=message):
        show.run(configure(records, **fields), tmp_path)
    assert not list(tmp_path.iterdir())
