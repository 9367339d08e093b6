"""The command of Sec. 11: two networks compared, and one alone."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from data.ho3d import layout
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import RenderedSpec
from peclr_jax.networks import evaluation_data
from peclr_jax.networks.equivariance import Equivariance, Improvement
from peclr_jax.networks.spec import EquivarianceSpec
from peclr_jax.tasks import equivariance
from tests.data.records import DATA

FREIHAND, YOUTUBE = (DATA / name / "dummy_data" for name in ("freihand", "youtube_3d_hands"))


def configure(checkpoint, **fields):
    spec = EquivarianceSpec(
        batch_size=16, images=6, split="train", rotation_step_deg=40.0, translation_step_px=25.0
    )
    return specs.changed(spec, {"checkpoint": str(checkpoint), **fields}, "the test")


@pytest.mark.slow
def test_two_networks_are_compared(finetuned, finetuned_otherwise, places, tmp_path, capsys):
    config = configure(finetuned, baseline=str(finetuned_otherwise), **places)
    equivariance.run(specs.to_config(config), tmp_path)
    result = json.loads((tmp_path / "equivariance.json").read_text())
    assert result["images"] == 6
    assert result["angles_deg"] == [-80, -40, 0, 40, 80]
    assert result["translations_px"] == [-25, 0, 25]
    assert result["checkpoint"]["rotation"][2] == pytest.approx(0, abs=1e-2)
    gain = result["improvement_percent"]
    assert gain["rotation"][2] is gain["translation"][1][1] is None
    moved = [gain["rotation"][i] for i in (0, 1, 3, 4)]
    assert gain["mean_rotation"] == pytest.approx(np.mean(moved))
    left_out = result["left_out"]
    assert left_out["rotation"][2] == left_out["translation"][1][1] == 6
    assert left_out["ratios"] == 6 * (4 + 8)
    assert left_out["moved"] == sum(left_out["rotation"]) + np.sum(left_out["translation"]) - 12
    for name in ("rotation", "translation"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0
        assert (tmp_path / f"{name}_improvement.png").stat().st_size > 0
    assert "improvement" in capsys.readouterr().out


@pytest.mark.slow
def test_networks_are_compared_on_the_same_images(finetuned, opened, places, tmp_path, monkeypatch):
    """By default each would be asked about the data of its own training."""
    data = dataclasses.replace(opened.description.data, names="ho3d/v2")
    other = dataclasses.replace(
        opened, description=dataclasses.replace(opened.description, data=data)
    )
    found = {"one": opened, "another": other}
    monkeypatch.setattr(equivariance, "open_network", lambda name, *_: found[name])
    ho3d = Path(layout.__file__).parent / "dummy_data"

    def open_data(given, split, description, *rest):
        folder = ho3d if description is other.description else places["data.manual_dir"]
        named = dataclasses.replace(
            given,
            names=description.data.names,
            manual_dir=str(folder),
            data_dir=places["data.data_dir"],
        )
        return evaluation_data.open_data(named, split, description, *rest)

    monkeypatch.setattr(equivariance, "open_data", open_data)
    changes = {"baseline": "another", "split": "evaluation", "images": 2}
    spec = configure("one", **changes)
    with pytest.raises(UserError, match=r"about freihand .*, the baseline about ho3d/v2 .*names"):
        equivariance.compare(spec, tmp_path)


def test_hands_must_have_been_rendered_alike(opened, tmp_path, monkeypatch):
    """Eq. 12 divides image by image."""
    found = {}
    for name, background in (("one", "green"), ("another", "clutter")):
        hands = RenderedSpec(background=background)
        data = dataclasses.replace(opened.description.data, source="rendered", rendered=hands)
        changed = dataclasses.replace(opened.description, data=data)
        found[name] = dataclasses.replace(opened, description=changed)
    monkeypatch.setattr(equivariance, "open_network", lambda name, *_: found[name])
    monkeypatch.setattr(equivariance, "measure_equivariance", lambda *_: None)
    spec = configure("one", baseline="another", split="held_out", images=2)
    with pytest.raises(UserError, match=r"hands that were rendered otherwise.*background if that"):
        equivariance.compare(spec, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "folder", "count"), [("freihand", FREIHAND, 2), ("youtube_3d_hands", YOUTUBE, 2)]
)
def test_whole_sets_of_both_kinds(
    names, folder, count, finetuned, finetuned_otherwise, records, tmp_path
):
    """All images of the split that is meant for it, one measurement a data set (Figs. 9, 10)."""
    data = {"names": names, "manual_dir": str(folder), "data_dir": str(records)}
    changes = {"baseline": str(finetuned_otherwise), "images": 0, "split": "", "data": data}
    result = equivariance.compare(configure(finetuned, **changes), tmp_path)
    assert result["images"] == count
    assert np.isfinite(result["improvement_percent"]["mean_rotation"])
    assert np.isfinite(result["improvement_percent"]["mean_translation"])


def test_one_network_alone(finetuned, places, tmp_path):
    result = equivariance.compare(configure(finetuned, images=2, **places), tmp_path)
    assert result["baseline"] is result["improvement_percent"] is result["left_out"] is None
    assert result["images"] == 2
    assert not (tmp_path / "rotation_improvement.png").exists()


def test_nothing_is_improved_where_nothing_is_moved(tmp_path):
    nothing = np.full((1, 1), np.nan)
    measured = Equivariance(*(np.zeros((1, *shape)) for shape in ((1,), (1, 1))))
    gains = {"rotation": Improvement(nothing[0], np.ones(1, int))}
    gains["translation"] = Improvement(nothing, np.ones((1, 1), int))
    (tmp_path / "rotation_improvement.png").touch()
    equivariance._draw({"network": measured}, gains, np.zeros(1), np.zeros(1), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rotation.png", "translation.png"]
