# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of people, requests and studies that start a new match.

A change is stored in its own transaction, and matched in a later one: a match
that fails does not make the change fail. It stays stored with its error, and
the next synchronization tries it again.
"""
import datetime as dt
import json
import logging
import traceback

from sql import Null
from sql.conditionals import Coalesce
from sql.functions import Lower

from trytond import backend
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.kept import Ledger
from trytond.modules.health_imaging.migration import insert_row, set_where
from trytond.modules.health_imaging.minute import Minute, now
from trytond.modules.health_imaging.told import Told, tell
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from .. import blocks, matching, tables
from ..sync import transactions
from . import deciding, effects, facts, further, twins

logger = logging.getLogger(__name__)

# A synchronization may read people and requests before a change is committed,
# and store its studies after the change was matched. So each run repeats what
# was matched since it began.
KEPT = dt.timedelta(days=7)
# Allowed difference of the clocks of two computers.
CLOCKS = dt.timedelta(seconds=2)
# Causes that change nothing of whether a request has images but its links.
_OF_PEOPLE = {'people', 'merge'}
# A date of birth shared by more studies identifies nobody.
_MOST_STUDIES_OF_ONE_DAY = 500


class LinkEvent(Ledger, ModelSQL, ModelView):
    "Waiting Decision"
    __name__ = 'gnuhealth.orthanc.link_event'

    kind = fields.Selection([
            ('people', "People"),
            ('request', "Requests"),
            ('study', "Studies"),
            ], "What Changed", required=True, readonly=True, sort=False)
    cause = fields.Char("Cause", required=True, readonly=True)
    changed = fields.Text("IDs of the Records", required=True, readonly=True,
        help="The IDs of the records that changed, and the identifiers that "
        "people had before.")
    user = fields.Many2One(
        'res.user', "User", readonly=True, ondelete='SET NULL')
    at = Minute("Date", required=True, readonly=True)
    decided_at = fields.DateTime("Decided at", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    error = Told("Error", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.add(
            Index(table, (table.decided_at, Index.Range())))

    @classmethod
    def __register__(cls, module):
        is_new = not backend.TableHandler.table_exist(cls._table)
        super().__register__(module)
        # The next run ends the links of the missing ones, of which the
        # studies were sent again before there were events.
        ids = is_new and twins.studies_sent_again()
        if ids:
            insert_row(cls.__table__(), kind='study', cause='sync',
                changed=json.dumps([sorted(ids), []]), at=now())

    def get_rec_name(self, name):
        return f'{self.at:%Y-%m-%d %H:%M}'

    @classmethod
    @without_check_access
    def note(cls, kind, ids, cause, identifiers=()):
        """Store that records changed, and queue the matching of their studies.

        :param str kind: people (ids of parties), request or study
        :param str cause: one of link.CAUSES
        :param identifiers: former identifiers of people
        """
        ids = sorted(set(ids))
        if not ids:
            return
        (id_,), = tables.insert(cls, [{
                    'kind': kind,
                    'cause': cause,
                    'changed': json.dumps([ids, sorted(identifiers)]),
                    'user': Transaction().user or None,
                    'at': now(),
                    'attempts': 0,
                    }], 'id')
        cls.__queue__.settle(cls.browse([id_]))

    @classmethod
    @without_check_access
    def settle(cls, events):
        "Match the studies of events, in transactions of their own."
        for id_ in [e.id for e in events]:
            failed = False
            try:
                found = transactions.transact(lambda: cls._read(id_))
                if found:
                    user, cause, studies = found
                    with Transaction().set_user(user):
                        decide_in_parts(studies, cause)
            except Exception as error:
                # One failing event must not stop the others.
                log_unexpected(error)
                failed = True
            transactions.transact(lambda: cls._note_outcome(id_, failed))

    @classmethod
    def _read(cls, id_):
        """Return user, cause and studies of an event, None when it is gone."""
        for event in cls.search([('id', '=', id_)]):
            ids, identifiers = json.loads(event.changed)
            user = event.user.id if event.user else Transaction().user
            return user, event.cause, sorted(
                _STUDIES[event.kind](ids, identifiers))

    @classmethod
    def _note_outcome(cls, id_, failed):
        at, table = now(), cls.__table__()
        values = {'attempts': Coalesce(table.attempts, 0) + 1, 'error': None}
        if failed:
            values['error'] = cls.error.sql_format(
                tell('health_orthanc.msg_event_failed'))
        else:
            # A repeated match keeps the time of the first one.
            values['decided_at'] = Coalesce(table.decided_at, at)
        set_where(table, table.id == id_, **values)
        tables.forget(cls, [id_])
        tables.execute(table.delete(where=table.decided_at < at - KEPT))

    @classmethod
    @without_check_access
    def catch_up(cls, since):
        """Match what waits, what failed, and what changed since a moment.

        Commits transactions. Called at the end of a synchronization.

        :param datetime.datetime since: begin of the run, UTC
        """
        events = cls.search(['OR',
                ('decided_at', '=', None),
                ('decided_at', '>=', since - CLOCKS),
                ], order=[('id', 'ASC')])
        cls.settle(events)
        table = _study_table()
        decide_in_parts([id_ for id_, in tables.execute(table.select(
                        table.id, where=table.undecided_since != Null,
                        order_by=table.id))], 'sync')


def decide_in_parts(studies, cause):
    """Match studies, mark those that fail for the next run to try again.

    Commits transactions.

    :param studies: list of ids
    :param str cause: one of link.CAUSES
    """
    for sub in grouped_slice(studies, 500):
        _decide_part(list(sub), cause)


def _decide_part(ids, cause):
    try:
        transactions.transact(lambda: decide(ids, cause))
    except backend.DatabaseOperationalError:
        raise
    except Exception as error:
        log_unexpected(error)
        half = len(ids) // 2
        if half:
            _decide_part(ids[:half], cause)
            _decide_part(ids[half:], cause)
        else:
            transactions.transact(lambda: mark_undecided(ids))


@without_check_access
def decide(ids, cause):
    """Match studies and take back that their match failed.

    :param str cause: one of link.CAUSES
    """
    deciding.link_studies(ids, cause)
    if cause not in _OF_PEOPLE:
        # A request may be open again, or a study was stored without its link.
        effects.count_images_of(ids)
    table = _study_table()
    tables.execute(table.update([table.undecided_since], [Null],
            where=reduce_ids(table.id, ids)
            & (table.undecided_since != Null)))


def mark_undecided(ids):
    "Mark studies, given by their ids, whose match failed."
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    tables.set_values(Study, ids, undecided_since=now())


def log_unexpected(error):
    """Log the place of an error without its message, which may contain data
    of a patient."""
    logger.error("unexpected %s\n%s", type(error).__name__, ''.join(
            traceback.format_tb(error.__traceback__)))
    logger.debug("its text is: %s", error)


# Studies affected by a change, one statement for each relation

def _study_table():
    return Pool().get('gnuhealth.imaging_orthanc.study').__table__()


def _candidate_table():
    return Pool().get('gnuhealth.imaging_orthanc.link_candidate').__table__()


def among_candidates(name, ids):
    """Return the ids of studies that have some records as candidates.

    :param str name: name of the column
    """
    table = _candidate_table()
    return blocks.ids(table, table.study, getattr(table, name), ids)


def _studies_of_people(parties, identifiers):
    """Return the studies whose match may depend on people: their own, those
    that have them as candidates, and unlinked ones with their PatientID, a
    former one among them, or date of birth."""
    lines = facts.lines_of(parties).values()
    patients = set().union(*lines)
    known = facts.patient_facts({line[-1] for line in lines}).values()
    codes = {*identifiers}
    for person in known:
        codes |= {person.puid, *(code for code, _ in person.alternative_ids)}
    codes = {
        spelling.lower() for code in codes for spelling in matching.keys(
            matching.StudyFacts(None, patient_id=code)).identifiers}
    table, candidate = _study_table(), _candidate_table()
    found = blocks.union(
        (table, [table.id], table.patient, patients),
        (candidate, [candidate.study], candidate.patient, patients),
        (table, [table.id], Lower(table.patient_id), codes))
    return {id_ for id_, in found} | _born_on(
        {p.birth_date for p in known if p.birth_date})


def _born_on(births):
    """Return unlinked studies of people born on some days."""
    table, found = _study_table(), set()
    for birth in births:
        rows = tables.execute(table.select(
                table.id, limit=_MOST_STUDIES_OF_ONE_DAY,
                where=(table.patient_birth_date == birth)
                & (table.patient == Null)))
        if len(rows) < _MOST_STUDIES_OF_ONE_DAY:
            found.update(id_ for id_, in rows)
    return found


def _studies_of_requests(requests, _):
    """Return the studies whose match may depend on requests: their own, those
    with their numbers, and those of their patients, as images may come before
    the order is written."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = Request.search([('id', 'in', list(requests))])
    ids, patients = {r.id for r in requests}, {r.patient for r in requests}

    def all_of(*names):
        return {
            getattr(r, name, None) for r in requests for name in names
            } - {None, ''}

    numbers = all_of('request', 'request_line', 'accession_number', 'step_id')
    table, candidate = _study_table(), _candidate_table()
    beside = Pool().get(further.NAME).__table__()
    found = blocks.union(
        (candidate, [candidate.study], candidate.request, ids),
        (beside, [beside.study], beside.request, ids),
        (table, [table.id], table.request, ids),
        (table, [table.id], table.study_instance_UID,
            all_of('merge_id', 'former_merge_id')),
        (table, [table.id], Lower(table.accession_number),
            {n.lower() for n in numbers}),
        (table, [table.id], Lower(table.patient_id),
            {p.puid.lower() for p in patients if p.puid}),
        (table, [table.id], table.patient, {p.id for p in patients},
            table.request == Null))
    return {id_ for id_, in found}


_STUDIES = {
    'people': _studies_of_people,
    'request': _studies_of_requests,
    'study': lambda ids, _: set(ids),
    }


# Called by the models that change

def _note(*args):
    Pool().get('gnuhealth.orthanc.link_event').note(*args)


def people_changed(parties, cause='people', identifiers=()):
    """Note that the identity of people changed.

    :param parties: ids of parties
    :param str cause: one of link.CAUSES
    :param identifiers: former identifiers
    """
    _note('people', parties, cause, filter(None, identifiers))


def requests_changed(requests):
    "Note that requests, given by their ids, changed."
    _note('request', requests, 'request')


def studies_let_go(changes, cause, offered=()):
    """Note that studies lost their link or their candidates.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param offered: ids of the studies that had the record as candidate
    """
    _note('study', [*(c.study for c in changes), *offered], cause)
