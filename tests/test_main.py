"""The command line's own part: where a run goes, and how it ends."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import flags

from peclr_jax.outputs import is_own_output

ROOT = Path(__file__).parents[1]
TASKS = [p.stem for p in (ROOT / "peclr_jax/tasks").glob("[a-z]*.py") if p.stem != "experiment"]


@pytest.fixture
def run(main, monkeypatch, tmp_path):
    """Runs a command line with a task that does what the test says; tells its workdir, too."""
    monkeypatch.chdir(tmp_path)

    def call(*argv, task=lambda: None):
        seen = []

        def stub(config, workdir):
            seen.append(workdir)
            return task()

        def import_module(name, package=None):
            if name.startswith("peclr_jax.tasks."):
                return SimpleNamespace(run=stub)
            return imported(name, package)

        imported = importlib.import_module
        monkeypatch.setattr(importlib, "import_module", import_module)
        flags.FLAGS.unparse_flags()
        monkeypatch.delitem(sys.modules, "config_config", raising=False)  # of another recipe
        monkeypatch.setattr(sys, "argv", ["main.py", *argv])  # where fields are looked for
        code = main.main(main.parse_flags([sys.argv[0], *argv]))
        return code, seen[0] if seen else None

    return call


@pytest.mark.parametrize(
    ("recipe", "name"),
    [("", "finetune"), (":quick+probe", "finetune_quick+probe"), (":quick", "finetune_quick")],
)
def test_runs_are_named_after_task_and_recipe(run, recipe, name):
    code, workdir = run(f"--config={ROOT}/configs/finetune.py{recipe}")
    assert (code, workdir) == (0, Path("runs", name))


def test_a_tasks_exit_code_is_the_programs(run):
    config = f"--config={ROOT}/configs/predict.py"
    assert run(config, "--workdir=elsewhere", task=lambda: 4) == (4, Path("elsewhere"))


@pytest.mark.parametrize("task", TASKS)
def test_every_config_belongs_to_a_task(run, task):
    _, workdir = run(f"--config={ROOT}/configs/{task}.py")
    assert workdir.name == task  # by the config's own word


MISTAKES = [
    ("finetune.py:nonsense", "configs/finetune.py has no recipe 'nonsense'"),
    ("finetune.py:quick+prob", "configs/finetune.py has no variant 'prob'"),
    (
        "pretrain.py:rendered_rn50+imagenet+nonsense",
        "configs/pretrain.py has no variant 'nonsense'",
    ),
    ("pretrain.py:quick+imagenet", "the variant +imagenet needs"),
    ("experiments/real_photos.py:cpu+freihand", "has no variant 'freihand': for FreiHAND's"),
    ("experiments/table1.py:nonsense", "'nonsense'"),
    ("experiments/table1.py:cpu --config.photos=/", "photos is without use in this recipe"),
    ("experiments/best.py:cpu+versions+photos", "has no variant 'versions' on photographs"),
    ("experiments/best.py:cpu+versions+successors", "'versions' and 'successors' are alternatives"),
    ("experiments/table1.py:cpu+photos+freihand", "'freihand' and 'photos' are alternatives: name"),
    ("pretrain.py:quick+mined+frames", "'frames' and 'mined' are alternatives: name one"),
    ("finetune.py:quick+labels_40+labels_10", "'labels_10' and 'labels_40' are alternatives"),
    ("nonsense.py", "cannot be read; the recipes are in "),
    ("", "cannot be read; the recipes are in "),
    ("predict.py --config.task=predct", "task is 'predct', none of .*; did you mean 'predict'"),
    ("predict.py --config.imagse=x", 'no field imagse; Did you mean "images"'),
    ("predict.py --wrkdir=x", "'wrkdir'. Did you mean: workdir"),
    ("predict.py photo.jpg", "the argument 'photo.jpg' belongs to no flag"),
    ("predict.py --config.hands=many", "--config.hands=many"),
    ("pretrain.py --config.batch-size=64", "--config.batch-size names no field: a name is of"),
    ("predict.py --config.images.x=1", "--config.images.x names no field"),
    ("pretrain.py --config.seed.x=1", "--config has no field seed.x$"),
    ("pretrain.py --config.views.rotatio=1", "--config has no field rotatio$"),
    ("experiments/figure7.py:cpu --config.seeds[0]=1", "--config.seeds[0] names no field"),
    ("predict.py --num_processes=0", "--num_processes=0"),
    ("predict.py --workdir=~nobody-here/x", "--workdir is '~nobody-here/x', but the user"),
]


@pytest.mark.parametrize(("recipe", "message"), MISTAKES)
def test_a_mistake_in_the_recipes_name_is_one_sentence(run, capsys, recipe, message):
    file, *arguments = recipe.split(" ")
    with pytest.raises(SystemExit) as stop:
        run(f"--config={ROOT}/configs/{file}", *arguments)
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert re.search(message, said) or message in said


FILES = [
    ("def get_config(:", "own.py, line 1: SyntaxError: invalid syntax"),
    ("import nothing_of_this_name", "own.py, line 1: ModuleNotFoundError"),
    ("def get_config():\n    return unknown", "own.py, line 2: NameError: name 'unknown'"),
    ("x = {}\nx['a']", "own.py, line 2: KeyError: 'a'"),
    ("x = open('not there')", "own.py: [Errno 2] No such file"),
    ("import json\njson.loads(3)", "own.py, line 2: TypeError: the JSON object must be"),
    ("", "own.py has no function get_config()"),
    (
        "def get_config():\n    return ConfigDict({'a': 1}).b",
        "own.py, line 2: AttributeError: b",
    ),
    ("def get_config():\n    return 3", "get_config() of own.py returns int"),
    ("def get_config():\n    return ConfigDict({'task': 'x'})", "--config.task is 'x', none of"),
    ("def get_config():\n    return ConfigDict()", "--config.task is None, none of"),
    ("def get_config():\n    return ConfigDict({'task': {'a': 1}})", "--config.task is a: 1, none"),
    (
        "def get_config():\n    return ConfigDict({'task': ['predict']})",
        "task is ['predict']",
    ),
    ("def get_config():\n    return PredictSpec(hands=0)", "own.py: hands must lie in"),
]
IMPORTS = "from ml_collections import ConfigDict; from peclr_jax.prediction.spec import PredictSpec"


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_mistake_in_ones_own_recipe_is_one_sentence(run, capsys, content, message):
    if ("get_config" in content and "Spec" in content) or "ConfigDict" in content:
        content = content.replace(":\n   ", f":\n    {IMPORTS};", 1)
    Path("own.py").write_text(content)
    with pytest.raises(SystemExit) as stop:
        run("--config=own.py")
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert message in said


def test_what_a_recipe_makes_our_code_raise_keeps_its_traceback(run):
    imports = f"{IMPORTS}; from configs.experiments.common import add_arm"
    fault = "add_arm(ConfigDict(), 'a', 'b')"  # it has no section `arms`
    Path("own.py").write_text(f"{imports}\ndef get_config():\n    return {fault}")
    with pytest.raises(AttributeError):
        run("--config=own.py")


def test_paths_on_the_command_line_may_begin_at_home(run, home):
    recipe = (ROOT / "configs/predict.py").read_text()
    (home / "own.py").write_text(recipe)
    _, workdir = run("--config=~/own.py", "--workdir=~/here")
    assert workdir == home / "here"


def test_of_a_command_that_wrote_nothing_nothing_is_left(run):
    run(f"--config={ROOT}/configs/predict.py", "--workdir=a/b")
    assert not Path("a").exists()
    run(f"--config={ROOT}/configs/predict.py", "--workdir=a/b", task=Path("a/b/x").touch)
    assert is_own_output(Path("a/b"))
    run(f"--config={ROOT}/configs/serve.py", "--workdir=c", task=lambda: os.stat("a"))
    assert not Path("c").exists()


@pytest.mark.parametrize("platforms", ["cuda", "cdua", "cpu,cdua"])
def test_a_device_that_is_not_there_is_one_sentence(platforms, tmp_path):
    command = [sys.executable, str(ROOT / "main.py"), f"--config={ROOT}/configs/predict.py"]
    environment = {**os.environ, "JAX_PLATFORMS": platforms, "XLA_FLAGS": ""}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"JAX_PLATFORMS={platforms} asks for" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
