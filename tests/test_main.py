"""The command line's own part: where a run goes, and how it ends."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from absl import flags

ROOT = Path(__file__).parents[1]
TASKS = [p.stem for p in (ROOT / "peclr_jax/tasks").glob("[a-z]*.py") if p.stem != "experiment"]


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("main", ROOT / "main.py")
    module = importlib.util.module_from_spec(spec)
    before = set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def run(main, monkeypatch):
    """Runs a command line with a task that does what the test says; tells its workdir, too."""

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
        code = main.main(main.parse_flags([sys.argv[0], *argv]))
        return code, seen[0]

    return call


@pytest.mark.parametrize(
    ("recipe", "name"),
    [("", "finetune"), (":quick+probe", "finetune_quick+probe"), (":quick", "finetune_quick")],
)
def test_runs_are_named_after_task_and_recipe(run, recipe, name):
    code, workdir = run(f"--config={ROOT}/configs/finetune.py{recipe}")
    assert (code, workdir) == (0, ROOT / "runs" / name)


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
    ("nonsense.py", "cannot be read; the recipes are in "),
]


@pytest.mark.parametrize(("recipe", "message"), MISTAKES)
def test_a_mistake_in_the_recipes_name_is_one_sentence(run, capsys, recipe, message):
    with pytest.raises(SystemExit) as stop:
        run(f"--config={ROOT}/configs/{recipe}")
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert message in said


def test_compiled_programs_are_kept_where_nobody_else_has_said(main, home):
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    try:
        main.keep_compiled_programs("~/kept")
        assert jax.config.jax_compilation_cache_dir == before["jax_compilation_cache_dir"]
        jax.config.update("jax_compilation_cache_dir", None)
        main.keep_compiled_programs("")
        assert jax.config.jax_compilation_cache_dir is None
        main.keep_compiled_programs("~/kept")
        assert jax.config.jax_compilation_cache_dir == str(home / "kept" / "compiled")
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_determinism_is_asked_of_xla_beside_what_was_asked_before(main, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    main.ask_for_determinism()
    assert os.environ["XLA_FLAGS"].split() == [
        "--xla_dump_to=somewhere",
        "--xla_gpu_deterministic_ops=true",
    ]
