# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imaging requests: one line of an order, from draft to done."""
from collections import Counter

from sql import Null
from sql.functions import Lower

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, Workflow, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, check_access
from trytond.wizard import StateAction, Wizard

from .calls import search_words
from .claim import UNCLAIMED
from .configuration import next_numbers
from .dashboard import OPEN, DueMixin
from .direction import plain
from .doors import CheckedWizard, selected_records
from .exam_side import SideMixin
from .exceptions import (
    InactiveExamError, NotDraftError, OrderPatientError, RequestNotReadyError)
from .migration import number_request_lines, set_request_states
from .minute import Minute, now, whole
from .notices import note_urgent
from .order_session import OrderedOnceMixin
from .order_sheet import SheetMixin
from .party import check_present
from .patient_exam import row_id
from .professional import own_health_professional
from .reading import ReadingMixin, opened
from .request_list import ListMixin
from .reschedule import RescheduleMixin, is_rescheduling
from .safety_finding import FindingsMixin
from .second_reader import SecondReadMixin
from .workflow import GuardedWorkflow, check_unique, differs
from .worklist import WorklistMixin

_CLINICAL = {
    'patient', 'date', 'requested_test', 'doctor', 'context', 'urgent',
    'request', 'request_line', 'clinical_question', 'side'}
_draft_only = {'readonly': Eval('state', 'draft') != 'draft'}


