# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open files that may be something else: a named pipe must not stop a script,
a link must not lead it elsewhere, and nobody may read its passwords.

Errors are OSError with a reason in plain words, as no code of the operating
system says these things.
"""
import errno
import os
import stat

LARGEST_PASSWORD_FILE = 4096

_KINDS = [
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    ]


def refusal(reason, path):
    "Return an OSError with a reason in plain words, str."
    return OSError(errno.EINVAL, reason, str(path))


def check_plain(status, path):
    """Raise OSError unless a file is a regular one.

    :param status: os.stat_result
    """
    for is_kind, words in _KINDS:
        if is_kind(status.st_mode):
            raise refusal(f"it is {words}, not a file", path)


def check_own(status, path):
    "Raise OSError unless a file is regular, of this user, and has one name."
    check_plain(status, path)
    if status.st_uid != os.geteuid():
        raise refusal("it belongs to another user", path)
    if status.st_nlink > 1:
        raise refusal("it has another name, too (hard link)", path)


def open_plain(path, flags=os.O_RDONLY):
    """Open a regular file, also behind a link, without waiting for anybody.

    :return: a file descriptor, int
    :raises OSError: it is something else, or cannot be opened
    """
    return _open(path, flags, os.stat, check_plain)


def open_own(path, flags=os.O_RDONLY, mode=0o600):
    """Open a file that only this user may have made; see `check_own`.

    :return: a file descriptor, int
    :raises OSError: it is something else, or cannot be opened
    """
    return _open(path, flags | os.O_NOFOLLOW, os.lstat, check_own, mode)


def _open(path, flags, status_of, check, mode=0o600):
    try:
        # Before it is opened, because opening a device may do something.
        check(status_of(path), path)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    descriptor = os.open(
        path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode)
    try:
        check(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_all(descriptor, path, largest):
    """Read and close a file.

    :param largest: the most bytes it may have, int
    :return: bytes
    :raises OSError: it is larger, or cannot be read
    """
    with open(descriptor, 'rb') as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise refusal(f"it has more than {largest} bytes", path)
    return data


def read_secret(path):
    """Read a file with a password, which nobody else may read.

    :return: bytes
    :raises OSError: it is readable for others, too large, or no file
    """
    descriptor = open_plain(path)
    status = os.fstat(descriptor)
    problem = None
    if status.st_uid != os.geteuid():
        problem = ("it belongs to another user: run this as that user, or "
            "keep the password in a file of your own")
    elif status.st_mode & 0o077:
        problem = "other users can read it (chmod 600 helps)"
    if problem:
        os.close(descriptor)
        raise refusal(problem, path)
    return read_all(descriptor, path, LARGEST_PASSWORD_FILE)
