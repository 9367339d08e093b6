"""Work in the background: in order, bounded, loud about errors, and gone when closed."""

import itertools
import threading

import pytest

from peclr_jax.input_pipeline.prefetch import prefetch


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_results_come_in_order():
    assert list(prefetch(iter(range(50)), lambda x: x * x)) == [x * x for x in range(50)]
    assert not workers()


def test_only_so_many_results_wait():
    made = []
    results = prefetch(itertools.count(), lambda x: made.append(x) or x, size=2)
    for expected in range(5):
        assert next(results) == expected
        # Two in the queue, one that waits to enter it.
        assert len(made) <= expected + 1 + 3
    results.close()
    assert not workers()


def failing():
    yield 1
    raise OSError("disk on fire")


def test_errors_of_the_items_arrive_after_the_results_before_them():
    results = prefetch(failing(), lambda x: x)
    assert next(results) == 1
    with pytest.raises(OSError, match="disk on fire"):
        next(results)
    assert not workers()


def test_errors_of_the_transform_arrive():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(iter([1, 0]), lambda x: 1 / x))


def test_closing_closes_what_is_read():
    closed = threading.Event()

    def items():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    results = prefetch(items(), lambda x: x)
    next(results)
    results.close()
    assert closed.is_set()
    assert not workers()


def test_dropping_the_iterator_ends_the_thread():
    results = prefetch(itertools.count(), lambda x: x)
    next(results)
    del results
    assert not workers()
