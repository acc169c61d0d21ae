#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish the requested exams of GNU Health as worklist entries of an Orthanc
server, so that modalities find their patients.  Run it with -h for a manual.
"""
import contextlib
import errno
import fcntl
import hashlib
import io
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import urllib.parse
import warnings
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import worklist_query
from connection import (
    CONNECTION_HELP, DONE, EXIT_STATUSES, FOLDER, SOME_FAILED, Failure,
    Orthanc, Rejected, Trytond, Unreachable, UsageFailure, clean_url,
    make_parser, positive, read_password_file, read_server, repeat, run,
    tls_context)
from worklist_query import QueryFailed, QueryRefused

MODEL = 'gnuhealth.imaging.test.request'
MODULE = 'health_imaging_worklist'
FULL_EVERY = 300
DUMP2DCM_SECONDS = 20
ASK_SECONDS = 10
PENDING_FILES = 64
SYNC_THREADS = 16
SHOWN = 5
PREFIX = 'gnuhealth-'
LOCK = '.gnuhealth-worklist.lock'
TEMPORARY = ('.gnuhealth-worklist-', '.tmp')
PREAMBLE = 128
LARGEST_FILE = 16 * 1024 * 1024

DESCRIPTION = """\
Publish the requested exams of GNU Health as DICOM worklist entries.

This runs on the computer of an Orthanc server, whose worklist plugin reads
the files of one folder.  For each requested exam there is one file,
gnuhealth-DATABASE-NUMBER.wl.  It is written when the exam is requested, again
when the patient or the request changes, and removed when the exam is done or
canceled.  Files that this script did not make are never touched."""

EPILOG = f"""\
files:
  A file appears complete or not at all, and is read back and compared with
  the request before.  A mark in its first 128 bytes, which DICOM leaves free,
  tells that it was made by this script, for which database and from what.
  Orthanc 1.12.10 and later removes a file itself once its images are there
  (DeleteWorklistsOnStableStudy).  Therefore a file that vanished is not
  written again, unless its request changes, or with -r.  What was published
  is noted in .gnuhealth-worklist-DATABASE.json beside the files.
  An entry that can no longer be made correctly is removed and reported.

{CONNECTION_HELP}  ORTHANC_USER, ORTHANC_PASSWORD and ORTHANC_PASSWORD_FILE are
  the same for Orthanc.

{EXIT_STATUSES.format(
    usage='',
    folder=''': it is missing, full, not writable, or
     another instance of this script works on it''')}
examples:
  Once, for the database "health" on this computer:
    %(prog)s -d health -u worklist --password-file ~/.health
  As a service, looking for changes every second, over https:
    %(prog)s --url https://his.example.org -d health -u worklist \\
      --password-file /etc/gnuhealth/worklist -s 1
  The two CT scanners only, in another folder:
    %(prog)s -d health --aet CT1 --aet CT2 -w /srv/worklists/ct
  Why does the modality see nothing, or broken names?
    %(prog)s -d health --check --orthanc-url http://localhost:8042
