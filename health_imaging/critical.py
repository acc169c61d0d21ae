# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Critical findings: somebody is told, and acknowledges, or the next in line
is told.

Each step has its own time, counted from the report: what was due while the
scheduler stood still goes at once when it runs again.
"""
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import notices
from .critical_call import check_complete
from .direction import plain
from .doors import ReloadingWizard, check_selected, selected_records
from .exceptions import CriticalFindingError, CriticalResultError
from .institution import local_text
from .kept import Ledger
from .minute import Minute, now
from .professional import own_health_professional
from .rights import ADMINISTRATION, groups_of
from .workflow import hold

#: How soon somebody is to know.
URGENCIES = [
    ('minutes', "Minutes"),
    ('hours', "Hours"),
    ('days', "Days"),
    ]
_CALL = 'gnuhealth.imaging.critical_finding.call'


class CriticalMixin:
    """Mixin of results: their critical findings."""
    __slots__ = ()

    critical_findings = fields.One2Many(
        'gnuhealth.imaging.critical_finding', 'result', "Critical Findings",
        readonly=True, states={'invisible': ~Eval('critical_findings', [])})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= {'critical_findings'}
        cls._buttons['critical'] = {}

    @classmethod
    @ModelView.button_action('health_imaging.wizard_critical_report')
    def critical(cls, results):
        """Open the wizard that reports a critical finding."""

    @classmethod
    def delete(cls, results):
        for result in results:
            if result.critical_findings:
                raise CriticalResultError(gettext(
                        'health_imaging.msg_critical_kept',
                        result=result.rec_name))
        super().delete(results)


class CriticalFinding(Ledger, ModelSQL, ModelView):
    "Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding'

    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", required=True,
        readonly=True, ondelete='RESTRICT')
    patient = fields.Function(
        fields.Many2One('gnuhealth.patient', "Patient"),
        'get_patient', searcher='search_patient')
    finding = fields.Text("Finding", required=True, readonly=True)
    urgency = fields.Selection(
        URGENCIES, "Urgency", required=True, readonly=True, sort=False)
    tell = fields.Many2One(
        'gnuhealth.healthprofessional', "To Tell", required=True,
        readonly=True, ondelete='RESTRICT')
    author = fields.Many2One(
        'res.user', "Author", readonly=True, ondelete='RESTRICT')
    at = Minute("At", required=True, readonly=True)
    due = Minute("Due", required=True, readonly=True,
        help="Until when it is to be acknowledged.")
    next_at = Minute("Next Step", required=True, readonly=True,
        states={'invisible': Eval('state') != 'open'},
        help="When the next in line is told.")
    step = fields.Integer("Escalations", readonly=True)
    state = fields.Selection([
            ('open', "Open"),
            ('acknowledged', "Acknowledged"),
            ], "State", required=True, readonly=True, sort=False)
    acknowledged_by = fields.Many2One(
        'res.user', "Acknowledged by", readonly=True, ondelete='RESTRICT')
    acknowledged_at = Minute("Acknowledged at", readonly=True)
    calls = fields.One2Many(_CALL, 'finding', "Communication", readonly=True)
    for_me = fields.Function(
        fields.Boolean("For Me"), 'get_for_me', searcher='search_for_me')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('state', 'ASC'), ('due', 'ASC'), ('id', 'ASC')]
        cls._sql_indexes |= {
            Index(table, (table.result, Index.Equality())),
            Index(table, (table.next_at, Index.Range()),
                where=table.state == 'open'),
            }
        cls._buttons.update({
                'acknowledge': {'invisible': Eval('state') != 'open'},
                'log_call': {},
                })

    @staticmethod
    def default_state():
        return 'open'

    @staticmethod
    def default_step():
        return 0

    @classmethod
    def get_patient(cls, findings, name):
        return {f.id: f.result.patient and f.result.patient.id
            for f in findings}

    @classmethod
    def search_patient(cls, name, clause):
        return [(f'result.{clause[0]}', *clause[1:])]

    @classmethod
    def get_for_me(cls, findings, name):
        mine = set(cls.search([
                    ('id', 'in', [f.id for f in findings]),
                    ('for_me', '=', True)]))
        return {f.id: f in mine for f in findings}

    @classmethod
    def search_for_me(cls, name, clause):
        _, administers = groups_of(ADMINISTRATION)
        if administers:
            mine = [('id', '>', 0)]
        else:
            own = own_health_professional() or -1
            mine = ['OR', ('tell', '=', own), ('calls', 'where', [
                        ('event', '=', 'escalated'), ('to', '=', own)])]
        wanted = bool(clause[2]) == (clause[1] == '=')
        with without_check_access():
            query = cls.search(mine, order=[], query=True)
        return [('id', 'in' if wanted else 'not in', query)]

    def get_rec_name(self, name):
        return plain(self.result.rec_name)

    @classmethod
    def search_rec_name(cls, name, clause):
        return [('result.rec_name', *clause[1:])]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('state') == 'open', 'danger', '')),
            ]

    @classmethod
    def create(cls, vlist):
        cls._refuse_people()
        Configuration = Pool().get('gnuhealth.imaging.configuration')
        at, configuration = now(), Configuration(1)
        return super().create([{
                    'author': Transaction().user or None, 'at': at,
                    **dict.fromkeys(['due', 'next_at'],
                        at + configuration.time_of(v['urgency'])),
                    **v} for v in vlist])

    @classmethod
    def report(cls, result, finding, urgency, tell):
        """Report a critical finding and tell somebody.

        :param str finding: what was found
        :param str urgency: minutes, hours or days
        :return: record
        :raises CriticalFindingError: it was reported before, or to oneself
        """
        if tell.id == own_health_professional():
            raise CriticalFindingError(gettext(
                    'health_imaging.msg_critical_self'))
        # Of two clicks at once the second waits for the session of the wizard.
        if cls.search([
                    ('result', '=', result.id), ('state', '=', 'open'),
                    ('finding', '=', finding), ('tell', '=', tell.id)]):
            raise CriticalFindingError(gettext(
                    'health_imaging.msg_critical_twice',
                    result=result.rec_name))
        made, = cls.create([{
                    'result': result.id, 'finding': finding,
                    'urgency': urgency, 'tell': tell.id}])
        made._tell(tell, 'reported')
        return made

    def _tell(self, professional, event):
        """Tell somebody, note it, return whether there is a user to tell."""
        users = notices.users_of([professional])
        Pool().get(_CALL).add(self, event, professional,
            how='notice' if users else 'nobody')
        mails = notices.sends_mail('mail_critical')
        for user in users:
            with notices.language_of(user):
                notices.show(user,
                    gettext('health_imaging.msg_critical_title'),
                    self.result.number, notices.URGENT)
            if mails and user.email:
                type(self).__queue__.mail([self], professional.id)
        return bool(users)

    @classmethod
    def mail(cls, findings, professional):
        """Send the e-mail to a professional, an id; a task of the queue."""
        pool = Pool()
        Call = pool.get(_CALL)
        HealthProfessional = pool.get('gnuhealth.healthprofessional')
        professional = HealthProfessional(professional)
        for finding in findings:
            for user in notices.users_of([professional]):
                with notices.language_of(user):
                    sent = notices.send(user,
                        gettext('health_imaging.msg_critical_title'),
                        gettext('health_imaging.msg_critical_mail',
                            link=finding.__href__))
                Call.add(finding, 'mailed' if sent else 'mail_failed',
                    professional)

    @classmethod
    def escalate(cls):
        """Tell the next in line of what was not acknowledged in time."""
        late = cls.search([('state', '=', 'open'), ('next_at', '<=', now())])
        # Of two workers the second begins anew, and finds nothing to do.
        hold(late)
        for finding in late:
            finding._escalate()

    def _escalate(self):
        pool = Pool()
        line = pool.get('gnuhealth.imaging.escalation').in_line()
        time = pool.get('gnuhealth.imaging.configuration')(1).time_of(
            self.urgency)
        told = {self.tell, *(
                c.to for c in self.calls if c.event == 'escalated')}
        # Who reported it cannot acknowledge it.
        left = [p for p in line if p not in told
            and (not self.author or p.party.internal_user != self.author)]
        step, next_at = self.step, self.next_at
        for professional in left:
            if next_at > now():
                break
            step += 1
            # Who has no user cannot answer, so nobody waits for him.
            if self._tell(professional, 'escalated'):
                next_at += time
        if step != self.step:
            type(self).write([self], {'step': step, 'next_at': next_at})

    @classmethod
    @ModelView.button
    def acknowledge(cls, findings):
        """Acknowledge findings.

        :raises CriticalFindingError: the user may not, or somebody did
        """
        Call = Pool().get(_CALL)
        hold(findings)
        for finding in cls.browse(findings):
            finding._check_acknowledge()
            cls.write([finding], {
                    'state': 'acknowledged',
                    'acknowledged_by': Transaction().user or None,
                    'acknowledged_at': now()})
            Call.add(finding, 'acknowledged')

    def _check_acknowledge(self):
        """Raise CriticalFindingError unless the user may acknowledge."""
        Escalation = Pool().get('gnuhealth.imaging.escalation')
        message, values = None, {}
        people = [self.tell, *Escalation.in_line()]
        if self.result.request:
            people.append(self.result.request.doctor)
        if self.state != 'open':
            message = 'msg_critical_acknowledged'
            values = {'user': self.acknowledged_by.rec_name,
                'at': local_text(self.acknowledged_at)}
        elif self.author and self.author.id == Transaction().user:
            message = 'msg_critical_own'
        elif own_health_professional() not in {p.id for p in people}:
            message = 'msg_critical_not_told'
            values = {'tell': self.tell.rec_name}
        if message:
            raise CriticalFindingError(
                gettext(f'health_imaging.{message}', **values))

    @classmethod
    @ModelView.button_action('health_imaging.wizard_critical_log_call')
    def log_call(cls, findings):
        """Open the wizard that notes who was told."""

    def printed(self):
        """Return what the report says of it, a list of lines."""
        lines = []
        for call in self.calls:
            if call.event == 'called':
                message = 'msg_critical_read_back' if call.read_back \
                    else 'msg_critical_told'
                lines.append(gettext(f'health_imaging.{message}',
                        to=call.to.rec_name, at=local_text(call.at),
                        how=call.how_string))
            elif call.event == 'acknowledged':
                lines.append(gettext(
                        'health_imaging.msg_critical_acknowledged',
                        user=call.user.rec_name if call.user else '',
                        at=local_text(call.at)))
        return lines


class ReportCriticalStart(ModelView):
    "Tell a Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding.report.start'

    finding = fields.Text("Finding", required=True)
    urgency = fields.Selection(
        URGENCIES, "Urgency", required=True, sort=False)
    tell = fields.Many2One(
        'gnuhealth.healthprofessional', "To Tell", required=True,
        help="Who is to acknowledge it, by default the doctor who requested "
        "the exam.")

    @staticmethod
    def default_urgency():
        return 'minutes'


class ReportCritical(ReloadingWizard, Wizard):
    "Tell a Critical Finding"
    __name__ = 'gnuhealth.imaging.critical_finding.report'

    start = StateView('gnuhealth.imaging.critical_finding.report.start',
        'health_imaging.critical_report_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Tell", 'report', 'tryton-ok', default=True),
            ])
    report = StateTransition()

    _rights = {'gnuhealth.imaging.test.result': ['write']}
    _models = {'gnuhealth.imaging.test.result'}

    def default_start(self, field_names):
        with check_access():
            doctors = {
                r.request.doctor.id for r in self.records or []
                if getattr(r, 'request', None)}
        return {'tell': doctors.pop()} if len(doctors) == 1 else {}

    def transition_report(self):
        pool = Pool()
        Finding = pool.get('gnuhealth.imaging.critical_finding')
        Result = pool.get('gnuhealth.imaging.test.result')
        results = selected_records(self, Result)
        # A finding is one patient's.
        check_selected(results if len(results) == 1 else [])
        with check_access():
            Result.critical(results)
        start = self.start
        check_complete(start, ['finding', 'urgency', 'tell'])
        Finding.report(
            results[0], start.finding.strip(), start.urgency, start.tell)
        return 'end'
