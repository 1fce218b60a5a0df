"""Batches under way: their order, and that no more than they are held."""

import itertools
import threading
import tracemalloc

import pytest

from p2p_graph.inference.folder.translated_batches import called_in_parallel, in_order


def test_numbers_come_in_order():
    assert list(in_order([1, 0, 2, 4, 3], window=3)) == [0, 1, 2, 3, 4]


def test_numbers_that_never_come_hold_back_a_window_only():
    numbers = in_order(itertools.count(1), window=4)
    assert list(itertools.islice(numbers, 3)) == [1, 2, 3]


def test_calls_end_with_the_first_that_has_nothing():
    left = iter([[0], [1], [2]])
    lock = threading.Lock()

    def call():
        with lock:
            return next(left, None)

    assert sorted(itertools.chain(*called_in_parallel(call, 10, 2, 4))) == [0, 1, 2]


def test_an_error_ends_the_calls():
    calls = []

    def call():
        calls.append(1)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(called_in_parallel(call, 1000, 2, 4))
    assert len(calls) < 20


def test_a_million_images_take_the_memory_of_a_few():
    """What is held is measured, not the time; a list of results would take megabytes."""
    count = 20_000
    numbers, lock = itertools.count(), threading.Lock()

    def call():
        with lock:
            return [next(numbers)]

    def peak(calls):
        tracemalloc.start()
        found = in_order(itertools.chain.from_iterable(called_in_parallel(call, calls, 2, 4)), 4)
        assert sum(1 for _ in found) == calls
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few = peak(1000)
    assert peak(count) < few + 20_000
