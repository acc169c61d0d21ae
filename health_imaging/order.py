# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "New order": several exams for one patient in one order."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, PYSONEncoder
from trytond.transaction import Transaction, check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .alerts import Alerts
from .configuration import next_numbers
from .doors import CheckedWizard
from .exam_side import check_side, side_field
from .exceptions import OrderIncompleteError, QuestionMissingError
from .identity import identity_line
from .minute import Minute, whole
from .order_session import OrderedOnce
from .party import check_present
from .professional import own_health_professional
from .rights import check_read
from .safety.facts import ASK
from .safety.rules import DUPLICATE_DAYS, are_alike
from .safety_finding import Answered, Checks, answered, asked

# What is typed in the window.
_TYPED = [
    'patient', 'date', 'urgent', 'doctor', 'clinical_question', 'context',
    'tests', 'side']


class OrderStart(ModelView):
    "New Imaging Order"
    __name__ = 'gnuhealth.patient.imaging.test.request.start'

    patient = fields.Many2One('gnuhealth.patient', "Patient", required=True,
        context={'imaging_identity': True})
    identity = fields.Function(fields.Char("Identity",
            help="PUID, date of birth, age and sex."),
        'on_change_with_identity')
    alerts = fields.Function(fields.Text("Alerts",
            states={'invisible': ~Eval('alerts')}), 'on_change_with_alerts')
    recent = fields.Function(fields.Text("Ordered or Done in 30 Days",
            states={'invisible': ~Eval('recent')}), 'on_change_with_recent')
    clinical_question = fields.Text("Clinical Question",
        help="What the exams are to answer.")
    date = Minute("Date", required=True,
        help="When the exams are to be done.")
    urgent = fields.Boolean("Urgent")
    doctor = fields.Many2One(
        'gnuhealth.healthprofessional', "Requested by", required=True,
        help="The health professional who asks for the exams.")
    context = fields.Many2One(
        'gnuhealth.pathology', "Context",
        help="The condition that the exams are to confirm, follow or rule "
        "out.")
    tests = fields.Many2Many(
        'gnuhealth.request-imaging-test', 'request', 'test', "Exams",
        required=True)
    side = side_field(
        states={
            'invisible': ~Eval('asks_side'),
            },
        help="On which side the exams are done. Those of another side are "
        "another order.")
    asks_side = fields.Function(
        fields.Boolean("With a Side"), 'on_change_with_asks_side')

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('//group[@id="alerts"]', 'states', {
                    'invisible': ~Eval('alerts')}),
            ]

    @staticmethod
    def default_date():
        return whole(dt.datetime.now())

    @staticmethod
    def default_urgent():
        return False

    @staticmethod
    def default_patient():
        context = Transaction().context
        if context.get('active_model') == 'gnuhealth.patient':
            return context.get('active_id')

    @staticmethod
    def default_doctor():
        return own_health_professional()

    @fields.depends('patient')
    def on_change_with_identity(self, name=None):
        if self.patient:
            return identity_line(self.patient)

    @fields.depends('patient')
    def on_change_with_alerts(self, name=None):
        if self.patient:
            alerts = Alerts([self.patient])
            return '\n'.join(filter(None, [
                        alerts.words(self.patient),
                        *alerts.details[self.patient.id]]))

    @fields.depends('tests')
    def on_change_with_asks_side(self, name=None):
        return any(exam.side == ASK for exam in self.tests or [])

    @fields.depends('patient', 'tests')
    def on_change_with_recent(self, name=None):
        if self.patient and self.tests:
            return '\n'.join(_recent_lines(self.patient, self.tests))


def _recent_lines(patient, exams):
    """Return the exams of a patient that are like some, and not long ago.

    :param patient: gnuhealth.patient record
    :param exams: gnuhealth.imaging.test records
    :rtype: list of str
    """
    PatientExam = Pool().get('gnuhealth.imaging.patient_exam')
    with check_access():
        found = PatientExam.search([
                ('patient', '=', patient.id),
                ('date', '>=', dt.datetime.now() - dt.timedelta(
                        days=DUPLICATE_DAYS)),
                ('state', 'not in', ['draft', 'canceled']),
                ])
    ordered = [exam.safety_facts() for exam in exams]
    return [exam.in_a_line() for exam in found if exam.exam and any(
            are_alike(exam.exam.safety_facts(), other) for other in ordered)]


class OrderTest(ModelView):
    "Imaging Order - Exam"
    __name__ = 'gnuhealth.request-imaging-test'

    request = fields.Many2One(
        'gnuhealth.patient.imaging.test.request.start', "Order",
        required=True)
    test = fields.Many2One('gnuhealth.imaging.test', "Exam", required=True)


