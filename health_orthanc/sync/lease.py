# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease that gives a server to one run at a time, whichever process or
computer asks for it."""
import datetime as dt
import os
import socket
import time
import uuid

from sql import Null

from trytond.modules.health_imaging.minute import now
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..tables import execute

# How long a server belongs to a run that gives no sign of life.
DURATION = dt.timedelta(minutes=10)
# How old the last sign of life may be before the next is due.
PROLONG_SECONDS = 60
# Tells this program from one that had the same process id before a restart.
_PROGRAM = uuid.uuid4().hex


def _place():
    """Return a name of where process ids mean the same processes: a computer,
    or one container on it."""
    try:
        space = os.readlink('/proc/self/ns/pid')
    except OSError:
        space = ''
    return f'{socket.gethostname()}/{space}'


class Busy(Exception):
    """The server is being synchronized by another run."""


class LostLease(Exception):
    """Another run took the server over, because this one seemed dead."""


class Lease:
    """The right to synchronize a server.

    :param int server: id of the server
    """

    def __init__(self, server):
        Server = Pool().get('gnuhealth.orthanc.config')
        self.server = server
        self._table = Server.__table__()
        self._token = (
            f'{_place()} {os.getpid()} {_PROGRAM} '
            f'{uuid.uuid4().hex}')
        self._kept = time.monotonic()

    def claim(self):
        """Take the server, and return what is stored of its position.

        :return: list of last_changed_index, sync_time, compared and resume
        :raises Busy: another run has it
        """
        table = self._table
        rows = execute(table.select(
                table.lease, table.lease_until, table.last_changed_index,
                table.sync_time, table.compared, table.resume,
                where=table.id == self.server))
        if not rows:
            raise Busy
        (lease, until, *position), = rows
        if lease and until and until > now() and _is_alive(lease):
            raise Busy
        same = (table.lease == lease) if lease else (table.lease == Null)
        # What was compared counts again when this run came to its end.
        if not self._update({'lease': self._token, 'compared': None}, same):
            raise Busy
        return position

    def keep(self, **values):
        """Write to the server and prolong the lease.

        :raises LostLease: another run has the server
        """
        if not self._update(values, self._table.lease == self._token):
            raise LostLease
        self._kept = time.monotonic()

    def is_due(self):
        """Return whether the next sign of life should be given."""
        return time.monotonic() - self._kept > PROLONG_SECONDS

    def release(self, **values):
        """Write to the server and give it back; do nothing if it was lost."""
        self._update(
            {**values, 'lease': None}, self._table.lease == self._token,
            until=None)

    def _update(self, values, where, until=DURATION):
        values = {**values, 'lease_until': until and now() + until}
        cursor = Transaction().connection.cursor()
        cursor.execute(*self._table.update(
                [getattr(self._table, name) for name in values],
                list(values.values()),
                where=(self._table.id == self.server) & where))
        return cursor.rowcount == 1


def left_behind():
    """Return the ids of servers that belong to a run which was killed, as far
    as it was of this computer or container."""
    table = Pool().get('gnuhealth.orthanc.config').__table__()
    leases = execute(table.select(table.id, table.lease,
            where=(table.lease != Null) & table.active))
    return [id_ for id_, lease in leases if not _is_alive(lease)]


def _is_alive(token):
    """Return whether the process of a lease may still be working, as far as
    it is of this computer or container."""
    try:
        place, pid, program, _ = token.split(' ')
        pid = int(pid)
        if place != _place():
            return True
        if pid == os.getpid():
            return program == _PROGRAM
        os.kill(pid, 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
