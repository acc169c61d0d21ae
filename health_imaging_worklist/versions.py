# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digests of entries that were made before, by the version of all that
they are made of: while it is the same, they are not made again."""
import datetime as dt

from sql import Literal, Union, With
from sql.aggregate import Count, Max, Sum
from sql.functions import Extract

from trytond.cache import Cache
from trytond.modules.health_imaging.institution import current_company
from trytond.modules.health_imaging.tables import execute, moment
from trytond.pool import Pool
from trytond.transaction import Transaction

from .batch import Batch
from .changes import (
    ALL, DOCTOR, EXAM, MACHINE, PARTY, PATIENT, REQUEST, TEMPLATE, TYPE,
    database_time, modified, sources)

# A process begins without any, as with other sources it may make other
# entries. It keeps four times those of a large hospital, some 12 MB.
_digests = Cache('health_imaging_worklist.digests', context=False)
_digests.size_limit = max(_digests.size_limit, 20_000)

# The columns of the requests at hand with what belongs to them.
_COLUMNS = {
    REQUEST: ['request'], EXAM: ['exam'], PATIENT: ['patient'],
    DOCTOR: ['doctor'], PARTY: ['person', 'doctor_person'],
    TYPE: ['exam_type'], TEMPLATE: ['template'], MACHINE: ['machine']}


class Versions:
    """The versions of entries of requests.

    :param requests: query of the ids of the requests
    :ivar list ids: of the requests, in order
    """

    def __init__(self, requests):
        around, now = _around(), database_time()
        self._versions = {
            # What this transaction changed may change again.
            id_: moment(last).replace(tzinfo=None) != now and (
                around, id_, count, str(total), str(last))
            for id_, count, total, last in execute(_rows(requests))}
        self.ids = sorted(self._versions)

    def digest(self, id_):
        """Return the digest (str) that the entry of a request has, None where
        it has to be made for that."""
        version = self._versions[id_]
        return version and _digests.get(version)

    def keep(self, id_, digest):
        """Note the digest that an entry was made with, empty for none."""
        version = self._versions[id_]
        if version and digest:
            _digests.set(version, digest)


def _rows(requests):
    """Return the statement that gives how many rows each of some requests is
    made of, the sum of when they were changed, which also differs where one
    of them was committed late, and the last of it."""
    given = _given(requests)
    rows = Union(*(
            table.join(given, condition=(
                    getattr(table, column) == getattr(given, own))).select(
                given.request.as_('request'), modified(table).as_('at'))
            for table, column, owner in sources() if owner
            for own in _COLUMNS[owner]), all_=True)
    return rows.select(
        rows.request, *_summary(rows), group_by=rows.request, with_=[given])


def _given(requests):
    "Return the requests with what belongs to them, SQL."
    request, exam, patient, doctor = (
        Pool().get(name).__table__()
        for name in [REQUEST, EXAM, PATIENT, DOCTOR])
    return With(query=request.join(
            exam, 'LEFT', condition=exam.id == request.requested_test).join(
            patient, 'LEFT', condition=patient.id == request.patient).join(
            doctor, 'LEFT', condition=doctor.id == request.doctor).select(
            request.id.as_('request'), request.machine.as_('machine'),
            exam.id.as_('exam'), exam.test_type.as_('exam_type'),
            exam.imaging_worklist_template.as_('template'),
            patient.id.as_('patient'), patient.party.as_('person'),
            doctor.id.as_('doctor'), doctor.party.as_('doctor_person'),
            where=request.id.in_(requests)))


def _summary(rows):
    return [Count(Literal(1)), Sum(Extract('EPOCH', rows.at)), Max(rows.at)]


def _around():
    """Return the version of what all entries have in common, str: names are
    valid, and findings of safety are, for a day."""
    rows = Union(*(
            table.select(modified(table).as_('at'))
            for table, _, owner in sources() if owner is ALL), all_=True)
    batch, company = Batch([]), current_company()
    return repr([
            execute(rows.select(*_summary(rows))), Transaction().language,
            company and company.id, str(batch.zone), batch.institution_name,
            dt.date.today()])
