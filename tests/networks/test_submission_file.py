"""The challenges' file, and everything that may be wrong with one."""

import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from peclr_jax.errors import UserError
from peclr_jax.networks import submission_file


def read(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("pred.json"))


def hands(count):
    return np.random.default_rng(0).normal(size=(count, 21, 3)) + np.array([0, 0, 5])


def test_what_is_written_is_accepted(tmp_path):
    path = tmp_path / "new" / "pred.zip"
    submission_file.write(path, iter(hands(3)))
    submission_file.check(path, 3)
    np.testing.assert_allclose(read(path)[0], hands(3), atol=1e-6)


def test_a_prediction_that_is_not_finite_leaves_no_file(tmp_path):
    broken = hands(2)
    broken[1, 3, 0] = np.nan
    with pytest.raises(UserError, match="joints of image 1 are not finite numbers"):
        submission_file.write(tmp_path / "pred.zip", iter(broken))
    assert not list(tmp_path.iterdir())


def pack(path, content, name="pred.json"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content if isinstance(content, str) else json.dumps(content))


JOINTS, MESH = [[0.0, 0.0, 0.5]] * 21, [[0, 0, 0]] * 778


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[JOINTS]], "must be a list of two"),
        ([[JOINTS], [MESH], []], "must be a list of two"),
        ([[JOINTS], [MESH], [MESH]], "must be a list of two"),
        ({"joints": [JOINTS]}, "must be a list of two"),
        ([1, 2], "must be a list of two"),
        ("", "cannot be read"),
        ("[[", "cannot be read"),
        ("[[], []] []", "joints of 0 images, expected 1"),
        (json.dumps([[JOINTS], [MESH]]) + "]", "cannot be read"),
        ([[JOINTS] * 2, [MESH]], "joints of 2 images, expected 1"),
        ([[JOINTS], [MESH] * 2], "vertices of 2 images, expected 1"),
        ([[JOINTS[:20]], [MESH]], "joints of image 0 .* not 21 points"),
        ([[JOINTS], [[*MESH[:777], [0, 0]]]], "vertices of image 0 .* not 778 points"),
        ([[[*JOINTS[:20], [0, 0, float("nan")]]], [MESH]], "cannot be read"),
        ([[7], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[7] * 21], [MESH]], "joints of image 0 .* not 21 points of three finite numbers"),
        ([[[[[0.0]] * 3] * 21], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[[True] * 3] * 21], [MESH]], "joints of image 0 .* not 21 points"),
        ([[[*JOINTS[:20], ["0", 0, 0]]], [MESH]], "joints of image 0"),
        ([[[*JOINTS[:20], [True, 0, 0]]], [MESH]], "joints of image 0"),
        ([[{"a": [1]}], [MESH]], "joints of image 0"),
    ],
)
def test_what_the_challenge_would_refuse_is_refused(content, message, tmp_path):
    pack(tmp_path / "pred.zip", content)
    with pytest.raises(ValueError, match=message) as raised:
        submission_file.check(tmp_path / "pred.zip", 1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[JOINTS] * 3, [MESH, MESH, [*MESH, [0, 0, 0]]]], r"vertices of image 2 .* not 778 point"),
        ([[JOINTS, JOINTS[:3], JOINTS], [MESH] * 3], r"joints of image 1 .* not 21 points"),
    ],
)
def test_the_image_that_is_wrong_is_named(content, message, tmp_path):
    pack(tmp_path / "pred.zip", content)
    with pytest.raises(ValueError, match=message):
        submission_file.check(tmp_path / "pred.zip", 3)


def test_checking_needs_little_memory(tmp_path):
    """As lists, 40 meshes are more than 4 MB."""
    submission_file.write(tmp_path / "pred.zip", iter(hands(40)))
    tracemalloc.start()
    submission_file.check(tmp_path / "pred.zip", 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


def test_other_files_are_refused(tmp_path):
    pack(tmp_path / "pred.zip", [[JOINTS], [MESH]], name="folder/pred.json")
    with pytest.raises(ValueError, match=r"holds \['folder/pred.json'\], expected pred.json alone"):
        submission_file.check(tmp_path / "pred.zip", 1)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        submission_file.check(tmp_path / "text.zip", 1)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        submission_file.check(tmp_path / "none.zip", 1)