class Request(
        SecondReadMixin, ReadingMixin, DueMixin, ListMixin, WorklistMixin,
        RescheduleMixin, OrderedOnceMixin, SheetMixin, FindingsMixin,
        SideMixin, GuardedWorkflow, ModelSQL, ModelView):
    "Imaging Request"
    __name__ = 'gnuhealth.imaging.test.request'

    request = fields.Char("Order", readonly=True,
        help="The number of the order, shared by the exams ordered together. "
        "It is the accession number.")
    request_line = fields.Char("Number", readonly=True,
        help="The number of this request: the order, how many requests it "
        "has, and which of them this is.")
    date = Minute("Date", required=True, states=_draft_only,
        help="When the exam is to be done.")
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", required=True, states=_draft_only)
    requested_test = fields.Many2One(
        'gnuhealth.imaging.test', "Exam", required=True, states=_draft_only)
    modality = fields.Function(fields.Char("Modality"),
        'get_modality', searcher='search_modality')
    doctor = fields.Many2One(
        'gnuhealth.healthprofessional', "Requested by", required=True,
        states=_draft_only,
        help="The health professional who asks for the exam.")
    context = fields.Many2One(
        'gnuhealth.pathology', "Context", ondelete='RESTRICT',
        states=_draft_only,
        help="The condition that the exam is to confirm, follow or rule out.")
    urgent = fields.Boolean("Urgent", states=_draft_only)
    comment = fields.Text("Comments")
    state = fields.Selection([
            ('draft', "Draft"),
            ('requested', "Requested"),
            ('done', "Done"),
            ('canceled', "Canceled"),
            ], "State", readonly=True, sort=False)
    requested_by = fields.Many2One(
        'res.user', "Sent by", readonly=True,
        states={'invisible': ~Eval('requested_by')})
    requested_at = Minute("Sent at", readonly=True,
        states={'invisible': ~Eval('requested_at')})
    done_at = fields.DateTime("Done at", readonly=True)
    done_minute = fields.Function(Minute("Done at",
            states={'invisible': ~Eval('done_minute')},
            # Clients read it along: else all else would be read, too.
            depends={'done_at'}), 'get_done_minute')
    canceled_by = fields.Many2One('res.user', "Canceled by", readonly=True,
        states={'invisible': ~Eval('canceled_by')})
    canceled_at = Minute("Canceled at", readonly=True,
        states={'invisible': ~Eval('canceled_at')})
    canceled_for = fields.Many2One(
        'gnuhealth.imaging.cancel.reason', "Reason for Cancellation",
        readonly=True, ondelete='RESTRICT',
        states={'invisible': ~Eval('canceled_for')})
    cancel_reason = fields.Text("Details of the Cancellation", readonly=True,
        states={'invisible': ~Eval('cancel_reason')})
    results = fields.One2Many(
        'gnuhealth.imaging.test.result', 'request', "Result", readonly=True,
        states={'invisible': ~Eval('results', [])})

    _stamped = frozenset({
            'requested_by', 'requested_at', 'done_at', 'canceled_by',
            'canceled_at', 'canceled_for', 'cancel_reason', 'arrived_at',
            'reschedules', 'order_session', 'safety_findings'})
    _fixed = frozenset({'request', 'request_line'})
    _not_copied = frozenset({'results'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('request_line_unique', Unique(table, table.request_line),
                'health_imaging.msg_request_line_unique'),
            ]
        cls._sql_indexes.update({
                *(Index(table, (expression, Index.Equality()))
                    for expression in [
                        table.request, Lower(table.request),
                        Lower(table.request_line)]),
                Index(table,
                    (table.patient, Index.Equality()),
                    (table.date, Index.Range())),
                Index(table, (table.request_line, Index.Similarity())),
                Index(table, (table.order_session, Index.Equality()),
                    where=table.order_session != Null),
                Index(table,
                    (table.state, Index.Equality()),
                    (table.date, Index.Range(order='DESC')),
                    where=table.state.in_(OPEN)),
                # The order of those that are not open.
                Index(table,
                    (table.date, Index.Range(order='DESC')),
                    (table.id, Index.Range(order='DESC'))),
                Index(table, (table.requested_at, Index.Range())),
                Index(table,
                    (table.doctor, Index.Range()),
                    (table.state, Index.Range())),
                Index(table, (row_id(table.id, 'request'), Index.Range())),
                })
        # What is to be done first, then the latest of the past.
        cls._order = [
            ('urgent', 'DESC'), ('due', 'ASC'), ('date', 'DESC'),
            ('id', 'DESC')]
        cls._transitions |= {
            ('draft', 'requested'),
            ('requested', 'done'),
            ('done', 'requested'),
            ('draft', 'canceled'),
            ('requested', 'canceled'),
            ('canceled', 'draft'),
            }
        cls._buttons.update({
                'requested': {'invisible': Eval('state') != 'draft'},
                'generate_results': {
                    'invisible': Eval('state') != 'requested'},
                'cancel': {
                    'invisible': ~Eval('state').in_(['draft', 'requested'])},
                'draft': {'invisible': Eval('state') != 'canceled'},
                })

    @classmethod
    def __register__(cls, module):
        if cls.__table_handler__(module).column_exist('request_line'):
            number_request_lines(cls)
            set_request_states(cls)
        super().__register__(module)

    @staticmethod
    def default_state():
        return 'draft'

    @staticmethod
    def default_urgent():
        return False

    @staticmethod
    def default_date():
        return whole(now())

    @staticmethod
    def default_doctor():
        return own_health_professional()

    @classmethod
    def get_modality(cls, requests, name):
        return {r.id: r.requested_test.test_type.code for r in requests}

    @classmethod
    def search_modality(cls, name, clause):
        return [('requested_test.test_type.code', *clause[1:])]

    def get_done_minute(self, name):
        return whole(self.done_at)

    def get_rec_name(self, name):
        number = self.request_line or self.request or f'#{self.id}'
        return plain(' '.join([
                    number, self.exam_title(), '-',
                    self.patient.rec_name or '']))

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words([
                'request_line', 'request', 'patient.party.rec_name',
                'patient.puid', 'requested_test.rec_name'], clause)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="urgent"]', 'visual',
                If(Bool(Eval('urgent')), 'danger', '')),
            ]

    @classmethod
    def create(cls, vlist):
        vlist = [{**v, **cls._window_values()} for v in vlist]
        cls._check_patients(vlist)
        cls._check_exams(vlist)
        cls._set_numbers(vlist)
        requests = super().create(vlist)
        Transaction().context.get('_imaging_request_ids', []).extend(
            r.id for r in requests)
        return requests

    @staticmethod
    def _check_patients(vlist):
        check_present({v.get('patient') for v in vlist} - {None})

    @classmethod
    def _check_exams(cls, vlist):
        Exam = Pool().get('gnuhealth.imaging.test')
        ids = {v.get('requested_test') for v in vlist} - {None}
        cls.check_exams(Exam.browse(ids))

    @classmethod
    def check_exams(cls, exams):
        """Raise InactiveExamError unless all exams are active."""
        for exam in exams:
            if not exam.active:
                raise InactiveExamError(gettext(
                        'health_imaging.msg_exam_inactive',
                        exam=exam.rec_name))

    @classmethod
    def _set_numbers(cls, vlist):
        """Number new requests in place; a lonely one becomes an order."""
        for values in vlist:
            for name in ['request', 'request_line']:
                values[name] = (values.get(name) or '').strip() or None
        lonely = [v for v in vlist if not v['request']]
        complete = [v for v in lonely if v.get('requested_test')]
        numbers = next_numbers('imaging_req_seq', len(complete)) \
            if complete else []
        for values, number in zip(complete, numbers):
            values['request'] = number
        sizes = Counter(v['request'] for v in vlist
            if v['request'] and not v['request_line'])
        ranks = Counter()
        for values in vlist:
            order = values['request']
            if order and not values['request_line']:
                ranks[order] += 1
                values['request_line'] = cls.line_number(
                    order, sizes[order], ranks[order])

    @staticmethod
    def line_number(order, size, rank):
        """Return the number of a request.

        :param str order: number of the order
        :param int size: how many requests the order has
        :param int rank: which of them this is, from 1
        :return: str such as 017-03-02
        """
        return f'{order}-{size:02}-{rank:02}'

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        for requests, values in zip(actions, actions):
            cls._check_clinical(requests, values)
            cls._check_patients([values])
            cls._check_exams([values])
        super().write(*args)

    @classmethod
    def _check_move(cls, requests, state):
        """Return the requests whose state changes; keep reported ones done,
        unless their result was released."""
        moved = super()._check_move(requests, state)
        for request in moved:
            if request.state == 'done' and not all(
                    r.state == 'draft' and r.released_at
                    for r in request.results):
                request._refuse_move()
        return moved

    @classmethod
    def _check_clinical(cls, requests, values):
        names = _CLINICAL & values.keys()
        if is_rescheduling():
            names -= {'date'}
        if not names:
            return
        for request in requests:
            if request.state == 'draft':
                continue
            for name in names:
                if differs(request, name, values[name]):
                    raise NotDraftError(gettext(
                            'health_imaging.msg_request_not_draft',
                            request=request.rec_name,
                            **cls.__names__(name)))

    @classmethod
    def validate_fields(cls, requests, field_names):
        super().validate_fields(requests, field_names)
        if not field_names or 'request_line' in field_names:
            check_unique(requests, 'request_line',
                'health_imaging.msg_request_line_unique')
        if not field_names or field_names & {'request', 'patient'}:
            cls.check_order_patients(requests)

    @classmethod
    def check_order_patients(cls, requests):
        """Check that each order is for one patient.

        The order number is the accession number (0008,0050) of the images.

        :raises OrderPatientError: an order has requests of two patients
        """
        orders = {r.request: r.patient for r in requests if r.request}
        for some in grouped_slice(orders):
            for other in cls.search([('request', 'in', list(some))]):
                if other.patient != orders[other.request]:
                    raise OrderPatientError(gettext(
                            'health_imaging.msg_order_patient',
                            order=other.request,
                            patient=other.patient.rec_name))

    @classmethod
    def delete(cls, requests):
        for request in requests:
            if request.state in {'requested', 'done'} or request._was_asked():
                raise NotDraftError(gettext(
                        'health_imaging.msg_request_delete',
                        request=request.rec_name))
        super().delete(requests)

    @classmethod
    def _stamps(cls, state):
        at, user = now(), Transaction().user or None
        return {
            'draft': {
                'requested_by': None, 'requested_at': None,
                'canceled_by': None, 'canceled_at': None,
                'canceled_for': None, 'cancel_reason': None,
                'arrived_at': None},
            'requested': {'requested_by': user, 'requested_at': at},
            'done': {'done_at': at},
            'canceled': {
                **UNCLAIMED, 'canceled_by': user, 'canceled_at': at},
            }.get(state, {})

    @classmethod
    @ModelView.button
    @Workflow.transition('requested')
    def requested(cls, requests):
        """Send requests; see the state of the workflow.

        :raises InactiveExamError: an exam is not active
        :raises DeceasedError: a patient is dead
        :raises SafetyWarning: the user is asked about what the rules of
            safety find, and may go on
        """
        cls.check_exams(r.requested_test for r in requests)
        cls.check_safety(requests)
        note_urgent(requests)

    @classmethod
    @ModelView.button_action('health_imaging.act_imaging_test_result_view')
    def generate_results(cls, requests):
        """Claim requests, make their results and open them.

        :raises RequestNotReadyError: a request is not in the state requested
        :raises NoImagesWarning: of one no images arrived; may go on
        :raises ClaimedWarning: another user reports one; may go on
        """
        requests = cls.reporting(requests)
        for request in requests:
            request.check_ready()
        return opened(cls.write_reports(requests))

    @classmethod
    def make_results(cls, requests):
        """Make the result of each request, which is then done.

        :rtype: list of gnuhealth.imaging.test.result records
        :raises RequestNotReadyError: a request is not in the state requested
        """
        Result = Pool().get('gnuhealth.imaging.test.result')
        return Result.create([{'request': r.id} for r in requests])

    def check_ready(self):
        """Raise RequestNotReadyError unless a result can be made."""
        if self.state == 'done':
            message = 'health_imaging.msg_request_has_result'
        elif self.state != 'requested':
            message = 'health_imaging.msg_request_not_requested'
        else:
            return
        raise RequestNotReadyError(gettext(message, request=self.rec_name))

    def _result_values(self):
        """Return the values of the result of this request."""
        return {
            'request': self.id,
            'patient': self.patient.id,
            'requested_test': self.requested_test.id,
            'order': self.request,
            'request_date': self.date,
            'doctor': self.doctor.id,
            }

    @classmethod
    @Workflow.transition('done')
    def do(cls, requests):
        """Mark requests as done; called when their results are created, and
        when somebody goes on with those that were released."""

    @classmethod
    def reopen(cls, requests):
        """Mark requests as requested; called when their results are deleted
        or released.

        Who sent them, and when, stays.
        """
        requests = [
            r for r in cls.browse([r.id for r in requests])
            if r.state == 'done']
        sent = [(r, {
                    'requested_by': r.requested_by and r.requested_by.id,
                    'requested_at': r.requested_at,
                    'done_at': None, **UNCLAIMED}) for r in requests]
        cls._reopen(requests)
        for request, values in sent:
            cls.write([request], values)

    @classmethod
    @Workflow.transition('requested')
    def _reopen(cls, requests):
        pass

    @classmethod
    @ModelView.button_action('health_imaging.wizard_cancel_request')
    def cancel(cls, requests):
        """Open the wizard that cancels requests."""

    @classmethod
    @Workflow.transition('canceled')
    def cancel_for(cls, requests, reason, choice=None):
        """Cancel requests and store the reason.

        :param str reason: why, in words
        :raises RequestNotReadyError: one has the text of a released result
        """
        cls.drop_results(requests)
        cls.write(requests, {
                'cancel_reason': reason,
                'canceled_for': choice.id if choice else None,
                })

    @classmethod
    @ModelView.button
    @Workflow.transition('draft')
    def draft(cls, requests):
        """Set canceled requests back to draft."""


class GenerateResult(CheckedWizard, Wizard):
    "Generate Imaging Results"
    __name__ = 'wizard.generate.result'

    start_state = 'open_'
    open_ = StateAction('health_imaging.act_imaging_test_result_view')

    _rights = {
        'gnuhealth.imaging.test.request': ['write'],
        'gnuhealth.imaging.test.result': ['create'],
        }
    _models = {'gnuhealth.imaging.test.request'}

    def do_open_(self, action):
        Request = Pool().get('gnuhealth.imaging.test.request')
        with check_access():
            action = Request.generate_results(
                selected_records(self, Request))
        return action, {}
