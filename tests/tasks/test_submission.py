"""The FreiHAND challenge's file: its order, its unit, and everything that may be wrong with one."""

import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from configs import submission as recipes
from peclr_jax.tasks import estimator as estimators
from peclr_jax.tasks import inference, submission


def configure(checkpoint, **fields):
    config = recipes.get_config()
    fields = {"checkpoint": str(checkpoint), "batch_size": 3, **fields}
    config.update_from_flattened_dict(fields)
    return config


def read(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        return json.loads(archive.read("pred.json"))


def test_evaluation_images_without_labels(finetuned, records, shared, tmp_path, capsys):
    """Eight real images with intrinsics and scale, no box and no joints."""
    data = {
        "data.manual_dir": str(shared / "fixtures/freihand_mini"),
        "data.data_dir": str(records),
    }
    config = configure(finetuned, **data)
    submission.run(config, tmp_path)
    assert "8 images" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["pred.zip"]
    joints, vertices = map(np.asarray, read(tmp_path / "pred.zip"))
    assert joints.shape == (8, 21, 3)
    assert vertices.shape == (8, 778, 3)
    assert not vertices.any()

    network = estimators.load(finetuned)
    _, _, split = inference.open_data(config.data, "evaluation", network, "two_pass", 8)
    (batch,) = split.batches()
    inferred = inference.infer(network, batch, "two_pass", 16)
    expected = inferred.estimate.lift(inferred.intrinsics, jnp.asarray(batch["bone_length"]))
    np.testing.assert_allclose(joints, expected, rtol=1e-3, atol=1e-4)


def test_without_scale_or_box_nothing_is_written(finetuned, records, shared, tmp_path):
    data = {
        "data.manual_dir": str(shared / "fixtures/freihand_mini"),
        "data.data_dir": str(records),
    }
    with pytest.raises(ValueError, match=r"image 0 has no intrinsics or scale.*_scale\.json"):
        submission.submit(configure(finetuned, split="train", **data), tmp_path)
    with pytest.raises(ValueError, match=r"no intrinsics, scale or box.*crop=two_pass"):
        submission.submit(configure(finetuned, crop="box", **data), tmp_path)
    assert not list(tmp_path.iterdir())


def hands(count):
    return np.random.default_rng(0).normal(size=(count, 21, 3)) + np.array([0, 0, 5])


def test_what_is_written_is_accepted(tmp_path):
    path = tmp_path / "new" / "pred.zip"
    submission.write(path, iter(hands(3)))
    submission.check(path, 3)
    np.testing.assert_allclose(read(path)[0], hands(3), atol=1e-6)


def test_a_prediction_that_is_not_finite_leaves_no_file(tmp_path):
    broken = hands(2)
    broken[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        submission.write(tmp_path / "pred.zip", iter(broken))
    assert not list(tmp_path.iterdir())


def pack(path, content, name="pred.json"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content if isinstance(content, str) else json.dumps(content))


JOINTS, MESH = [[0.0, 0.0, 0.5]] * 21, [[0, 0, 0]] * 778


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[JOINTS]], "must be a list of two"),
        ("[[1, 2", "cannot be read"),
        ([[JOINTS] * 2, [MESH]], "joints of 2 images, expected 1"),
        ([[JOINTS], [MESH] * 2], "vertices of 2 images, expected 1"),
        ([[JOINTS[:20]], [MESH]], "joints of image 0 .* not 21 points"),
        ([[JOINTS], [[*MESH[:777], [0, 0]]]], "vertices of image 0 .* not 778 points"),
        ([[[*JOINTS[:20], [0, 0, float("nan")]]], [MESH]], "joints of image 0 .* finite"),
        ([[[*JOINTS[:20], ["0", 0, 0]]], [MESH]], "joints of image 0"),
    ],
)
def test_what_the_challenge_would_refuse_is_refused(content, message, tmp_path):
    pack(tmp_path / "pred.zip", content)
    with pytest.raises(ValueError, match=message):
        submission.check(tmp_path / "pred.zip", 1)


def test_other_files_are_refused(tmp_path):
    pack(tmp_path / "pred.zip", [[JOINTS], [MESH]], name="folder/pred.json")
    with pytest.raises(ValueError, match=r"holds \['folder/pred.json'\], expected pred.json alone"):
        submission.check(tmp_path / "pred.zip", 1)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        submission.check(tmp_path / "text.zip", 1)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        submission.check(tmp_path / "none.zip", 1)
