# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the patient of a record is, and what to know of him."""
from trytond.model import fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If

from .alerts import Alerts
from .direction import isolated
from .patient_facts import sex_of


def identity_line(patient):
    """Return what tells people of one name apart: PUID, date of birth, age
    and sex.

    :rtype: str
    """
    born = patient.party.dob
    Request = Pool().get('gnuhealth.imaging.test.request')
    sexes = dict(Request.fields_get(
        ['patient_sex'])['patient_sex']['selection'])
    return ', '.join(map(isolated, filter(None, [
                    patient.party.ref,
                    born and Pool().get('ir.lang').get().strftime(born),
                    patient.age, sexes.get(sex_of(patient))])))


class IdentityMixin:
    """Mixin of records with a patient: identity and alerts."""
    __slots__ = ()

    patient_puid = fields.Function(fields.Char("PUID"), 'get_identity')
    patient_birth = fields.Function(
        fields.Date("Date of Birth"), 'get_identity')
    patient_sex = fields.Function(fields.Selection([
                (None, ""),
                ('m', "Male"),
                ('f', "Female"),
                ('o', "Other"),
                ], "Sex", sort=False), 'get_identity')
    alert = fields.Function(fields.Char("Alert",
            help="Allergies, pregnancy, kidney disease and critical "
            "information of the patient."), 'get_alert')
    alert_icon = fields.Function(fields.Char("Alert Icon"), 'get_alert')
    alert_details = fields.Function(fields.Text("Alerts",
            states={'invisible': ~Eval('alert_details')}), 'get_alert')

    @classmethod
    def get_identity(cls, records, names):
        # Results of former releases may have no patient.
        identities = {
            r.id: r._identity() if r.patient else {} for r in records}
        return {
            name: {id_: values.get(name) for id_, values in identities.items()}
            for name in names}

    def _identity(self):
        """Return what identifies the patient, by name of the field."""
        party = self.patient.party
        return {
            'patient_puid': party.ref,
            'patient_birth': party.dob,
            'patient_sex': sex_of(self.patient) or None,
            }

    @classmethod
    def get_alert(cls, records, names):
        values = {name: dict.fromkeys(r.id for r in records) for name in names}
        records = [r for r in records if r.patient]
        alerts = Alerts([r.patient for r in records])
        for record in records:
            words = alerts.words(record.patient)
            for name, value in [
                    ('alert', words),
                    ('alert_icon', 'tryton-warning' if words else ''),
                    ('alert_details', '\n'.join(
                            alerts.details.get(record.patient.id, [])))]:
                if name in values:
                    values[name][record.id] = value
        return values

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="alert"]', 'visual',
                If(Bool(Eval('alert')), 'warning', '')),
            ]
