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
from sql.functions import Lower

from trytond import backend
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from .. import matching, tables
from ..kept import Ledger
from ..sync import transactions
from . import deciding, facts, twins

logger = logging.getLogger(__name__)

# A synchronization may read people and requests before a change is committed,
# and store its studies after the change was matched. So each run repeats what
# was matched since it began.
KEPT = dt.timedelta(days=7)
# Allowed difference of the clocks of two computers.
CLOCKS = dt.timedelta(seconds=2)
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
    at = fields.DateTime("Date", required=True, readonly=True)
    decided_at = fields.DateTime("Decided at", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    error = fields.Text("Error", readonly=True)

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
        if is_new:
            cls._note_sent_again()

    @classmethod
    def _note_sent_again(cls):
        """Note the studies sent again before there were events.

        The next run ends the links of the missing ones.
        """
        ids = twins.studies_sent_again()
        if ids:
            table = cls.__table__()
            tables.execute(table.insert(
                    [table.kind, table.cause, table.changed, table.at],
                    [['study', 'sync', json.dumps([sorted(ids), []]),
                        transactions.now()]]))

    @staticmethod
    def default_attempts():
        return 0

    def get_rec_name(self, name):
        return f'{self.at:%Y-%m-%d %H:%M}'

    @classmethod
    @without_check_access
    def note(cls, kind, ids, cause, identifiers=()):
        """Store that records changed, and queue the matching of their studies.

        :param str kind: people (ids of parties), request or study
        :param ids: ids of the records
        :param str cause: one of link.CAUSES
        :param identifiers: former identifiers of people
        """
        ids = sorted(set(ids))
        if not ids:
            return
        events = cls.create([{
                    'kind': kind,
                    'cause': cause,
                    'changed': json.dumps([ids, sorted(identifiers)]),
                    'user': Transaction().user or None,
                    'at': transactions.now(),
                    }])
        cls.__queue__.settle(events)

    @classmethod
    @without_check_access
    def settle(cls, events):
        """Match the studies of events.

        Commits transactions.

        :param events: records
        """
        for id_ in [e.id for e in events]:
            try:
                found = transactions.transact(lambda: cls._read(id_))
                if found:
                    user, cause, studies = found
                    with Transaction().set_user(user):
                        decide_in_parts(studies, cause)
                failed = False
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
                STUDIES[event.kind](ids, identifiers))

    @classmethod
    def _note_outcome(cls, id_, failed):
        for event in cls.search([('id', '=', id_)]):
            cls.write([event], {
                    'attempts': (event.attempts or 0) + 1,
                    **({'error': gettext('health_orthanc.msg_event_failed')}
                        if failed else {
                            'error': None,
                            # A repeated match keeps the time of the first one.
                            'decided_at': (
                                event.decided_at or transactions.now())}),
                    })
        cls._forget(transactions.now() - KEPT)

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
        if events:
            cls.settle(events)
        decide_in_parts(sorted(_studies(
                    lambda table: table.undecided_since != Null)), 'sync')

    @classmethod
    def _forget(cls, before):
        table = cls.__table__()
        tables.execute(table.delete(
                where=table.decided_at < before))


def decide_in_parts(studies, cause):
    """Match studies; one that fails does not stop the others.

    Studies that fail are marked, and the next run tries them again. Commits
    transactions.

    :param studies: list of ids
    :param str cause: one of link.CAUSES
    """
    for sub in grouped_slice(studies, 500):
        _decide_part(list(sub), cause)


def _decide_part(ids, cause):
    try:
        transactions.transact(lambda: decide(ids, cause))
        return
    except backend.DatabaseOperationalError:
        raise
    except Exception as error:
        log_unexpected(error)
    if len(ids) == 1:
        transactions.transact(lambda: mark_undecided(ids))
    else:
        half = len(ids) // 2
        _decide_part(ids[:half], cause)
        _decide_part(ids[half:], cause)


@without_check_access
def decide(ids, cause):
    """Match studies and remove their mark of a failed match.

    :param ids: ids of studies
    :param str cause: one of link.CAUSES
    """
    deciding.link_studies(ids, cause)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    tables.execute(table.update([table.undecided_since], [Null],
            where=reduce_ids(table.id, ids or [-1])
            & (table.undecided_since != Null)))


