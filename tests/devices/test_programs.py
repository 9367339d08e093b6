"""Compiled programs: the next run takes them, but none that is damaged: it is said and mended."""

import os

import jax
import pytest

from peclr_jax.devices.programs import Programs
from tests.faults import bounded

PROGRAM = """
import os, sys
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # that of the tests
import jax
from peclr_jax.devices import backend
backend.keep_compiled_programs(sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
print(jax.jit(lambda x: (x @ x.T).sum())(jax.numpy.ones((3, 4))))
print("hits:", sum("cache_hits" in event for event in hits))
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    def run():
        ended = bounded.run([tmp_path / "program.py", tmp_path])
        assert ended.code == 0, ended.output
        assert "36.0" in ended.output
        return ended.output

    return run


def test_damaged_programs_are_compiled_again_and_written_anew(run, tmp_path):
    assert "hits: 0" in run()
    kept = sorted((tmp_path / "compiled").iterdir())
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = run()
    assert "hits: 0" in said
    assert said.count("is damaged; it is compiled again") == len(kept)
    healed = run()
    assert "note:" not in healed
    assert f"hits: {len(kept)}" in healed


@pytest.mark.parametrize("kind", ["truncated", "empty", "flipped", "another's", "pipe", "folder"])
def test_no_damaged_program_is_returned(tmp_path, capsys, kind):
    programs = Programs(tmp_path)
    assert programs.get("a") is None
    programs.put("a", b"program")
    assert programs.get("a") == b"program"
    assert not capsys.readouterr().err
    programs.put("b", b"another")
    path = tmp_path / "a.program"
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        another = (tmp_path / "b.program").read_bytes()
        made = {"truncated": content[:-1], "empty": b"", "flipped": flipped, "another's": another}
        path.write_bytes(made[kind])
    assert programs.get("a") is None
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("note: ")
    assert "it is compiled again" in said
    if kind != "folder":
        programs.put("a", b"program")
        assert programs.get("a") == b"program"


def test_jax_asks_for_its_programs_where_they_are_put():
    """Its versions may come to do otherwise, for the place is one of its own."""
    from jax._src import compilation_cache

    assert callable(compilation_cache.get_file_cache)
    assert jax.config.jax_compilation_cache_dir
