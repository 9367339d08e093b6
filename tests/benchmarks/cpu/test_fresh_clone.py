"""Targets of a Makefile in clones of its repository."""

import subprocess

import pytest

from benchmarks import process
from benchmarks.cpu import fresh_clone

MAKEFILE = """
.venv/installed .venv/installed-test:
\t@mkdir -p .venv && touch $@ $(HOME)/kept
test: .venv/installed-test
\t@test -e $(HOME)/kept -a ! -e .venv/installed -a -z "$(XDG_CACHE_HOME)"
demo: .venv/installed
\t@test -e $(HOME)/kept -a ! -e .venv/installed-test
bad: .venv/installed
\t@echo out of order && false
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    author = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").touch()  # of the user's checkout, and not of its clones
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fresh_clone.versions, "ROOT", tmp_path)
    return tmp_path


def test_each_target_has_a_clone_and_a_home_of_its_own(repository):
    benchmark = fresh_clone.measure(fresh_clone.Settings(targets=("demo", "test"), rounds=2))
    for name in ("make demo", "make test"):
        assert all(s > 0 for s in benchmark[name]["seconds"]["rounds"])
        assert len(benchmark[name]["installation_seconds"]["rounds"]) == 2
    assert fresh_clone.table(benchmark).row_count == 2
    assert {path.name for path in repository.iterdir()} == {".git", ".venv", "Makefile"}


def test_a_target_that_fails_is_no_figure(repository):
    with pytest.raises(process.CandidateError, match="out of order"):
        fresh_clone.measure(fresh_clone.Settings(targets=("bad",)))
