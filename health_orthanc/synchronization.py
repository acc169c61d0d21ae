# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The synchronisation of one server: one run at a time, in short
transactions, so that it can stop anywhere and go on in the next run."""
import datetime as dt
import logging
import os
import socket
import uuid
from collections import defaultdict

from sql import Null

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from . import client as orthanc
from . import linking, records, storage

logger = logging.getLogger(__name__)

# How long a server belongs to a run that gives no sign of life.
LEASE = dt.timedelta(minutes=10)
KEPT_RUNS = 100
# A block is stored in one transaction: big enough to be fast, small enough
# for the memory. Instances are what counts.
BLOCK_STUDIES = 200
BLOCK_INSTANCES = 5000
KEPT_REASONS = 200


class Busy(Exception):
    """The server is being synchronized by another run."""


class LostLease(Exception):
    """Another run took the server over, because this one seemed dead."""


def now():
    """Return the present time as trytond stores it, without fractions."""
    return dt.datetime.now().replace(microsecond=0)


class Run:
    """One run of synchronisation.

    It ends transactions on its own: call it where nothing else is written.

    :param server: record of gnuhealth.orthanc.config
    :param bool full: compare everything instead of reading what is new
    :param str started_by: see gnuhealth.orthanc.sync_run
    """

    def __init__(self, server, full=False, started_by=None):
        pool = Pool()
        self.Server = pool.get('gnuhealth.orthanc.config')
        self.SyncRun = pool.get('gnuhealth.orthanc.sync_run')
        self.server = self.Server(server.id)
        self.full = full
        self.started_by = started_by
        self.token = f'{socket.gethostname()} {os.getpid()} {uuid.uuid4()}'
        self.run = None
        self.counts = defaultdict(int)
        self.done = 0
        self.total = None
        self.reasons = []
        self.calls = 0

    def go(self):
        """Synchronize and return the id of the run's record.

        :raises Busy: another run has the server
        """
        self._claim()
        error, state = None, 'done'
        try:
            with self.server.client() as client:
                self.client = client
                self._end_transaction()
                self._synchronize()
        except orthanc.OrthancError as exception:
            state, error = 'failed', self._tell(exception)
        except LostLease:
            state = 'interrupted'
        except Exception:
            logger.exception("synchronization of server %s", self.server.id)
            state = 'failed'
            error = gettext('health_orthanc.msg_sync_unexpected')
        self._finish(state, error)
        return self.run

    def _tell(self, exception):
        from .server import error_text
        Transaction().rollback()
        return error_text(exception, self.Server(self.server.id))

    # The lease

    def _claim(self):
        """Take the server, unless a living run has it."""
        table = self.Server.__table__()
        ((lease, until),) = storage.execute(table.select(
                table.lease, table.lease_until,
                where=table.id == self.server.id))
        if lease and until and until > now() and _is_alive(lease):
            raise Busy
        same = (table.lease == lease) if lease else (table.lease == Null)
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.lease, table.lease_until],
                [self.token, now() + LEASE],
                where=(table.id == self.server.id) & same))
        if cursor.rowcount != 1:
            raise Busy
        self._start_record()
        Transaction().commit()

    def _start_record(self):
        running = self.SyncRun.search([
                ('server', '=', self.server.id),
                ('state', '=', 'running'),
                ])
        self.SyncRun.write(running, {'state': 'interrupted', 'end': now()})
        run, = self.SyncRun.create([{
                    'server': self.server.id,
                    'full': self.full,
                    'started_by': self.started_by,
                    'start': now(),
                    'state': 'running',
                    }])
        self.run = run.id

    def _keep(self, **values):
        """Write to the server and prolong the lease, or raise LostLease."""
        table = self.Server.__table__()
        values['lease_until'] = now() + LEASE
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values()),
                where=(table.id == self.server.id)
                & (table.lease == self.token)))
        if cursor.rowcount != 1:
            Transaction().rollback()
            raise LostLease

    def _end_block(self, **values):
        """Keep what was stored, the position and the progress together."""
        self._keep(**values)
        storage.set_values(self.SyncRun, [self.run], **self._progress())
        self._end_transaction()

    @staticmethod
    def _end_transaction():
        Transaction().commit()

    def _progress(self):
        values = {name: self.counts[name] for name in [
                f'{level}_{what}'
                for level in ['studies', 'series', 'instances']
                for what in ['new', 'changed', 'gone']]}
        return {
            **values,
            'studies_linked': self.counts['studies_linked'],
            'skipped': self.counts['skipped'],
            'skipped_reasons': '\n'.join(self.reasons) or None,
            'done': self.done,
            'total': self.total,
            'calls': self.client.calls if self.run and self._asked() else 0,
            }

    def _asked(self):
        return getattr(self, 'client', None) is not None

    def _finish(self, state, error):
        Transaction().rollback()
        values = self._progress()
        storage.set_values(self.SyncRun, [self.run],
            state=state, error=error, end=now(), full=self.full, **values)
        table = self.Server.__table__()
        server = {'lease': None, 'lease_until': None, 'last_error': error}
        if state == 'done':
            server.update(validated=True, sync_time=now())
        elif state == 'failed':
            server['validated'] = False
        storage.execute(table.update(
                [getattr(table, name) for name in server],
                list(server.values()),
                where=(table.id == self.server.id)
                & (table.lease == self.token)))
        self._forget_old_runs()
        Transaction().commit()

    def _forget_old_runs(self):
        old = self.SyncRun.search(
            [('server', '=', self.server.id)], offset=KEPT_RUNS)
        if old:
            self.SyncRun.delete(old)

    # The ways

    def _synchronize(self):
        self.client.system()
        position = self._position()
        if self.full or position is None:
            self._synchronize_all()
        else:
            self._synchronize_new(position)
        self._compare()

    def _position(self):
        table = self.Server.__table__()
        ((position, time),) = storage.execute(table.select(
                table.last_changed_index, table.sync_time,
                where=table.id == self.server.id))
        self._end_transaction()
        return position if time else None

    def _synchronize_new(self, position):
        """Fetch what the change log lists after a position."""
        self.total = 0
        for changes in self.client.all_changes(position):
            if changes.last < position:
                logger.info("server %s was reset", self.server.id)
                self._synchronize_all()
                return
            instances = list(dict.fromkeys(
                    c.get('ID') for c in changes.changes
                    if c.get('ChangeType') == 'NewInstance'))
            studies = self.client.bulk(
                'studies', instances, source='instances')
            self.total += len(studies)
            self._store(studies, last_changed_index=changes.last)

    def _synchronize_all(self):
        """Fetch everything, and mark what the server does not have."""
        self.full = True
        position = self.client.last_change()
        ids = self.client.ids('studies')
        self.total = len(ids)
        self._fetch(ids)
        self._mark_missing(ids)
        self._end_block(last_changed_index=position)

    def _fetch(self, ids):
        for block in grouped_slice(ids, BLOCK_STUDIES):
            self._store(self.client.bulk('studies', list(block)))

    def _mark_missing(self, ids):
        """Mark what is not listed, but believe no server that lists nothing.

        An empty list is what a server shows whose disk was not mounted.
        """
        known = storage.present_ids(self.server.id)
        gone = known.keys() - set(ids)
        if gone and not ids:
            self._skip('-', gettext(
                    'health_orthanc.msg_sync_server_empty',
                    studies=len(gone)))
            return
        storage.mark_missing(self.server.id, gone, now())
        self.counts['studies_gone'] += len(gone)

    def _compare(self):
        """Find what the change log does not tell, by comparing counts.

        Orthanc deletes without a word, and its log can be emptied.
        """
        statistics = self.client.statistics()
        remote = tuple(statistics[f'Count{level}']
            for level in ['Studies', 'Series', 'Instances'])
        local = storage.present_counts(self.server.id)
        compared = f'{remote} {local}'
        if remote == local or compared == self._compared():
            self._end_block()
            return
        self._end_transaction()
        self._compare_ids(remote, local)
        local = storage.present_counts(self.server.id)
        self._end_block(compared=f'{remote} {local}')

    def _compared(self):
        table = self.Server.__table__()
        ((compared,),) = storage.execute(table.select(
                table.compared, where=table.id == self.server.id))
        return compared

    def _compare_ids(self, remote, local):
        ids = self.client.ids('studies')
        known = storage.present_ids(self.server.id)
        self._end_transaction()
        fetch = [i for i in ids if i not in known]
        self._mark_missing(ids)
        self._end_block()
        if storage.present_counts(self.server.id)[1:] != remote[1:]:
            for level in ['series', 'instance']:
                fetch.extend(self._differing_studies(level))
        self._end_transaction()
        fetch = list(dict.fromkeys(fetch))
        self.total = (self.total or 0) + len(fetch)
        self._fetch(fetch)

    def _differing_studies(self, level):
        """Return the Orthanc ids of the studies in which something differs."""
        known = storage.present_ids(self.server.id, level)
        self._end_transaction()
        plural = {'series': 'series', 'instance': 'instances'}[level]
        listed = set(self.client.ids(plural))
        studies = {known[i] for i in known.keys() - listed}
        unknown = list(listed - known.keys())
        for block in grouped_slice(unknown, BLOCK_INSTANCES):
            studies.update(s.get('ID') for s in self.client.bulk(
                    'studies', list(block), source=plural))
        return [s for s in studies if s]

    # A block

    def _store(self, studies, **position):
        """Fetch what is in studies and store it, a block at a time.

        The position is kept with the last block only.
        """
        blocks = list(_blocks(studies)) or [[]]
        for i, block in enumerate(blocks, 1):
            tree = self._rows(block)
            self._store_block(tree)
            self.done += len(block)
            self._end_block(**(position if i == len(blocks) else {}))

    def _rows(self, studies):
        """Fetch the series and instances of studies, return rows."""
        series = self.client.bulk(
            'series', [s.get('ID') for s in studies], source='studies') \
            if studies else []
        series_rows = self._by_parent(records.series_values, series)
        instance_rows = defaultdict(list)
        for block in self.client.instance_blocks(series):
            rows = self._by_parent(records.instance_values, block)
            for uid, items in rows.items():
                instance_rows[uid].extend(items)
        patient_rows, study_rows = {}, []
        for _, item in self._usable(records.study_values, studies):
            patient = _patient_row(item)
            patient_rows[patient['uuid']] = patient
            self._add_totals(
                item, series_rows[item['orthanc_UID']], instance_rows)
            study_rows.append(item)
        patient_rows.pop(None, None)
        return (list(patient_rows.values()), study_rows, series_rows,
            instance_rows)

    def _by_parent(self, convert, items):
        """Return lists of rows by the Orthanc id of what they belong to."""
        rows = defaultdict(list)
        for item, row in self._usable(convert, items):
            rows[records.parent(item)].append(row)
        return rows

    @staticmethod
    def _add_totals(study, series, instances):
        """Set what a study tells of all its series."""
        for item in series:
            item['number_of_instances'] = len(instances[item['orthanc_UID']])
        study['number_of_series'] = len(series)
        study['number_of_instances'] = sum(
            s['number_of_instances'] for s in series)
        study['modalities'] = ', '.join(sorted(
                {s['modality'] for s in series if s['modality']})) or None
        for name in ['performing_physician_name', 'institution']:
            study[name] = study.get(name) or next(
                (s[name] for s in series if s.get(name)), None)
        for item in series:
            for name in ['performing_physician_name', 'institution']:
                item.pop(name, None)

    def _usable(self, convert, items):
        for item in items:
            try:
                yield item, convert(item)
            except records.UnusableRecord as error:
                self._skip(error.orthanc_id or '-', error.reason)

    def _skip(self, orthanc_id, reason):
        self.counts['skipped'] += 1
        if len(self.reasons) < KEPT_REASONS:
            self.reasons.append(f'{orthanc_id}: {reason}')

    def _store_block(self, rows):
        tree = storage.Tree(self.server.id, now())
        tree.store(*rows)
        for name, count in tree.counts.items():
            self.counts[name] += count
        self.counts['studies_linked'] += linking.link_studies(tree.touched)


def _patient_row(study):
    """Take what is no column out of a study, return the row of its patient.
    """
    for name in ['is_stable', 'last_update', 'texts']:
        study.pop(name, None)
    study['orthanc_patient'] = study.pop('orthanc_patient_UID')
    return {
        'uuid': study['orthanc_patient'],
        'name': study['patient_name'],
        'bd': study['patient_birth_date'],
        'sex': study['patient_sex'],
        'ident': study['patient_id'],
        }


def _blocks(studies):
    """Yield lists of studies that together have a bounded size.

    The number of instances is not known yet, so series stand for them.
    """
    block, size = [], 0
    for study in studies:
        series = study.get('Series')
        weight = 1 + 20 * (len(series) if isinstance(series, list) else 0)
        if block and size + weight > BLOCK_INSTANCES:
            yield block
            block, size = [], 0
        block.append(study)
        size += weight
    if block:
        yield block


def _is_alive(lease):
    """Return whether the process of a lease may still be working.

    Only processes of this computer can be looked at.
    """
    try:
        host, pid, _ = lease.split(' ')
        if host != socket.gethostname():
            return True
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
