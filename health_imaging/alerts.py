# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What those who do an exam are to know of a patient, looked up once for
many patients."""
from collections import defaultdict

from sql import Literal, Null
from sql.conditionals import Coalesce

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from .tables import execute

# ICD-10: renal failure, dependence on dialysis, transplanted kidney.
_KIDNEY = ('N17', 'N18', 'N19', 'Z99.2', 'Z94.0')
# ICD-10: pregnant state, supervision of a pregnancy.
_PREGNANT = ('Z33', 'Z34', 'Z35')


def weights(patients):
    """Return the weights (kg) of patients, of the last evaluation that has
    one, by patient id.

    :param patients: ids of gnuhealth.patient records
    :rtype: dict(int, float)
    """
    table = Pool().get('gnuhealth.patient.evaluation').__table__()
    return {
        patient: weight for some in grouped_slice(list(patients))
        for patient, weight in execute(table.select(
                table.patient, table.weight,
                where=reduce_ids(table.patient, list(some))
                & (table.weight > 0),
                order_by=[table.evaluation_start, table.id]))}


class Alerts:
    """The alerts of patients.

    :param patients: gnuhealth.patient records
    :ivar kinds: set of 'allergy', 'pregnant', 'kidney' and 'critical', by
        patient id
    :ivar details: list of texts, by patient id
    """

    def __init__(self, patients):
        self.kinds = defaultdict(set)
        self.details = defaultdict(list)
        self._patients = list({p.id: p for p in patients}.values())
        self._read_diseases()
        self._read_critical()
        self._read_pregnant()

    def words(self, patient):
        """Return the alerts of a patient in the user's language.

        :param patient: gnuhealth.patient record
        :rtype: str
        """
        kinds = self.kinds.get(patient.id, ())
        return ', '.join(text for kind, text in [
                ('allergy', gettext('health_imaging.msg_alert_allergy')),
                ('pregnant', gettext('health_imaging.msg_alert_pregnant')),
                ('kidney', gettext('health_imaging.msg_alert_kidney')),
                ('critical', gettext('health_imaging.msg_alert_critical')),
                ] if kind in kinds)

    def _read(self, query):
        return [row for some in grouped_slice([p.id for p in self._patients])
            for row in execute(query(list(some)))]

    def _read_diseases(self):
        pool = Pool()
        Pathology = pool.get('gnuhealth.pathology')
        table = pool.get('gnuhealth.patient.disease').__table__()
        found = self._read(lambda ids: table.select(
                table.patient, table.pathology, table.is_allergy,
                where=reduce_ids(table.patient, ids)
                & (Coalesce(table.is_active, Literal(True)) == Literal(True))
                & (table.healed_date == Null)
                & (table.pathology != Null),
                order_by=table.id))
        pathologies = {p.id: p for p in Pathology.browse(
                {pathology for _, pathology, _ in found})}
        for patient, id_, is_allergy in found:
            pathology = pathologies[id_]
            code = pathology.code or ''
            kinds = [kind for kind, is_one in [
                    ('allergy', is_allergy),
                    ('kidney', code.startswith(_KIDNEY)),
                    ('pregnant', code.startswith(_PREGNANT))] if is_one]
            self.kinds[patient].update(kinds)
            if kinds:
                self.details[patient].append(pathology.rec_name)

    def _read_critical(self):
        table = Pool().get('gnuhealth.patient').__table__()
        for patient, is_allergic, text in self._read(lambda ids: table.select(
                    table.id, table.crit_allergic, table.critical_info,
                    where=reduce_ids(table.id, ids))):
            if is_allergic:
                self.kinds[patient].add('allergy')
            if text and text.strip():
                self.kinds[patient].add('critical')
                self.details[patient].append(text.strip())

    def _read_pregnant(self):
        """The field comes with the gynaecology of GNU Health."""
        Patient = Pool().get('gnuhealth.patient')
        if 'currently_pregnant' in Patient._fields:
            for patient in self._patients:
                if patient.currently_pregnant:
                    self.kinds[patient.id].add('pregnant')
