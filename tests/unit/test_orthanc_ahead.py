# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading one step ahead in a thread: in order, bounded, and with nothing
left behind whatever fails."""
import threading
import time

import pytest

from trytond.modules.health_orthanc.sync.ahead import ahead


class Aborted(Exception):
    pass


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def nothing():
    pass


def forbidden():
    raise AssertionError("nobody failed")


def read(iterable, wait=nothing, seconds=5, abort=forbidden):
    with ahead(iterable, wait, seconds, abort) as items:
        return list(items)


@pytest.mark.parametrize('items', [[], [1], list(range(1000)), [None] * 3])
def test_all_items_come_in_order(items):
    assert read(iter(items)) == items


def test_it_reads_ahead_but_not_far():
    read_so_far, far = [], []

    def numbers():
        for number in range(8):
            read_so_far.append(number)
            yield number
    with ahead(numbers(), nothing, 5, forbidden) as items:
        for number in items:
            time.sleep(0.02)
            far.append(len(read_so_far) - number - 1)
    assert 1 <= max(far) <= 3


def test_failure_of_the_thread_comes_after_the_items_before():
    def numbers():
        yield 1
        yield 2
        raise ValueError('three')
    found = []
    with pytest.raises(ValueError, match='three'):
        with ahead(numbers(), nothing, 5, nothing) as items:
            found.extend(items)
    assert found == [1, 2]


def test_caller_waits_with_a_function():
    calls = []

    def slow():
        while len(calls) < 3:
            time.sleep(0.01)
        yield 1
    assert read(slow(), lambda: calls.append(1), 0.01) == [1]


@pytest.mark.parametrize('when', ['waiting', 'holding an item', 'full'])
def test_failure_of_the_caller_ends_the_thread(when):
    aborted, waiting = threading.Event(), threading.Event()

    def numbers():
        yield 1
        if when == 'waiting':
            waiting.set()
            assert aborted.wait(10)
            raise Aborted
        for number in range(2 if when == 'holding an item' else 50):
            yield number
    start = time.monotonic()
    with pytest.raises(KeyError):
        with ahead(numbers(), nothing, 5, aborted.set) as items:
            next(items)
            if when == 'waiting':
                waiting.wait()
            raise KeyError
    assert aborted.is_set()
    assert time.monotonic() - start < 5


def test_failure_of_the_waiting_function_ends_the_thread():
    aborted = threading.Event()

    def hanging():
        aborted.wait(10)
        yield 1

    def wait():
        raise KeyError
    with pytest.raises(KeyError):
        read(hanging(), wait, 0.01, aborted.set)
    assert aborted.is_set()


def test_caller_may_leave_early():
    with ahead(iter(range(100)), nothing, 5, forbidden) as items:
        assert next(items) == 0
