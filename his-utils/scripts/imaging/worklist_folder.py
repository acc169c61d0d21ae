# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of worklist files that Orthanc's worklist plugin reads."""
import contextlib
import fcntl
import json
import os
import re
import stat
import tempfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from command_line import FolderFailure
from files import check_own, open_own, open_plain, read_all
from worklist_entries import (
    PREAMBLE, EntryFailure, hash_of, prefix, safe, verify)

LOCK = '.gnuhealth-worklist.lock'
TEMPORARY = ('.gnuhealth-worklist-', '.tmp')
LARGEST_FILE = 16 * 1024 * 1024
LARGEST_NOTES = 64 * 1024 * 1024
# Files that wait for the disk together, and how many threads wait.
PENDING_FILES = 64
SYNC_THREADS = 16

Mark = namedtuple('Mark', ['id', 'source', 'intact'])
Mark.__doc__ = """What the first bytes of a file of this script tell.

id of the request, int; source is the begin of its source_hash; intact is
false when the rest of the file is damaged.
"""


class Stamp:
    """Writes and reads the mark of files of a database.

    It fills the preamble of the file, which PS3.10 section 7.1 leaves to
    applications, so the DICOM data stays as it is.
    """
    magic = b'GNU Health worklist 1\n'

    def __init__(self, database):
        self._owner = hash_of(database)[:16]

    def put(self, data, id_, source):
        "Return a DICOM file with the mark."
        rest = data[PREAMBLE:]
        mark = self.magic + (
            f'{self._owner} {id_}\n{source[:16]}\n{hash_of(rest)[:32]}\n'
            ).encode()
        return mark.ljust(PREAMBLE, b'\0') + rest

    def read(self, data):
        "Return the Mark of a file, None if it has none of this database."
        head = data[:PREAMBLE].rstrip(b'\0')
        if not head.startswith(self.magic):
            return
        try:
            owner, id_, source, check = head.decode('ascii').split()[4:]
            id_ = int(id_)
        except ValueError:
            return
        if owner == self._owner:
            return Mark(id_, source, check == hash_of(data[PREAMBLE:])[:32])


