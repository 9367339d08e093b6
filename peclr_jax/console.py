"""Standard output and error: they never end a program, and say nothing but what it says.

Names of files and labels come from strangers: none of them may steer a terminal, or make a line
that looks like one of ours.
"""

import io
import logging
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, TextIO

from peclr_jax.errors import printable

# Controls, marks that turn the direction of writing, and line ends of Unicode.
_STEERING = (*range(32), *range(127, 160), 0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F))
_STEERING += tuple(range(0x2066, 0x206A))
# Progress bars write over their own line.
_OURS = "\n\r\t"
_ESCAPE = "\x1b"


def say(*sentences: object, console: Any = None) -> None:
    """Prints sentences, each as one line; on a console of rich's, if one is given."""
    for line in map(printable, sentences):
        if console is None:
            # Not into the bar that rich may be drawing on standard error.
            print(line, file=getattr(sys.stdout, "rich_proxied_file", sys.stdout))
        else:
            console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def tell(sentence: object) -> None:
    """Prints a sentence as one line to standard error."""
    print(printable(sentence), file=sys.stderr)


_LONGEST_LINE = 200
# JAX's, of a full disk: one for every program that it compiles.
_OF_EACH_PROGRAM = "Error writing persistent compilation cache"
# Of Orbax and asyncio, which log the errors of a background thread, and raise one in the main one.
_RAISING = ("future.py", "async_checkpointer.py", "checkpoint_manager.py", "base_events.py")


def keep_writing() -> None:
    """Makes `sys.stdout` and `sys.stderr` take everything, whatever becomes of what is behind them.

    To be called before anything is opened or printed. What a closed pipe or a full disk does not
    take is lost. What the encoding cannot express is written with backslashes, and what steers a
    terminal as "?": all but line ends, and the colours of a terminal. Lines of logs are one line.
    """
    _fill_closed()
    make = logging.getLogRecordFactory()

    def make_line(*fields: Any, **more: Any) -> logging.LogRecord:
        record = make(*fields, **more)
        with suppress(Exception):  # wrong arguments, which `logging` tells of
            record.msg, record.args = printable(record.getMessage()), None
        return record

    logging.setLogRecordFactory(make_line)
    sys.stdout = _forgiving(sys.stdout, 1)
    sys.stderr = _forgiving(sys.stderr, 2)


def shorten_logs() -> None:
    """Makes single lines of what libraries log: warnings, and errors without their tracebacks.

    An error that ends the program is told at its end, in a sentence or with its traceback.
    """
    warnings.showwarning = _show_warning
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)  # Orbax and TFDS narrate every file they touch
    for logger in (absl_logging.get_absl_logger(), logging.getLogger("asyncio")):
        logger.addFilter(_shorten)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del line
    told = f"{filename}:{lineno}: {category.__name__}: {' '.join(str(message).split())}"
    print(told, file=file or sys.stderr)
    if _OF_EACH_PROGRAM in told:
        warnings.filterwarnings("ignore", _OF_EACH_PROGRAM)


def _shorten(record: logging.LogRecord) -> bool:
    if record.exc_info and record.filename in _RAISING:
        return False
    if record.exc_info:
        record.msg, record.args, record.exc_info = record.getMessage()[:_LONGEST_LINE], (), None
    return True


class _Forgiving(io.RawIOBase):
    """Writes to a file descriptor what it takes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, content: "bytes | memoryview") -> int:  # type: ignore[override]
        rest = memoryview(content)
        with suppress(OSError):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        return len(content)


class _Harmless(io.TextIOWrapper):
    """Writes text without what steers a terminal."""

    def write(self, text: str) -> int:
        if not hasattr(self, "_table"):
            colours = self.isatty() or bool(os.environ.get("FORCE_COLOR"))
            kept = _OURS + _ESCAPE * colours
            self._table = {code: "?" for code in _STEERING if chr(code) not in kept}
        return super().write(text.translate(self._table))


def _forgiving(stream: TextIO | None, descriptor: int) -> TextIO:
    return _Harmless(
        io.BufferedWriter(_Forgiving(descriptor)),  # type: ignore[type-var]
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _fill_closed() -> None:
    """Opens the standard descriptors that are closed.

    The first file to be opened would get their numbers, and with them whatever libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
