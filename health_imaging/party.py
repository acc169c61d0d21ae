# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What patients gain: their exams; requests and results follow when duplicate
parties are merged."""
from sql import For, Literal
from sql.functions import CurrentTimestamp

from trytond import backend
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.tools import reduce_ids
from trytond.transaction import Transaction, without_check_access

from .doors import CheckedWizard
from .exceptions import PatientMergedError
from .identity import identity_line
from .migration import set_where
from .tables import execute


@without_check_access
def check_present(ids):
    """Check that patients were not merged into others.

    Who merges one of them waits until this transaction ends; where he came
    first, PostgreSQL ends this one, and trytond repeats it.

    :param ids: of gnuhealth.patient records
    :raises PatientMergedError: one was merged
    """
    pool = Pool()
    table = pool.get('party.party').__table__()
    parties = {
        p.party.id: p.party
        for p in pool.get('gnuhealth.patient').browse(sorted(ids))}
    if parties and Transaction().database.has_select_for():
        execute(table.select(
                Literal(1), where=reduce_ids(table.id, sorted(parties)),
                order_by=table.id, for_=For('SHARE')))
    for party in parties.values():
        other = who_stays(party)
        if other != party:
            raise PatientMergedError(gettext(
                    'health_imaging.msg_patient_merged', **{
                        name: f'{p.rec_name} ({p.ref})'
                        for name, p in [('patient', party), ('other', other)]
                        }))


def who_stays(party):
    """Return the party that others were merged into, at last.

    :param party: party.party record
    """
    seen = []
    while party.replaced_by and not party.active and party not in seen:
        seen.append(party)
        party = party.replaced_by
    return party


def _repeat_if_ordered(patient):
    """Let trytond repeat a merge that does not see all requests of a patient:
    it began before they were ordered.

    :param patient: gnuhealth.patient record, whose party was written
    """
    transaction = Transaction()
    if not transaction.database.has_select_for():
        return
    table = Pool().get('gnuhealth.imaging.test.request').__table__()
    query = table.select(table.id, where=table.patient == patient.id)
    seen = set(execute(query))
    with transaction.new_transaction(readonly=True):
        if set(execute(query)) - seen:
            raise backend.DatabaseOperationalError


class Patient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'

    imaging_exams = fields.One2Many(
        'gnuhealth.imaging.patient_exam', 'patient', "Imaging",
        readonly=True)

    def get_rec_name(self, name):
        rec_name = super().get_rec_name(name)
        if not Transaction().context.get('imaging_identity'):
            return rec_name
        return f'{rec_name} ({identity_line(self)})'

    @classmethod
    def merge_imaging(cls, source, destination):
        """Move the requests and results of a patient to another patient.

        Modules that store more about patients extend this.

        :param source: record of the patient that is merged
        :param destination: record of the patient that stays
        """
        pool = Pool()
        transaction = Transaction()
        for name in [
                'gnuhealth.imaging.test.request',
                'gnuhealth.imaging.test.result']:
            table = pool.get(name).__table__()
            # Signed results and sent requests are read-only for users, but
            # move with the patient.
            set_where(table, table.patient == source.id,
                patient=destination.id, write_uid=transaction.user,
                write_date=CurrentTimestamp())
        for cache in transaction.cache.values():
            cache.clear()


class Replace(CheckedWizard, metaclass=PoolMeta):
    __name__ = 'party.replace'

    def transition_replace(self):
        Patient = Pool().get('gnuhealth.patient')
        source = self._patient(self.ask.source)
        transition = super().transition_replace()
        destination = (
            self._patient(who_stays(self.ask.destination))
            or self._patient(self.ask.destination))
        if source and destination:
            _repeat_if_ordered(source)
            Patient.merge_imaging(source, destination)
        return transition

    @staticmethod
    def _patient(party):
        Patient = Pool().get('gnuhealth.patient')
        patients = Patient.search([
                ('party', '=', party.id),
                ('active', 'in', [True, False]),
                ], limit=1)
        return patients[0] if patients else None
