import dataclasses
import json

import pytest
from rich.console import Console

from peclr_jax import input_pipeline, specs
from peclr_jax.errors import UserError
from peclr_jax.input_pipeline.spec import DataSpec, RenderedSpec
from peclr_jax.runs import provenance
from peclr_jax.runs.resuming import SUMMARY, check_resumable, run_unless_finished
from peclr_jax.runs.spec import FinetuneSpec, InitSpec, PretrainSpec
from peclr_jax.training.checkpoints import Checkpoints
from tests.training import toy_run as toy


@pytest.fixture
def workdir(tmp_path):
    """A run with one checkpoint."""
    with Checkpoints(tmp_path, specs.to_dict(PretrainSpec(seed=1)), save_every=1) as checkpoints:
        checkpoints.save(1, toy.compiled(6)[1](toy.jax.random.key(0)))
    return tmp_path


def test_another_config_is_not_resumed(workdir, tmp_path):
    data = DataSpec(decode_threads=3, rendered=RenderedSpec(chunk=8))
    check_resumable(PretrainSpec(seed=1, profile="1:2", data=data), workdir)
    check_resumable(PretrainSpec(), tmp_path / "new")
    with pytest.raises(
        UserError, match=r"another config .batch_size 64 -> 8; seed 1 -> 0.: resume"
    ):
        check_resumable(PretrainSpec(batch_size=8), workdir)


FOLDER = "pretrain-peclr-0-0123456789"


@pytest.fixture
def tuned(tmp_path):
    """A run from a pre-training, with one checkpoint; returns how it goes on from another place."""
    encoder = tmp_path / "networks" / FOLDER / "checkpoints" / "500"
    encoder.mkdir(parents=True)
    spec = FinetuneSpec(init=InitSpec(checkpoint=str(encoder)))
    with Checkpoints(tmp_path / "run", specs.to_dict(spec), save_every=1) as checkpoints:
        checkpoints.save(1, toy.compiled(6)[1](toy.jax.random.key(0)))

    def goes_on(place, **fields):
        init = InitSpec(checkpoint=str(tmp_path / place), **fields)
        check_resumable(dataclasses.replace(spec, init=init), tmp_path / "run")

    return goes_on


def test_a_pretraining_may_be_named_otherwise(tuned):
    tuned(f"networks/../networks/{FOLDER}/checkpoints/500", sha256="noted by now")
    for other in ("elsewhere/pretrain-peclr/checkpoints/500", f"networks/{FOLDER}"):
        with pytest.raises(UserError, match=r"another config .init\.checkpoint"):
            tuned(other)


def test_an_experiments_pretraining_may_be_moved(tuned):
    tuned(f"moved/{FOLDER}/checkpoints/500")
    tuned("moved/pretrain-renamed-0-0123456789/checkpoints/500")
    for other in (f"moved/{FOLDER}/checkpoints/1000", f"{FOLDER[:-1]}8/checkpoints/500"):
        with pytest.raises(UserError, match=r"another config .init\.checkpoint"):
            tuned(other)


def test_other_weights_of_the_same_name_are_told(tmp_path):
    def of(sha256, folder="pretrain"):
        checkpoint = str(tmp_path / folder / "checkpoints/500")
        return FinetuneSpec(init=InitSpec(checkpoint=checkpoint, sha256=sha256))

    for folder in ("pretrain", FOLDER):
        with Checkpoints(tmp_path / folder, specs.to_dict(of("a", folder)), save_every=1) as saving:
            saving.save(1, toy.compiled(6)[1](toy.jax.random.key(0)))
        check_resumable(of("a", folder), tmp_path / folder)
    with pytest.raises(UserError, match=r"config .digest of the weights .*, 'a' -> 'b'.: resume"):
        check_resumable(of("b"), tmp_path / "pretrain")
    # An experiment trains what is gone again, perhaps on another machine.
    check_resumable(of("b", FOLDER), tmp_path / FOLDER)


def test_what_is_finished_is_not_run_again(workdir, capsys):
    trained = []

    def train(spec, workdir):
        trained.append(spec.seed)
        (workdir / SUMMARY).write_text("{}")

    for _ in range(2):
        run_unless_finished(train, PretrainSpec(seed=1), workdir, Console())
    assert trained == [1]
    assert capsys.readouterr().out.count("finished before") == 1
    with pytest.raises(UserError, match="another config"):
        run_unless_finished(train, PretrainSpec(), workdir, Console())


def test_what_was_trained_on_other_data_is_told(workdir):
    (workdir / SUMMARY).write_text("{}")
    spec = PretrainSpec(seed=1)
    for data in ("freihand 1.0.0 of old", input_pipeline.fingerprint(spec.data)):
        (workdir / provenance.FILE).write_text(json.dumps({"data": data}))
        if data.startswith("freihand"):
            with pytest.raises(UserError, match=r"trained on other data .*of old -> rendered"):
                run_unless_finished(not_called, spec, workdir, Console())
    run_unless_finished(not_called, spec, workdir, Console())


def not_called(spec, workdir):
    raise AssertionError("it is finished")