"""


class FolderFailure(Failure):
    "The worklist folder cannot be used."
    status = FOLDER


class EntryFailure(Exception):
    "One entry cannot be published; the others can."


def make_options():
    "Return the parser of the command line."
    parser = make_parser(DESCRIPTION, EPILOG)
    add = parser.add_argument
    add('-w', '--worklists-db', metavar='FOLDER',
        default='/var/lib/orthanc/worklists',
        help="folder of the worklist files (default: %(default)s)")
    add('-r', '--regenerate', action='store_true',
        help="write all entries again, also those that vanished")
    add('-m', '--handle-done-state', action='store_true',
        help="also publish requests that are done but have no images yet")
    add('-s', '--seconds', type=positive,
        help="do not end: look for changes every so many seconds")
    add('--full-every', type=positive, default=FULL_EVERY,
        metavar='SECONDS', help="compare everything every so many seconds, "
        "with -s (default: %(default)s)")
    add('--aet', action='append', default=[], metavar='TITLE',
        help="only entries for this AE title; may be repeated")
    add('--modality', action='append', default=[], metavar='CODE',
        help="only entries of this modality, such as CT; may be repeated")
    add('--dry-run', action='store_true',
        help="change nothing, only tell what would be done")
    add('--with-dump2dcm', action='store_true',
        help="make the files of dump2dcm templates with dcmtk's dump2dcm, "
        "not from the data set that GNU Health sends")
    _add_orthanc_options(parser.add_argument_group("Orthanc"))
    return parser


def _add_orthanc_options(group):
    add = group.add_argument
    add('--orthanc-url', metavar='URL', help="send the entries to the REST "
        "API of Orthanc 1.12.10 or later, write no files")
    add('--orthanc-user', metavar='USER', help="login in Orthanc")
    add('--orthanc-password-file', metavar='FILE',
        help="file whose first line is its password")
    add('--check', action='store_true', help="publish nothing, but ask "
        "Orthanc (--orthanc-url, default: http://localhost:8042) what a "
        "modality would see, and explain what is wrong")
    add('--dicom-port', type=int, metavar='PORT', help="where --check asks "
        "as modalities do (default: what Orthanc tells)")


# Entries

class Entry(namedtuple('Entry', [
                'id', 'number', 'digest', 'filename', 'study_instance_uid',
                'aetitle', 'modality', 'charset', 'template_type', 'text',
                'dicom', 'error'])):
    """A request line as GNU Health sends it.

    id is an int, dicom bytes (a DICOM file) or None, all others are str.
    """

    @classmethod
    def read(cls, values):
        "Return the Entry of a dictionary; raise EntryFailure."
        try:
            values = {name: values.get(name) for name in cls._fields}
        except AttributeError:
            values = {}
        if type(values.get('id')) is not int or values['id'] < 1:
            raise EntryFailure("GNU Health sent an entry without a request.")
        dicom = values.pop('dicom')
        dicom = getattr(dicom, 'data', dicom)
        if not isinstance(dicom, (bytes, bytearray)):
            dicom = b''
        id_ = values.pop('id')
        texts = {
            name: str(value) if value else ''
            for name, value in values.items()}
        return cls(id=id_, dicom=bytes(dicom) or None, **texts)

    @property
    def label(self):
        "How a person knows it, str."
        return self.number or f"request {self.id}"

    def name(self, database):
        "Return the name of its entry, str of letters that a URL may hold."
        stem = self.filename or self.number or f'id{self.id}'
        return f'{prefix(database)}{safe(stem, "-")}'


def prefix(database):
    "Return how the names of a database's entries begin."
    return f'{PREFIX}{safe(database)}-'


def safe(text, also=''):
    """Return text with letters, digits, dots and underscores only.

    Different texts stay different: what is replaced or cut is followed by a
    hash.

    :param also: further characters that may stay
    """
    clean = re.sub(f'[^A-Za-z0-9._{re.escape(also)}]', '_', text)[:80]
    return clean if clean == text else f'{clean}.{_hash(text)[:8]}'


def _hash(data):
    if isinstance(data, str):
        data = data.encode('utf-8', 'surrogatepass')
    return hashlib.sha256(data).hexdigest()


def dicom_file(entry, with_dump2dcm, signals):
    """Return the DICOM file of an entry, bytes.

    :raises EntryFailure: there is none
    """
    if with_dump2dcm and entry.template_type == 'dump2dcm':
        return dump2dcm(entry, signals)
    if not entry.dicom:
        raise EntryFailure("there is no data set in what GNU Health sent.")
    if entry.dicom[PREAMBLE:PREAMBLE + 4] != b'DICM':
        raise EntryFailure("what GNU Health sent for it is no DICOM file.")
    return entry.dicom


def source_hash(entry, with_dump2dcm):
    "Return a hash of what the file of an entry is made from, str."
    if with_dump2dcm and entry.template_type == 'dump2dcm':
        return _hash(f'{entry.charset}\0{entry.text}')
    return _hash(entry.dicom or b'')


def dump2dcm(entry, signals):
    """Return the DICOM file that dcmtk makes of the text of an entry.

    :raises EntryFailure: it makes none; it may say so without an exit status
    """
    dump = encode_dump(entry.text, entry.charset)
    try:
        with tempfile.TemporaryDirectory(prefix='gnuhealth-') as folder:
            return _run_dump2dcm(dump, Path(folder), signals)
    except (OSError, subprocess.SubprocessError) as error:
        raise EntryFailure(f"dump2dcm cannot be run: {error}")


def _run_dump2dcm(dump, folder, signals):
    source, target = folder / 'dump', folder / 'dicom'
    source.write_bytes(dump)
    done = signals.apart(lambda: subprocess.run(
            ['dump2dcm', '-g', '+l', '131072', source, target],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=DUMP2DCM_SECONDS))
    if done.returncode or not target.is_file():
        reason = done.stdout.decode('utf-8', 'replace')
        reason = reason.replace(str(source), "its text")
        raise EntryFailure(f"dump2dcm cannot read it: {reason}")
    return target.read_bytes()


def encode_dump(text, charset):
    """Return the text of a dump in a DICOM character set, bytes.

    :param charset: values of SpecificCharacterSet (0008,0005), str
    :raises EntryFailure: a character is not in the set
    """
    from pydicom.charset import convert_encodings, encode_string
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            encodings = convert_encodings(charset.split('\\'))
            # Escape sequences must not stand outside of the values.
            return b''.join(
                part.encode('ascii') if part.isascii()
                else encode_string(part, encodings)
                for part in re.split(r'([^\x00-\x7f]+)', text))
    except (UserWarning, ValueError, LookupError):
        raise EntryFailure(
            f"its text does not fit into the character set \"{charset}\".")


def verify(data, entry):
    """Read a DICOM file completely and compare it with its entry.

    :param data: the file, bytes
    :return: the pydicom data set
    :raises EntryFailure: it is damaged, or of another request
    """
    from pydicom import dcmread
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            dataset = dcmread(io.BytesIO(data))
            whole = _is_whole(dataset)
            texts = list(_texts(dataset))
    except Exception as error:
        raise EntryFailure(
            f"its file cannot be read back: {type(error).__name__}: {error}")
    if not whole:
        raise EntryFailure("its file is incomplete.")
    uid = str(dataset.get('StudyInstanceUID', ''))
    if not uid or uid != entry.study_instance_uid:
        raise EntryFailure(
            f"its file has the StudyInstanceUID \"{uid}\", the request has "
            f"\"{entry.study_instance_uid}\".")
    if not dataset.get('ScheduledProcedureStepSequence'):
        raise EntryFailure("its file has no scheduled procedure step, no "
            "modality would find it.")
    if any('\ufffd' in text for text in texts):
        raise EntryFailure("its text is not in the character set that its "
            "file names.")
    return dataset


def _is_whole(dataset):
    "Whether no value of a data set is shorter than its length says."
    for tag in dataset.keys():
        raw = dataset.get_item(tag)
        if getattr(raw, 'is_raw', False) and raw.length != 0xffffffff:
            if len(raw.value or b'') != raw.length:
                return False
    return True


def _texts(dataset):
    "Yield the values of a data set and its items as text."
    for element in dataset.iterall():
        if element.VR not in {'SQ', 'OB', 'OW', 'UN'}:
            yield str(element.value)


# Folder

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
        self._owner = _hash(database)[:16]

    def put(self, data, id_, source):
        "Return a DICOM file with the mark."
        rest = data[PREAMBLE:]
        mark = self.magic + (
            f'{self._owner} {id_}\n{source[:16]}\n{_hash(rest)[:32]}\n'
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
            return Mark(id_, source, check == _hash(data[PREAMBLE:])[:32])


class Folder:
    """The folder that Orthanc's worklist plugin reads.

    :param path: the folder
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
        self._published = {}
        self._saved = None
        # Files that are written but not published yet: temporary path and
        # note, by name.
        self._pending = {}
        self._lock = None
        self._identity = None
        self._dirty = False

    def open(self):
        """Make sure that the folder can be used, and by this process alone.

        :raises FolderFailure: it cannot
        """
        try:
            with self._failures():
                self._open()
        except BaseException:
            self.close()
            raise
        self._load()

    def _open(self):
        status = os.stat(self.path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(
                errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        os.listdir(self.path)
        if not self.dry_run:
            self._take()
            self._sweep()
            self._try()
        self._identity = status.st_dev, status.st_ino

    def close(self):
        "Let others use the folder."
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._identity = None

    def refresh(self):
        """Return the entries that are there, Marks by name.

        :raises FolderFailure: the folder cannot be used
        """
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
        """Return the Mark of an entry, None if it is not there.

        :raises EntryFailure: the file is not of this script
        """
        if name in self._pending:
            self._settle()
        mark, file = self._mark(name), self._file(name)
        if mark is None and os.path.lexists(file):
            reason = ("it was not made by this script, or changed later"
                if os.access(file, os.R_OK) else "it cannot be read")
            raise EntryFailure(
                f"the file {name}.wl is in the way: {reason}.")
        return mark

    def vanished(self, name, entry, source):
        "Whether an entry that is not there was published as it is now."
        known = self._published.get(str(entry.id))
        if not known or known[0] != name:
            return False
        _, digest, known_source = known
        return known_source == source[:16] or bool(
            entry.digest and digest == _hash(entry.digest)[:16])

    def put(self, name, entry, source, data):
        """Publish a DICOM file, with the next ones or at `flush`; return
        whether anything was changed.

        :raises EntryFailure: it is not what it should be
        :raises FolderFailure: it cannot be written
        """
        data = self._stamp.put(data, entry.id, source)
        if self.dry_run:
            verify(data, entry)
            return True
        with self._failures():
            temporary = self._write(data, sync=False)
            try:
                verify(Path(temporary).read_bytes(), entry)
            except BaseException:
                os.unlink(temporary)
                raise
        self._pending[name] = temporary, None
        return True

    def _settle(self):
        """Publish what is written, complete and on the disk; many files
        together, as waiting for the disk takes most of the time."""
        pending, self._pending = self._pending, {}
        try:
            with self._failures():
                self._sync_files([path for path, _ in pending.values()])
                for name in list(pending):
                    temporary, note = pending[name]
                    os.replace(temporary, self._file(name))
                    self._dirty = True
                    del pending[name]
                    if note:
                        self._published.update([note])
        finally:
            for temporary, _ in pending.values():
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    @staticmethod
    def _sync_files(paths):
        if len(paths) < 2:
            list(map(_sync_file, paths))
            return
        with ThreadPoolExecutor(SYNC_THREADS) as pool:
            list(pool.map(_sync_file, paths))

    def remember(self, name, entry, source):
        "Note that an entry is published, or will be."
        note = str(entry.id), [name, _hash(entry.digest)[:16], source[:16]]
        if name in self._pending:
            self._pending[name] = self._pending[name][0], note
            if len(self._pending) >= PENDING_FILES:
                self._settle()
        else:
            self._published.update([note])

    def forget(self, ids):
        "Drop the notes on requests that are no longer published."
        for id_ in ids:
            self._published.pop(str(id_), None)

    def keep_only(self, ids):
        "Drop the notes on all other requests."
        self.forget(set(self._published) - {str(id_) for id_ in ids})

    def remove(self, name):
        "Remove an entry, if it is there; raise FolderFailure."
        if self._pending:
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
        return self.path / f'{name}.wl'

    def _mark(self, name):
        "Return the Mark of a file, None when it is not of this script."
        try:
            descriptor = os.open(
                self._file(name),
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, 'rb') as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return self._stamp.read(file.read(LARGEST_FILE))
        except OSError:
            return

    def _write(self, data, sync=True):
        "Write data to a temporary file that Orthanc ignores, return its path."
        begin, end = TEMPORARY
        descriptor, path = tempfile.mkstemp(end, begin, self.path)
        try:
            with open(descriptor, 'wb') as file:
                file.write(data)
                file.flush()
                _set_group(descriptor, os.stat(self.path).st_gid)
                os.fchmod(descriptor, 0o640)
                if sync:
                    os.fsync(descriptor)
        except BaseException:
            os.unlink(path)
            raise
        return path

    def _sync(self):
        if not self._dirty:
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._dirty = False

    def _take(self):
        "Lock the folder for this process."
        descriptor = os.open(
            self.path / LOCK,
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 20).decode('ascii', 'replace')
            os.close(descriptor)
            raise FolderFailure(
                f"Another instance of this script (process {other.strip()}) "
                f"already works on the folder \"{self.path}\".")
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f'{os.getpid()}\n'.encode(), 0)
        self._lock = descriptor

    def _sweep(self):
        "Remove what an instance that was killed left half written."
        begin, end = TEMPORARY
        for name in os.listdir(self.path):
            if name.startswith(begin) and name.endswith(end):
                os.unlink(self.path / name)

    def _try(self):
        "Find out whether files can be written."
        os.unlink(self._write(b'.'))

    def _load(self):
        try:
            published = json.loads(self._record.read_bytes())
            self._published = {
                str(int(id_)): [name, digest, source]
                for id_, (name, digest, source) in published.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._published = {}
        self._saved = dict(self._published)

    def _failures(self):
        return _FolderFailures(self.path)


class _FolderFailures:
    "Turns errors of the operating system into a FolderFailure."

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            file = error.filename
            if file and str(file).startswith(f'{self.path}{os.sep}'):
                reason = f"{reason} ({os.path.basename(file)})"
            raise FolderFailure(f"The folder \"{self.path}\" cannot be used: "
                f"{reason}.", temporary=True) from error


def _sync_file(path):
    "Return when a file is on the disk."
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_group(descriptor, group):
    "Give a file the group of its folder, so that Orthanc can read it."
    if os.fstat(descriptor).st_gid != group:
        try:
            os.fchown(descriptor, -1, group)
        except PermissionError:
            pass


# REST

class RestWorklist:
    """The worklist that Orthanc 1.12.10 or later keeps itself.

    It has the methods of Folder, so that entries are published the same way.
    See https://orthanc.uclouvain.be/book/plugins/worklists-plugin-new.html
    """
    where = "Orthanc"

    def __init__(self, orthanc, database, dry_run=False):
        self.orthanc = orthanc
        self.dry_run = dry_run
        self._prefix = prefix(database)
        self._there = {}
        self._sources = {}

    def open(self):
        "Nothing has to be prepared."

    def close(self):
        "Nothing is kept open."

    def older(self):
        "Nothing here is of older versions."
        return 0

    def refresh(self):
        """Return the entries that are there, Marks by name.

        :raises Unreachable, Refused: Orthanc does not tell
        """
        try:
            answer = self.orthanc.request('GET', '/worklists?format=Short')
            there = {item['ID']: item.get('Tags') for item in answer}
        except Rejected as error:
            if error.code not in {404, 405}:
                raise Unreachable(error, temporary=True)
            raise Unreachable(f"Orthanc at {self.orthanc.url} has no "
                "worklists in its REST API: that needs the worklists plugin "
                "of Orthanc 1.12.10 or later. Without --orthanc-url files "
                "are written, which older ones read.")
        except (TypeError, KeyError, AttributeError):
            raise Unreachable(f"What Orthanc at {self.orthanc.url} tells of "
                "its worklist cannot be understood.", temporary=True)
        self._there = {name: tags for name, tags in there.items()
            if str(name).startswith(self._prefix)}
        return {name: self.look(name) for name in self._there}

    def look(self, name):
        "Return the Mark of an entry, None if it is not there."
        if name in self._there:
            return Mark(None, self._sources.get(name, '')[:16], True)

    def vanished(self, name, entry, source):
        "Whether images of an entry that is not there are in Orthanc."
        found = entry.study_instance_uid and self._request(
            'POST', '/tools/lookup', entry.study_instance_uid)
        return isinstance(found, list) and any(
            isinstance(item, dict) and item.get('Type') == 'Study'
            for item in found)

    def put(self, name, entry, source, data):
        """Publish a DICOM file; return whether anything was changed.

        :raises EntryFailure: it is not what it should be
        """
        tags = json_tags(verify(data, entry))
        if contains(self._there.get(name), tags):
            return False
        if not self.dry_run:
            self._request('PUT', self._path(name), {'Tags': tags})
        self._there[name] = tags
        return True

    def remember(self, name, entry, source):
        "Note what an entry was made from."
        self._sources[name] = source

    def forget(self, ids):
        "Orthanc itself knows what was published."

    keep_only = forget

    def remove(self, name):
        "Remove an entry, if it is there."
        if name not in self._there:
            return
        if not self.dry_run:
            try:
                self._request('DELETE', self._path(name))
            except EntryFailure as error:
                if error.args[1] != 404:
                    raise Unreachable(error.args[0], temporary=True)
        self._there.pop(name)
        self._sources.pop(name, None)

    def flush(self):
        "Orthanc keeps everything at once."

    def _path(self, name):
        return f'/worklists/{urllib.parse.quote(name, safe="")}'

    def _request(self, *arguments):
        try:
            return self.orthanc.request(*arguments)
        except Rejected as error:
            raise EntryFailure(str(error), error.code)


def json_tags(dataset):
    """Return a data set as Orthanc's REST API takes it.

    Names are ``gggg,eeee``, values str, items of sequences dictionaries.

    :raises EntryFailure: a value is binary
    """
    tags = {}
    for element in dataset:
        name = f'{element.tag.group:04x},{element.tag.element:04x}'
        if element.VR == 'SQ':
            tags[name] = [json_tags(item) for item in element.value]
        elif isinstance(element.value, bytes):
            raise EntryFailure(f"its element ({name}) is binary, which "
                "Orthanc's REST API does not take.")
        else:
            tags[name] = _value(element)
    if '0008,0005' in tags:
        # JSON is Unicode, whatever the file was.
        tags['0008,0005'] = 'ISO_IR 192'
    return tags


def _value(element):
    value = element.value
    if value is None:
        return ''
    if element.VM > 1:
        return '\\'.join(str(part) for part in value)
    return str(value)


def contains(there, tags):
    "Whether all tags are among those that Orthanc tells."
    if isinstance(tags, dict):
        return isinstance(there, dict) and all(
            contains(there.get(name), value) for name, value in tags.items())
    if isinstance(tags, list):
        return (isinstance(there, list) and len(there) == len(tags)
            and all(map(contains, there, tags)))
    return isinstance(there, str) and there.strip() == tags.strip()


# Publishing

class Publisher:
    """Makes a worklist equal to what GNU Health asks for.

    :param target: a Folder or a RestWorklist
    :param make: function of an Entry that returns its DICOM file and the
        hash of what it is made from, or raises EntryFailure
    """

    def __init__(self, target, database, make, messages, signals):
        self.target = target
        self.database = database
        self.make = make
        self.messages = messages
        self.signals = signals
        self._names = None
        self._owners = {}
        self._told = {}

    def apply(self, answer, regenerate=False):
        """Publish what get_worklist_entries answered.

        :param answer: dictionary, as read_answer returns it
        :param regenerate: whether all entries are written again
        :return: Counter of new, changed, unchanged, removed, held, failed
        """
        report = Counter()
        entries = sorted(
            self._read(answer['entries'], report),
            key=lambda entry: entry.id)
        try:
            if answer['full'] or self._names is None:
                self._begin(entries, answer['full'], report)
            self._withdraw(answer['removed'], report)
            for entry in entries:
                self.signals.check()
                self._publish(entry, regenerate, report)
        finally:
            self.target.flush()
        return report

    def _read(self, values, report):
        for value in values:
            try:
                yield Entry.read(value)
            except EntryFailure as error:
                self.messages.error(error)
                report['failed'] += 1

    def _begin(self, entries, full, report):
        "See what is there, and remove what is not asked for."
        there = self.target.refresh()
        self._names, self._owners = {}, {}
        if not full:
            return
        ids = {entry.id for entry in entries}
        self.target.keep_only(ids)
        wanted = {entry.name(self.database) for entry in entries}
        for name in sorted(set(there) - wanted):
            self._remove(name, report)
        self._told = {
            id_: told for id_, told in self._told.items() if id_ in ids}

    def _withdraw(self, removed, report):
        ids = [item['id'] for item in removed
            if isinstance(item, dict) and type(item.get('id')) is int]
        self.target.forget(ids)
        for id_ in ids:
            self._told.pop(id_, None)
            self._release(id_, report)

    def _publish(self, entry, regenerate, report):
        name = entry.name(self.database)
        former = self._names.get(entry.id)
        try:
            if entry.error:
                raise EntryFailure(entry.error)
            if self._owners.get(name, entry.id) != entry.id:
                raise EntryFailure("another request has the same number.")
            outcome = self._put(name, former, entry, regenerate)
        except EntryFailure as error:
            self._fail(entry, error, name, report)
            return
        if former != name:
            self._release(entry.id, report)
        self._names[entry.id] = name
        self._owners[name] = entry.id
        self._told.pop(entry.id, None)
        self._tell(entry, name, outcome)
        report[outcome] += 1

    def _put(self, name, former, entry, regenerate):
        "Publish an entry if needed, and return what was done."
        mark = self.target.look(name)
        data, source = self.make(entry)
        if not regenerate:
            if mark and mark.id in {entry.id, None} and mark.intact and (
                    mark.source == source[:16]):
                self.target.remember(name, entry, source)
                return 'unchanged'
            if not mark and former in {name, None} and (
                    self.target.vanished(name, entry, source)):
                return 'held'
        changed = self.target.put(name, entry, source, data())
        self.target.remember(name, entry, source)
        if not changed:
            return 'unchanged'
        return 'changed' if mark else 'new'

    def _tell(self, entry, name, outcome):
        text = {
            'new': f"published as {name}",
            'changed': f"published again as {name}",
            'held': f"removed from {self.target.where} by others, not "
            "published again (-r does it)",
            }.get(outcome)
        if text:
            self.messages.detail(f"{entry.label}: {text}")

    def _fail(self, entry, error, name, report):
        "Report an entry, once, and remove what it was before."
        report['failed'] += 1
        reason = str(error.args[0])
        if self._told.get(entry.id) != reason:
            self.messages.error(f"{entry.label}: {reason}")
        self._told[entry.id] = reason
        self.target.forget([entry.id])
        self._release(entry.id, report)
        if name not in self._owners:
            self._remove(name, report)

    def _release(self, id_, report):
        "Remove the entry of a request, unless another has taken its place."
        name = self._names.pop(id_, None)
        if name and self._owners.get(name) == id_:
            del self._owners[name]
            self._remove(name, report)

    def _remove(self, name, report):
        try:
            there = self.target.look(name)
        except EntryFailure:
            return
        if there:
            self.target.remove(name)
            self.messages.detail(f"{name} removed")
            report['removed'] += 1


def make_maker(with_dump2dcm, signals):
    "Return the function that makes the files, for Publisher."
    def make(entry):
        return (
            lambda: dicom_file(entry, with_dump2dcm, signals),
            source_hash(entry, with_dump2dcm))
    return make


def summary(report, dry_run=False):
    "Return a Counter of the publisher as a sentence."
    texts = ["{} new", "{} changed", "{} unchanged", "{} removed",
        "{} not published again after their removal", "{} failed"]
    keys = ['new', 'changed', 'unchanged', 'removed', 'held', 'failed']
    done = ', '.join(
        text.format(report[key]) for key, text in zip(keys, texts)
        if report[key]) or 'nothing'
    return f"{'Would be done' if dry_run else 'Worklist'}: {done}."


def read_answer(answer):
    "Return the answer of get_worklist_entries; raise Unreachable."
    try:
        answer = {
            'cursor': answer['cursor'],
            'full': bool(answer['full']),
            'entries': list(answer['entries']),
            'removed': list(answer.get('removed') or []),
            }
    except (TypeError, KeyError, AttributeError):
        raise Unreachable("The answer of GNU Health cannot be understood: "
            f"its module {MODULE} does not fit to this script.")
    return answer


class Update:
    """One look at GNU Health, and publishing what it tells.

    :param fetch: function of a cursor that returns get_worklist_entries
    :param full_every: seconds after which everything is compared
    """

    def __init__(self, fetch, publisher, messages, regenerate=False,
            full_every=FULL_EVERY, dry_run=False, clock=time.monotonic):
        self.fetch = fetch
        self.publisher = publisher
        self.messages = messages
        self.regenerate = regenerate
        self.full_every = full_every
        self.dry_run = dry_run
        self.clock = clock
        self.report = Counter()
        self._told = False
        self._cursor = None
        self._full_at = None

    def __call__(self):
        "Do it; raise Failure when nothing could be done."
        cursor, self._cursor = self._cursor, None
        if self._full_at is None or self.clock() >= self._full_at:
            cursor = None
        answer = read_answer(self.fetch(cursor))
        self.report = self.publisher.apply(answer, self.regenerate)
        if answer['full']:
            self._full_at = self.clock() + self.full_every
        self.regenerate = False
        self._cursor = answer['cursor']
        self._tell()

    def _tell(self):
        "Print what was done; after the first time only if something was."
        if not self._told or set(self.report) & {'new', 'changed', 'removed'}:
            self.messages.info(summary(self.report, self.dry_run))
        self._told = True


def make_filters(options):
    "Return the filters of get_worklist_entries."
    filters = {'aetitles': options.aet, 'modalities': options.modality}
    if options.handle_done_state:
        filters['done'] = True
    return filters


# Check

ENCODINGS = {
    # Names of Orthanc's DefaultEncoding, and Python's.
    'Ascii': 'ascii',
    'Utf8': 'utf-8',
    'Latin1': 'iso8859-1',
    'Latin2': 'iso8859-2',
    'Latin3': 'iso8859-3',
    'Latin4': 'iso8859-4',
    'Latin5': 'iso8859-9',
    'Cyrillic': 'iso8859-5',
    'Windows1251': 'cp1251',
    'Arabic': 'iso8859-6',
    'Greek': 'iso8859-7',
    'Hebrew': 'iso8859-8',
    'Thai': 'tis-620',
    'Japanese': 'shift_jis',
    'Chinese': 'gb18030',
    'Korean': 'euc_kr',
    'JapaneseKanji': 'iso2022_jp',
    'SimplifiedChinese': 'gb2312',
    }


class Check:
    """Compares what GNU Health asks for with the Orthanc that should tell it.

    Each method prints what it found; ``wrong`` counts what must be repaired,
    ``warnings`` what may become wrong.

    :param exams: what get_worklist_exams answered
    :param ask: function of an AE title that asks Orthanc in its name, see
        worklist_query.ask
    """

    def __init__(self, orthanc, entries, exams, messages, ask):
        self.orthanc = orthanc
        self.entries = entries
        self.exams = exams
        self.messages = messages
        self.ask = ask
        self.wrong = self.warnings = 0
        self.made = []
        self.system = {}
        self.serves = True
        self._there = set()
        self._lost = set()

    def good(self, text):
        "Print what is all right."
        self.messages.info(f"good: {text}")

    def warn(self, text):
        "Print what may become wrong, and count it."
        self.warnings += 1
        self.messages.info(f"warning: {text}")

    def bad(self, text):
        "Print what is wrong, and count it."
        self.wrong += 1
        self.messages.error(f"WRONG: {text}")

    def check_server(self):
        "Orthanc is there and has the plugin."
        try:
            system = self.orthanc.request('GET', '/system')
        except Rejected:
            system = None
        if not isinstance(system, dict) or 'DicomAet' not in system:
            raise Unreachable(
                f"What answers at {self.orthanc.url} is no Orthanc.")
        self.system = system
        self.good(f"Orthanc {system.get('Version')} answers, its AE title is "
            f"{system['DicomAet']}, its DICOM port {system.get('DicomPort')}.")
        plugins = self.orthanc.request('GET', '/plugins')
        self.serves = 'worklists' in plugins
        if self.serves:
            self.good("its worklist plugin is loaded.")
        else:
            self.bad("its worklist plugin is not loaded: no modality gets an "
                "answer. See \"Plugins\" in its configuration.")

    def check_exams(self):
        "Exams that are ordered reach a machine."
        for key, text in [
                ('template', "no worklist template: no machine is told of "
                    "them"),
                ('aetitle', "no AE title: machines that ask for their own "
                    "entries only do not get them")]:
            names = [exam['exam'] for exam in self.exams if not exam[key]]
            if names:
                self.warn(f"{len(names)} exams have {text} "
                    f"({_some(names)}).")

    def check_entries(self, maker):
        "GNU Health gives entries that can be published."
        for values in self.entries:
            entry = None
            try:
                entry = Entry.read(values)
                if entry.error:
                    raise EntryFailure(entry.error)
                data, _ = maker(entry)
                self.made.append((entry, verify(data(), entry)))
            except EntryFailure as error:
                label = f"{entry.label}: " if entry else ''
                self.bad(f"{label}{error.args[0]}")
        counts = Counter(
            (entry.aetitle, entry.modality) for entry, _ in self.made)
        for (title, modality), count in sorted(counts.items()):
            self.good(f"{count} for AE title \"{title}\", modality "
                f"\"{modality}\".")
        self.good(f"{len(self.made)} in all can be published.")

    def check_encoding(self):
        "The answers have all letters that the entries have."
        name = str(self.orthanc.request(
                'GET', '/tools/default-encoding')).strip()
        codec = ENCODINGS.get(name)
        if codec:
            self._check_letters(name, codec)
        else:
            self.bad(f"the DefaultEncoding \"{name}\" of Orthanc is unknown.")
        self._check_extensions()
        for charset, templates in sorted(self._character_sets().items()):
            if codec and not damages(charset) and not _fits(
                    _letters(charset), codec):
                self.warn(f"Orthanc answers in {name}, which lacks letters "
                    f"of {charset}, the character set of {templates}: a name "
                    "with them would arrive damaged. Set "
                    "\"DefaultEncoding\" : \"Utf8\", or give the templates "
                    "a character set that fits: then GNU Health tells which "
                    "names cannot be sent.")

    def _check_letters(self, name, codec):
        lost = [entry for entry, dataset in self.made
            if not all(_fits(text, codec) for text in _texts(dataset))]
        self._lost.update(entry.id for entry in lost)
        if lost:
            self.bad(f"Orthanc answers in {name}, which lacks letters of "
                f"{len(lost)} entries ({_some(e.label for e in lost)}): "
                "modalities see them damaged. Set \"DefaultEncoding\" : "
                "\"Utf8\".")
        else:
            self.good(f"Orthanc answers in {name}, which has all letters.")

    def _check_extensions(self):
        """Whether there are character sets that Orthanc does not read."""
        for charset, templates in sorted(self._character_sets().items()):
            if not damages(charset):
                continue
            lost = [entry for entry, dataset in self.made
                if entry.charset == charset and not all(
                    text.isascii() for text in _texts(dataset))]
            self._lost.update(entry.id for entry in lost)
            text = (f"Orthanc does not read the character set {charset} of "
                f"{templates}, and damages letters that are not ASCII")
            advice = "Set the character set of the template to ISO_IR 192."
            if lost:
                self.bad(f"{text}: {len(lost)} entries are concerned "
                    f"({_some(e.label for e in lost)}). {advice}")
            else:
                self.warn(f"{text}. {advice}")

    def _character_sets(self):
        "Return the names of templates by character set."
        sets = {}
        for exam in self.exams:
            if exam['template'] and exam['charset']:
                sets.setdefault(exam['charset'], set()).add(exam['template'])
        for entry, _ in self.made:
            if entry.charset:
                sets.setdefault(entry.charset, set())
        return {
            charset: "the templates " + _some(
                f'"{name}"' for name in sorted(names))
            if names else "templates in use"
            for charset, names in sets.items()}

    def check_modalities(self):
        "Machines may ask, and get what was published, undamaged."
        known = self._known_modalities()
        titles = {entry.aetitle for entry, _ in self.made}
        titles.update(exam['aetitle'] for exam in self.exams)
        for title in sorted(titles - {''}) if self.serves else []:
            try:
                answers = self.ask(title)
            except QueryRefused as error:
                self._explain_refusal(title, known.get(title), error)
            except (QueryFailed, OSError) as error:
                self.bad("the DICOM port of Orthanc cannot be asked, as "
                    f"modalities do: {error}. Does a firewall forbid it, or "
                    "has it another number outside (--dicom-port)?")
                return
            else:
                self._compare(title, answers)

    def _known_modalities(self):
        known = self.orthanc.request('GET', '/modalities?expand')
        values = known.values() if isinstance(known, dict) else []
        return {
            modality.get('AET'): modality
            for modality in values if isinstance(modality, dict)}

    def _explain_refusal(self, title, modality, error):
        if modality is None:
            self.bad(f"\"{title}\" gets no answer: {error}. It is not among "
                "the DicomModalities of Orthanc: add it, or set "
                "\"DicomAlwaysAllowFindWorklist\" : true.")
        elif not modality.get('AllowFindWorklist', True):
            self.bad(f"\"{title}\" may not ask: AllowFindWorklist is false "
                "in DicomModalities.")
        else:
            self.warn(f"\"{title}\" gets no answer when this computer asks "
                f"in its name: {error}. Orthanc expects it at "
                f"{modality.get('Host')}, if DicomCheckModalityHost is true.")

    def _compare(self, title, answers):
        got = {str(answer.get('StudyInstanceUID', '')): answer
            for answer in answers}
        own = [(entry, dataset) for entry, dataset in self.made
            if entry.aetitle == title and entry.id in self._there]
        missing = [entry.label for entry, _ in own
            if entry.study_instance_uid not in got]
        if missing:
            self.bad(f"\"{title}\" does not get {len(missing)} entries that "
                f"are published ({_some(missing)}).")
        damaged = [
            (entry, *damage) for entry, dataset in own
            if entry.id not in self._lost
            and entry.study_instance_uid in got
            for damage in _damage(dataset, got[entry.study_instance_uid])]
        for entry, keyword, sent, came in damaged[:SHOWN]:
            self.bad(f"{entry.label}: its {keyword} \"{sent}\" arrives at "
                f"\"{title}\" as \"{came}\". Set the character set of its "
                f"template, {entry.charset}, to ISO_IR 192.")
        if not missing and not damaged:
            self.good(f"\"{title}\" may ask and gets {len(got)} entries.")

    def check_folder(self, path, database):
        "The files are those that are asked for, and can be read."
        folder = Folder(path, database, dry_run=True)
        try:
            folder.open()
        except FolderFailure as error:
            self.bad(str(error))
            return
        there = folder.refresh()
        wanted = {entry.name(database): entry.id for entry, _ in self.made}
        damaged = [name for name, mark in there.items() if not mark.intact]
        for names, what in [
                (damaged, "damaged"),
                (set(wanted) - set(there),
                    "missing, not published yet or removed"),
                (set(there) - set(wanted), "no longer asked for")]:
            if names:
                self.bad(f"{len(names)} files are {what}: "
                    f"{_some(sorted(names))}.")
        self._there = {wanted[name] for name in there
            if name in wanted and name not in damaged}
        group = os.stat(path).st_gid
        if any(_hidden(Path(path, f'{name}.wl'), group) for name in there):
            self.bad("the group of the files is not that of the folder: "
                "Orthanc may be unable to read them. Run this script as a "
                "user of that group, or chmod g+s the folder.")
        if there.keys() == wanted.keys():
            self.good(f"the folder \"{path}\" has all {len(there)} files.")
        self._check_others(Path(path), there)

    def _check_others(self, path, there):
        from pydicom import dcmread
        others = [file for file in path.iterdir()
            if file.suffix.lower() == '.wl' and file.stem not in there]
        broken = []
        for file in others:
            try:
                dcmread(file)
            except Exception:
                broken.append(file.name)
        if others:
            self.messages.info(f"note: the folder has {len(others)} more "
                "files, which were not made by this script for this "
                "database. Modalities see them too.")
        if broken:
            self.bad(f"{len(broken)} of them cannot be read: "
                f"{_some(sorted(broken))}.")

    def conclusion(self):
        "Return how many things are wrong, a sentence."
        parts = [
            f"{count} {what if count > 1 else one}"
            for count, one, what in [
                (self.wrong, "thing is wrong", "things are wrong"),
                (self.warnings, "warning", "warnings")] if count]
        if not self.wrong:
            parts.insert(0, "Nothing is wrong")
        return f"{', '.join(parts)}."

    def check_rest(self, database):
        "What Orthanc keeps itself is what is asked for."
        there = set(RestWorklist(self.orthanc, database).refresh())
        wanted = {entry.name(database): entry.id for entry, _ in self.made}
        self._there = {
            id_ for name, id_ in wanted.items() if name in there}
        if there == set(wanted):
            self.good(f"Orthanc has all {len(there)} entries.")
        else:
            self.bad(f"{len(set(wanted) - there)} entries are missing in "
                f"Orthanc, {len(there - set(wanted))} are no longer asked "
                "for.")


def damages(charset):
    """Whether Orthanc reads a SpecificCharacterSet wrongly and so damages
    letters; tried with Orthanc 1.10.1, which knows two with extensions."""
    return '\\' in charset and charset not in {
        '\\ISO 2022 IR 87', '\\ISO 2022 IR 87\\ISO 2022 IR 159'}


def _letters(charset):
    "Return letters of a SpecificCharacterSet, as many as tell it apart, str."
    from pydicom.charset import python_encoding
    if charset in {'ISO_IR 192', 'GB18030'}:
        return "\xe9\u0416\u03a9\u0639\u738b\u3042\ud64d"
    samples = {
        'GBK': "\u738b\u4e1c",
        '\\ISO 2022 IR 87': "\u5c71\u3084\u30a2",
        '\\ISO 2022 IR 87\\ISO 2022 IR 159': "\u5c71\u4e02"}
    if charset in samples:
        return samples[charset]
    codec = python_encoding.get(charset, 'ascii')
    return bytes(range(0xa1, 0xff)).decode(codec, 'ignore')


def _damage(sent, came):
    "Yield keyword, value and other value where two data sets differ."
    for keyword in ['PatientName', 'PatientID', 'RequestingPhysician',
            'ReferringPhysicianName', 'RequestedProcedureDescription']:
        values = [
            str(dataset.get(keyword) or '').rstrip('^= ')
            for dataset in (sent, came)]
        if keyword in sent and values[0] != values[1]:
            yield keyword, *values


def _some(names):
    "Return the first of some names."
    names = [str(name) for name in names]
    more = ", ..." if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _hidden(file, group):
    "Whether only a group that is not the folder's can read a file."
    status = os.stat(file)
    return status.st_gid != group and not status.st_mode & stat.S_IROTH


def _fits(text, codec):
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def read_exams(answer):
    "Return the answer of get_worklist_exams; raise Unreachable."
    keys = ['exam', 'aetitle', 'modality', 'template', 'charset']
    try:
        return [
            {key: str(exam.get(key) or '') for key in keys}
            for exam in answer]
    except (TypeError, AttributeError):
        raise Unreachable("The answer of GNU Health cannot be understood: "
            f"its module {MODULE} does not fit to this script.")


def _chosen(exam, options):
    return not (
        options.aet and exam['aetitle'] not in options.aet
        or options.modality and exam['modality'] not in options.modality)


def check(options, server, orthanc, fetch, fetch_exams, messages, signals):
    "Print what a modality would see; return the exit status."
    answer = read_answer(fetch(None))
    exams = [exam for exam in read_exams(fetch_exams())
        if _chosen(exam, options)]
    host = urllib.parse.urlsplit(orthanc.url).hostname

    def ask(title):
        port = options.dicom_port or found.system.get('DicomPort')
        if not port:
            raise QueryFailed("it does not tell its port")
        return signals.apart(
            lambda: worklist_query.ask(
                host, port, title, found.system['DicomAet'], title,
                min(options.timeout, ASK_SECONDS)),
            ASK_SECONDS * 3)

    found = Check(orthanc, answer['entries'], exams, messages, ask)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found.check_server()
        found.check_exams()
        found.check_entries(make_maker(options.with_dump2dcm, signals))
        found.check_encoding()
        if os.path.isdir(options.worklists_db) or not options.orthanc_url:
            found.check_folder(options.worklists_db, server.database)
        else:
            found.check_rest(server.database)
        found.check_modalities()
    messages.info(found.conclusion())
    return SOME_FAILED if found.wrong else DONE


# Command

def make_orthanc(options, signals, environ=os.environ):
    "Return the Orthanc of the options, None without one; UsageFailure."
    url = options.orthanc_url or (
        options.check and 'http://localhost:8042')
    if not url:
        return
    url = clean_url(url, '--orthanc-url')
    context = tls_context(
        options.ca_file or environ.get('GNUHEALTH_CA_FILE')
        ) if url.startswith('https:') else None
    user = options.orthanc_user or environ.get('ORTHANC_USER')
    file = options.orthanc_password_file or environ.get(
        'ORTHANC_PASSWORD_FILE')
    if options.orthanc_password_file or (
            file and 'ORTHANC_PASSWORD' not in environ):
        password = read_password_file(file)
    else:
        password = environ.get('ORTHANC_PASSWORD')
    return Orthanc(url, signals, user, password, context, options.timeout)


def require(options):
    "Raise UsageFailure when something that is needed is not installed."
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageFailure("The Python package pydicom is missing: pip "
            "install \"pydicom>=3,<4\".")
    logging.getLogger('pydicom').setLevel(logging.CRITICAL)
    if options.with_dump2dcm and not shutil.which('dump2dcm'):
        raise UsageFailure("The program dump2dcm is missing: install dcmtk, "
            "or leave out --with-dump2dcm.")


def work(options, messages, signals):
    "Do what the options say; return the exit status."
    server = read_server(options)
    signals.install()
    require(options)
    orthanc = make_orthanc(options, signals)
    trytond = Trytond(server, signals, MODULE)
    filters = make_filters(options)

    def fetch(cursor):
        return trytond.call(MODEL, 'get_worklist_entries', cursor, filters)

    def fetch_exams():
        return trytond.call(MODEL, 'get_worklist_exams')

    try:
        if options.check:
            return check(options, server, orthanc, fetch, fetch_exams,
                messages, signals)
        target = (
            RestWorklist(orthanc, server.database, options.dry_run)
            if orthanc else
            Folder(options.worklists_db, server.database, options.dry_run))
        return publish(options, server, target, fetch, messages, signals)
    finally:
        trytond.close()


def publish(options, server, target, fetch, messages, signals):
    "Publish once or, with -s, for ever; return the exit status."
    target.open()
    older = target.older()
    if older:
        messages.info(f"{older} files in {target.where} seem to be of an "
            "older version of this script: modalities see them too, remove "
            "them when they are no longer needed.")
    update = Update(
        fetch, Publisher(
            target, server.database,
            make_maker(options.with_dump2dcm, signals), messages, signals),
        messages, options.regenerate, options.full_every, options.dry_run)
    try:
        if options.seconds:
            repeat(update, options.seconds, signals, messages)
        update()
    finally:
        target.close()
    return SOME_FAILED if update.report['failed'] else DONE


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
