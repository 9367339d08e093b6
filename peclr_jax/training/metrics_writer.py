"""Scalars and images to `workdir`: TensorBoard events, and scalars as JSON lines."""

import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import UInt8

TENSORBOARD = "tensorboard"
# Flushing waits for the disk, which may be far away.
_FLUSH_SECONDS = 30.0


class MetricsWriter:
    """Writes metrics of a run that may have been interrupted.

    What an earlier process wrote about steps after `start_step`, which are about to be taken again,
    is dropped from `metrics.jsonl` and hidden from TensorBoard.
    """

    def __init__(self, workdir: str | pathlib.Path, start_step: int = 0) -> None:
        """Opens `workdir/metrics.jsonl` and `workdir/tensorboard`.

        Args:
          workdir: The run's directory; created if missing.
          start_step: Steps already taken.
        """
        root = pathlib.Path(workdir)
        root.mkdir(parents=True, exist_ok=True)
        path = root / "metrics.jsonl"
        kept = [record for record in _read(path) if record["step"] <= start_step]
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(record) + "\n" for record in kept))
        os.replace(partial, path)  # killed in between, the run keeps its records
        self._lines = path.open("a", buffering=1)
        # Here, so that a training step can be made and timed without it.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._event, self._summary = event_pb2.Event, summary
        (root / TENSORBOARD).mkdir(exist_ok=True)
        # Not SummaryWriter, whose thread dies of a full disk and leaves the run waiting for it.
        self._events = event_file_writer.EventsWriter(str(root / TENSORBOARD / "events"))
        self._flushed = time.monotonic()
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(start_step + 1, session_log=log)

    def scalars(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Writes one record of numbers about a step."""
        numbers = {name: float(value) for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **numbers}) + "\n")
        for name, value in numbers.items():
            self._write(step, summary=self._summary.scalar(name, value))

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> None:
        """Writes pictures about a step to TensorBoard."""
        for name, image in images.items():
            self._write(step, summary=self._summary.image(name, image, dataformats="HWC"))
        self._events.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        self._lines.close()
        self._events.close()

    def _write(self, step: int, **content: Any) -> None:
        self._events.write_event(self._event(step=step, wall_time=time.time(), **content))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._events.flush()
            self._flushed = time.monotonic()


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    # The last line is incomplete where the process was killed while writing it.
    return [json.loads(line) for line in lines if line.endswith("\n")]
