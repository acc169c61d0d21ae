# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run beside the server: which Python starts them, and how many
of them run at once on this computer, whichever process starts them."""
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
    """All slots were taken for as long as one was waited for."""


def python():
    """Return the path of this Python, also inside a web server that has it
    built in."""
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    for name in [version, 'python3']:
        path = Path(sys.prefix, 'bin', name)
        if os.access(path, os.X_OK):
            return str(path)
    return sys.executable


class Slots:
    """A number of places, each of which one program holds at a time.

    A place is a locked file, so it is free again however its holder ends.

    :param str name: what the places are for
    :param int count: how many there are
    """

    def __init__(self, name, count):
        self._name = name
        self._count = max(count, 1)

    @contextmanager
    def hold(self, seconds):
        """Hold a place in a with statement, which gives its file: a program
        that inherits it holds the place for itself.

        :param seconds: how long to wait for one
        :raises Busy: there was none
        """
        end = time.monotonic() + seconds
        file = self._take()
        while file is None:
            if time.monotonic() >= end:
                raise Busy
            time.sleep(PAUSE)
            file = self._take()
        try:
            yield file
        finally:
            # Not unlocked: who inherited it still holds it.
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
    """Return the folder of the locked files, one for each user of the
    computer; one of this process alone when somebody is in the way."""
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
