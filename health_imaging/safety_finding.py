# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules of safety find of requests: asked, and kept."""
import datetime as dt
import json
from typing import NamedTuple

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .doors import CheckedWizard, selected_records
from .exceptions import (
    DeceasedError, QuestionMissingError, ReasonMissingError, SafetyWarning)
from .institution import institution_timezone, local_datetime
from .kept import Kept
from .patient_facts import PatientFacts
from .safety.rules import REFUSED, STOP, Rule, check

KINDS = [
    ('refused', "Refused"),
    ('stop', "Stop"),
    ('question', "Question"),
    ('warning', "Warning"),
    ]


_KIND = 'health_imaging.msg_finding_kind_%s'


class SafetyFinding(Kept, ModelSQL, ModelView):
    "Safety Finding of an Imaging Request"
    __name__ = 'gnuhealth.imaging.safety.finding'

    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", required=True,
        readonly=True, ondelete='CASCADE')
    kind = fields.Selection(
        KINDS, "Kind", required=True, readonly=True, sort=False)
    rule = fields.Char("Rule", required=True, readonly=True)
    finding = fields.Char("Code", required=True, readonly=True)
    parameters = fields.Text("Parameters", readonly=True)
    text = fields.Function(fields.Text("What Was Found"), 'get_text')
    found_at = fields.DateTime("Found at", required=True, readonly=True)
    user = fields.Many2One('res.user', "User", readonly=True)
    reason = fields.Text("Reason to Go On", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('found_at', 'DESC'), ('id', 'ASC')]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="kind"]', 'visual',
                If(Eval('kind').in_(['refused', 'stop']), 'danger',
                    'warning')),
            ]

    def get_rec_name(self, name):
        return self.text

    def get_text(self, name):
        return sentence(
            self.rule, self.finding, json.loads(self.parameters or '{}'))


def sentence(rule, finding, parameters):
    """Return what was found, in the user's language.

    :param str rule: code of the rule
    :param str finding: code of the sentence
    :param dict parameters: what it names, str or datetime.date as ISO text
    :rtype: str
    """
    Lang = Pool().get('ir.lang')
    parameters = dict(parameters)
    if parameters.get('date'):
        parameters['date'] = Lang.get().strftime(
            dt.date.fromisoformat(parameters['date']))
    module = next(
        (r.module for r in Rule.known if r.code == rule), 'health_imaging')
    return gettext(f'{module}.msg_finding_{finding}', **parameters)


class Checks:
    """What the rules find for some exams of one or more patients.

    :param asked: list of tuples of key, gnuhealth.patient record,
        gnuhealth.imaging.test record, datetime.datetime of the exam (UTC) and
        id of the request or None
    :ivar findings: lists of safety.rules.Finding by key
    """

    def __init__(self, asked):
        zone = institution_timezone()
        facts = PatientFacts([patient for _, patient, *_ in asked])
        self.findings = {}
        for key, patient, exam, date, request in asked:
            day = local_datetime(date, zone).date()
            self.findings[key] = check(
                facts.of(patient, day, request), exam.safety_facts(), day)

    def has(self, kind):
        """Return whether something of a kind was found.

        :param str kind: of safety.rules
        :rtype: bool
        """
        return any(
            f.kind == kind for found in self.findings.values() for f in found)

    def sentences(self, known=()):
        """Return what was found, a line each, the most serious first.

        :param known: set of pairs of key and code of what is left out
        :rtype: list of str
        """
        found = {
            f: None for kind, _ in KINDS
            for key, some in self.findings.items() for f in some
            if f.kind == kind and (key, f.reason) not in known}
        return [
            f'{gettext(_KIND % f.kind)}: '
            + sentence(f.rule, f.reason, _plain(f.parameters)) for f in found]

    def refuse(self, patient):
        """Raise DeceasedError when nothing can be ordered.

        :param patient: gnuhealth.patient record
        :raises DeceasedError: the patient is dead
        """
        if self.has(REFUSED):
            raise DeceasedError(gettext(
                    'health_imaging.msg_finding_refused',
                    patient=patient.rec_name))


def _plain(parameters):
    return {name: str(value) for name, value in parameters}