class Order(OrderedOnce, CheckedWizard, Wizard):
    "New Imaging Order"
    __name__ = 'gnuhealth.patient.imaging.test.request'

    start = StateView('gnuhealth.patient.imaging.test.request.start',
        'health_imaging.patient_imaging_test_request_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Save as Draft", 'request', 'tryton-save'),
            Button("Order", 'order_and_request', 'tryton-launch',
                default=True),
            ])
    request = StateTransition()
    order_and_request = StateTransition()
    safety = StateView('gnuhealth.imaging.safety.start',
        'health_imaging.safety_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Back", 'start', 'tryton-back', default=True,
                validate=False),
            Button("Order in Spite of It", 'order_anyway', 'tryton-launch'),
            ])
    order_anyway = StateTransition()
    open_ = StateAction('health_imaging.act_imaging_test_request_view')

    _rights = {'gnuhealth.imaging.test.request': ['create']}
    _models = {'gnuhealth.patient'}
    _ordering = frozenset({'request', 'order_and_request', 'order_anyway'})

    # The new requests, opened by the last state.
    _made = ()

    def transition_request(self):
        self._made = self._order()
        return 'open_'

    def transition_order_and_request(self):
        checks = self._checks()
        if checks.sentences():
            return 'safety'
        return self._order_and_send(Answered(''))

    def transition_order_anyway(self):
        return self._order_and_send(answered(self.safety, self._checks()))

    def default_safety(self, field_names):
        return asked(self._checks())

    def default_start(self, field_names):
        """Return what was typed before, after "Back"."""
        typed = {}
        for name in _TYPED:
            value = getattr(self.start, name, None)
            if value is not None:
                typed[name] = [test.id for test in value] \
                    if name == 'tests' else getattr(value, 'id', value)
        return typed

    def _checks(self):
        """Return what the rules of safety find of the order.

        :rtype: Checks
        :raises PatientMergedError: the patient was merged into another one
        :raises DeceasedError: the patient is dead
        :raises QuestionMissingError: an exam needs a clinical question
        :raises OrderIncompleteError: something else is missing
        """
        start = self.start
        self._check_complete()
        check_read([start.patient])
        check_present([start.patient.id])
        question = (getattr(start, 'clinical_question', None) or '').strip()
        side = getattr(start, 'side', None)
        for test in start.tests:
            check_side(test, side)
            if not (question or test.question_optional):
                raise QuestionMissingError(gettext(
                        'health_imaging.msg_question_missing',
                        exam=test.rec_name))
        checks = Checks([
                (exam.id, start.patient, exam, side, start.date, None)
                for exam in start.tests])
        checks.refuse()
        return checks

    def _order_and_send(self, answer):
        Request = Pool().get('gnuhealth.imaging.test.request')
        ids = []
        # Other modules replace the state "request".
        with Transaction().set_context(_imaging_request_ids=ids):
            self.transition_request()
        self._made = Request.browse(ids)
        self._send(answer)
        return 'open_'

    def _send(self, answer):
        """Send what was made, as the user may.

        :param answer: Answered, what the user said to what was found
        """
        Request = Pool().get('gnuhealth.imaging.test.request')
        drafts = [r for r in self._made if r.state == 'draft']
        with check_access(), \
                Transaction().set_context(_imaging_answered=answer):
            Request.requested(drafts)

    def _ordered_again(self, made, state_name):
        """Show what the window made before, sent if it is to be sent."""
        self._made = made
        if state_name != 'request':
            self._send(Answered(
                    getattr(self.safety, 'reason', None) or ''))

    def _order(self):
        """Create the requests of the order.

        :rtype: list of gnuhealth.imaging.test.request records
        """
        Request = Pool().get('gnuhealth.imaging.test.request')
        self._check_complete()
        check_read([self.start.patient])
        Request.check_exams(self.start.tests)
        number, = next_numbers('imaging_req_seq', 1)
        return Request.create([
                self._request_values(test, number)
                for test in self.start.tests])

    def _check_complete(self):
        start = self.start
        for name in ['patient', 'date', 'doctor', 'tests']:
            if not getattr(start, name, None):
                raise OrderIncompleteError(gettext(
                        'health_imaging.msg_order_incomplete',
                        **start.__names__(name)))

    def _request_values(self, test, number):
        """Return the values of the request of one exam of the order."""
        start = self.start
        context = getattr(start, 'context', None)
        return {
            'request': number,
            'requested_test': test.id,
            'patient': start.patient.id,
            'doctor': start.doctor.id,
            'context': context.id if context else None,
            'date': start.date,
            'clinical_question': getattr(start, 'clinical_question', None),
            'urgent': getattr(start, 'urgent', False),
            'side': getattr(start, 'side', None)
            if test.side == ASK else None,
            }

    def do_open_(self, action):
        if self._made:
            action['name'] = self._summary()
        ids = [r.id for r in self._made]
        action['pyson_domain'] = PYSONEncoder().encode([('id', 'in', ids)])
        action['domains'] = []
        return action, {}

    def _summary(self):
        """Return what was made in a line, the name of the list.

        :rtype: str
        """
        Request = Pool().get('gnuhealth.imaging.test.request')
        made = Request.browse([r.id for r in self._made])
        sent = all(r.state == 'requested' for r in made)
        return gettext(
            'health_imaging.msg_order_sent' if sent
            else 'health_imaging.msg_order_saved',
            count=len(made),
            exams=', '.join(r.requested_test.code for r in made))
