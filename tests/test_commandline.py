import sys

import pytest
from absl import flags
from ml_collections import config_flags

from peclr_jax import commandline
from peclr_jax.errors import UserError


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        (["main.py"], ""),
        (["main.py", "--config=a.py"], "a.py"),
        (["main.py", "-config=a.py:b"], "a.py"),
        (["main.py", "--config", "a.py:b+c", "--workdir=x"], "a.py"),
        (["main.py", "--config=a.py", "--config.seed=1"], "a.py"),
        (["main.py", "--config=a.py", "--config=b.py"], "b.py"),
        (["main.py", "--config", "a.py", "--config=b.py"], "b.py"),
        (["main.py", "--config=a.py", "--config", "b.py"], "b.py"),
    ],
)
def test_the_recipes_file_is_found_in_the_command_line(argv, file):
    assert commandline.config_file(argv) == file


def test_only_paths_of_recipes_are_changed(home):
    assert commandline.with_home("--config=~/a.py:b") == f"--config={home}/a.py:b"
    for argument in ("--config=a.py", "--config.images=~/x", "main.py", "~/x"):
        assert commandline.with_home(argument) == argument
    with pytest.raises(UserError, match=r"--config is '~nobody-here/a.py', but the user"):
        commandline.with_home("--config=~nobody-here/a.py")


def test_faults_of_the_program_are_not_explained():
    assert commandline.explain(TypeError("x"), "a.py") is None
    assert commandline.explain(UserError("no file"), "a.py") == "no file"


def test_what_flags_have_set_of_a_recipe(monkeypatch):
    monkeypatch.setattr(flags, "FLAGS", flags.FlagValues())
    assert commandline.changed_fields() == {}
    config_flags.DEFINE_config_file("config", flag_values=flags.FLAGS)
    argv = ["main.py", "--config=configs/pretrain.py:quick", "--config.optimizer.name=adam"]
    monkeypatch.setattr(sys, "argv", argv)
    flags.FLAGS(argv)
    assert commandline.changed_fields() == {"optimizer.name": "adam"}
