# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed since the last poll of the worklist, each change once.

A cursor is the moment of a poll, and what had changed shortly before it: a
transaction may take a while to be committed, so that time is looked at again.
"""
import base64
import datetime as dt
import hashlib

from sql import Literal, Select, Union
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp

from trytond.model import Index
from trytond.modules.health_imaging.tables import execute, moment
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice, reduce_ids

#: A transaction may take this long to be committed.
OVERLAP = dt.timedelta(minutes=2)
#: After this long all is compared.
_LONGEST = dt.timedelta(hours=1)
#: The most changes that a cursor remembers; the others are told again.
MOST_SEEN = 10_000
#: Characters of a change in a cursor.
_SEEN = 8

REQUEST = 'gnuhealth.imaging.test.request'
EXAM = 'gnuhealth.imaging.test'
PATIENT = 'gnuhealth.patient'
DOCTOR = 'gnuhealth.healthprofessional'
PARTY = 'party.party'
TYPE = 'gnuhealth.imaging.test.type'
TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
MACHINE = 'gnuhealth.imaging_worklist.machine'
COMPANY = 'company.company'
#: What belongs to all requests.
ALL = None
#: What entries are made of: the model, the column of what it belongs to, and
#: the model of that. Some come with modules that may not be activated.
SOURCES = [
    *((name, 'id', name) for name in [
            REQUEST, EXAM, PATIENT, DOCTOR, PARTY, TYPE, TEMPLATE, MACHINE]),
    ('gnuhealth.person_name', 'party', PARTY),
    ('gnuhealth.hp_specialty', 'healthprof', DOCTOR),
    *((name, 'patient', PATIENT) for name in [
            'gnuhealth.patient.evaluation', 'gnuhealth.patient.disease',
            'gnuhealth.patient.medication', 'gnuhealth.patient.pregnancy',
            'gnuhealth.patient.menstrual_history', 'gnuhealth.lab']),
    *((name, 'id', ALL) for name in [
            COMPANY, 'gnuhealth.institution', 'gnuhealth.specialty',
            'gnuhealth.pathology', 'gnuhealth.medicament']),
    ]


class Changes:
    """What changed since a poll.

    :param str since: the cursor of that poll, None to begin
    :ivar datetime.datetime moment: since when, naive, UTC; None for all:
        without a cursor, with an old one, and when the clock of the database
        went back
    :ivar str cursor: that of the next poll
    """

    def __init__(self, since):
        now = database_time()
        self.moment, seen = _read(since, now)
        self._touched, noted, there = {}, [], sources()
        for source, id_, owner, at in _changed(
                there, (self.moment or now) - OVERLAP):
            key = _key(source, id_, at)
            # What this transaction changed may change again.
            if moment(at) < now:
                noted.append(key)
            if key not in seen and owner:
                self._touched.setdefault(there[source][2], set()).add(owner)
        self.cursor = f"{now.isoformat()}|{''.join(noted[-MOST_SEEN:])}"

    def requests(self, is_open):
        """Return the numbers of the requests that changed, and of those of
        the worklist whose entries may have changed, two dicts by id.

        :param is_open: function of the table of requests that returns which
            are in the worklist, SQL
        """
        get = self._touched.get
        parties = get(PARTY, ())
        table = Pool().get(REQUEST).__table__()
        around = {}
        if get(ALL) or _ids(COMPANY, 'party', parties):
            around.update(execute(table.select(
                        table.id, table.request_line, where=is_open(table))))
        exams = get(EXAM, set()) | _ids(
            EXAM, 'test_type', get(TYPE, ())) | _ids(
            EXAM, 'imaging_worklist_template', get(TEMPLATE, ()))
        for column, ids in [
                (table.patient, get(PATIENT, set()) | _ids(
                        PATIENT, 'party', parties)),
                (table.doctor, get(DOCTOR, set()) | _ids(
                        DOCTOR, 'party', parties)),
                (table.requested_test, exams),
                (table.machine, get(MACHINE, ()))]:
            around.update(_rows(
                    table, column, ids, table.request_line, is_open(table)))
        own = dict(_rows(
                table, table.id, get(REQUEST, ()), table.request_line))
        return own, {
            id_: number for id_, number in around.items() if id_ not in own}


def _changed(there, moment):
    "Return index of the source, id, id of the owner, and stamp of rows."
    queries = [
        table.select(
            Literal(index), table.id, getattr(table, column), modified(table),
            where=modified(table) >= moment)
        for index, (table, column, _) in enumerate(there)]
    return sorted(execute(Union(*queries, all_=True)),
        key=lambda row: str(row[-1]))


def sources():
    """Return the SOURCES there are, with the tables (SQL) of their models."""
    pool = Pool()
    known = {name for name, _ in pool.iterobject()}
    return [
        (pool.get(name).__table__(), column, owner)
        for name, column, owner in SOURCES if name in known]


def _ids(name, column, values):
    "Return the ids of the records of a model that have values."
    table = Pool().get(name).__table__()
    return {id_ for id_, _ in _rows(
            table, getattr(table, column), values, table.id)}


def _rows(table, column, values, wanted, condition=Literal(True)):
    "Return id and a column of the rows that have values, list of pairs."
    return [
        row for some in grouped_slice(list(values))
        for row in execute(table.select(table.id, wanted,
                where=reduce_ids(column, some) & condition))]


def _key(source, id_, at):
    """Return what a change is known by in a cursor, str."""
    digest = hashlib.sha256(f'{source} {id_} {at}'.encode()).digest()
    return base64.b64encode(digest[:_SEEN * 3 // 4]).decode()


def _read(since, now):
    "Return the moment and the keys of a cursor."
    try:
        at, _, keys = since.partition('|')
        at = dt.datetime.fromisoformat(at)
        if now - _LONGEST <= at <= now:
            return at, {
                keys[i:i + _SEEN] for i in range(0, len(keys), _SEEN)}
    except (AttributeError, OverflowError, TypeError, ValueError):
        # It is none.
        pass
    return None, ()


def database_time():
    """Return the time of the database, which stamps what changes, naive as
    the stamps are."""
    (now,), = execute(Select([CurrentTimestamp()]))
    return moment(now).replace(tzinfo=None)


def modified(table):
    """Return when a row was changed last, SQL.

    :param table: of a model
    """
    return Coalesce(table.write_date, table.create_date)


class StampedMixin:
    """Mixin of models whose changes are found by their time."""
    __slots__ = ()

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (modified(table), Index.Range())))


class Patient(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'


class Party(StampedMixin, metaclass=PoolMeta):
    __name__ = 'party.party'


class PersonName(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_name'


class Evaluation(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.evaluation'


class Disease(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.disease'


class Medication(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.medication'


class Pregnancy(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.pregnancy'


class MenstrualHistory(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.menstrual_history'


class Lab(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.lab'


class Pathology(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.pathology'


class Medicament(StampedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.medicament'
