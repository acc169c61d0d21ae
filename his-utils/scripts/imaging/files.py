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

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    }


def _refusal(reason, path):
    return OSError(errno.EINVAL, reason, str(path))


def _check_plain(status, path):
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise _refusal(f"it is {kind}, not a file", path)


def check_own(status, path):
    """Raise OSError unless a file is regular, of this user, and has one name.

    :param status: os.stat_result
    """
    _check_plain(status, path)
    if status.st_uid != os.geteuid():
        raise _refusal("it belongs to another user", path)
    if status.st_nlink > 1:
        raise _refusal("it has another name, too (hard link)", path)


def open_plain(path):
    """Open a regular file to read it, also behind a link, without waiting.

    :return: a file descriptor, int
    :raises OSError: it is something else, or cannot be opened
    """
    return _open(path, os.O_RDONLY, os.stat, _check_plain)


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


def rewrite_own(path):
    """Open an own file, empty or new, to write text; see `open_own`.

    :raises OSError: it is something else, or cannot be opened
    """
    descriptor = open_own(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(descriptor, 0)
    return open(descriptor, 'w', newline='', encoding='utf-8')


def read_all(path, largest, open_=open_plain):
    """Return the bytes of a file.

    :param largest: the most that it may have, int
    :raises OSError: it is larger, or cannot be read
    """
    with open(open_(path), 'rb') as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise _refusal(f"it has more than {largest} bytes", path)
    return data


def read_secret(path):
    """Return the bytes of a file with a password.

    :raises OSError: it is readable for others, too large, or no file
    """
    return read_all(path, LARGEST_PASSWORD_FILE, _open_secret)


def _open_secret(path):
    return _open(path, os.O_RDONLY, os.stat, _check_secret)


def _check_secret(status, path):
    _check_plain(status, path)
    if status.st_uid != os.geteuid():
        raise _refusal("it belongs to another user: run this as that user, "
            "or keep the password in a file of your own", path)
    if status.st_mode & 0o077:
        raise _refusal(
            "other users can read it (chmod 600 helps)", path)
