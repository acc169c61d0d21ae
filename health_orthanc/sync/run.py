# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The synchronisation of one server: one run at a time, in short
transactions, so that it can stop anywhere and go on in the next run."""
import datetime as dt
import logging
import time
from collections import defaultdict
from functools import partial

from sql import Null

from trytond.config import config
from trytond.exceptions import UserError
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.told import join, stored, tell
from trytond.pool import Pool
from trytond.tools import grouped_slice

from ..archive import orthanc
from ..connection import connect
from ..exceptions import error_text
from ..links import deciding, effects, events, twins
from ..tables import delete, execute, set_values
from . import known, storage
from .ahead import ahead
from .balance import LEVELS, Balance
from .details import Details, OutOfTime
from .lease import PROLONG_SECONDS, Lease, LostLease
from .reading import GROUP_SERIES, Reader
from .storing import Keeper
from .transactions import roll_back, transact

logger = logging.getLogger(__name__)

KEPT_REASONS = 200
# Seconds
HOUR = 3600
# How many studies are marked as missing in one transaction.
GROUP_GONE = 500
# How often a run follows a server that receives while it is read.
ROUNDS = 3
# How long a run of the queue reads before it lets others go first, and at
# least, when some that are quick wait already for some seconds.
TURN_SECONDS = config.getint('health_orthanc', 'turn_seconds', default=300)
LEAST_SECONDS = TURN_SECONDS / 10
PATIENCE = dt.timedelta(seconds=5)
# How long a server has for its first answer where others may wait for it.
HASTE_SECONDS = 5
_unexpected = partial(tell, 'health_orthanc.msg_sync_unexpected')


class EndOfTurn(Exception):
    """The run lets others go first."""


class Silent(Exception):
    """The server did not answer at once."""


class Run:
    """One run of synchronisation.

    It ends transactions on its own: call it where nothing else is written.

    :param server: record of gnuhealth.orthanc.config
    :param bool full: compare everything instead of reading what is new
    :param str started_by: see gnuhealth.orthanc.sync_run
    :param only: Orthanc ids of studies, to fetch nothing else; all the rest
        is left to the next run
    :param bool in_turns: whether to let others go first when it lasts
    :param bool hasty: whether to wait for HASTE_SECONDS only until the server
        says who it is; no record is left of a run that was to no avail
    :ivar bool is_paused: whether it let others go first, so that another run
        has to go on
    :ivar bool is_silent: whether the server took longer, so that it has to be
        asked with patience
    """

    def __init__(self, server, full=False, started_by=None, only=None,
            in_turns=False, hasty=False):
        pool = Pool()
        self.SyncRun = pool.get('gnuhealth.orthanc.sync_run')
        self.server = pool.get('gnuhealth.orthanc.config')(server.id)
        self.full = full
        self.started_by = started_by
        self.only = only
        self.label = self.server.label
        self.lease = Lease(server.id)
        self.begin = time.monotonic()
        self.end = self.begin + self.server.run_hours * HOUR
        self.in_turns, self.is_paused = in_turns, False
        self.hasty, self.is_silent = hasty, False
        # Whether a run that goes on has less to do than this one had, and
        # whether everything was read
        self.has_advanced = self.has_all = False
        self.run = self.client = self.version = None
        # Since when changes may not have reached what runs stored
        self.since = None
        # How far the change log was read, and how far a full run came that
        # was interrupted
        self.position = self.resume = None
        self.balance = Balance()
        self.counts = defaultdict(int)
        self.done = self.total = 0
        self.skipped = {}
        # Ids of studies that came to be reviewed, or on which an error kept
        # the rules from deciding; some may have been decided since.
        self.review, self.undecided = set(), set()
        # Whether the balance tells what the server has
        self.compared = False
        self.keeper = Keeper(self)
        self.details = Details(self)
        self.reader = None

    def go(self):
        """Synchronize and return the id of the run's record.

        :raises Busy: another run has the server
        """
        transact(self._start)
        logger.info("server %s: run %s starts, %s", self.server.id, self.run,
            "full" if self.full else "incremental")
        state, validated, message = self._outcome()
        roll_back()
        try:
            # What changed meanwhile; a run that ends before leaves it to the
            # next.
            Pool().get('gnuhealth.orthanc.link_event').catch_up(self.since)
        except Exception as error:
            events.log_unexpected(error)
            roll_back()
            state, message = 'interrupted', _unexpected
        transact(
            self._leave if self.is_silent
            else lambda: self._finish(state, validated, message()))
        logger.info("server %s: run %s is %s, %s of %s studies, %s calls",
            self.server.id, self.run, state, self.done, self.total,
            self._calls())
        return self.run

    def _outcome(self):
        """Do the work; return the state of the run, whether the server is
        valid, and a function that returns what a person should know."""
        try:
            with connect(self.server) as self.client:
                self.client.end_at(self.end)
                roll_back()
                self.reader = Reader(self.client, self.keeper)
                self.version = self._greet()
                if self.only is None:
                    self._synchronize()
                else:
                    self._fetch_more(self.only)
        except (OutOfTime, orthanc.OrthancError) as error:
            if self.is_over():
                return 'interrupted', None, partial(
                    tell, 'health_orthanc.msg_sync_out_of_time',
                    n=self.server.run_hours)
            logger.info("server %s: %s", self.server.id, error)
            return 'failed', False, partial(error_text, error, self.label)
        except UserError as error:
            return 'failed', False, lambda text=error.message: text
        except (EndOfTurn, LostLease, Silent) as end:
            self.is_paused = isinstance(end, EndOfTurn)
            self.is_silent = isinstance(end, Silent)
            return 'interrupted', None, lambda: None
        except Exception as error:
            events.log_unexpected(error)
            return 'failed', None, _unexpected
        return 'done', True, self._warning

    def _greet(self):
        """Return the version of the server.

        :raises Silent: the run is hasty, and that took too long
        """
        if not self.hasty:
            return self.client.version()
        self.client.end_at(time.monotonic() + HASTE_SECONDS)
        try:
            return self.client.version()
        except orthanc.Timeout:
            raise Silent from None
        finally:
            self.client.end_at(self.end)

    def _synchronize(self):
        # One that compares everything may last.
        if self.position is not None:
            self._synchronize_new()
        if self.full and not self.has_all:
            self._synchronize_all()
        self._compare()
        self.details.look_closer()

    def is_over(self):
        "Return whether the run took longer than its server allows."
        return time.monotonic() >= self.end

    def _warning(self):
        balance = self.balance
        if not self.compared:
            return
        if balance.is_emptied():
            return tell('health_orthanc.msg_sync_server_empty',
                studies=balance.present[0])
        if balance.hidden:
            counted = balance.counted[0]
            return tell('health_orthanc.msg_sync_hidden',
                counted=counted, listed=counted - balance.hidden)
        if balance.counted != balance.present:
            return tell('health_orthanc.msg_sync_differs', **{
                    name: ' / '.join(map(str, numbers)) for name, numbers in [
                        ('counted', balance.counted),
                        ('known', balance.present)]})

    def _start(self):
        position, time, compared, self.resume = self.lease.claim()
        self.position = None if time is None else position
        self.full |= self.position is None
        self.balance = Balance(compared)
        start = now()
        unfinished = self.SyncRun.unfinished(self.server.id)
        set_values(
            self.SyncRun, [r.id for r in unfinished if r.state == 'running'],
            state='interrupted', end=start)
        self.since = min([start, *(r.start for r in unfinished)])
        run, = self.SyncRun.create([{
                    'server': self.server.id,
                    'full': self.full,
                    'started_by': self.started_by,
                    'start': start,
                    'state': 'running',
                    }])
        self.run = run.id

    def _leave(self):
        "Give the server back as it was."
        delete(self.SyncRun, [self.run])
        self.lease.release(compared=str(self.balance))

    def _finish(self, state, validated, message):
        set_values(self.SyncRun, [self.run], state=state, error=message,
            end=now(), **self._progress(self.counts),
            **known.left_undone(self.review, self.undecided))
        values = {} if validated is None else {
            'validated': validated, 'last_error': stored(message),
            'check_time': now()}
        if state == 'done':
            values.update(version=self.version, compared=str(self.balance))
            if self.only is None:
                values['sync_time'] = now()
        self.lease.release(**values)

    def _progress(self, counts, done=0):
        names = [
            f'{level}_{what}' for level in LEVELS
            for what in ['new', 'changed', 'gone']]
        return {
            **{name: counts[name] for name in [*names, 'studies_linked']},
            'full': self.full,
            'skipped': len(self.skipped),
            'skipped_reasons': self._reasons(),
            'done': self.done + done,
            'total': self.total,
            'calls': self._calls(),
            }

    def _reasons(self):
        # A copy, as the thread that reads ahead adds to it.
        skipped = list(self.skipped.items())[:KEPT_REASONS]
        return [
            join(': ', [
                    orthanc_id,
                    tell(f'health_orthanc.msg_skipped_{reason}')])
            for orthanc_id, reason in skipped] or None

    def _calls(self):
        return self.details.calls + (self.client.calls if self.client else 0)

    def commit(self, work=None, done=0, **values):
        """Do something in the database, and keep with it the progress and
        values of the server.

        :param work: function that may be called again, returns counts or None
        :param int done: how many studies were looked at
        """
        def commit():
            counts = self.counts.copy()
            for name, count in ((work and work()) or {}).items():
                counts[name] += count
            self.lease.keep(**values)
            set_values(
                self.SyncRun, [self.run], **self._progress(counts, done))
            return counts
        self.counts = transact(commit)
        self.has_advanced |= done > 0 and 'resume' in values
        self.done += done
        self.balance.add(
            [self.counts.pop(f'{level}_present', 0) for level in LEVELS])

    def prolong(self):
        """Show between two calls that this run is alive.

        :raises OutOfTime: it should not be any more
        """
        if self.is_over():
            raise OutOfTime
        if self.lease.is_due():
            self.commit()

    def _give_way(self):
        """Let others go first when enough was read; the next run goes on.

        :raises EndOfTurn: it is their turn
        """
        taken = time.monotonic() - self.begin
        if self.in_turns and self.has_advanced and (
                taken > TURN_SECONDS
                or taken > LEAST_SECONDS and transact(_others_wait)):
            raise EndOfTurn

    def skip(self, orthanc_id, reason):
        """Note what cannot be stored, or not completely.

        :param str reason: the last part of a message's id
        """
        self.skipped.setdefault(orthanc_id or '-', reason)

    def _synchronize_new(self):
        """Fetch what the change log lists after the position, return whether
        there was anything."""
        start = self.position
        covered, fetched = -1, set()
        for changes in self.client.all_changes(start):
            if changes.last < self.position:
                logger.info("server %s was reset", self.server.id)
                self._synchronize_all()
                break
            if changes.last == self.position:
                break
            ids = changes.ids()
            studies = self.reader.studies_of(ids)
            if changes.last <= covered:
                # They were read when these changes had happened already.
                studies = [s for s in studies if s.id not in fetched]
                self.reader.awaited = set()
            else:
                self.reader.awaited = set(ids['instances'])
                self.keeper.told = frozenset(ids['instances'])
                if not changes.done:
                    covered, fetched = self.client.last_change(), set()
            self.total += len(studies)
            self._do(self.reader.read(studies))
            self._correct()
            self.balance.doubtful |= bool(self.reader.awaited)
            fetched.update(s.id for s in studies)
            self.commit(last_changed_index=changes.last)
            self.position = changes.last
            self.has_advanced = True
            if not changes.done:
                self._give_way()
        return self.position != start

    def _correct(self):
        resent, self.keeper.resent = self.keeper.resent, {}
        self.keeper.told = frozenset()
        changed = resent and self.details.correct(
            resent, self.reader.corrections)
        if changed:
            self._fetch_more(changed)

    def _synchronize_all(self):
        """Fetch everything, and mark what the server does not have.

        After each group it is kept how far it came, so that the next one goes
        on there when this one dies. What changed meanwhile comes after the
        position, which is read first of all.
        """
        self.full = True
        self.balance.forget()
        newest = self.client.last_change()
        position, _, last = (self.resume or '').partition(' ')
        if position.isdigit() and int(position) <= newest:
            position = int(position)
        else:
            position, last = newest, ''
        count = self.client.counts()[0]
        ids = sorted(self.client.ids('studies', count))
        todo = [uid for uid in ids if uid > last]
        self.total += len(ids)
        self.done += len(ids) - len(todo)
        self.commit(resume=f'{position} {last}')
        self._do(self.reader.read_ids(
                todo, position, all_=len(todo) == len(ids) > 1),
            self._give_way)
        self._mark_missing(ids, count)
        if ids:
            self.commit(lambda: storage.mark_patients(server=self.server.id))
        if self.position and position < self.position <= newest:
            # A run that goes on read more of the log.
            position = self.position
        self.commit(last_changed_index=position, resume=None)
        self.position, self.has_all = position, True

    def _mark_missing(self, ids, count):
        """Mark what is not listed, but believe no server that lists fewer
        than it counts: it may hide some from its user. Nor one that lists
        nothing: so looks one whose disk is not mounted, unless it was asked
        to delete just that.

        :param int count: how many the server counted before it listed them
        """
        if len(ids) < count:
            # Some may have been deleted in between.
            count = min(count, self.client.counts()[0])
        self.balance.hidden = max(count - len(ids), 0)
        if self.balance.hidden or (
                not ids and not self._ask(known.all_are_being_deleted)):
            return
        present = self._ask(known.present_studies)
        gone = sorted(present[uid] for uid in present.keys() - set(ids))
        for some in grouped_slice(gone, GROUP_GONE):
            some = list(some)
            self.commit(lambda: self._mark(some))
            self.prolong()

    def _mark(self, gone):
        tree = storage.Tree(self.server.id, now())
        tree.mark_missing(gone)
        effects.count_images_of(gone)
        # They may be there under another PatientID.
        tree.counts['studies_linked'] = deciding.link_studies(
            twins.same_studies(gone), review=self.review)
        return tree.counts

    def _compare(self):
        """Compare counts, because Orthanc deletes without a word and its log
        can be emptied; and what is there when they differ, or when it may
        have deleted something that it did not confirm."""
        self.balance.doubtful |= self._ask(known.has_deletions)
        for _ in range(ROUNDS):
            remote = self.client.counts()
            if self.balance.agrees(remote):
                break
            self.balance.present = self._ask(known.present_counts)
            if self.balance.agrees(remote):
                break
            if not self._synchronize_new():
                self._compare_ids(remote)
                self.balance.present = self._ask(known.present_counts)
                self.balance.settle(remote)
                break
        else:
            # It is still receiving, and the next run compares.
            return
        self.compared = True

    def _ask(self, question, *args):
        "Return what is known of the server."
        return transact(lambda: question(self.server.id, *args))

    def _compare_ids(self, remote):
        """Fetch the studies that are not as they are known, and mark those
        that are gone."""
        ids = self.client.ids('studies', remote[0])
        present = self._ask(known.present_studies)
        self._mark_missing(ids, remote[0])
        self._fetch_more(uid for uid in ids if uid not in present)
        if (ids and not self.balance.is_believed(remote)
                and self._ask(known.present_counts)[1:] != remote[1:]):
            self._fetch_more(self._differing_studies(remote[1]))

    def _fetch_more(self, ids):
        ids = [uid for uid in ids if uid not in self.skipped]
        self.total += len(ids)
        self._do(self.reader.read_ids(ids))

    def _differing_studies(self, count):
        """Return the Orthanc ids of the studies whose series or instances are
        not those that are known, of so many series on the server."""
        present = self._ask(known.present_series)
        listed = self.client.ids('series', count)
        studies = {present[uid] for uid in present.keys() - set(listed)}
        for start in range(0, len(listed), GROUP_SERIES):
            group = listed[start:start + GROUP_SERIES]
            instances = self._ask(known.present_instances, group)
            for series in self.reader.ask('series', group, present.get):
                uid = series.id
                if (uid not in present
                        or instances[uid] != set(series.children)):
                    studies.add(series.study)
            self.prolong()
        return studies - {None}

    def _do(self, steps, after_each=lambda: None):
        """Call what a generator yields.

        :param after_each: function that is called after each step
        """
        self.reader.corrections = self._ask(known.corrections)
        with ahead(
                steps, self.prolong, PROLONG_SECONDS,
                self.client.abort) as steps:
            for step in steps:
                step()
                self.prolong()
                after_each()


def _others_wait():
    "Return whether workers have no time for what should be done already."
    task = Pool().get('ir.queue').__table__()
    moment = now()
    return bool(execute(task.select(
                task.id, where=(task.dequeued_at == Null)
                & (task.scheduled_at == Null)
                & (task.expected_at <= moment)
                & (task.enqueued_at < moment - PATIENCE), limit=1)))
