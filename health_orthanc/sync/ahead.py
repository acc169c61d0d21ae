# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one step ahead: a server can prepare its next answer while the
database stores the last one."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

_END = object()


@contextmanager
def ahead(iterable, pause, seconds, abort):
    """Give an iterator of the items of an iterable, which a thread takes one
    ahead of who asks for them. The thread has ended when the block ends.

    :param iterable: what the thread iterates over; it must not use the
        database, as transactions belong to one thread
    :param pause: function that is called when no item came for some time
    :param seconds: how long that time is
    :param abort: function that makes the iterable end soon, called when the
        block fails
    :raises: in the caller what iterating raises in the thread
    """
    thread = ThreadPoolExecutor(1, 'read-ahead')
    try:
        yield _taken(thread, iter(iterable), pause, seconds)
    except BaseException:
        abort()
        raise
    finally:
        thread.shutdown(cancel_futures=True)


def _taken(thread, items, pause, seconds):
    # One that is there, and one that is made.
    coming = deque(thread.submit(next, items, _END) for _ in range(2))
    while True:
        while not wait([coming[0]], seconds).done:
            pause()
        item = coming.popleft().result()
        if item is _END:
            return
        coming.append(thread.submit(next, items, _END))
        yield item
