# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes apart what a person uploads: a DICOM file, a ZIP of files, or several
files joined in one, without ever holding a whole file in memory."""
import io
import shutil
import struct
import tempfile
import zipfile
import zlib
from typing import NamedTuple

from . import structure

#: What the client puts before joined files; their lengths are before each.
JOINED = b'MULT'
_LENGTH_BYTES = 8

MAX_FILES = 20000
MAX_BYTES = 4 * 2 ** 30
#: How much larger a ZIP may become when unpacked; pictures of much black
#: become a hundredth.
MAX_RATIO = 200
#: A ZIP that does not become larger than this is no danger.
HARMLESS_BYTES = 64 * 2 ** 20
#: The longest directory of a ZIP, which is read at once.
MAX_DIRECTORY = 6 * 2 ** 20
#: A member of a ZIP that is larger is unpacked on the disk.
SPOOLED_BYTES = 2 ** 20
CHUNK = 2 ** 20
# More than needed to see what a file is.
_HEAD = 512

_ZIP = (b'PK\x03\x04', b'PK\x05\x06', b'PK\x07\x08')
_ARCHIVES = (*_ZIP, b'\x1f\x8b', b'BZh', b'\xfd7zXZ\0', b'7z\xbc\xaf\x27\x1c',
    b'Rar!\x1a\x07', b'(\xb5/\xfd')
_ENCRYPTED = 1
# The others need much memory.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class ContainerError(Exception):
    """What was uploaded cannot be taken apart, so nothing of it is used.

    :ivar reason: empty, damaged_zip, damaged_joined, too_many, too_large or
        bomb
    """

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class _WrongPosition(OSError):
    "A damaged file leads out of itself."


class Part(NamedTuple):
    """One of the files.

    :ivar name: for people only, it may be anything
    :ivar reason: why it cannot be used: empty, archive, not_dicom, path,
        encrypted, method, damaged or one of StructureError, or None
    :ivar file: binary, at its begin, closed when the next part is taken
    """
    name: str
    reason: str = None
    file: io.IOBase = None


def parts(file, name=''):
    """Yield the Parts of an upload, none of what is damaged or dangerous as a
    whole.

    :param file: binary file that can seek
    :param name: its name, for people
    :raises ContainerError: it is so
    """
    budget = _Budget()
    with _Window(file, 0, file.seek(0, io.SEEK_END)) as window:
        head = window.read_at(0, _HEAD)
        if not head:
            raise ContainerError('empty')
        files = [(name, window)]
        if head.startswith(JOINED) and not is_dicom(head):
            files = _split(window)
        for open_part in [_look_into(*one, budget) for one in files]:
            yield from open_part()


def _look_into(name, window, budget):
    "Return a function that yields the Parts of a file."
    if window.read_at(0, _HEAD).startswith(_ZIP):
        return _look_into_zip(window, budget)
    budget.take(1, window.size)
    return lambda: [_part(name, window)]


def _part(name, file):
    """Return the Part for a file at its begin."""
    head = file.read(_HEAD)
    file.seek(0)
    reason = None
    if not head:
        reason = 'empty'
    elif not is_dicom(head):
        if head.startswith(_ARCHIVES):
            reason = 'archive'
        elif not may_be_dicom(head):
            reason = 'not_dicom'
    if not reason:
        try:
            structure.check(file)
        except structure.StructureError as error:
            reason = error.reason
    file.seek(0)
    return Part(name, reason, None if reason else file)


def is_dicom(head):
    """Return whether a file with this head is in DICOM's format (PS3.10, 7.1)
    and does not begin as a ZIP, which servers unpack."""
    return head[128:132] == b'DICM' and not head.startswith(_ZIP)


def may_be_dicom(head):
    """Return whether a file may begin with a data set, as some old ones do:
    the first attribute is of group 0002 or 0008, in either byte order."""
    return head[:2] in {b'\x02\0', b'\x08\0', b'\0\x02', b'\0\x08'}


def _split(window):
    "Return names and windows of joined files."
    found, position = [], len(JOINED)
    while position < window.size:
        size = int.from_bytes(
            window.read_at(position, _LENGTH_BYTES), 'little')
        position += _LENGTH_BYTES
        if size > window.size - position:
            raise ContainerError('damaged_joined')
        if len(found) >= MAX_FILES:
            raise ContainerError('too_many')
        found.append((f'#{len(found) + 1}', window.part(position, size)))
        position += size
    if not found:
        raise ContainerError('empty')
    return found


def _look_into_zip(window, budget):
    "Return a function that yields the Parts of a ZIP, after a look at all."
    window.longest = MAX_DIRECTORY
    try:
        archive = zipfile.ZipFile(window)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError,
            struct.error):
        raise ContainerError('damaged_zip') from None
    window.longest = None
    members = [m for m in archive.infolist() if not m.is_dir()]
    if not members:
        raise ContainerError('empty')
    size = sum(member.file_size for member in members)
    if size > HARMLESS_BYTES and size > MAX_RATIO * window.size:
        raise ContainerError('bomb')
    budget.take(len(members), size)
    return lambda: _unpack(archive, members)


def _unpack(archive, members):
    for member in members:
        reason = _refused(member)
        if reason:
            yield Part(member.filename, reason)
            continue
        new_file = (io.BytesIO if member.file_size <= SPOOLED_BYTES
            else tempfile.TemporaryFile)
        with new_file() as copy:
            reason = _extract(archive, member, copy)
            if reason:
                yield Part(member.filename, reason)
            else:
                yield _part(member.filename, copy)


def _refused(member):
    """Return why a member of a ZIP is not unpacked, None when it may be."""
    path = member.filename.replace('\\', '/')
    if path.startswith('/') or '..' in path.split('/') or path[1:2] == ':':
        return 'path'
    if member.flag_bits & _ENCRYPTED:
        return 'encrypted'
    if member.compress_type not in _METHODS:
        return 'method'


def _extract(archive, member, copy):
    """Unpack a member into a file, return why it cannot be."""
    try:
        with archive.open(member) as source:
            shutil.copyfileobj(source, copy, CHUNK)
    except (_WrongPosition, zipfile.BadZipFile, zlib.error, EOFError,
            NotImplementedError, RuntimeError, ValueError, struct.error):
        return 'damaged'
    copy.seek(0)


class _Budget:
    "How many files and bytes an upload may still have."

    def __init__(self):
        self._files, self._bytes = MAX_FILES, MAX_BYTES

    def take(self, files, size):
        self._files -= files
        self._bytes -= size
        if self._files < 0:
            raise ContainerError('too_many')
        if self._bytes < 0:
            raise ContainerError('too_large')


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own that can be read and sought.

    :ivar longest: how much may be read at once, None: anything
    """

    def __init__(self, file, start, size):
        self._file = file
        self._start = start
        self._position = 0
        self.size = size
        self.longest = None

    def part(self, start, size):
        return type(self)(self._file, self._start + start, size)

    def read_at(self, position, size):
        self._file.seek(self._start + position)
        return self._file.read(max(min(size, self.size - position), 0))

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        base = {
            io.SEEK_SET: 0, io.SEEK_CUR: self._position,
            io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise _WrongPosition("A position before the begin.")
        self._position = base + offset
        return self._position

    def tell(self):
        return self._position

    def read(self, size=-1):
        size = self.size if size is None or size < 0 else size
        size = min(size, self.size - self._position)
        if self.longest and size > self.longest:
            raise ContainerError('too_many')
        data = self.read_at(self._position, size)
        self._position += len(data)
        return data
