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
    "Raise OSError unless a file is regular, of this user, and has one name."
    _check_plain(status, path)
    if status.st_uid != os.geteuid():
        raise _refusal("it belongs to another user", path)
    if status.st_nlink > 1:
        raise _refusal("it has another name, too (hard link)", path)


def open_plain(path):
    """Open a regular file to read it, also behind a link, without waiting;
    return a file descriptor."""
    return _open(path, os.O_RDONLY, os.stat, _check_plain)


def open_own(path, flags=os.O_RDONLY, mode=0o600):
    """Open a file that only this user may have made, see `check_own`; return
    a file descriptor."""
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
    "Open an own file, empty or new, to write text; see `open_own`."
    descriptor = open_own(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(descriptor, 0)
    return open(descriptor, 'w', newline='', encoding='utf-8')


def read_all(path, largest, open_=open_plain):
    "Return the bytes of a file, which may not have more than the largest."
    with open(open_(path), 'rb') as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise _refusal(f"it has more than {largest} bytes", path)
    return data


def open_secret(path):
    """Open a file with a password, which others may not read; return a file
    descriptor."""
    return _open(path, os.O_RDONLY, os.stat, _check_secret)


def _check_secret(status, path):
    _check_plain(status, path)
    if status.st_uid != os.geteuid():
        raise _refusal("it belongs to another user: run this as that user, "
            "or keep the password in a file of your own", path)
    if status.st_mode & 0o077:
        raise _refusal("other users can read it (chmod 600 helps)", path)
