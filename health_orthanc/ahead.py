# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one step ahead: a server can prepare its next answer while the
database stores the last one."""
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
    with ThreadPoolExecutor(1, 'read-ahead') as thread:
        try:
            yield _taken(thread, iter(iterable), pause, seconds)
        except BaseException:
            abort()
            raise


def _taken(thread, items, pause, seconds):
    coming = thread.submit(next, items, _END)
    while True:
        while not wait([coming], seconds).done:
            pause()
        item = coming.result()
        if item is _END:
            return
        coming = thread.submit(next, items, _END)
        yield item
