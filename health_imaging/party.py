# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What patients gain: their exams; requests and results follow when duplicate
parties are merged."""
from sql.functions import CurrentTimestamp

from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from .doors import CheckedWizard
from .identity import identity_line
from .migration import set_where


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
            self._patient(self._who_stays(self.ask.destination))
            or self._patient(self.ask.destination))
        if source and destination:
            Patient.merge_imaging(source, destination)
        return transition

    @staticmethod
    def _who_stays(party):
        """Return the party that others were merged into, at last."""
        seen = []
        while party.replaced_by and not party.active and party not in seen:
            seen.append(party)
            party = party.replaced_by
        return party

    @staticmethod
    def _patient(party):
        Patient = Pool().get('gnuhealth.patient')
        patients = Patient.search([
                ('party', '=', party.id),
                ('active', 'in', [True, False]),
                ], limit=1)
        return patients[0] if patients else None
