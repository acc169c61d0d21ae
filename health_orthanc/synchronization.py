# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The synchronisation of one server: one run at a time, in short
transactions, so that it can stop anywhere and go on in the next run."""
import itertools
import logging
from collections import Counter, defaultdict
from functools import partial

from trytond import backend
from trytond.exceptions import UserError
from trytond.i18n import gettext
from trytond.pool import Pool

from . import client as orthanc
from . import records, storage
from .ahead import ahead
from .balance import LEVELS, Balance
from .connection import connect
from .exceptions import error_text
from .lease import (
    PROLONG_SECONDS, Busy, Lease, LostLease, now, roll_back, transact)
from .links import deciding, effects, events
from .rows import Converter, count_instances, count_series, cut

__all__ = ['Busy', 'Run']

logger = logging.getLogger(__name__)

KEPT_RUNS = 100
KEPT_REASONS = 200
# What is fetched at once and what is stored in one transaction: much enough
# to be fast, little enough for the memory.
GROUP_STUDIES = 100
GROUP_SERIES = 300
BLOCK_INSTANCES = 5000
# A server that fails on more studies one after the other is ill.
MAX_REFUSED = 10
# Of so many studies an instance is read at once, a call each, and so often in
# one run.
LOOKED_INTO = 200
LOOKED_INTO_ROUNDS = 10
# How often a run follows a server that receives while it is read.
ROUNDS = 3

# Changes that say nothing that a new instance has not said.
_ECHOES = {
    'NewPatient', 'NewStudy', 'NewSeries', 'StablePatient', 'StableStudy',
    'StableSeries', 'CompletedSeries', 'Deleted'}
_COLLECTIONS = {
    'Patient': 'patients', 'Study': 'studies', 'Series': 'series',
    'Instance': 'instances'}
# What a server, or a proxy before it, may say of one resource although it
# has others, and what is told of it.
_REFUSED = (
    orthanc.BadRequest, orthanc.Conflict, orthanc.Forbidden,
    orthanc.MethodNotAllowed, orthanc.NotFound, orthanc.Redirected,
    orthanc.Unauthorized, orthanc.UnsupportedMedia)
_NOT_UNDERSTOOD = (orthanc.BadAnswer, orthanc.AnswerTooLarge)
# Nobody answered.
_SILENT = (
    orthanc.ConnectionLost, orthanc.ConnectionRefused, orthanc.HostNotFound,
    orthanc.InvalidURL, orthanc.Timeout, orthanc.TLSError,
    orthanc.Unreachable)


def _same(id_):
    return id_


class Run:
    """One run of synchronisation.

    It ends transactions on its own: call it where nothing else is written.

    :param server: record of gnuhealth.orthanc.config
    :param bool full: compare everything instead of reading what is new
    :param str started_by: see gnuhealth.orthanc.sync_run
    """

    def __init__(self, server, full=False, started_by=None):
        pool = Pool()
        self.SyncRun = pool.get('gnuhealth.orthanc.sync_run')
        self.server = pool.get('gnuhealth.orthanc.config')(server.id)
        self.full = full
        self.started_by = started_by
        self.label = self.server.label
        self.lease = Lease(server.id)
        self.run = self.client = self.version = None
        # Since when changes may not have reached what runs stored
        self.since = None
        # How far the change log was read, and how far a full run came that
        # was interrupted
        self.position = self.resume = None
        self.balance = Balance()
        self.counts = defaultdict(int)
        self.done = self.total = 0
        # How many calls other connections made
        self.looked = 0
        self.skipped = {}
        # On how many studies, one after the other, the server failed; what
        # it said last, and whether it ever gave a whole one
        self.refused, self.refusal, self.answered = 0, None, False
        # Whether something in the last answer was not understood
        self.odd = False
        # Whether the server has nothing any more
        self.emptied = False
        # Orthanc ids of instances that the change log told of: those that
        # did not come yet, and all
        self.awaited, self.told = set(), frozenset()
        # One instance that came again and what the server lists, by the
        # Orthanc id of the study; see records.corrected
        self.resent, self.corrections = {}, {}
        self.convert = Converter(self.skip)

    def go(self):
        """Synchronize and return the id of the run's record.

        :raises Busy: another run has the server
        """
        transact(self._start)
        logger.info("server %s: run %s starts, %s", self.server.id, self.run,
            "full" if self.full else "incremental")
        state, validated, tell = self._outcome()
        roll_back()
        if not self._catch_up():
            state, tell = 'interrupted', _unexpected
        transact(lambda: self._finish(state, validated, tell()))
        logger.info("server %s: run %s is %s, %s of %s studies, %s calls",
            self.server.id, self.run, state, self.done, self.total,
            self._calls())
        return self.run

    def _outcome(self):
        """Do the work, return the state of the run, whether the server is
        valid (None when nobody knows), and a function that returns what a
        person should know."""
        try:
            with connect(self.server) as self.client:
                roll_back()
                self._synchronize()
        except orthanc.OrthancError as error:
            logger.info("server %s: %s", self.server.id, error)
            return 'failed', False, partial(error_text, error, self.label)
        except UserError as error:
            return 'failed', False, partial(str, error.message)
        except LostLease:
            return 'interrupted', None, _nothing
        except Exception as error:
            events.log_unexpected(error)
            return 'failed', None, _unexpected
        return 'done', True, self._warning

    def _catch_up(self):
        """Decide on what changed meanwhile, and return whether it was done.

        A run that ends before leaves it to the next.
        """
        LinkEvent = Pool().get('gnuhealth.orthanc.link_event')
        try:
            LinkEvent.catch_up(self.since)
            return True
        except Exception as error:
            events.log_unexpected(error)
            roll_back()
            return False

    def _warning(self):
        if self.emptied:
            return gettext('health_orthanc.msg_sync_server_empty',
                studies=self.balance.present[0])

    # Begin and end

    def _start(self):
        position, time, compared, self.resume = self.lease.claim()
        if time is not None:
            self.position = position
        self.full |= self.position is None
        self.balance = Balance(compared)
        start = now()
        unfinished = self._unfinished()
        storage.set_values(
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

    def _unfinished(self):
        "Return the runs after the last one that came to its end."
        runs = self.SyncRun.search(
            [('server', '=', self.server.id)], order=[('id', 'DESC')])
        return list(itertools.takewhile(
                lambda run: run.state in {'running', 'interrupted'}, runs))

    def _finish(self, state, validated, message):
        storage.set_values(self.SyncRun, [self.run],
            state=state, error=message, end=now(), **self._progress())
        values = {}
        if validated is not None:
            values.update(
                validated=validated, last_error=message, check_time=now())
        if state == 'done':
            values.update(
                sync_time=now(), version=self.version,
                compared=str(self.balance))
        self.lease.release(**values)
        self.SyncRun.delete(self.SyncRun.search(
                [('server', '=', self.server.id)], offset=KEPT_RUNS))

    def _progress(self, counts=None, done=0):
        counts = self.counts if counts is None else counts
        values = {
            f'{level}_{what}': counts[f'{level}_{what}']
            for level in LEVELS for what in ['new', 'changed', 'gone']}
        return {
            **values,
            'full': self.full,
            'studies_linked': counts['studies_linked'],
            'skipped': len(self.skipped),
            'skipped_reasons': self._reasons(),
            'done': self.done + done,
            'total': self.total,
            'calls': self._calls(),
            }

    def _reasons(self):
        # A copy, as the thread that reads ahead adds to it.
        skipped = list(self.skipped.items())[:KEPT_REASONS]
        texts = {
            reason: gettext(f'health_orthanc.msg_skipped_{reason}')
            for reason in {reason for _, reason in skipped}}
        return '\n'.join(
            f'{orthanc_id}: {texts[reason]}'
            for orthanc_id, reason in skipped) or None

    def _calls(self):
        return self.looked + (self.client.calls if self.client else 0)

    def commit(self, work=None, done=0, **values):
        """Do something in the database, and keep with it the progress and
        values of the server.

        :param work: function without parameters that may be called again,
            returns a dict of counts or None
        :param int done: how many studies were looked at
        """
        def commit():
            counts = self.counts.copy()
            for name, count in ((work and work()) or {}).items():
                counts[name] += count
            self.lease.keep(**values)
            storage.set_values(
                self.SyncRun, [self.run], **self._progress(counts, done))
            return counts
        self.counts = transact(commit)
        self.done += done
        self.balance.add(
            [self.counts.pop(f'{level}_present', 0) for level in LEVELS])

    def _prolong(self):
        """Show between two calls that this run is alive."""
        if self.lease.is_due():
            self.commit()

    def skip(self, orthanc_id, reason):
        """Note what cannot be stored, or not completely.

        :param str reason: the last part of a message's id
        """
        self.skipped.setdefault(orthanc_id or '-', reason)

    # The ways

    def _synchronize(self):
        self.version = records.clean_text(self.client.system()['Version'])
        if self.full:
            self._synchronize_all()
        else:
            self._synchronize_new()
        self._compare()
        self._look_closer()

    def _synchronize_new(self):
        """Fetch what the change log lists after the position.

        :return: whether there was anything
        """
        start = self.position
        covered, fetched = -1, set()
        for changes in self.client.all_changes(start):
            if changes.last < self.position:
                logger.info("server %s was reset", self.server.id)
                self._synchronize_all()
                break
            if changes.last == self.position:
                break
            ids = _changed_ids(changes.changes)
            studies = self._studies_of(ids)
            if changes.last <= covered:
                # They were read when these changes had happened already.
                studies = [s for s in studies if s.get('ID') not in fetched]
                self.awaited = set()
            else:
                self.awaited = set(ids['instances'])
                self.told = frozenset(ids['instances'])
                if not changes.done:
                    covered, fetched = self.client.last_change(), set()
            self.total += len(studies)
            self._do(self._read(studies))
            self._correct()
            self.balance.doubtful |= bool(self.awaited)
            fetched.update(s.get('ID') for s in studies)
            self.commit(last_changed_index=changes.last)
            self.position = changes.last
        return self.position != start

    def _correct(self):
        """Look into images that replaced others: the server goes on to list
        what the first image of their study said."""
        resent, self.resent, self.told = self.resent, {}, frozenset()
        if not resent:
            return
        changed = {}
        some = dict(sorted(resent.items())[:LOOKED_INTO])
        for uid, tags in self._tags(
                self.client, {u: image for u, (image, _) in some.items()}):
            listed = some[uid][1]
            told = tags and records.instance_identity(tags)
            correction = {'identity': listed, 'tags': told}
            if told in (None, listed):
                correction = None
            if tags and correction != self.corrections.get(uid):
                changed[uid] = correction
        if changed:
            self.commit(lambda: storage.store_corrections(
                    self.server.id, changed))
            self._fetch_more(changed)

    def _studies_of(self, ids):
        """Return the studies to which resources belong, as the server tells
        them.

        :param ids: lists of Orthanc ids by level
        """
        studies, self.odd = {}, False
        for level, some in ids.items():
            found = self._in_parts(
                partial(self._answer, 'studies', source=level), some,
                self._doubt)
            studies.update((_id(study), study) for study in found)
        if self.odd:
            self._doubt()
        return list(studies.values())

    def _doubt(self, thing=None, error=None):
        """Note that there may be a study of which nothing is known: it comes
        out when what is there is compared."""
        self.balance.doubtful = True

    def _synchronize_all(self):
        """Fetch everything, and mark what the server does not have.

        After each group it is kept how far it came, so that the next one goes
        on there when this one dies. What changed meanwhile comes after the
        position, which is read first of all.
        """
        self.full = True
        self.balance.forget()
        position, last = self._point_of_return(self.client.last_change())
        ids = sorted(self.client.ids('studies'))
        todo = [uid for uid in ids if uid > last]
        self.total += len(ids)
        self.done += len(ids) - len(todo)
        self.commit(resume=f'{position} {last}')
        self._do(self._read_ids(
                todo, position, all_=len(todo) == len(ids) > 1))
        self._mark_missing(ids)
        if ids:
            self.commit(lambda: storage.mark_patients(server=self.server.id))
        self.commit(last_changed_index=position, resume=None)
        self.position = position

    def _point_of_return(self, newest):
        """Return from which position and after which study to go on.

        :param int newest: the newest change of the server
        """
        position, _, last = (self.resume or '').partition(' ')
        if position.isdigit() and int(position) <= newest:
            return int(position), last
        return newest, ''

    def _mark_missing(self, ids):
        """Mark what is not listed, but believe no server that lists nothing:
        so looks one whose disk is not mounted. Unless it was asked to delete
        just that."""
        if not ids and not transact(
                lambda: storage.all_are_being_deleted(self.server.id)):
            return
        known = transact(lambda: storage.present_studies(self.server.id))
        gone = sorted(known[uid] for uid in known.keys() - set(ids))
        if gone:
            self.commit(lambda: self._mark(gone))

    def _mark(self, gone):
        tree = storage.Tree(self.server.id, now())
        tree.mark_missing(gone)
        effects.count_images_of(gone)
        # They may be there under another PatientID.
        tree.counts['studies_linked'] = deciding.link_studies(
            storage.same_studies(gone))
        return tree.counts

    # What the change log does not tell

    def _compare(self):
        """Compare counts, because Orthanc deletes without a word and its log
        can be emptied; and what is there when they differ, or when it may
        have deleted something that it did not confirm."""
        self.balance.doubtful |= transact(
            lambda: storage.has_deletions(self.server.id))
        for _ in range(ROUNDS):
            remote = self._count_remote()
            if self.balance.agrees(remote):
                break
            self.balance.present = self._count_known()
            if self.balance.agrees(remote):
                break
            if not self._synchronize_new():
                self._compare_ids(remote)
                self.balance.present = self._count_known()
                self.balance.settle(remote)
                break
        # Else it is still receiving, and the next run compares.
        self.emptied = self.balance.is_emptied(remote)

    def _count_remote(self):
        statistics = self.client.statistics()
        return tuple(statistics[f'Count{level.title()}'] for level in LEVELS)

    def _count_known(self):
        return transact(lambda: storage.present_counts(self.server.id))

    def _compare_ids(self, remote):
        """Fetch the studies that are not as they are known, and mark those
        that are gone.

        :raises BadAnswer: the server counts studies, but lists none
        """
        ids = self.client.ids('studies')
        if remote[0] and not ids:
            raise orthanc.BadAnswer(call='GET /studies')
        known = transact(lambda: storage.present_studies(self.server.id))
        self._mark_missing(ids)
        self._fetch_more(uid for uid in ids if uid not in known)
        if ids and self._count_known()[1:] != remote[1:]:
            self._fetch_more(self._differing_studies())

    def _fetch_more(self, ids):
        ids = [uid for uid in ids if uid not in self.skipped]
        self.total += len(ids)
        self._do(self._read_ids(ids))

    def _differing_studies(self):
        """Return the Orthanc ids of the studies whose series or instances are
        not those that are known."""
        known = transact(lambda: storage.present_series(self.server.id))
        listed = self.client.ids('series')
        studies = {known[uid] for uid in known.keys() - set(listed)}
        for group in _groups(listed, GROUP_SERIES):
            instances = transact(lambda: storage.present_instances(
                    self.server.id, group))
            for series in self._ask('series', group, known.get):
                uid = series['ID']
                if (uid not in known
                        or instances[uid] != set(records.children(series))):
                    studies.add(records.parent(series))
            self._prolong()
        return studies - {None}

    # Reading

    def _ask(self, level, ids, study_of=_same):
        """Return resources given by their ids, without those on which the
        server fails and those that cannot be understood.

        :param study_of: function that returns the Orthanc id of the study of
            a resource, None when it is not known
        """
        self.odd = False
        found = self._in_parts(partial(self._answer, level), ids,
            lambda id_, error: self._refuse(study_of(id_), error))
        wanted = set(ids)
        found = [item for item in found if item['ID'] in wanted]
        if self.odd:
            missed = wanted.difference(map(_id, found))
            self._miss(map(study_of, missed), found)
        return found

    def _answer(self, level, ids, source=None):
        """Return what the server says, as OrthancClient.bulk does, as far as
        it can be understood."""
        return self._understood(level, self.client.bulk(
                level, ids, source=source, strict=False))

    def _understood(self, level, answer):
        name = orthanc.LEVELS[level]
        found = [item for item in answer if records.is_record(item, name)]
        if len(found) < len(answer):
            self.odd = True
        return found

    def _in_parts(self, call, things, refuse=None):
        """Return the list that a call gives for things; when the server fails
        on it, for each half of them.

        :param things: list of Orthanc ids or of Orthanc's dicts
        :param refuse: function that is told on which thing it failed, and
            the error
        """
        if len(things) > 1 and not self.client.has_bulk:
            # Each is asked for alone, whether here or there.
            parts = [[thing] for thing in things]
        else:
            try:
                found = call(things)
                if found:
                    self.refused = 0
                return found
            except orthanc.OrthancError as error:
                if not self._is_of_one(error):
                    raise
                if len(things) == 1:
                    (refuse or self._refuse)(things[0], error)
                    return []
            half = len(things) // 2
            parts = [things[:half], things[half:]]
        return [
            item for part in parts
            for item in self._in_parts(call, part, refuse)]

    def _is_of_one(self, error):
        """Return whether another resource may be answered all the same."""
        if isinstance(error, orthanc.Unauthorized):
            # With a wrong password a server is not asked again and again.
            return not self.client.has_bulk
        if isinstance(error, orthanc.ServerError):
            return error.status in {500, 502}
        return isinstance(error, _REFUSED + _NOT_UNDERSTOOD)

    def _miss(self, ids, others):
        """Note what was not understood in an answer.

        :param others: what was
        """
        for id_ in ids:
            if others and id_:
                self.skip(id_, 'not_an_object')
            elif not others:
                self._refuse(id_, orthanc.BadAnswer())

    def _refuse(self, thing, error):
        self.refused += 1
        self.refusal = error
        if self.refused > MAX_REFUSED:
            raise error
        if isinstance(error, _NOT_UNDERSTOOD):
            reason = 'not_an_object'
        else:
            reason = 'refused' if isinstance(
                error, _REFUSED) else 'server_error'
        if thing:
            self.skip(_id(thing), reason)

    # What the following generators yield is done in the thread of the run:
    # only it has a transaction. They run ahead of it and use the server.

    def _do(self, steps):
        """Call what a generator yields."""
        self.corrections = transact(
            lambda: storage.corrections(self.server.id))
        with ahead(
                steps, self._prolong, PROLONG_SECONDS,
                self.client.abort) as steps:
            for step in steps:
                step()
                self._prolong()

    def _read_ids(self, ids, position=None, all_=False):
        """Read studies given by their Orthanc ids, yield how to store them.

        :param int position: what to keep with the last id of each group, for
            a run that goes on there
        :param bool all_: whether they are all that the server has: one that
            refuses each of them is ill
        """
        for start in range(0, len(ids), GROUP_STUDIES):
            group = ids[start:start + GROUP_STUDIES]
            studies = self._ask('studies', group)
            yield from self._lost(len(group) - len(studies))
            yield from self._read(studies)
            if all_ and self.refusal and not self.answered:
                raise self.refusal
            if position is not None:
                yield partial(self.commit, resume=f'{position} {group[-1]}')

    def _read(self, studies):
        """Read what is in studies, yield how to store it, a block at a time.

        :param studies: Orthanc's dicts
        """
        for group in cut(studies, count_series, GROUP_SERIES):
            series = self._read_series(group)
            there = [
                s for s in group
                if series[_id(s)] or not records.children(s)]
            yield from self._lost(len(group) - len(there))
            sizes = {_id(s): count_instances(series[_id(s)]) for s in there}
            for block in cut(
                    there, lambda s: sizes[_id(s)], BLOCK_INSTANCES):
                if sizes[_id(block[0])] > BLOCK_INSTANCES:
                    yield from self._read_large(block[0], series)
                else:
                    yield from self._read_block(block, series)

    def _read_series(self, studies):
        """Return the series of studies, lists of Orthanc's dicts by the
        Orthanc id of the study; none of a study of which one cannot be
        understood."""
        self.odd = False
        series = defaultdict(list)
        found = self._in_parts(
            partial(self._answer, 'series', source='studies'),
            list(map(_id, studies)))
        for item in _listed(_children(studies), found):
            series[records.parent(item)].append(item)
        if self.odd:
            told = {_id(item) for some in series.values() for item in some}
            missed = [
                _id(s) for s in studies
                if not told.issuperset(records.children(s))]
            self._miss(missed, len(missed) < len(studies))
            for uid in missed:
                series.pop(uid, None)
        return series

    def _read_block(self, studies, series):
        """Read the instances of studies, yield how to store the studies.

        :param series: lists of Orthanc's dicts by the Orthanc id of a study
        """
        items = self._in_parts(
            lambda part: self._read_items(part, series), studies)
        self.answered |= bool(items)
        yield partial(self._store_items, items)
        yield from self._lost(len(studies) - len(items))

    def _read_items(self, studies, series):
        """Read the instances of studies, return a list of StudyRows."""
        all_series = [item for s in studies for item in series[_id(s)]]
        instances, classes = defaultdict(list), {}
        self.odd = False
        for block in self._instance_blocks(all_series, classes):
            for uid, rows in self._convert_instances(block).items():
                instances[uid].extend(rows)
        if self.odd:
            studies = self._told(studies, series, {
                    row['orthanc_UID'] for rows in instances.values()
                    for row in rows})
        items = [self._convert_study(s, series[_id(s)]) for s in studies]
        items = list(filter(None, items))
        for item in items:
            for row, rows in item.series:
                rows.extend(self.convert.unique(
                        instances[row['orthanc_UID']], 'sop_instance_UID'))
            item.add_totals()
            item.set_classes(classes)
        return items

    def _told(self, studies, series, told):
        """Return the studies of which all instances were understood; those
        that went meanwhile are not missed.

        :param told: the Orthanc ids of the instances that were
        """
        if not self.odd:
            return studies
        missed = {
            _id(s) for s in studies if not told.issuperset(
                id_ for item in series[_id(s)]
                for id_ in records.children(item))}
        self._miss(missed, len(missed) < len(studies))
        return [s for s in studies if _id(s) not in missed]

    def _instance_blocks(self, series, classes):
        """Yield lists of Orthanc's dicts of the instances of series.

        :param classes: dict that gets the SOP Class UID of each series by
            its Orthanc id, before the second list comes
        """
        first, owners = {}, {}
        for item in series:
            ids = records.children(item)
            owners.update(dict.fromkeys(ids, item['ID']))
            if ids:
                # The same one in whatever order they are listed
                first[item['ID']] = min(ids)
        if not self.client.has_bulk:
            classes.update(
                (uid, self._sop_class(id_)) for uid, id_ in first.items())
        for block in self.client.instance_blocks(
                series, first=first.values(), strict=False):
            block = self._understood_instances(block, owners)
            for item in block:
                if 'Metadata' in item and (
                        item['ID'] == first[item['ParentSeries']]):
                    classes[item['ParentSeries']] = records.sop_class(item)
            yield block

    def _understood_instances(self, block, owners):
        """Return those of Orthanc's dicts that can be understood and that
        their series lists.

        :param owners: Orthanc ids of series by those of their instances
        """
        try:
            # What nearly all blocks are is dealt with first.
            found = [
                item for item in block
                if owners[item['ID']] == item['ParentSeries']
                and item['Type'] == 'Instance']
        except (KeyError, TypeError):
            found = []
        if len(found) < len(block):
            found = [
                item for item in self._understood('instances', block)
                if owners.get(item['ID']) == item.get('ParentSeries')]
        return found

    def _sop_class(self, instance):
        """Return the SOP Class UID of an instance, None when the server does
        not tell.

        :param str instance: its Orthanc id
        """
        try:
            metadata = self.client.metadata('instances', instance)
        except orthanc.OrthancError as error:
            if not self._is_of_one(error):
                raise
            return None
        return records.sop_class({'Metadata': metadata})

    def _read_large(self, study, series):
        """Read a study that is too large for the memory, yield how to store
        it: its instances come in blocks, its totals at the end."""
        item = self._convert_study(study, series[_id(study)])
        large, told, classes = item and LargeStudy(self, item), None, {}
        self.odd = False
        try:
            for block in self._instance_blocks(
                    series[_id(study)], classes) if item else ():
                if told is None:
                    told = set()
                    item.set_classes(classes)
                    yield large.store_head
                told.update(map(_id, block))
                yield partial(
                    large.store_instances, self._convert_instances(block))
        except orthanc.OrthancError as error:
            if not self._is_of_one(error):
                raise
            self._refuse(study, error)
            told = None
        if told is not None and self._told([study], series, told):
            self.answered = True
            yield large.store_tail
        else:
            yield from self._lost(1)

    def _convert_study(self, study, series):
        return self.convert.study(
            study, series, self.corrections.get(_id(study)))

    def _convert_instances(self, block):
        """Return rows of instances by the Orthanc id of their series.

        :param block: Orthanc's dicts
        """
        self.awaited.difference_update(map(_id, block))
        return self.convert.instances(block)

    def _lost(self, count):
        """Yield how to note that some studies were not there when they were
        asked for, or cannot be stored."""
        if count > 0:
            yield partial(self._lose, count)

    # Storing

    def _lose(self, count):
        self.done += count
        self.balance.doubtful = True

    def _store_items(self, items):
        """Store StudyRows; when that fails, each half of them."""
        try:
            self.commit(lambda: self._stored(items), len(items))
            return
        except (LostLease, backend.DatabaseOperationalError):
            raise
        except Exception as error:
            events.log_unexpected(error)
        if len(items) == 1:
            self._store_unlinked(items[0])
        else:
            half = len(items) // 2
            self._store_items(items[:half])
            self._store_items(items[half:])

    def _stored(self, items, link=True):
        tree = storage.Tree(self.server.id, now(), self.told)
        tree.store(items)
        for item in items if tree.resent else ():
            self._note_resent(item, tree, [
                    row for _, rows in item.series for row in rows])
        if link:
            tree.counts['studies_linked'] = deciding.link_studies(tree.touched)
        else:
            events.mark_undecided(tree.touched)
        return tree.counts

    def _look_closer(self):
        """Read an image of each study that was decided by less than the UID
        of a request, and decide again with what it tells."""
        for _ in range(LOOKED_INTO_ROUNDS):
            ids = transact(lambda: deciding.wanting_details(
                    self.server.id, LOOKED_INTO))
            found = self._look_into(ids) if ids else ()
            if found:
                self.commit(lambda: {
                        'studies_linked': deciding.link_studies(found)})
            if len(ids) < LOOKED_INTO:
                break

    def _look_into(self, ids):
        """Read one image of each of some studies for what their server does
        not list, and store it: see records.details.

        It asks over a connection of its own, as the other one reads ahead.
        A study whose image cannot be read is not asked for again until it
        changes.

        :param ids: ids of studies that are stored and committed, of which
            LOOKED_INTO are read
        :return: ids of those that told something
        """
        ids = sorted(ids)[:LOOKED_INTO]
        instances = transact(lambda: storage.instances_to_read(ids))
        # Where there is no picture, there is nothing to read.
        seen, found = [id_ for id_ in ids if id_ not in instances], {}
        with connect(self.server) as client:
            roll_back()
            for id_, tags in self._tags(client, instances):
                seen.append(id_)
                if tags is not None:
                    found[id_] = records.details(tags)
            self.looked += client.calls
        self.commit(lambda: storage.store_details(found, seen, now()))
        return {id_ for id_, row in found.items() if any(row.values())}

    def _tags(self, client, instances):
        """Yield the ids of studies and the attributes of their instances,
        None where they cannot be read, until nobody answers.

        :param instances: Orthanc ids by the id of the study
        """
        refused = 0
        for id_, uid in instances.items():
            try:
                tags, refused = client.tags(uid), 0
            except (orthanc.OrthancError, ValueError) as error:
                logger.info("server %s: %s", self.server.id, error)
                tags, refused = None, refused + 1
                if refused > MAX_REFUSED or isinstance(error, _SILENT):
                    return
            yield id_, tags
            self._prolong()

    def _note_resent(self, item, tree, rows):
        for row in rows:
            if row['orthanc_UID'] in tree.resent:
                self.resent[item.uid] = row['orthanc_UID'], item.identity
                break

    def _store_unlinked(self, item):
        """Store a study on which storing and linking failed."""
        try:
            self.commit(lambda: self._stored([item], link=False), 1)
            self.skip(item.uid, 'not_linked')
        except (LostLease, backend.DatabaseOperationalError):
            raise
        except Exception as error:
            events.log_unexpected(error)
            self.skip(item.uid, 'not_stored')
            self._lose(1)


class LargeStudy:
    """A study whose instances are stored in several transactions.

    :param run: the Run
    :param item: StudyRows without instances
    """

    def __init__(self, run, item):
        self.run = run
        self.item = item
        # What the head of the study did
        self.head = None
        # Ids of the series by their Orthanc ids
        self.series = {}
        # Orthanc ids of the instances by series and SOP Instance UID
        self.present = {}

    def store_head(self):
        """Store the study and its series."""
        self.run.commit(self._store_head)

    def store_instances(self, rows):
        """Store some of the instances.

        :param rows: lists of rows by the Orthanc id of their series
        """
        rows = self._new(rows)
        self.run.commit(lambda: self._store_instances(rows))

    def store_tail(self):
        """Store the totals, and delete what is gone."""
        uids = {id_: uid for uid, id_ in self.series.items()}
        self.item.count(Counter(uids[series] for series, _ in self.present))
        self.run.commit(self._store_tail, 1)

    def _tree(self):
        return storage.Tree(self.run.server.id, now(), self.run.told)

    def _store_head(self):
        self.head = tree = self._tree()
        self.series = tree.store_studies([self.item])
        return tree.counts.copy()

    def _new(self, rows):
        """Return rows that can be stored, without duplicates."""
        found = []
        for uid, some in rows.items():
            for row in some if uid in self.series else ():
                key = self.series[uid], row['sop_instance_UID']
                other = self.present.setdefault(key, row['orthanc_UID'])
                if other == row['orthanc_UID']:
                    found.append({**row, 'series': self.series[uid]})
                else:
                    self.run.skip(row['orthanc_UID'], 'duplicate_uid')
        return found

    def _store_instances(self, rows):
        tree = self._tree()
        tree.store_instances(rows)
        self.run._note_resent(self.item, tree, rows)
        return tree.counts

    def _store_tail(self):
        tree = self._tree()
        tree.store_totals(self.item)
        tree.drop_instances(self.series.values(), self.present)
        for level in ['studies', 'series']:
            # What is counted as new or changed already
            seen = sum(
                self.head.counts[f'{level}_{what}']
                for what in ['new', 'changed'])
            name = f'{level}_changed'
            tree.counts[name] = max(tree.counts[name] - seen, 0)
        tree.counts['studies_linked'] = deciding.link_studies(
            self.head.touched | tree.touched)
        return tree.counts


def _nothing():
    return None


def _unexpected():
    return gettext('health_orthanc.msg_sync_unexpected')


def _changed_ids(changes):
    """Return the Orthanc ids in changes that may tell something new, lists by
    level."""
    ids = defaultdict(list)
    for change in changes:
        level, kind = change.get('ResourceType'), change.get('ChangeType')
        if str(kind) not in _ECHOES and str(level) in _COLLECTIONS:
            ids[_COLLECTIONS[level]].append(str(change.get('ID')))
    return ids


def _children(parents):
    """Return the Orthanc ids that some of Orthanc's dicts list, sets by their
    own."""
    return {_id(p): frozenset(records.children(p)) for p in parents}


def _listed(listed, children):
    """Yield those of Orthanc's dicts that belong to others, and that these
    list if they list any.

    :param listed: what _children returns
    """
    for child in children:
        ids = listed.get(records.parent(child))
        if ids is not None and (not ids or child['ID'] in ids):
            yield child


def _groups(ids, size):
    return [ids[i:i + size] for i in range(0, len(ids), size)]


def _id(thing):
    """Return the Orthanc id of a dict of Orthanc's, of an id itself; None when
    it is none."""
    id_ = thing.get('ID') if isinstance(thing, dict) else thing
    return id_ if isinstance(id_, str) else None
