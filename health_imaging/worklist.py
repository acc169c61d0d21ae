# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiographer's worklist: who is next, who is here, what to know."""
import datetime as dt

from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If

from .alerts import Alerts
from .direction import plain
from .patient_facts import sex_of


def identity_line(patient):
    """Return what tells people of one name apart: PUID, date of birth, age
    and sex.

    :param patient: gnuhealth.patient record
    :rtype: str
    """
    born = patient.party.dob
    return plain(', '.join(filter(None, [
                    patient.party.ref,
                    born and Pool().get('ir.lang').get().strftime(born),
                    patient.age,
                    _sex_word(sex_of(patient))])))


def _sex_word(sex):
    Request = Pool().get('gnuhealth.imaging.test.request')
    return dict(Request.fields_get(['patient_sex'])['patient_sex'][
            'selection']).get(sex)


class WorklistMixin:
    """Mixin of requests: identity, alerts and arrival of the patient."""
    __slots__ = ()

    arrived_at = fields.DateTime("Arrived", readonly=True, format='%H:%M',
        states={'invisible': ~Eval('arrived_at')},
        help="Since when the patient is here.")
    waiting = fields.Function(fields.TimeDelta("Waiting",
            help="Since the patient is here, or else since the exam was to "
            "be done."), 'get_waiting')
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
    def __setup__(cls):
        super().__setup__()
        sent = Eval('state') == 'requested'
        cls._buttons.update({
                'arrive': {
                    'invisible': ~sent | Bool(Eval('arrived_at')),
                    'depends': ['state', 'arrived_at'],
                    },
                'undo_arrive': {
                    'invisible': ~sent | ~Eval('arrived_at'),
                    'depends': ['state', 'arrived_at'],
                    },
                })

    @classmethod
    def get_waiting(cls, requests, name):
        now = dt.datetime.now()
        return {r.id: r._waiting(now) for r in requests}

    def _waiting(self, now):
        """Return how long the patient waits, None when nobody waits."""
        since = self.arrived_at or self.date
        if self.state != 'requested' or since > now:
            return None
        minutes = (now - since).total_seconds() // 60
        return dt.timedelta(minutes=minutes)

    @classmethod
    def get_identity(cls, requests, names):
        identities = {r.id: r._identity() for r in requests}
        return {
            name: {id_: values[name] for id_, values in identities.items()}
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
    def get_alert(cls, requests, names):
        alerts = Alerts([r.patient for r in requests])
        values = {name: {} for name in names}
        for request in requests:
            words = alerts.words(request.patient)
            for name, value in [
                    ('alert', words),
                    ('alert_icon', 'tryton-warning' if words else ''),
                    ('alert_details', '\n'.join(
                            alerts.details.get(request.patient.id, [])))]:
                if name in values:
                    values[name][request.id] = value
        return values

    @classmethod
    @ModelView.button
    def arrive(cls, requests):
        """Note that the patients are here."""
        now = dt.datetime.now().replace(second=0, microsecond=0)
        cls.write([
                r for r in requests
                if r.state == 'requested' and not r.arrived_at],
            {'arrived_at': now})

    @classmethod
    @ModelView.button
    def undo_arrive(cls, requests):
        """Take back that the patients are here."""
        cls.write([r for r in requests if r.state == 'requested'],
            {'arrived_at': None})

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="alert"]', 'visual',
                If(Bool(Eval('alert')), 'warning', '')),
            ]
