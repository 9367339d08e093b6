from rich.console import Console

from peclr_jax.pages.terminal import say, table


def test_sentences_are_printed_as_they_are(capsys):
    say("runs/[bold]1", "x" * 200)
    assert capsys.readouterr().out.splitlines() == ["runs/[bold]1", "x" * 200]


def test_numbers_stand_to_the_right():
    console = Console(width=60, record=True)
    with console.capture() as capture:
        console.print(table("Errors", ("", "mean"), [("2D EPE", "1.00"), ("3D", "12.00")]))
    assert "Errors" in capture.get()
    assert "│ 2D EPE │  1.00 │" in capture.get()
