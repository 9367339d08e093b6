"""Folders of ours are told from those of photos, whichever command or version wrote them."""

from pathlib import Path

import pytest

from peclr_jax import outputs
from peclr_jax.errors import MachineError
from peclr_jax.outputs import is_own_output
from peclr_jax.training.workdir import locked


def test_marked_folder_is_ours(tmp_path):
    outputs.mark(tmp_path / "runs" / "one")
    outputs.mark(tmp_path / "runs" / "one")  # a run that resumes
    assert is_own_output(tmp_path / "runs" / "one")
    assert not is_own_output(tmp_path / "runs")
    (tmp_path / "runs" / "one" / outputs.MARK).unlink()
    assert not is_own_output(tmp_path / "runs" / "one")


@pytest.mark.parametrize(
    "names",
    [
        ["provenance.jsonl", "views.png"],
        ["predictions.json", "index.html", "overlays/hand.jpg"],
        ["dataset_info.json", "features.json"],
        ["metrics.json", "pck.png", "best.png"],
        ["results.json", "results.md"],
    ],
)
def test_folder_of_an_earlier_version_is_ours(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert is_own_output(tmp_path)


@pytest.mark.parametrize(
    "names", [[], ["hand.jpg"], ["labels.json", "hand.jpg"], ["index.html", "metrics.json"]]
)
def test_folder_of_a_user_is_not(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    assert not is_own_output(tmp_path)


def test_file_and_absent_folder_are_not(tmp_path):
    (tmp_path / "file").touch()
    assert not is_own_output(tmp_path / "file")
    assert not is_own_output(tmp_path / "absent")


@pytest.mark.parametrize("below", [".", "a/b"])
def test_what_cannot_be_a_folder_is_named(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"--flag=.*file is no folder: choose another"):
        outputs.mark(tmp_path / "file" / below, "--flag")
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(MachineError, match="link is a link to nothing: choose another"):
        outputs.mark(tmp_path / "link" / below)


def test_what_may_not_be_written_to_is_named():
    with pytest.raises(MachineError, match="--workdir=/proc/x cannot be written to"):
        outputs.mark(Path("/proc/x"))


def test_a_folder_in_which_nothing_was_written_goes(tmp_path):
    with outputs.owned(tmp_path / "a" / "b"):
        assert is_own_output(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), outputs.owned(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with outputs.owned(tmp_path / "a"):
        (tmp_path / "a" / "x").touch()
    with outputs.owned(tmp_path / "a"):  # again, and nothing new
        pass
    assert is_own_output(tmp_path / "a")


def test_a_folder_of_the_users_own_is_left_as_it_was(tmp_path):
    """As of photos that were named for --workdir, which later searches must not pass over."""
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ZeroDivisionError), outputs.owned(tmp_path):
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with outputs.owned(tmp_path):
        (tmp_path / "result").touch()
    assert outputs.is_own_output(tmp_path)


def test_what_lies_behind_a_link_is_left_alone(tmp_path):
    other, folder = tmp_path / "other", tmp_path / "run"
    for place in (other, folder):
        place.mkdir()
    (other / f".{'0' * 16}.partial").touch()
    (folder / "overlays").symlink_to(other)
    with pytest.raises(MachineError, match="is a link"), outputs.owned(folder):
        pass
    assert len(list(other.iterdir())) == 1


def test_training_marks_its_workdir(tmp_path):
    with locked(tmp_path / "run"):
        assert is_own_output(tmp_path / "run")


@pytest.mark.parametrize("mark", [outputs.MARK, "provenance.jsonl", ".lock.holder"])
@pytest.mark.parametrize("name", ["overlays", "tensorboard"])
def test_pictures_among_the_photos_are_ours(tmp_path, mark, name):
    # --workdir is the folder of the photos itself.
    (tmp_path / mark).touch()
    for folder in (name, "holiday"):
        (tmp_path / folder).mkdir()
    assert is_own_output(tmp_path / name)
    assert not is_own_output(tmp_path / "holiday")


def test_folder_of_photos_may_be_called_as_ours(tmp_path):
    (tmp_path / "overlays").mkdir()
    assert not is_own_output(tmp_path / "overlays")
