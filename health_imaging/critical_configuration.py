# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hospital sets for critical findings: how long each urgency has,
who is next in line, and what goes by e-mail."""
import datetime as dt

from trytond.model import (
    DeactivableMixin, ModelSingleton, ModelSQL, ModelView, Unique, fields,
    sequence_ordered)
from trytond.pool import Pool

from .calls import CheckedCalls
from .migration import insert_row
from .retention import kept_lines
from .tables import execute


class ImagingConfiguration(
        CheckedCalls, ModelSingleton, ModelSQL, ModelView):
    "Imaging Configuration"
    __name__ = 'gnuhealth.imaging.configuration'

    critical_minutes = fields.Integer("Minutes", required=True,
        domain=[('critical_minutes', '>', 0), ('critical_minutes', '<', 9999)],
        help="How many minutes there are to acknowledge a finding with the "
        "urgency Minutes.")
    critical_hours = fields.Integer("Hours", required=True,
        domain=[('critical_hours', '>', 0), ('critical_hours', '<', 9999)],
        help="How many hours there are to acknowledge a finding with the "
        "urgency Hours.")
    critical_days = fields.Integer("Days", required=True,
        domain=[('critical_days', '>', 0), ('critical_days', '<', 999)],
        help="How many days there are to acknowledge a finding with the "
        "urgency Days.")
    mail_critical = fields.Boolean("E-Mail Critical Findings")
    mail_notices = fields.Boolean("E-Mail Notices")
    escalation = fields.One2Many(
        'gnuhealth.imaging.escalation', 'configuration', "Escalation",
        help="Who is told of a critical finding that is not acknowledged in "
        "time, one after the other.")

    kept = fields.Function(fields.Text("How Long Logs Are Kept",
            help="For how long logs are kept. The configuration of trytond "
            "says so."),
        'get_kept')

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        table = cls.__table__()
        if not execute(table.select(table.id)):
            # The escalation list is of a record that is stored.
            insert_row(table, **{
                    name: getattr(cls, f'default_{name}')() for name in [
                        'critical_minutes', 'critical_hours',
                        'critical_days']})

    @staticmethod
    def default_critical_minutes():
        return 60

    @staticmethod
    def default_critical_hours():
        return 24

    @staticmethod
    def default_critical_days():
        return 7

    @classmethod
    def forget_reasons(cls):
        """Delete old reasons that people gave. Called by the scheduled task.
        """
        pool = Pool()
        for name in [
                'gnuhealth.imaging.safety.finding',
                'gnuhealth.imaging.test.request.reschedule.log']:
            pool.get(name).forget()

    def get_kept(self, name):
        return '\n'.join(kept_lines())

    def time_of(self, urgency):
        """Return how long there is to acknowledge a finding.

        :param str urgency: minutes, hours or days
        :rtype: datetime.timedelta
        """
        return dt.timedelta(
            **{urgency: getattr(self, f'critical_{urgency}')})


class Escalation(
        CheckedCalls, sequence_ordered(), DeactivableMixin, ModelSQL,
        ModelView):
    "Escalation of Critical Findings"
    __name__ = 'gnuhealth.imaging.escalation'

    configuration = fields.Many2One(
        'gnuhealth.imaging.configuration', "Configuration", required=True,
        ondelete='CASCADE')
    professional = fields.Many2One(
        'gnuhealth.healthprofessional', "Health Professional", required=True,
        ondelete='CASCADE')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints.append((
                'professional_unique', Unique(table, table.professional),
                'health_imaging.msg_escalation_unique'))

    def get_rec_name(self, name):
        return self.professional.rec_name

    @classmethod
    def in_line(cls):
        """Return the health professionals in their order, list of records."""
        return [e.professional for e in cls.search([])]
