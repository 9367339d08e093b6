"""Reports of a run: on the terminal, in its log, as JSON lines and for TensorBoard."""

import datetime
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, SupportsFloat

import jax
import numpy as np
import rich.console
from jaxtyping import UInt8
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from peclr_jax import console, files
from peclr_jax.devices.memory import memory_in_use
from peclr_jax.terminal import Console

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
# Flushing waits for the disk, which may be far away.
_FLUSH_SECONDS = 30.0


class MetricsWriter:
    """Writes metrics of a run to `workdir/metrics.jsonl` and `workdir/tensorboard`.

    Records of steps after `start_step`, which an interrupted run takes again, are dropped from the
    one and hidden from the other. Lines that are no record are dropped and counted.

    Attributes:
      broken: How many.
      measured: Whether anything beside the report of training itself is of `start_step`.
    """

    def __init__(self, workdir: str | Path, start_step: int = 0) -> None:
        folder, path = Path(workdir) / TENSORBOARD, Path(workdir) / METRICS
        folder.mkdir(parents=True, exist_ok=True)
        records, self.broken = read_metrics(path)
        self.measured = any(r["step"] == start_step and "loss" not in r for r in records)
        with files.writing(path) as file:
            file.writelines(
                json.dumps(record) + "\n" for record in records if record["step"] <= start_step
            )
        self._lines = files.appending(path)
        # Imported here, so that a training step can be timed without it.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._event, self._summary = event_pb2.Event, summary
        # Not SummaryWriter, whose thread dies of a full disk and leaves the run waiting for it.
        # Its name cannot be guessed, so that nobody puts a link in its place.
        unique = f".{secrets.token_hex(8)}"
        self._events = event_file_writer.EventsWriter(str(folder / "events"), unique)
        self._flushed = time.monotonic()
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(start_step + 1, session_log=log)

    def scalars(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Writes one record of numbers."""
        numbers = {name: float(value) for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **numbers}) + "\n")
        for name, value in numbers.items():
            self._write(step, summary=self._summary.scalar(name, value))

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> None:
        """Writes pictures to TensorBoard."""
        for name, image in images.items():
            self._write(step, summary=self._summary.image(name, image, dataformats="HWC"))
        self._events.flush()

    def flush(self) -> None:
        """Has the disk keep what was written so far."""
        files.sync(self._lines)
        self._events.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flushes and closes the files."""
        with closing(self._lines), closing(self._events):
            self.flush()

    def _write(self, step: int, **content: Any) -> None:
        self._events.write_event(self._event(step=step, wall_time=time.time(), **content))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Returns the records of a `metrics.jsonl`, and the number of lines that are none."""
    found, broken = files.read_json_lines(path)
    records = [
        record
        for record in found
        if isinstance(record.get("step"), int) and all(map(_is_number, record.values()))
    ]
    return records, broken + len(found) - len(records)


def _is_number(value: Any) -> bool:
    # No integer is beyond what a float holds: a broken line may be.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


class Progress:
    """Shows and records the metrics of a run.

    A terminal shows a bar with loss, images/s and remaining time; any other output gets one plain
    line per report. The plain lines are also written to `workdir/train.log`, the numbers to
    `metrics.jsonl` and TensorBoard. Only process 0 shows and writes anything.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        total_steps: int,
        images_per_step: int,
        log_every: int = 50,
        console: rich.console.Console | None = None,
    ) -> None:
        """Prepares to report; nothing is written before `running`.

        `images_per_step` counts images (not views) of the global batch, for images/s.
        """
        self.log_every = log_every
        self._workdir = Path(workdir)
        self._total_steps = total_steps
        self._images_per_step = images_per_step
        self._console = console or Console(quiet=jax.process_index() > 0)
        self._bar: Bar | None = None
        self._writer: MetricsWriter | None = None
        self._last: tuple[int, float] | None = None  # step and time of the last report
        self._waited = 0.0  # for batches, since the last report

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's events."""
        return self._workdir / TENSORBOARD

    @property
    def is_unmeasured(self) -> bool:
        """Whether no hook has written numbers of the step that `running` began with."""
        return self._writer is not None and not self._writer.measured

    @contextmanager
    def running(self, start_step: int) -> Iterator[None]:
        """Opens bar and files while the context is open."""
        self._started, self._last, self._waited = time.perf_counter(), None, 0.0
        if jax.process_index() == 0:
            self._writer = MetricsWriter(self._workdir, start_step)
            if broken := self._writer.broken:
                self.note(f"{self._workdir / METRICS} had {broken} broken line(s), now left out")
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}", markup=False),
                console=self._console,
            )
            self._bar.add_task(
                "", total=self._total_steps, completed=start_step, status="compiling"
            )
            self._bar.start()
        try:
            yield
        finally:
            if self._bar:
                self._bar.stop()
            if self._writer:
                self._writer.close()
            self._bar = self._writer = None

    def is_due(self, step: int) -> bool:
        """Tells whether a step's metrics are reported."""
        return step % self.log_every == 0 or step == self._total_steps

    def report(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Shows and writes the metrics of a step that is complete, on the host, with `loss`."""
        now = time.perf_counter()
        written = {name: float(value) for name, value in metrics.items()}
        parts = [f"loss {written['loss']:.4f}"]
        if self._last is None:
            # The first step carries the compilation: a rate would mislead.
            parts.append(f"first step after {now - self._started:.1f} s")
        else:
            last_step, last_time = self._last
            seconds = max(now - last_time, 1e-9) / max(step - last_step, 1)
            written["images_per_second"] = self._images_per_step / seconds
            written["step_seconds"] = seconds
            written["data_wait_seconds"] = self._waited / max(step - last_step, 1)
            remaining = datetime.timedelta(seconds=round((self._total_steps - step) * seconds))
            parts += [f"{written['images_per_second']:.0f} images/s", f"ETA {remaining}"]
        written |= memory_in_use()
        self._last, self._waited = (step, now), 0.0
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, status=" | ".join(parts))
        line = " | ".join([f"step {step}/{self._total_steps}", *parts])
        self._log(line, show=self._bar is None)
        self.scalars(step, written)

    def scalars(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Writes numbers without showing them."""
        if self._writer is not None:
            self._writer.scalars(step, values)

    def images(self, step: int, images: Mapping[str, Any]) -> None:
        """Writes pictures to TensorBoard."""
        if self._writer is not None:
            self._writer.images(step, images)

    def flush(self) -> None:
        """Has the disk keep all reports so far."""
        if self._writer is not None:
            self._writer.flush()

    def note(self, text: str) -> None:
        """Shows a sentence and adds it to `train.log`."""
        self._log(text, show=True)

    def log(self, lines: Sequence[str]) -> None:
        """Adds lines to `train.log` without showing them."""
        for line in lines:
            self._log(line, show=False)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the block's time as time spent waiting for a batch."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._waited += time.perf_counter() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the block's time (a checkpoint, an evaluation) out of the images/s."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if self._last is not None:
                self._last = (self._last[0], self._last[1] + time.perf_counter() - began)

    def _log(self, line: str, *, show: bool) -> None:
        if show:
            console.say(line, console=self._console)
        if jax.process_index() == 0:
            with files.appending(self._workdir / "train.log") as file:
                file.write(line + "\n")
