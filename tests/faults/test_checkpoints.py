"""Checkpoints that are out of reach, changed, or hostile."""

import builtins
import errno
import json
import os
import shutil
import socket

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from peclr_jax.errors import MachineError, UserError
from peclr_jax.networks.opening import open_network
from peclr_jax.training import digests, restoring
from peclr_jax.training.checkpoints import Checkpoints
from peclr_jax.training.restoring import DamagedCheckpointError, restore_config, restore_params
from tests.faults import bounded, stored

STATE = {"params": {"w": jnp.arange(3000.0), "b": jnp.zeros(3)}, "batch_stats": {}}
KERNEL = stored.kernel(stored.WHOLE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a run with the checkpoints of two steps."""
    workdir = tmp_path_factory.mktemp("saved")
    with Checkpoints(workdir, {"a": 1}, results={"b": 2}, save_every=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, STATE)
    return workdir


@pytest.fixture
def run(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


@pytest.fixture
def hostile(tmp_path):
    """A copy of a network that a test does something to."""
    return stored.copied(tmp_path)


def contents(run):
    """Returns all files of a run, to see that nothing is touched."""
    return {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file()}


def resume(run):
    """Restores the newest whole checkpoint, and returns what is said of the others."""
    notes = []
    with Checkpoints(run, {}, save_every=1) as checkpoints:
        restored = checkpoints.restore_latest(STATE, notes.append)
    np.testing.assert_array_equal(restored["params"]["w"], STATE["params"]["w"])
    return notes


CODES = ("EIO", "ENOTCONN", "EHOSTDOWN", "ESTALE", "EREMOTEIO", "ENODEV", "EINVAL", "EACCES")


@pytest.mark.parametrize("code", CODES)
def test_a_disk_that_is_away_is_named_and_nothing_is_touched(run, monkeypatch, code):
    before = contents(run)
    away = OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    def restore(*args, **kwargs):
        raise ValueError("Error opening array") from away

    monkeypatch.setattr(ocp.Checkpointer, "restore", restore)
    message = (
        rf"checkpoints/2 cannot be reached now \({code}\): Error opening array; it may be whole"
    )
    with pytest.raises(MachineError, match=message):
        resume(run)
    assert contents(run) == before


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        Exception("of a library"),
        TimeoutError("too late"),
        ImportError("a plugin"),
        ValueError("UNAVAILABLE: Error reading the bucket"),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_errors_that_are_no_evidence_touch_nothing(run, monkeypatch, error, sealed):
    if not sealed:
        (run / "checkpoints/2" / digests.FILE).unlink()
    before = contents(run)

    def restore(*args, **kwargs):
        raise error

    monkeypatch.setattr(ocp.Checkpointer, "restore", restore)
    with pytest.raises(MachineError, match=r"checkpoints/2 cannot be reached now"):
        resume(run)
    assert contents(run) == before


@pytest.mark.parametrize("function", ["open", "os.stat", "os.scandir"])
def test_a_disk_that_is_away_at_the_first_look_is_not_an_empty_one(run, monkeypatch, function):
    owner, name = (builtins, "open") if function == "open" else (os, function.partition(".")[2])
    real = getattr(owner, name)

    def away(path, *args, **kwargs):
        if "checkpoints/2" in os.fspath(path if isinstance(path, str | os.PathLike) else ""):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", os.fspath(path))
        return real(path, *args, **kwargs)

    before = contents(run)
    monkeypatch.setattr(owner, name, away)
    for read in (restore_config, restore_params, restoring.restore_run_config):
        with pytest.raises(OSError, match=r"ENOTCONN|not connected"):
            read(run)
    monkeypatch.undo()
    assert contents(run) == before


def names_of(run, item):
    step = run / "checkpoints/2"
    return sorted(p.relative_to(step) for p in (step / item).rglob("*") if p.is_file())


def test_a_flipped_bit_of_any_file_is_found(run):
    draws = np.random.default_rng(0)
    step = run / "checkpoints/2"
    for item, read in (("state", restore_params), ("config", restore_config)):
        for name in names_of(run, item):
            whole = (step / name).read_bytes()
            flipped = bytearray(whole)
            flipped[draws.integers(len(whole))] ^= 1 << draws.integers(8)
            (step / name).write_bytes(flipped)
            with pytest.raises(DamagedCheckpointError, match=rf"\({name} is not as it was written"):
                read(run)
            (step / name).write_bytes(whole)
    assert restore_config(run) == {"a": 1}


def test_a_flipped_bit_of_an_array_is_no_loss(run):
    path = max((run / "checkpoints/2/state").rglob("d/*"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (note,) = resume(run)
    assert "is damaged" in note
    assert "is not as it was written" in note
    assert (run / "checkpoints/2.damaged").exists()


def test_digests_are_there_before_a_checkpoint_is(tmp_path, monkeypatch):
    places = []
    write = digests.write
    monkeypatch.setattr(digests, "write", lambda d: (places.append(str(d)), write(d)))
    with Checkpoints(tmp_path, {}, save_every=1) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, STATE)
    assert [os.path.basename(p).split(".")[0] for p in places] == ["1", "2"]
    assert all("tmp" in place for place in places)
    for step in (1, 2):
        assert (tmp_path / f"checkpoints/{step}/{digests.FILE}").exists()


def test_checkpoints_without_digests_are_read(run):
    for path in run.rglob(digests.FILE):
        path.unlink()
    assert not resume(run)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"3", b'{"state/_METADATA": 3}', b'{"state/none": "x"}', b"\xff"]
)
def test_broken_digests_are_damage(run, content):
    (run / "checkpoints/2" / digests.FILE).write_bytes(content)
    assert "is damaged" in resume(run)[0]


def pipe(path):
    os.mkfifo(path)


def listening(path):
    # Its name would be too long with the folder's.
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)
        made.bind(path.name)


def endless(path):
    path.symlink_to("/dev/zero")


PLACES = ("config/metadata", "state/_METADATA", "state/manifest.ocdbt", "_CHECKPOINT_METADATA")


@pytest.mark.parametrize("put", [pipe, listening, endless])
@pytest.mark.parametrize("name", [*PLACES, digests.FILE, "state/d/another"])
def test_what_is_no_file_is_not_waited_for(run, monkeypatch, put, name):
    monkeypatch.chdir(run)
    for path in run.rglob(digests.FILE):
        path.unlink()
    path = run / "checkpoints/2" / name
    path.unlink(missing_ok=True)
    put(path)
    with pytest.raises(DamagedCheckpointError, match=r"is no file but a pipe, a socket or"):
        restoring.restore_config(run) and restore_params(run)


@pytest.mark.parametrize("put", [pipe, endless])
def test_a_run_does_not_wait_for_what_is_no_file(run, put):
    put(run / "checkpoints/2/state/another")
    assert "is no file" in resume(run)[0]
    path = run / "checkpoints/1/_CHECKPOINT_METADATA"
    path.unlink()
    put(path)
    with pytest.raises(DamagedCheckpointError, match=r"is no file .*: remove it"):
        resume(run)


def test_a_text_without_end_is_not_read(run):
    os.truncate(run / "checkpoints/2/config/metadata", 2**33)
    (run / "checkpoints/2" / digests.FILE).unlink()
    with pytest.raises(DamagedCheckpointError, match=r"config/metadata has 8589934592 bytes"):
        restore_config(run)


ATTACKS = {
    "4 TB": lambda run: stored.declare(run, KERNEL, shape=[10**6, 10**6], chunks=[9, 9]),
    "a piece of 4 TB": lambda run: stored.declare(run, KERNEL, chunks=[10**6, 10**6, 3, 2]),
    "a surplus array": lambda run: stored.add(run, "params.encoder.extra", 2**31),
    "a surplus collection": lambda run: stored.add(run, "batch_stats.extra.mean", 2**31),
    "a wider network": lambda run: stored.change_config(run, model__width=4096),
    "large views": lambda run: stored.change_config(run, views__size=4096),
    "large renderings": lambda run: stored.change_config(run, data__rendered__size=4096),
    "many renderings": lambda run: stored.change_config(run, data__rendered__held_out=2**31),
    "renderings at once": lambda run: stored.change_config(run, data__rendered__chunk=2**16),
    "large crops": lambda run: stored.change_config(run, data__source_size=8192),
    "a negative bone": lambda run: stored.change_config(run, statistics__bone_length=-0.03),
    "no bone": lambda run: stored.change_config(run, statistics__bone_length=0.0),
    "a giant": lambda run: stored.change_config(run, statistics__bone_length=1e30),
    "a far hand": lambda run: stored.change_config(run, statistics__mean_hand=[[0, 0, 1e9]] * 21),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_checkpoint_declares_is_checked_before_it_is_read(hostile, attack):
    ATTACKS[attack](hostile)
    with pytest.raises(UserError) as info:
        open_network(hostile)
    assert len(str(info.value)) < 600


def test_a_network_that_is_only_declared_is_refused(hostile):
    stored.add(hostile, "params.encoder.extra", 2**28)
    with pytest.raises(UserError, match=r"declares arrays of 1073.* bytes, but its files have"):
        restore_params(hostile)


def test_arrays_are_counted_before_they_are_opened(hostile):
    path = stored.state_of(hostile) / "_METADATA"
    content = json.loads(path.read_text())
    some = next(iter(content["tree_metadata"].values()))
    content["tree_metadata"] |= {str(("params", f"{i}")): some for i in range(20_001)}
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedCheckpointError, match="more than"):
        restore_params(hostile)


def test_an_attack_ends_in_one_sentence_within_two_gigabytes(hostile):
    stored.declare(hostile, KERNEL, shape=[10**6, 10**6, 2, 2], chunks=[3, 3, 3, 2])
    photos = bounded.ROOT / "data/image_folder/dummy_data"
    ended = bounded.run(
        [
            *("main.py", "--config=configs/predict.py", f"--workdir={hostile / 'out'}"),
            *(f"--config.checkpoint={hostile}", f"--config.images={photos}"),
        ]
    )
    assert ended.is_one_sentence, ended.output
    assert "conv1/kernel" in ended.output
