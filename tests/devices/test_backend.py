"""How JAX starts: what is kept for later, and what the environment says wrongly."""

import os
import subprocess
import sys

import jax
import pytest

from peclr_jax.devices import backend
from peclr_jax.errors import UserError


@pytest.fixture
def unset():
    """JAX's settings of a cache as they are without any; they are put back."""
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_where_nobody_else_has_said(unset, home):
    backend.keep_compiled_programs("")
    assert jax.config.jax_compilation_cache_dir is None
    backend.keep_compiled_programs("~/kept")
    assert jax.config.jax_compilation_cache_dir == str(home / "kept" / "compiled")
    backend.keep_compiled_programs("~/others")
    assert jax.config.jax_compilation_cache_dir == str(home / "kept" / "compiled")


@pytest.mark.parametrize("folder", ["{}/file", "{}/file/below", "/proc/nowhere", "~nobody-here/x"])
def test_where_none_can_be_kept_that_is_said_and_the_program_goes_on(
    unset, folder, tmp_path, capsys
):
    (tmp_path / "file").touch()
    backend.keep_compiled_programs(folder.format(tmp_path))
    assert jax.config.jax_compilation_cache_dir is None
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("note: compiled programs are not kept")
    assert "--cache_dir" in said


def test_determinism_is_asked_of_xla_beside_what_was_asked_before(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    backend.ask_for_determinism()
    assert os.environ["XLA_FLAGS"].split() == [
        "--xla_dump_to=somewhere",
        "--xla_gpu_deterministic_ops=true",
    ]


@pytest.mark.parametrize(
    "flags", ["--xla_of_no_version=1", "no_flag", "--xla_cpu_use_fusion_emitters=maybe"]
)
def test_flags_that_xla_would_abort_over_are_named(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(UserError, match=f"XLA_FLAGS={flags} is not as XLA wants it"):
        backend.start()


def test_flags_may_be_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "flags"
    file.write_text("--xla_gpu_deterministic_ops=true\n--xla_cpu_prefer_vector_width=128\n")
    monkeypatch.setenv("XLA_FLAGS", str(file))
    backend.start()
    expected = [backend.CPU_FLAGS[0], *file.read_text().split()]
    assert os.environ["XLA_FLAGS"].split() == expected
    file.write_text("--xla_of_no_version=1")
    monkeypatch.setenv("XLA_FLAGS", str(file))
    with pytest.raises(UserError, match="XLA_FLAGS=--xla_of_no_version=1 is not as XLA wants it"):
        backend.start()


@pytest.mark.parametrize("flags", ["", " ", "--xla_gpu_deterministic_ops=true"])
def test_flags_that_xla_knows_are_taken(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    backend.start()


def test_programs_for_cpus_are_asked_to_be_fast_unless_the_user_says_how(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    backend.start()
    assert os.environ["XLA_FLAGS"].split() == list(backend.CPU_FLAGS)
    backend.start()
    assert os.environ["XLA_FLAGS"].split() == list(backend.CPU_FLAGS)
    given = "--xla_cpu_prefer_vector_width=128"
    monkeypatch.setenv("XLA_FLAGS", given)
    backend.start()
    assert os.environ["XLA_FLAGS"].split() == [backend.CPU_FLAGS[0], given]


def test_flags_of_ours_are_known_to_xla():
    environment = {**os.environ, "XLA_FLAGS": " ".join(backend.CPU_FLAGS), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", backend._READ_FLAGS], env=environment, check=True)


def test_devices_that_are_there_are_opened():
    backend.check_devices()
