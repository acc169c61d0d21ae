# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in the world makes studies be decided again: people, requests and
studies that change.

A change is noted in its own transaction, and decided afterwards in another
one: a decision that fails cannot make the change fail. What failed stays
noted with its reason, and the next synchronization tries it again.
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

# A run may have read people and requests before a change was committed, and
# store its studies after it was decided. So each run decides again what was
# decided since it began.
KEPT = dt.timedelta(days=7)
# What the clocks of two computers may differ.
CLOCKS = dt.timedelta(seconds=2)
# Where thousands share a date of birth it tells nothing.
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
        """Note the studies that were sent again before there were events, so
        that the next run ends the links of those that are missing."""
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
        """Note that records changed, and decide on their studies later.

        :param str kind: people (ids of parties), request or study
        :param ids: ids of the records
        :param str cause: of link.CAUSES
        :param identifiers: what identified people before
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
        """Decide on the studies that events are about. It ends the present
        transaction.

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
                # Whatever goes wrong must not stop the other events.
                log_unexpected(error)
                failed = True
            transactions.transact(lambda: cls._note_outcome(id_, failed))

    @classmethod
    def _read(cls, id_):
        """Return the user, the cause and the studies of an event, None when
        it is gone."""
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
                            # A run that decides again decides for itself.
                            'decided_at': (
                                event.decided_at or transactions.now())}),
                    })
        cls._forget(transactions.now() - KEPT)

    @classmethod
    @without_check_access
    def catch_up(cls, since):
        """Decide on what waits or failed, and again on what happened since a
        run began. It ends transactions.

        :param datetime since: UTC
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
    """Decide on studies, those apart on which it fails. It ends transactions.

    What could not be decided is marked, and tried again by the next run.

    :param studies: list of ids
    :param str cause: of link.CAUSES
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
    """Decide on studies, and take back that they could not be decided.

    :param ids: ids of studies
    :param str cause: of link.CAUSES
    """
    deciding.link_studies(ids, cause)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    tables.execute(table.update([table.undecided_since], [Null],
            where=reduce_ids(table.id, ids or [-1])
            & (table.undecided_since != Null)))


def mark_undecided(ids):
    """Mark studies whose link could not be decided.

    :param ids: ids of studies
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    tables.set_values(Study, ids, undecided_since=transactions.now())


def log_unexpected(error):
    """Log where something happened, but not its text, in which a database may
    repeat what it was given of a patient.

    :param Exception error: what was raised
    """
    logger.error("unexpected %s\n%s", type(error).__name__, ''.join(
            traceback.format_tb(error.__traceback__)))
    logger.debug("its text is: %s", error)


# Which studies a change concerns: one statement for each way

def _studies(where):
    "Return the ids of studies, given by a function of their table."
    table = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    return {id_ for id_, in tables.execute(
            table.select(table.id, where=where(table)))}


def _in_blocks(values, column):
    """Return the ids of studies with one of some values.

    :param column: function of the table of studies
    """
    return {
        id_ for sub in grouped_slice(sorted(values), 1000)
        for id_ in _studies(lambda table: column(table).in_(list(sub)))}


def among_candidates(name, ids):
    "Return the ids of studies to which a person may link some records."
    table = Pool().get(
        'gnuhealth.imaging_orthanc.link_candidate').__table__()
    return {
        id_ for sub in grouped_slice(sorted(ids), 1000)
        for id_, in tables.execute(table.select(table.study,
                where=getattr(table, name).in_(list(sub))))}


def studies_of_people(parties, identifiers=()):
    """Return the studies that people may be concerned with: their own, those
    that a person may give them, and those with their PatientID or date of
    birth that are nobody's.

    :param parties: ids of parties
    :param identifiers: what identified them before
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
    "Return nobody's studies of people who are born on some days."
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
    """Return the studies that requests may be concerned with: their own,
    those with their numbers, and those of their patients.

    Images may have come before their order was written.

    :param requests: ids of requests
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
    "Return the ids of the studies of patients that are of no request."
    return {
        id_ for sub in grouped_slice(sorted(patients), 1000)
        for id_ in _studies(lambda table: reduce_ids(table.patient, list(sub))
            & (table.request == Null))}


STUDIES = {
    'people': studies_of_people,
    'request': studies_of_requests,
    'study': lambda ids, identifiers=(): set(ids),
    }


# What calls these are the models that change

def people_changed(parties, cause='people', identifiers=()):
    """Note that something changed by which people are recognized.

    :param parties: ids of parties
    :param str cause: of link.CAUSES
    :param identifiers: what identified them before
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'people', parties, cause, [i for i in identifiers if i])


def requests_changed(requests):
    """Note that requests changed.

    :param requests: ids
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'request', requests, 'request')


def studies_let_go(changes, cause, offered=()):
    """Note that studies lost what they belonged to, or what was offered.

    :param changes: list of link.Change
    :param str cause: of link.CAUSES
    :param offered: ids of the studies that had it among their candidates
    """
    Pool().get('gnuhealth.orthanc.link_event').note(
        'study', [*(c.study for c in changes), *offered], cause)
