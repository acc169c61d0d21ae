# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modality node keeps on disk: the last worklist of GNU Health, and
the messages of machines (MPPS) until GNU Health has them.

A message is on disk, synced, before `Store.create` or `Store.change` returns,
together with the state of its step, and it is removed only when GNU Health
said that it has it.  So a power failure at any moment loses nothing, and what
is sent again has the number that it had before.
"""
import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

from command_line import FolderFailure
from files import check_own, open_own

#: How long the state of a step that ended is known, in seconds: what comes
#: later is of an unknown step.
KEPT_ENDED = 400 * 86400
#: The most bytes of attributes that `Store.pending` gives at once.
LARGEST_BATCH = 8 * 1024 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS machine (
    ae_title TEXT PRIMARY KEY, machine TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, dicom BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS step (
    uid TEXT PRIMARY KEY, ended REAL);
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
    uid TEXT NOT NULL, ae_title TEXT NOT NULL, address TEXT NOT NULL,
    received TEXT NOT NULL, attributes TEXT NOT NULL);
"""
_MESSAGE = [
    'number', 'kind', 'uid', 'ae_title', 'address', 'received', 'attributes']

UNKNOWN, ENDED, KEPT = 'unknown', 'ended', 'kept'


class Store:
    """The database in a folder, which one process may use at a time.

    :ivar str node: the UUID of this store, with which numbers are told apart
    :raises FolderFailure: the folder cannot be used
    """

    def __init__(self, folder):
        self._write = threading.Lock()
        path = Path(folder)
        try:
            self._lock = _take(path)
            self._database = _open(path / 'node.sqlite')
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, 'strerror', None) or error
            raise FolderFailure(
                f"The folder \"{path}\" cannot be used: {reason}.")
        with self._changing() as cursor:
            cursor.execute(
                "INSERT OR IGNORE INTO fact VALUES ('node', ?)",
                [str(uuid.uuid4())])
            cursor.execute("DELETE FROM step WHERE ended < ?",
                [time.time() - KEPT_ENDED])
        self.node = self._fact('node')

    def close(self):
        "Close the database, and let another process have the folder."
        with self._write:
            self._database.close()
        os.close(self._lock)

    @contextmanager
    def _changing(self):
        "Give a cursor; what it did is on disk at the end, or not done."
        with self._write, _failing(), self._database, closing(
                self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            yield cursor

    def _read(self, query, *parameters):
        with self._write, _failing():
            return self._database.execute(query, parameters).fetchall()

    def _fact(self, name):
        rows = self._read("SELECT value FROM fact WHERE name = ?", name)
        return rows[0][0] if rows else None

    # The worklist

    @property
    def polled(self):
        "When GNU Health was last asked with success, seconds since 1970."
        return float(self._fact('polled') or 0)

    def machines(self):
        "Return the machines as GNU Health told them, list of dicts."
        return [json.loads(machine) for machine, in self._read(
                "SELECT machine FROM machine ORDER BY ae_title")]

    def entries(self):
        "Return the DICOM files of the worklist by the id of the request."
        return dict(self._read("SELECT id, dicom FROM entry"))

    def keep(self, polled, machines=None, entries=(), removed=(), all_=False):
        """Keep what GNU Health tells.

        :param float polled: when, seconds since 1970
        :param machines: list of dicts, None when they are the same
        :param dict entries: DICOM files (bytes) of new and changed requests
        :param removed: ids of requests without an entry
        :param bool all_: whether there are no other entries
        """
        with self._changing() as cursor:
            cursor.execute(
                "INSERT OR REPLACE INTO fact VALUES ('polled', ?)", [polled])
            if machines is not None:
                cursor.execute("DELETE FROM machine")
                cursor.executemany(
                    "INSERT OR REPLACE INTO machine VALUES (?, ?)", [
                        (machine['ae_title'], json.dumps(machine))
                        for machine in machines])
            if all_:
                cursor.execute("DELETE FROM entry")
            cursor.executemany(
                "DELETE FROM entry WHERE id = ?", [[id_] for id_ in removed])
            cursor.executemany(
                "INSERT OR REPLACE INTO entry VALUES (?, ?)",
                list(dict(entries).items()))

    # The messages

    def create(self, uid, message):
        """Keep the message that begins a step; return whether the step is
        new.  Nothing is kept otherwise.

        :param str uid: SOP Instance UID
        :param dict message: ae_title, address, received, and attributes in
            the DICOM JSON model
        """
        with self._changing() as cursor:
            if _state(cursor, uid) != UNKNOWN:
                return False
            cursor.execute("INSERT INTO step VALUES (?, NULL)", [uid])
            _add(cursor, 'create', uid, message)
        return True

    def change(self, uid, message, ends):
        """Keep a message about a step; return KEPT, or UNKNOWN or ENDED when
        nothing was kept.

        :param bool ends: whether the step is over; other parameters as in
            `create`
        """
        with self._changing() as cursor:
            state = _state(cursor, uid)
            if state != KEPT:
                return state
            if ends:
                cursor.execute("UPDATE step SET ended = ? WHERE uid = ?",
                    [time.time(), uid])
            _add(cursor, 'set', uid, message)
        return KEPT

    def pending(self, limit=100, after=0):
        "Return the oldest messages of numbers above one, list of dicts."
        messages, size = [], 0
        for row in self._read(
                f"SELECT {', '.join(_MESSAGE)} FROM message "
                "WHERE number > ? ORDER BY number LIMIT ?", after, limit):
            size += len(row[-1])
            if messages and size > LARGEST_BATCH:
                break
            message = dict(zip(_MESSAGE, row))
            message['attributes'] = json.loads(message['attributes'])
            messages.append(message)
        return messages

    def count_pending(self):
        "Return how many messages GNU Health does not have."
        return self._read("SELECT COUNT(*) FROM message")[0][0]

    def forget(self, numbers):
        "Remove messages that GNU Health has."
        with self._changing() as cursor:
            cursor.executemany("DELETE FROM message WHERE number = ?",
                [[number] for number in numbers])


@contextmanager
def _failing():
    try:
        yield
    except sqlite3.Error as error:
        raise FolderFailure(
            f"What is told cannot be stored: {error}.", True) from None


def _take(path):
    "Lock a folder for this process; return the descriptor."
    path.mkdir(mode=0o700, exist_ok=True)
    lock = open_own(path / 'lock', os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FolderFailure(
            f"Another modality node works on the folder \"{path}\".")
    return lock


def _open(path):
    # SQLite makes its other files with the mode of this one.
    os.close(open_own(path, os.O_RDWR | os.O_CREAT))
    check_own(os.lstat(path), path)
    database = sqlite3.connect(
        path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    # In WAL, FULL syncs at each commit; NORMAL would not.
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(_SCHEMA)
    return database


def _state(cursor, uid):
    row = cursor.execute(
        "SELECT ended FROM step WHERE uid = ?", [uid]).fetchone()
    if row is None:
        return UNKNOWN
    return KEPT if row[0] is None else ENDED


def _add(cursor, kind, uid, message):
    cursor.execute(
        "INSERT INTO message (kind, uid, ae_title, address, received, "
        "attributes) VALUES (?, ?, ?, ?, ?, ?)", [
            kind, uid, message['ae_title'], message['address'],
            message['received'], json.dumps(message['attributes'])])
