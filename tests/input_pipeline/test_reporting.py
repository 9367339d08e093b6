import io
import itertools

import pytest
from rich.console import Console

from peclr_jax.input_pipeline import reporting


@pytest.mark.parametrize("terminal", [False, True])
def test_it_tells_how_far_and_how_long(monkeypatch, terminal):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100)
    monkeypatch.setattr(reporting, "Console", lambda **_: console)
    if not terminal:  # a clock of six seconds a glance, two glances an item
        clock = itertools.count(0.0, 6.0)
        monkeypatch.setattr(reporting.time, "monotonic", lambda: next(clock))
    assert list(reporting.report(iter("abcde"), "Reading", 5)) == list("abcde")
    shown = screen.getvalue()
    assert "Reading" in shown
    if terminal:
        assert "100%" in shown
    else:
        assert shown.splitlines()[0] == "Reading: 40 %, 27 s left"
        assert "done in" in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("total", "said"), [(None, "2 done"), (1, "2 done"), (4, "50 %, 12 s left")]
)
def test_a_number_that_is_unknown_or_wrong_is_no_share(total, said):
    assert reporting._share(2, total, 12.0) == said
