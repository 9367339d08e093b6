from peclr_jax.terminal import Console, table


def test_text_is_text_wherever_it_stands():
    terminal = Console(width=60)
    made = table("[/bold] :hand:", ("[red]", "b"), [("[/x]\x1b[2J", "\u202e1")])
    with terminal.capture() as capture:
        terminal.rule("[/bold]")
        terminal.print("[/red]", made)
    for text in ("[/bold] :hand:", "[red]", "[/x]?[2J", "?1", "[/red]"):
        assert text in capture.get()


def test_numbers_stand_to_the_right():
    console = Console(width=60, record=True)
    with console.capture() as capture:
        console.print(table("Errors", ("", "mean"), [("2D EPE", "1.00"), ("3D", "12.00")]))
    assert "Errors" in capture.get()
    assert "│ 2D EPE │  1.00 │" in capture.get()
