# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helper programs: the Python interpreter, and how many run at once."""
import fcntl
import os
import stat
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

PAUSE = 0.05


class Busy(Exception):
    """All slots stayed taken for the time of waiting."""


def python():
    """Return the path of the Python interpreter.

    Inside a web server that embeds Python, sys.executable is not it.
    """
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    for name in [version, 'python3']:
        path = Path(sys.prefix, 'bin', name)
        if os.access(path, os.X_OK):
            return str(path)
    return sys.executable


class Slots:
    """A number of places that programs of all processes share.

    A place is a locked file: it becomes free however its holder ends.

    :param str name: what the places are for
    :param int count: how many there are
    """

    def __init__(self, name, count):
        self._name = name
        self._count = max(count, 1)

    @contextmanager
    def hold(self, seconds):
        """Context manager that holds a place and yields its file.

        A program that inherits the file keeps the place.

        :param float seconds: how long to wait for a place
        :raises Busy: none became free
        """
        end = time.monotonic() + seconds
        while (file := self._take()) is None:
            if time.monotonic() >= end:
                raise Busy
            time.sleep(PAUSE)
        try:
            yield file
        finally:
            # Close only: a program that inherited the file keeps the lock.
            os.close(file)

    def _take(self):
        for number in range(self._count):
            file = os.open(_folder() / f'{self._name}-{number}',
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            except BaseException:
                os.close(file)
                raise
            else:
                return file


def _folder():
    """Return the folder of the locked files.

    Each user of the computer has one; this process gets its own when the name
    is taken by another user.
    """
    folder = Path(tempfile.gettempdir(), f'gnuhealth-imaging-{os.getuid()}')
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        status = folder.lstat()
        if (not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077
                or status.st_uid != os.getuid()):
            return _own_folder()
    return folder


@lru_cache(None)
def _own_folder():
    return Path(tempfile.mkdtemp(prefix='gnuhealth-imaging-'))
