# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one step ahead: a server can prepare its next answer while the
database stores the last one."""
import queue
import threading
from contextlib import contextmanager

_END = object()


class _Failure:

    def __init__(self, error):
        self.error = error


@contextmanager
def ahead(iterable, wait, seconds, abort):
    """Give an iterator of the items of an iterable, which a thread takes one
    ahead of who asks for them. The thread has ended when the block ends.

    :param iterable: what the thread iterates over; it must not use the
        database, as transactions belong to one thread
    :param wait: function that is called when no item came for some time
    :param seconds: how long that time is
    :param abort: function that makes the iterable end soon, called when the
        block fails
    :raises: in the caller what iterating raises in the thread
    """
    items, stop = queue.Queue(1), threading.Event()

    def work():
        try:
            for item in iterable:
                items.put(item)
                if stop.is_set():
                    return
            items.put(_END)
        except BaseException as error:
            items.put(_Failure(error))

    thread = threading.Thread(target=work, name='read-ahead', daemon=True)
    thread.start()
    try:
        yield _taken(items, wait, seconds)
    except BaseException:
        abort()
        raise
    finally:
        stop.set()
        while thread.is_alive():
            _empty(items)
            thread.join(0.05)


def _taken(items, wait, seconds):
    while True:
        try:
            item = items.get(timeout=seconds)
        except queue.Empty:
            wait()
            continue
        if item is _END:
            return
        if isinstance(item, _Failure):
            raise item.error
        yield item


def _empty(items):
    try:
        items.get_nowait()
    except queue.Empty:
        return
