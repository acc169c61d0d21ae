# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP connections that stay open for who asks the same server again soon."""
import os
import select
import threading
import time

#: For how many seconds a connection waits for somebody: an old Orthanc keeps
#: a thread for it.
IDLE = 15
#: How many seconds after its first use it is made anew, even where somebody
#: always asks.
AGE = 300
#: How many wait, for one server and for all of them.
MOST, MOST_OF_ALL = 4, 32


def lives(connection):
    """Return whether an open connection has nothing to say, not even that it
    ended.

    :param connection: http.client.HTTPConnection
    """
    if not connection.sock:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


class Connections:
    """Open connections that nobody uses, for all threads of a process.

    A key says to whom a connection speaks, and as whom; its first part is the
    address of the server.  Where one is asked for with another key for the
    same address, such as another password, those with the old one are closed.
    """

    def __init__(self):
        self._forget()
        # Two processes must not speak over one connection.
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self):
        self._lock = threading.Lock()
        # Until when it waits, key and connection; the next to end comes first
        self._idle = []
        self._timer = None

    def take(self, key):
        """Return a connection that its server did not close, or None.

        :param key: tuple
        """
        with self._lock:
            self._drop(lambda other: other[0] == key[0] and other != key)
            for item in reversed([i for i in self._idle if i[1] == key]):
                if lives(item[2]):
                    self._idle.remove(item)
                    return item[2]
                self._close(item)

    def give(self, key, connection):
        """Keep a connection on which no answer is waited for, or close it.

        :param key: tuple
        :param connection: http.client.HTTPConnection
        """
        now = time.monotonic()
        if now > vars(connection).setdefault('until', now + AGE):
            connection.close()
            return
        with self._lock:
            self._idle.append((now + IDLE, key, connection))
            same = [i for i in self._idle if i[1][0] == key[0]]
            for item in same[:-MOST] or self._idle[:-MOST_OF_ALL]:
                self._close(item)
            self._wait()

    def close(self, url=None):
        """Close what waits, for one address or for all."""
        with self._lock:
            self._drop(lambda key: url in {None, key[0]})

    def _drop(self, is_odd):
        for item in [i for i in self._idle if is_odd(i[1])]:
            self._close(item)

    def _close(self, item):
        self._idle.remove(item)
        item[2].close()

    def _wait(self):
        "Have a thread close those that waited long enough."
        if self._idle and not self._timer:
            self._timer = threading.Timer(
                max(self._idle[0][0] - time.monotonic(), 0), self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self):
        with self._lock:
            self._timer = None
            while self._idle and self._idle[0][0] <= time.monotonic():
                self._close(self._idle[0])
            self._wait()
