import io
import time

import numpy as np
from rich.console import Console

from peclr_jax.training.progress import MetricsWriter, Progress
from peclr_jax.training.restoring import restore_params
from peclr_jax.training.trainer import Hook
from tests.training import toy_run as toy
from tests.training.toy_run import assert_equal, records


def steps(workdir):
    return [record["step"] for record in records(workdir)]


def test_a_terminal_gets_a_bar_and_the_log_plain_lines(tmp_path):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    progress = Progress(tmp_path, total_steps=4, images_per_step=8, log_every=2, console=screen)
    with progress.running(0):
        progress.report(1, {"loss": 2.0})
        progress.report(2, {"loss": np.float32(1.5)})
        progress.note("A sentence [in brackets] of 100 %.")
    shown = screen.file.getvalue()
    assert "2/4" in shown
    assert "loss 1.5000" in shown
    assert "images/s" in shown
    assert "[in brackets]" in shown
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert lines[0].startswith("step 1/4 | loss 2.0000 | first step after")
    assert lines[2] == "A sentence [in brackets] of 100 %."


def test_reports_are_due_at_the_interval_and_at_the_end(tmp_path):
    progress = Progress(tmp_path, total_steps=7, images_per_step=8, log_every=3)
    assert [step for step in range(1, 8) if progress.is_due(step)] == [3, 6, 7]


def test_nothing_is_written_outside_a_run(tmp_path):
    Progress(tmp_path, total_steps=7, images_per_step=8).scalars(1, {"a": 1})
    assert not list(tmp_path.iterdir())


def test_metrics_of_steps_taken_again_are_dropped(tmp_path):
    writer = MetricsWriter(tmp_path)
    for step in range(1, 6):
        writer.scalars(step, {"loss": 1.0})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # killed in the middle of a line

    writer = MetricsWriter(tmp_path, start_step=3)
    assert steps(tmp_path) == [1, 2, 3]
    writer.scalars(4, {"loss": 0.5})
    writer.images(4, {"views": np.zeros((4, 6, 3), np.uint8)})
    writer.close()
    assert steps(tmp_path) == [1, 2, 3, 4]


def test_broken_lines_are_left_out_and_counted(tmp_path, capsys):
    whole = ['{"step": 1, "loss": 2.0}', '{"step": 2, "loss": NaN}']
    broken = [
        *('{"step": 2', "\0\0\0", "[1]", '"step"', '{"loss": 1.0}', '{"step": "1"}'),
        *('{"step": 1, "loss": null}', '{"step": true}', '{"step": 1, "loss": 1' + "0" * 400 + "}"),
    ]
    (tmp_path / "metrics.jsonl").write_bytes("\n".join([*broken, *whole]).encode() + b"\n\xff{")
    progress = Progress(tmp_path, total_steps=4, images_per_step=8, log_every=2)
    with progress.running(2):
        progress.report(3, {"loss": 1.0})
    assert steps(tmp_path) == [1, 2, 3]
    assert "metrics.jsonl had 10 broken line(s), now left out" in " ".join(
        capsys.readouterr().out.split()
    )
    assert "10 broken line(s)" in (tmp_path / "train.log").read_text()


def test_the_log_takes_names_that_are_no_text(tmp_path):
    Progress(tmp_path, total_steps=1, images_per_step=8).log(["caf\udce9 é"])
    assert (tmp_path / "train.log").read_text("utf-8") == "caf\\udce9 é\n"


def test_the_wall_clock_may_jump(tmp_path, whole, monkeypatch):
    """Only dates in the logs come from it: not rates, not the order of steps."""
    real, offset = time.time, [0.0]

    def jump(step, state):
        if step == 4:
            offset[0] = -86400.0
        if step == 8:
            # Orbax times its saves by this clock: that of step 6 must be over.
            assert any((tmp_path / "checkpoints/6").exists() for _ in range(10**6))
            offset[0] = 86400.0
        return {}

    monkeypatch.setattr(time, "time", lambda: real() + offset[0])
    toy.train(tmp_path, 12, hooks=[Hook(1, jump)])
    reported = [record for record in records(tmp_path) if "loss" in record]
    assert [record["step"] for record in reported] == list(range(1, 13))
    assert all(0 < record["images_per_second"] < 1e6 for record in reported[1:])
    assert_equal(restore_params(tmp_path), whole)
