# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to requests and results when two people turn out to be one."""
from sql.functions import CurrentTimestamp

from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from .doors import CheckedWizard
from .tables import execute


class Patient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'

    @classmethod
    def merge_imaging(cls, source, destination):
        """Move the requests and results of a patient to another one.

        Other modules extend this with what they keep of patients.

        :param source: record of the patient that goes
        :param destination: record of the patient that stays
        """
        pool = Pool()
        transaction = Transaction()
        for name in [
                'gnuhealth.imaging.test.request',
                'gnuhealth.imaging.test.result']:
            table = pool.get(name).__table__()
            # Signed results and sent requests are read-only for users, but
            # they belong to the person who stays.
            execute(table.update(
                    [table.patient, table.write_uid, table.write_date],
                    [destination.id, transaction.user, CurrentTimestamp()],
                    where=table.patient == source.id))
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
        "Return who a person is, when he was merged into others before."
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
