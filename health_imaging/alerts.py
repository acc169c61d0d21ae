# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What those who do an exam are to know of a patient, looked up once for
many patients."""
import datetime as dt
from collections import defaultdict

from trytond.i18n import gettext
from trytond.pool import Pool

from .patient_facts import PREGNANT_CODES, PatientFacts
from .safety.facts import POSSIBLE, PREGNANT
from .safety.rules import LOWERED, rate

# ICD-10: renal failure, dependence on dialysis, transplanted kidney.
_KIDNEY = ('N17', 'N18', 'N19', 'Z99.2', 'Z94.0')


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
        self._read()

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

    def _read(self):
        facts = PatientFacts(self._patients)
        today = dt.date.today()
        for patient in self._patients:
            known = facts.person(patient, today)
            value = rate(known, today)
            kinds = self.kinds[patient.id]
            details = self.details[patient.id]
            for condition in facts.conditions[patient.id]:
                found = {kind for kind, is_one in [
                        ('allergy', condition.is_allergy),
                        ('kidney', condition.code.startswith(_KIDNEY)),
                        ('pregnant', condition.code.startswith(
                                PREGNANT_CODES)),
                        ] if is_one}
                kinds.update(found)
                details.extend([condition.text] if found else [])
            if known.pregnancy in {PREGNANT, POSSIBLE}:
                kinds.add('pregnant')
            if value is not None and value < LOWERED:
                kinds.add('kidney')
            if value is not None:
                details.append(gettext('health_imaging.msg_alert_rate',
                        rate=f'{value:.0f}',
                        date=Pool().get('ir.lang').get().strftime(
                            known.creatinine.date)))
            if patient.crit_allergic:
                kinds.add('allergy')
            if known.critical_info:
                kinds.add('critical')
                details.append(known.critical_info)
