# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of critical findings: who was told what when, written once."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .doors import ReloadingWizard, selected_records
from .exceptions import CriticalFindingError
from .kept import Ledger
from .minute import Minute, now

#: How people reach each other.
PEOPLE = [
    ('phone', "Phone"),
    ('person', "In Person"),
    ('message', "Message"),
    ]


class CriticalCall(Ledger, ModelSQL, ModelView):
    "Communication of a Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding.call'

    finding = fields.Many2One(
        'gnuhealth.imaging.critical_finding', "Critical Finding",
        required=True, ondelete='RESTRICT')
    at = Minute("At", required=True)
    event = fields.Selection([
            ('reported', "Notified"),
            ('escalated', "Escalated"),
            ('called', "Told"),
            ('mailed', "E-Mail Sent"),
            ('mail_failed', "E-Mail Failed"),
            ('acknowledged', "Acknowledged"),
            ], "Event", required=True, sort=False)
    user = fields.Many2One('res.user', "User", ondelete='RESTRICT')
    to = fields.Many2One(
        'gnuhealth.healthprofessional', "Recipient", ondelete='RESTRICT')
    how = fields.Selection([
            (None, ""),
            *PEOPLE,
            ('notice', "Notification"),
            ('nobody', "Not Reached: No User"),
            ], "How", sort=False)
    how_string = how.translated('how')
    read_back = fields.Boolean("Read Back",
        help="The other one repeated the finding, and it was right.")
    text = fields.Text("Text")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('at', 'ASC'), ('id', 'ASC')]

    def get_rec_name(self, name):
        return self.finding.rec_name

    @classmethod
    def add(cls, finding, event, to=None, **values):
        """Add a line to the log.

        :param str event: what happened
        :param to: gnuhealth.healthprofessional record or None
        :param values: more fields
        """
        cls.create([{
                    'finding': finding.id,
                    'at': now(),
                    'event': event,
                    'user': Transaction().user or None,
                    'to': to and to.id,
                    **values,
                    }])


class LogCallStart(ModelView):
    "Log Communication of a Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding.log_call.start'

    to = fields.Many2One(
        'gnuhealth.healthprofessional', "Recipient", required=True)
    how = fields.Selection(PEOPLE, "How", required=True, sort=False)
    at = Minute("At", required=True)
    read_back = fields.Boolean("Read Back",
        help="The other one repeated the finding, and it was right.")
    text = fields.Text("Text")

    @staticmethod
    def default_at():
        return now()

    @staticmethod
    def default_how():
        return 'phone'


class LogCall(ReloadingWizard, Wizard):
    "Log Communication of a Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding.log_call'

    start = StateView('gnuhealth.imaging.critical_finding.log_call.start',
        'health_imaging.critical_log_call_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Log", 'log', 'tryton-ok', default=True),
            ])
    log = StateTransition()

    _rights = {'gnuhealth.imaging.critical_finding': ['read']}
    _models = {'gnuhealth.imaging.critical_finding'}

    def default_start(self, field_names):
        with check_access():
            people = {f.tell.id for f in self.records or []}
        return {'to': people.pop()} if len(people) == 1 else {}

    def transition_log(self):
        pool = Pool()
        Call = pool.get('gnuhealth.imaging.critical_finding.call')
        Finding = pool.get('gnuhealth.imaging.critical_finding')
        findings = selected_records(self, Finding)
        with check_access():
            Finding.log_call(findings)
        check_complete(self.start, ['to', 'how', 'at'])
        if self.start.at > now() + dt.timedelta(minutes=1):
            raise CriticalFindingError(gettext(
                    'health_imaging.msg_critical_later'))
        for finding in findings:
            Call.add(finding, 'called', self.start.to,
                how=self.start.how, at=self.start.at,
                read_back=getattr(self.start, 'read_back', False),
                text=getattr(self.start, 'text', None))
        return 'end'


def check_complete(start, names):
    """Raise CriticalFindingError unless fields of a view are filled in.

    :param start: record of the view
    :param names: of the fields
    """
    for name in names:
        value = getattr(start, name, None)
        if not value or isinstance(value, str) and not value.strip():
            raise CriticalFindingError(gettext(
                    'health_imaging.msg_critical_incomplete',
                    **start.__names__(name)))
