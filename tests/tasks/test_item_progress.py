import io

import pytest
from rich.console import Console

from peclr_jax.tasks.item_progress import ItemProgress


@pytest.mark.parametrize("terminal", [False, True])
def test_it_counts_to_the_end(terminal):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100)
    with ItemProgress(console, total=5, unit="images", every=2).running() as progress:
        for _ in range(5):
            progress.advance()
    shown = screen.getvalue()
    assert "5/5" in shown
    assert "images/s" in shown
    if not terminal:
        assert [line.split(",")[0] for line in shown.splitlines()] == [
            "2/5 images",
            "4/5 images",
            "5/5 images",
        ]
