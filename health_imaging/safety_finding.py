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

from .direction import plain
from .doors import ReloadingWizard, selected_records
from .exam_side import check_side
from .exceptions import (
    DeceasedError, QuestionMissingError, ReasonMissingError, SafetyWarning)
from .institution import institution_timezone, local_datetime
from .kept import Ledger
from .minute import Minute, now
from .patient_facts import PatientFacts
from .retention import Forgotten
from .rights import may_read
from .safety.rules import REFUSED, STOP, Rule, check

KINDS = [
    ('refused', "Refused"),
    ('stop', "Stop"),
    ('question', "Question"),
    ('warning', "Warning"),
    ]


_KIND = 'health_imaging.msg_finding_kind_%s'


class SafetyFinding(Forgotten, Ledger, ModelSQL, ModelView):
    "Safety Finding of an Imaging Request"
    __name__ = 'gnuhealth.imaging.safety.finding'
    _dated = 'found_at'
    _years = 'health_imaging', 'reasons_years', 0

    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", required=True,
        readonly=True, ondelete='CASCADE')
    kind = fields.Selection(
        KINDS, "Kind", required=True, readonly=True, sort=False)
    rule = fields.Char("Rule", required=True, readonly=True)
    finding = fields.Char("Code", required=True, readonly=True)
    parameters = fields.Text("Parameters", readonly=True)
    text = fields.Function(fields.Text("What Was Found"), 'get_text')
    found_at = Minute("Found at", required=True, readonly=True)
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
        gnuhealth.imaging.test record, side or None, datetime.datetime of the
        exam (UTC) and record of the request or None
    :param facts: PatientFacts of the patients, where they are at hand
    :ivar findings: lists of safety.rules.Finding by key
    """

    def __init__(self, asked, facts=None):
        zone = institution_timezone()
        facts = facts or PatientFacts([patient for _, patient, *_ in asked])
        self.findings = {}
        self._patients = {key: patient for key, patient, *_ in asked}
        exams = {}
        for key, patient, exam, side, date, request in asked:
            day = local_datetime(date, zone).date()
            kind = exam.id, side, exam.greatest_weight(request)
            if kind not in exams:
                exams[kind] = exam.safety_facts(side, request)
            self.findings[key] = check(
                facts.of(patient, day, request and request.id),
                exams[kind], day)

    def has(self, kind):
        """Return whether something of a kind was found.

        :param str kind: of safety.rules
        :rtype: bool
        """
        return any(
            f.kind == kind for found in self.findings.values() for f in found)

    def sentences(self, known=()):
        """Return what was found, a line each, the most serious first.

        :param known: set of key, code and parameters of what is left out
        :rtype: list of str
        """
        found = {
            f: None for kind, _ in KINDS
            for key, some in self.findings.items() for f in some
            if f.kind == kind and (key, f.reason, _kept(f)) not in known}
        return [
            f'{gettext(_KIND % f.kind)}: '
            + sentence(f.rule, f.reason, _plain(f.parameters)) for f in found]

    def refuse(self):
        """Raise DeceasedError when nothing can be ordered.

        :raises DeceasedError: a patient is dead
        """
        for key, found in self.findings.items():
            if any(f.kind == REFUSED for f in found):
                raise DeceasedError(gettext(
                        'health_imaging.msg_finding_refused',
                        patient=self._patients[key].rec_name))


def _plain(parameters):
    return {name: str(value) for name, value in parameters}


def _kept(finding):
    "Return the parameters of a Finding as they are kept."
    return json.dumps(_plain(finding.parameters), sort_keys=True)


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
            states={'invisible': ~Eval('safety')},
            help="What was found when the exam was ordered, the most serious "
            "first, and why it is done in spite of it."), 'get_safety')

    @classmethod
    @without_check_access
    def get_safety(cls, requests, name):
        """Return what was found in a line, empty for who may not read it."""
        Finding = Pool().get('gnuhealth.imaging.safety.finding')
        lines = dict.fromkeys((r.id for r in requests), '')
        if may_read(Finding.__name__):
            for request in cls.browse(requests):
                lines[request.id] = plain(
                    '; '.join(request.safety_lines().splitlines()))
        return lines

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['send'] = {'invisible': Eval('state') != 'draft'}

    @classmethod
    @ModelView.button_action('health_imaging.wizard_send_request')
    def send(cls, requests):
        """Open the wizard that checks and sends requests."""

    @classmethod
    def safety_checks(cls, requests, facts=None):
        """Return what the rules of safety find.

        :param requests: records
        :param facts: PatientFacts of the patients, where they are at hand
        :rtype: Checks
        """
        return Checks([
                (r.id, r.patient, r.requested_test, r.side, r.date, r)
                for r in requests], facts)

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
        checks.refuse()
        answered = Transaction().context.get('_imaging_answered')
        with without_check_access():
            known = {
                (r.id, f.finding, f.parameters) for r in cls.browse(requests)
                for f in r.safety_findings if again}
        sentences = checks.sentences(known)
        # The front desk reschedules, and may not read it: it is kept.
        if (sentences and not isinstance(answered, Answered)
                and may_read('gnuhealth.imaging.safety.finding')):
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
        found = []
        for id_, findings in checks.findings.items():
            for finding in findings:
                parameters = _kept(finding)
                if (id_, finding.reason, parameters, reason) in known:
                    continue
                found.append({
                        'request': id_, 'kind': finding.kind,
                        'rule': finding.rule, 'finding': finding.reason,
                        'parameters': parameters, 'found_at': now(),
                        'user': Transaction().user or None,
                        'reason': reason})
        Finding.create(found)

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
        kinds = [kind for kind, _ in KINDS]
        return '\n'.join(
            ' – '.join(filter(None, [
                        f'{gettext(_KIND % f.kind)}: {f.text}', f.reason]))
            for f in sorted(
                self.safety_findings, key=lambda f: kinds.index(f.kind)))

    @without_check_access
    def _was_asked(self):
        """Return whether something was found, which nobody deletes."""
        return bool(type(self)(self.id).safety_findings)

    def check_question(self):
        """Check what a person is to say before the request is sent.

        :raises QuestionMissingError: there is no clinical question
        :raises OrderIncompleteError: the side is to be chosen
        """
        check_side(self.requested_test, self.side)
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


class SendRequest(ReloadingWizard, Wizard):
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
