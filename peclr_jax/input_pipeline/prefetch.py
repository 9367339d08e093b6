"""Prepares the next batches in the background while the device computes."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often a thread whose queue is full checks whether it is still wanted.
_POLL_SECONDS = 0.1


def prefetch(
    items: Iterator[Item], transform: Callable[[Item], Result], size: int = 2
) -> Iterator[Result]:
    """Yields `transform(item)` for each item, in order, computed ahead of time in a thread.

    What `items` or `transform` raises is raised after the results before it. Closing or dropping
    the generator ends the thread, and closes `items` if it is a generator.

    Args:
      items: What to transform; used by the thread alone.
      transform: Called in the thread.
      size: How many results may wait.
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=size)
    stopped = threading.Event()
    exhausted = StopIteration()

    def offer(result: Any, error: BaseException | None = None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put((result, error), timeout=_POLL_SECONDS)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer(transform(item)):
                    break
            offer(None, exhausted)
        except BaseException as error:
            offer(None, error)
        finally:
            if hasattr(items, "close"):
                items.close()

    # A daemon, so that an interpreter which exits with the generator unfinished does not hang.
    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            result, error = ready.get()
            if error is exhausted:
                return
            if error is not None:
                raise error
            yield result
    finally:
        stopped.set()
        thread.join()
