import importlib.metadata
import subprocess

import pytest

from peclr_jax import versions


@pytest.mark.parametrize("name", ["absl-py", "absl"])
def test_a_package_is_found_by_either_name(name):
    assert versions.version_of(name) == importlib.metadata.version("absl-py")


def test_what_is_not_there_has_no_version(monkeypatch):
    assert versions.version_of("no-such-package") is None
    assert versions.ask_git("no-such-command") is None

    def run(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", run)
    assert versions.ask_git("status") is None