class FindingsMixin:
    """Mixin of requests: the clinical question, and what was found."""
    __slots__ = ()

    clinical_question = fields.Text("Clinical Question",
        states={'readonly': Eval('state', 'draft') != 'draft'},
        help="What the exam is to answer.")
    safety_findings = fields.One2Many(
        'gnuhealth.imaging.safety.finding', 'request', "Safety", readonly=True,
        states={'invisible': ~Eval('safety_findings', [])})
    safety = fields.Function(fields.Char("Safety",
            states={'invisible': ~Eval('safety')}), 'get_safety')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['send'] = {
            'invisible': Eval('state') != 'draft',
            'depends': ['state'],
            }

    @classmethod
    @ModelView.button_action('health_imaging.wizard_send_request')
    def send(cls, requests):
        """Open the wizard that checks and sends requests."""

    @classmethod
    def safety_checks(cls, requests):
        """Return what the rules of safety find.

        :param requests: records
        :rtype: Checks
        """
        return Checks([
                (r.id, r.patient, r.requested_test, r.date, r.id)
                for r in requests])

    @classmethod
    def check_safety(cls, requests, again=False):
        """Ask the user about what is found, and keep it with the requests.

        :param requests: records
        :param bool again: whether they were asked about before, so that only
            what is new is asked
        :raises DeceasedError: a patient is dead
        :raises SafetyWarning: the user is asked, and may go on
        """
        Warning = Pool().get('res.user.warning')
        checks = cls.safety_checks(requests)
        for request in requests:
            checks.refuse(request.patient)
        answered = Transaction().context.get('_imaging_answered')
        known = {
            (r.id, f.finding) for r in requests for f in r.safety_findings
            if again}
        sentences = checks.sentences(known)
        if sentences and not isinstance(answered, Answered):
            key = Warning.format('imaging_safety', requests)
            if Warning.check(key):
                raise SafetyWarning(key, '\n'.join(sentences))
        cls._keep_findings(
            checks, getattr(answered, 'reason', None) or None)

    @classmethod
    @without_check_access
    def _keep_findings(cls, checks, reason=None):
        """Keep what was found, once for each request.

        :param checks: Checks by id of the request
        :param str reason: why the user goes on, or None
        """
        Finding = Pool().get('gnuhealth.imaging.safety.finding')
        known = {
            (f.request.id, f.finding, f.parameters, f.reason)
            for f in Finding.search([
                    ('request', 'in', list(checks.findings))])}
        now = dt.datetime.now().replace(microsecond=0)
        found = []
        for id_, findings in checks.findings.items():
            for finding in findings:
                parameters = json.dumps(
                    _plain(finding.parameters), sort_keys=True)
                if (id_, finding.reason, parameters, reason) in known:
                    continue
                found.append({
                        'request': id_, 'kind': finding.kind,
                        'rule': finding.rule, 'finding': finding.reason,
                        'parameters': parameters, 'found_at': now,
                        'user': Transaction().user or None,
                        'reason': reason})
        Finding.create(found)

    @classmethod
    @without_check_access
    def get_safety(cls, requests, name):
        return {
            r.id: r.safety_lines().replace('\n', ' ')
            for r in cls.browse([r.id for r in requests])}

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="safety"]', 'visual',
                If(Bool(Eval('safety')), 'danger', '')),
            ]

    @without_check_access
    def safety_lines(self):
        """Return what was found, and why the exam is done in spite of it.

        :rtype: str, lines
        """
        return '\n'.join(
            ' – '.join(filter(None, [
                        f'{gettext(_KIND % f.kind)}: {f.text}', f.reason]))
            for f in self.safety_findings)

    def check_question(self):
        """Raise QuestionMissingError unless the exam needs no question.

        :raises QuestionMissingError: there is no clinical question
        """
        if not ((self.clinical_question or '').strip()
                or self.requested_test.question_optional):
            raise QuestionMissingError(gettext(
                    'health_imaging.msg_question_missing',
                    exam=self.requested_test.rec_name))


class Answered(NamedTuple):
    """In the context: the user was asked in a window; clients can send no
    such object.

    :ivar str reason: why the user goes on, or ''
    """
    reason: str


class SafetyStart(ModelView):
    "Safety of an Imaging Order"
    __name__ = 'gnuhealth.imaging.safety.start'

    findings = fields.Text("What Was Found", readonly=True)
    is_stopped = fields.Boolean("Stopped", readonly=True)
    reason = fields.Text("Reason to Go On",
        states={
            'required': Eval('is_stopped', False),
            },
        help="Why the exam is done in spite of it, kept with the request and "
        "shown to those who do and report the exam.")


def asked(checks):
    """Return the values of the window that asks.

    :param checks: Checks
    :rtype: dict
    """
    return {
        'findings': '\n'.join(checks.sentences()),
        'is_stopped': checks.has(STOP)}


def answered(start, checks):
    """Return the answer given in the window that asks.

    :param start: record of the window
    :param checks: Checks, as they are now
    :rtype: Answered
    :raises ReasonMissingError: a reason is needed, and none is given
    """
    reason = (getattr(start, 'reason', None) or '').strip()
    if checks.has(STOP) and not reason:
        raise ReasonMissingError(gettext(
                'health_imaging.msg_reason_missing'))
    return Answered(reason)


class SendRequest(CheckedWizard, Wizard):
    "Send Imaging Requests"
    __name__ = 'gnuhealth.imaging.test.request.send'

    start_state = 'look'
    look = StateTransition()
    ask = StateView('gnuhealth.imaging.safety.start',
        'health_imaging.safety_start_view_form', [
            Button("Keep as Draft", 'end', 'tryton-cancel', default=True),
            Button("Order in Spite of It", 'send', 'tryton-launch'),
            ])
    send = StateTransition()

    _rights = {'gnuhealth.imaging.test.request': ['write']}
    _models = {'gnuhealth.imaging.test.request'}

    def _requests(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        requests = selected_records(self, Request)
        with check_access():
            Request.send(requests)
        return requests

    def transition_look(self):
        requests = self._requests()
        for request in requests:
            request.check_question()
        checks = type(requests[0]).safety_checks(requests)
        if checks.sentences() and not checks.has(REFUSED):
            return 'ask'
        return self._send(requests, Answered(''))

    def default_ask(self, field_names):
        requests = self._requests()
        return asked(type(requests[0]).safety_checks(requests))

    def transition_send(self):
        requests = self._requests()
        checks = type(requests[0]).safety_checks(requests)
        return self._send(requests, answered(self.ask, checks))

    def _send(self, requests, answer):
        with check_access(), \
                Transaction().set_context(_imaging_answered=answer):
            type(requests[0]).requested(requests)
        return 'end'

    def end(self):
        """Let the client show the new state."""
        return 'reload'