class Folder:
    """The folder that Orthanc's worklist plugin reads.

    :param database: whose entries are published
    :param dry_run: whether nothing is changed
    """
    where = "the folder"

    def __init__(self, path, database, dry_run=False):
        self.path = Path(path)
        self.dry_run = dry_run
        self._stamp = Stamp(database)
        self._prefix = prefix(database)
        self._record = self.path / f'.gnuhealth-worklist-{safe(database)}.json'
        # Notes on what is published, by id of the request, and those that are
        # in the record: name, begin of the digest, begin of the source.
        self._published = {}
        self._saved = None
        # Files that are written but not published yet: temporary path, id of
        # the request and note, by name.
        self._pending = {}
        self._lock = self._identity = self._threads = None
        # Whether the folder itself must be synced.
        self._dirty = False

    def open(self):
        """Make sure that the folder can be used, and by this process alone;
        raise FolderFailure."""
        try:
            with self._failures():
                status = os.stat(self.path)
                os.listdir(self.path)
                if not self.dry_run:
                    self._take()
                    self._sweep()
                    # Whether files can be written.
                    os.unlink(self._write(b'.'))
                self._identity = status.st_dev, status.st_ino
                self._threads = ThreadPoolExecutor(SYNC_THREADS)
                self._load()
        except BaseException:
            self.close()
            raise

    def close(self):
        "Let others use the folder."
        if self._threads is not None:
            self._threads.shutdown()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._identity = self._threads = None

    def refresh(self):
        "Return what is there, Marks by name; raise FolderFailure."
        with self._failures():
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) != self._identity:
                self.close()
                self.open()
            names = [name[:-3] for name in os.listdir(self.path)
                if name.startswith(self._prefix) and name.endswith('.wl')]
        marks = {name: self._mark(name) for name in sorted(names)}
        return {name: mark for name, mark in marks.items() if mark}

    def look(self, name):
        """Return the Mark of an entry, None if it is not there; raise
        EntryFailure when the file is not of this script."""
        if name in self._pending:
            self._settle()
        mark, file = self._mark(name), self._file(name)
        if mark is None and os.path.lexists(file):
            reason = ("it was not made by this script, or changed later"
                if os.access(file, os.R_OK) else "it cannot be read")
            raise EntryFailure(f"the file {name}.wl is in the way: {reason}.")
        return mark

    def known(self):
        """Return name and begin of the source of what is published as it was
        noted, or was removed by others, by id of the request; raise
        FolderFailure."""
        there, found = self.refresh(), {}
        for id_, (name, _, source) in self._published.items():
            mark = there.get(name)
            if (mark.intact and [str(mark.id), mark.source] == [id_, source]
                    if mark else not os.path.lexists(self._file(name))):
                found[int(id_)] = name, source
        return found

    def vanished(self, name, entry, source):
        "Whether an entry that is not there was published as it is now."
        id_, (_, digest, source) = self._note(name, entry, source)
        known = self._published.get(id_)
        return bool(known) and known[0] == name and (
            known[2] == source or bool(entry.digest) and known[1] == digest)

    def put(self, name, entry, source, data):
        """Publish a DICOM file, with the next ones or at `flush`; return
        whether anything was changed.

        :raises EntryFailure: it is not what it should be
        :raises FolderFailure: it cannot be written
        """
        data = self._stamp.put(data, entry.id, source)
        verify(data, entry)
        if self.dry_run:
            self.remember(name, entry, source)
            return True
        with self._failures():
            temporary = self._write(data, sync=False)
        self._pending[name] = temporary, *self._note(name, entry, source)
        if len(self._pending) >= PENDING_FILES:
            self._settle()
        return True

    def _settle(self):
        """Publish what is written, complete and on the disk; many files
        together, as waiting for the disk takes most of the time."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        paths = [temporary for temporary, *_ in pending.values()]
        try:
            with self._failures():
                list(self._threads.map(_sync_file, paths))
                for name in list(pending):
                    temporary, id_, note = pending[name]
                    os.replace(temporary, self._file(name))
                    self._dirty = True
                    del pending[name]
                    self._published[id_] = note
        finally:
            for temporary, *_ in pending.values():
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    @staticmethod
    def _note(name, entry, source):
        return str(entry.id), [name, hash_of(entry.digest)[:16], source[:16]]

    def remember(self, name, entry, source):
        "Note that an entry is published."
        self._published.update([self._note(name, entry, source)])

    def forget(self, ids):
        "Drop the notes on requests that are no longer published."
        for id_ in ids:
            self._published.pop(str(id_), None)

    def keep_only(self, ids):
        "Drop the notes on all other requests."
        self.forget(set(self._published) - {str(id_) for id_ in ids})

    def remove(self, name):
        "Remove an entry, if it is there; raise FolderFailure."
        # What takes its place must be there before.
        self._settle()
        if self._mark(name) and not self.dry_run:
            with self._failures(), contextlib.suppress(FileNotFoundError):
                if set(self._saved) - set(self._published):
                    # With its note left behind, a file that is asked for
                    # again would seem to have been removed by others.
                    self._save()
                os.unlink(self._file(name))
                self._dirty = True

    def flush(self):
        "Make what was done last; raise FolderFailure."
        if self.dry_run:
            return
        self._settle()
        with self._failures():
            self._sync()
            if self._published != self._saved:
                self._save()

    def _save(self):
        "Keep the notes on what is published."
        text = json.dumps(self._published, indent=0, sort_keys=True)
        os.replace(self._write(text.encode()), self._record)
        self._dirty = True
        self._sync()
        self._saved = dict(self._published)

    def older(self):
        "Return how many files seem to be of older versions of this script."
        with self._failures():
            return sum(bool(re.fullmatch('[0-9a-f]{32}[.]wl', name))
                for name in os.listdir(self.path))

    def _file(self, name):
        return f'{self.path}{os.sep}{name}.wl'

    def _mark(self, name):
        "Return the Mark of a file, None when it is not of this script."
        with contextlib.suppress(OSError):
            descriptor = os.open(
                self._file(name),
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, 'rb') as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return self._stamp.read(file.read(LARGEST_FILE))

    def _write(self, data, sync=True):
        "Write data to a temporary file that Orthanc ignores, return its path."
        begin, end = TEMPORARY
        descriptor, path = tempfile.mkstemp(end, begin, self.path)
        try:
            with open(descriptor, 'wb') as file:
                file.write(data)
                file.flush()
                # Orthanc reads it as one of the group of the folder.
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, -1, os.stat(self.path).st_gid)
                os.fchmod(descriptor, 0o640)
                if sync:
                    os.fsync(descriptor)
        except BaseException:
            os.unlink(path)
            raise
        return path

    def _sync(self):
        if self._dirty:
            _sync_file(self.path)
        self._dirty = False

    def _take(self):
        "Lock the folder for this process."
        self._lock = open_own(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(self._lock, 20).decode('ascii', 'replace')
            raise FolderFailure(
                f"Another instance of this script (process {other.strip()}) "
                f"already works on the folder \"{self.path}\".")
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f'{os.getpid()}\n'.encode(), 0)

    def _sweep(self):
        "Remove what an instance that was killed left half written."
        begin, end = TEMPORARY
        for name in os.listdir(self.path):
            if name.startswith(begin) and name.endswith(end):
                check_own(os.lstat(self.path / name), self.path / name)
                os.unlink(self.path / name)

    def _load(self):
        "Read the notes on what is published; damaged ones are as none."
        self._published = {}
        with contextlib.suppress(
                FileNotFoundError, ValueError, TypeError, AttributeError,
                RecursionError):
            # Whoever only looks may be somebody else.
            notes = json.loads(read_all(
                    self._record, LARGEST_NOTES,
                    open_plain if self.dry_run else open_own))
            self._published = {
                str(int(id_)): [name, digest, source]
                for id_, (name, digest, source) in notes.items()}
        self._saved = dict(self._published)

    @contextlib.contextmanager
    def _failures(self):
        "Raise FolderFailure for an error of the operating system."
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            file = error.filename2 or error.filename
            if file and str(file).startswith(f'{self.path}{os.sep}'):
                reason = f"{os.path.basename(file)}: {reason}"
            raise FolderFailure(f"The folder \"{self.path}\" cannot be used: "
                f"{reason}.", temporary=True) from error


def _sync_file(path):
    "Return when a file or folder is on the disk."
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
