"""Everything once, in miniature."""

import json
import re

import pytest
from PIL import Image

from configs import demo as recipes
from peclr_jax import specs
from peclr_jax.errors import UserError
from peclr_jax.tasks import demo, predict

TRAINING = {
    "batch_size": 16,
    "num_steps": 3,
    "data.source_size": 24,
    "data.rendered.size": 24,
    "data.rendered.count": 32,
    "data.rendered.held_out": 16,
    "data.rendered.chunk": 16,
    "views.size": 16,
    "log.every_steps": 1,
    "evaluation.images": 16,
}


@pytest.fixture
def config():
    config = recipes.get_config()
    changes = {f"{part}.{k}": v for part in ("finetune", "probe") for k, v in TRAINING.items()}
    changes |= {f"pretrain.{name}": value for name, value in TRAINING.items()}
    changes |= {
        "pretrain.model.width": 4,
        "pretrain.model.hidden": 16,
        "pretrain.model.num_points": 8,
        "pretrain.log.pairs": 2,
        "finetune.log.images": 2,
        "probe.log.images": 2,
        "probe.model.hidden": 8,
        "probe_seeds": (0,),
        "evaluate.pictures": 2,
        "evaluate.batch_size": 16,
        "equivariance.batch_size": 16,
        "equivariance.images": 16,
        "equivariance.rotation_step_deg": 40.0,
        "equivariance.translation_step_px": 25.0,
        "predict.batch_size": 4,
        "photos_stand_in": 3,
    }
    config.update_from_flattened_dict(changes)
    return config


def spec_of(config):
    return specs.from_config(demo.DemoSpec, config)


def test_the_parts_use_each_others_networks_and_the_same_hands(config, tmp_path):
    spec = demo.connect(spec_of(config), tmp_path)
    for part in (spec.pretrain, spec.finetune, spec.probe, spec.evaluate, spec.equivariance):
        assert part.data.rendered.cache_dir == str(tmp_path / "rendered")
    assert spec.finetune.init.checkpoint == str(tmp_path / "pretrain")
    assert spec.evaluate.checkpoint == spec.predict.checkpoint == str(tmp_path / "finetune")
    assert spec.predict.images == str(tmp_path / "hands_3")
    pretrained, random = demo.probes(spec)
    assert (pretrained[:2], random[:2]) == (("pretrained", 0), ("random", 0))
    assert pretrained[2].init.checkpoint == str(tmp_path / "pretrain")
    assert random[2].init.checkpoint == ""
    assert random[2].model.width == 4
    assert random[2].model.frozen


def test_photos_that_are_not_there_are_named_before_anything_is_trained(config, tmp_path):
    config.photos = str(tmp_path / "misspelt")
    with pytest.raises(FileNotFoundError, match=r"--config\.photos=.*misspelt names no photos"):
        demo.run(config, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_photos_that_cannot_be_read_are_named_before_anything_is_trained(config, tmp_path):
    (tmp_path / "photo.jpg").write_text("no picture")
    config.photos = str(tmp_path / "photo.jpg")
    with pytest.raises(UserError, match=r"none of the 1 image.* of --config\.photos=.* be read"):
        demo.run(config, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_what_the_report_cannot_show_is_refused(config, tmp_path):
    film = tmp_path / "hands.mp4"
    film.touch()
    config.photos = str(film)
    with pytest.raises(UserError, match=r"hands\.mp4 is a film, .* give photos here"):
        demo.run(config, tmp_path / "demo")


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("predict.images", "photos", r"'photos', .* by --config\.photos"),
        ("finetune.init.checkpoint", "runs/mine", "leave it out"),
        ("evaluate.checkpoint", "runs/mine", "leave it out"),
        ("predict.init.torch_checkpoint", "rn50.pth", "leave it out"),
    ],
)
def test_what_the_parts_give_each_other_is_not_given(config, tmp_path, field, value, remedy):
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=f"{field.replace('.', r'.')} is .*{remedy}"):
        demo.run(config, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("one_device", "cheap_rendering", "shallow")
def test_from_nothing_to_a_report(config, tmp_path, capsys):
    assert demo.run(config, tmp_path) == 0
    report = (tmp_path / "report.html").read_text()
    assert len(re.findall("<h2", report)) == 7
    assert report.count("data:image/") >= 10
    assert "http" not in re.sub(r"data:[^\"']*", "", report)  # nothing from the network
    scores = demo.probe_scores((0,), tmp_path)
    assert len(scores["pretrained"]) == len(scores["random"]) == 1
    assert scores["reduction_interval"] is None
    predicted = json.loads((tmp_path / "predict/predictions.json").read_text())
    assert len(predicted["images"]) == 3

    # Hands are rendered once for all parts: for training and testing, on either background.
    assert len(list((tmp_path / "rendered").iterdir())) == 4
    trained = (tmp_path / "finetune/train.log").stat().st_mtime_ns
    capsys.readouterr()
    demo.run(config, tmp_path)
    assert capsys.readouterr().out.count("finished before") == 4
    assert (tmp_path / "finetune/train.log").stat().st_mtime_ns == trained

    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64)).save(photos / "black.png")
    (photos / "damaged.jpg").write_bytes(b"no picture")
    config.photos = str(photos)
    assert demo.run(config, tmp_path) == predict.SOME_SKIPPED

    config.finetune.num_steps = 4
    with pytest.raises(ValueError, match="holds a run of another config"):
        demo.run(config, tmp_path)