def mark_undecided(ids):
    """Mark studies whose match failed.

    :param ids: ids of studies
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    tables.set_values(Study, ids, undecided_since=transactions.now())


def log_unexpected(error):
    """Log the place of an error without its message.

    The message of a database may contain data of a patient.

    :param Exception error: the error
    """
    logger.error("unexpected %s\n%s", type(error).__name__, ''.join(
            traceback.format_tb(error.__traceback__)))
    logger.debug("its text is: %s", error)


# Studies affected by a change, one statement for each relation

def _studies(where):
    """Return the ids of studies.

    :param where: function of the table of studies
    """
    table = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    return {id_ for id_, in tables.execute(
            table.select(table.id, where=where(table)))}


def _in_blocks(values, column):
    """Return the ids of studies that have one of some values.

    :param values: the values
    :param column: function of the table of studies
    """
    return {
        id_ for sub in grouped_slice(sorted(values), 1000)
        for id_ in _studies(lambda table: column(table).in_(list(sub)))}


def among_candidates(name, ids):
    """Return the ids of studies that have some records as candidates.

    :param str name: name of the column
    :param ids: ids of the records
    """
    table = Pool().get(
        'gnuhealth.imaging_orthanc.link_candidate').__table__()
    return {
        id_ for sub in grouped_slice(sorted(ids), 1000)
        for id_, in tables.execute(table.select(table.study,
                where=getattr(table, name).in_(list(sub))))}


def studies_of_people(parties, identifiers=()):
    """Return the studies whose match may depend on people.

    These are their own studies, those that have them as candidates, and
    unlinked ones with their PatientID or date of birth.

    :param parties: ids of parties
    :param identifiers: former identifiers
    :rtype: set of int
    """
    present = facts.patients_of(parties)
    former = facts.patients_by_party(parties)
    patients = {*present.values(), *former.values()}
    Patient = Pool().get('gnuhealth.patient')
    known = facts.patient_facts(
        Patient.browse(sorted(set(present.values()))))
    codes = {*identifiers}
    for person in known:
        codes |= {person.puid, *(code for code, _ in person.alternative_ids)}
    codes = {
        spelling.lower() for code in codes for spelling in matching.keys(
            matching.StudyFacts(None, patient_id=code)).identifiers}
    return (
        _in_blocks(patients, lambda table: table.patient)
        | among_candidates('patient', patients)
        | _in_blocks(codes, lambda table: Lower(table.patient_id))
        | _born_on({p.birth_date for p in known if p.birth_date}))


def _born_on(births):
    """Return unlinked studies of people born on some days."""
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    found = set()
    for birth in births:
        rows = tables.execute(table.select(table.id,
                where=(table.patient_birth_date == birth)
                & (table.patient == Null),
                limit=_MOST_STUDIES_OF_ONE_DAY))
        if len(rows) < _MOST_STUDIES_OF_ONE_DAY:
            found.update(id_ for id_, in rows)
    return found


def studies_of_requests(requests, identifiers=()):
    """Return the studies whose match may depend on requests.

    These are their own studies, those with their numbers, and those of their
    patients: images may come before the order is written.

    :param requests: ids of requests
    :param identifiers: former numbers
    :rtype: set of int
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = Request.search([('id', 'in', list(requests))])
    ids = {r.id for r in requests}

    def all_of(*names):
        return {
            value for r in requests for name in names
            for value in [getattr(r, name, None)] if value}

    numbers = {n.lower() for n in all_of(
            'request', 'request_line', 'accession_number', 'step_id')}
    patients = {r.patient.id for r in requests}
    return (
        _in_blocks(ids, lambda table: table.request)
        | among_candidates('request', ids)
        | _in_blocks(all_of('merge_id', 'former_merge_id'),
            lambda table: table.study_instance_UID)
        | _in_blocks(numbers, lambda table: Lower(table.accession_number))
        | _without_request(patients)
        | _in_blocks(
            {r.patient.puid.lower() for r in requests if r.patient.puid},
            lambda table: Lower(table.patient_id)))


def _without_request(patients):
    """Return the ids of the studies of patients that have no request."""
    return {
        id_ for sub in grouped_slice(sorted(patients), 1000)
        for id_ in _studies(lambda table: reduce_ids(table.patient, list(sub))
            & (table.request == Null))}


STUDIES = {
    'people': studies_of_people,
    'request': studies_of_requests,
    'study': lambda ids, identifiers=(): set(ids),
    }


# Called by the models that change

def people_changed(parties, cause='people', identifiers=()):
    """Note that the identity of people changed.

    :param parties: ids of parties
    :param str cause: one of link.CAUSES
    :param identifiers: former identifiers
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'people', parties, cause, [i for i in identifiers if i])


def requests_changed(requests):
    """Note that requests changed.

    :param requests: ids of requests
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'request', requests, 'request')


def studies_let_go(changes, cause, offered=()):
    """Note that studies lost their link or their candidates.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param offered: ids of the studies that had the record as candidate
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'study', [*(c.study for c in changes), *offered], cause)
