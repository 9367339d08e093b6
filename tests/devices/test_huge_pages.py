"""Huge pages: asked for once, and only where the system leaves it to programs."""

import os
import sys

import pytest

from peclr_jax.devices import huge_pages
from peclr_jax.devices.huge_pages import restart_with_huge_pages, with_huge_pages

MADVISE = "always [madvise] never\n"


@pytest.mark.parametrize(
    ("environment", "policy", "settings"),
    [
        ({}, MADVISE, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "a.b=1"}, MADVISE, "a.b=1:glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, MADVISE, None),
        ({}, "[always] madvise never\n", None),
        ({}, "always madvise [never]\n", None),
        ({}, "", None),
    ],
)
def test_settings_are_added_where_they_change_something(environment, policy, settings):
    assert with_huge_pages(environment, policy) == settings


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Programs that are started in place of this one."""
    (tmp_path / "enabled").write_text(MADVISE)
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "enabled")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    found = []
    monkeypatch.setattr(os, "execve", lambda *arguments: found.append(arguments))
    return found


def test_the_same_command_is_started_once(started, monkeypatch):
    restart_with_huge_pages()
    ((program, arguments, environment),) = started
    assert (program, arguments) == (sys.executable, sys.orig_argv)
    monkeypatch.setenv("GLIBC_TUNABLES", environment["GLIBC_TUNABLES"])
    restart_with_huge_pages()
    assert len(started) == 1


def test_systems_without_such_pages_are_left_alone(started, monkeypatch, tmp_path):
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "nowhere")
    restart_with_huge_pages()
    monkeypatch.setattr(huge_pages, "_POLICY", tmp_path / "enabled")
    monkeypatch.setattr(sys, "platform", "darwin")
    restart_with_huge_pages()
    assert not started
