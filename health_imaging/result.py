# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imaging results: interpretation, images, signature and prepared texts."""
from itertools import chain

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, Workflow, fields
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.transaction import Transaction, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .calls import search_words
from .configuration import next_numbers
from .critical import CriticalMixin
from .direction import plain
from .doors import CheckedWizard, reasoned_records
from .exceptions import (
    FinalResultError, InterpretationMissingError, NoHealthProfessionalError,
    NotAmenderError, ResultExistsError, ResultMismatchError,
    ResultNotEmptyError, ResultNotFinalError)
from .institution import AgedMixin
from .migration import keep_one_result, set_result_states, set_where
from .minute import Minute, now, whole
from .notices import note_signed
from .patient_exam import row_id, unread
from .professional import own_health_professional
from .release import ReleaseMixin
from .report_desk import DeskMixin
from .report_text import ReportTextMixin
from .rights import ADMINISTRATION, groups_of
from .roles import bring_reporting
from .second_reader import SecondReaderMixin
from .sections import SECTIONS, TOLD, is_written
from .sign_check import SignCheckMixin
from .tables import writing
from .workflow import GuardedWorkflow, check_unique, hold

_final_readonly = {'readonly': Eval('state') == 'final'}
_CONTENT = {
    'patient', 'date', 'requested_test', 'request', 'order', 'request_date',
    'doctor', 'images', 'number', 'report_style', *SECTIONS}


class Result(
        AgedMixin, DeskMixin, CriticalMixin, ReleaseMixin, SecondReaderMixin,
        SignCheckMixin, GuardedWorkflow, ReportTextMixin, ModelSQL,
        ModelView):
    "Imaging Result"
    __name__ = 'gnuhealth.imaging.test.result'

    number = fields.Char("Number", readonly=True)
    date = Minute("Date", required=True, states=_final_readonly,
        help="When the exam was done.")
    order = fields.Char("Order", readonly=True)
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", ondelete='RESTRICT',
        domain=[If(Eval('id', -1) < 0, ('state', '=', 'requested'), ())],
        states={'readonly': Eval('id', -1) > 0},
        help="Leave it empty for a patient who came without an order.")
    request_date = Minute("Request Date", readonly=True)
    former_request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request before the Upgrade",
        readonly=True, ondelete='SET NULL',
        states={'invisible': ~Eval('former_request')})
    former_request_note = fields.Function(
        fields.Text("Note",
            states={'invisible': ~Eval('former_request')}),
        'get_former_request_note')
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", ondelete='RESTRICT',
        states={
            'required': True,
            'readonly': (Eval('state') == 'final') | (Eval('request', -1) > 0),
            })
    requested_test = fields.Many2One(
        'gnuhealth.imaging.test', "Exam", required=True,
        states={
            'readonly': (Eval('state') == 'final') | (Eval('request', -1) > 0),
            })
    doctor = fields.Many2One(
        'gnuhealth.healthprofessional', "Reported by", required=True,
        states=_final_readonly)
    report_style = fields.Selection([
            ('default', "Images with captions"),
            ('no_images', "No images"),
            ('no_image_comments', "Images without captions"),
            ], "Report Style", sort=False, states=_final_readonly)
    images = fields.One2Many(
        'ir.attachment', 'resource', "Images",
        filter=[('imaging_revision', '=', None)], order=[('id', 'ASC')],
        states=_final_readonly, help="The report shows them in this order.")
    technique = fields.Text("Technique", states=_final_readonly)
    comparison = fields.Text("Comparison", states=_final_readonly)
    comment = fields.Text("Findings", states=_final_readonly)
    impression = fields.Text("Impression", states=_final_readonly)
    also_of = fields.One2Many(
        'gnuhealth.imaging.test.request', 'reported_in', "Also for",
        readonly=True, states={'invisible': ~Eval('also_of', [])},
        help="Other requests for which the exam was done.")
    template = fields.Function(fields.Many2One(
            'gnuhealth.imaging.report.template', "Insert Text",
            domain=['OR',
                ('exams', '=', None),
                ('exams', '=', Eval('requested_test', -1)),
                ],
            states={'invisible': Eval('state') == 'final'},
            help="A prepared text to add to the interpretation."),
        'get_template', setter='set_template')
    state = fields.Selection([
            ('draft', "Preliminary"),
            ('final', "Final"),
            ], "State", readonly=True, required=True, sort=False)
    revision = fields.Integer("Revision", readonly=True)
    signed_by = fields.Many2One(
        'gnuhealth.healthprofessional', "Signed by", readonly=True,
        ondelete='RESTRICT')
    signed_at = fields.DateTime("Signed at", readonly=True)
    signed_minute = fields.Function(Minute("Signed at"), 'get_signed_minute')
    opened_at = Minute("Opened at", readonly=True,
        states={'invisible': ~Eval('opened_at')},
        help="When the doctor who requested the exam first opened the signed "
        "report.")
    amend_reason = fields.Text("Reason for Amendment", readonly=True,
        states={'invisible': ~Eval('amend_reason')})
    former_signed_at = Minute(
        "Former Revision Signed at", readonly=True,
        states={'invisible': ~Eval('former_signed_at')})
    former_reports = fields.One2Many(
        'ir.attachment', 'resource', "Former Revisions", readonly=True,
        filter=[('imaging_revision', '!=', None)],
        order=[('imaging_revision', 'DESC')],
        states={'invisible': ~Eval('revision')})

    _stamped = frozenset({
            'revision', 'signed_by', 'signed_at', 'opened_at',
            'amend_reason', 'former_reports', 'former_signed_at',
            'former_request'})
    _fixed = frozenset({'number', 'request', 'order', 'request_date'})
    _not_copied = frozenset({'images', 'signed_anyway', 'also_of'})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('number_uniq', Unique(table, table.number),
                'health_imaging.msg_result_number_unique'),
            ('request_unique', Unique(table, table.request),
                'health_imaging.msg_result_request_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.patient, Index.Equality())),
                Index(table, (table.date, Index.Range(order='DESC'))),
                Index(table, (table.date, Index.Range(order='DESC')),
                    where=table.state == 'draft'),
                Index(table, (row_id(table.id, 'result'), Index.Range()),
                    where=table.request == Null),
                Index(table, (table.request, Index.Range()),
                    where=unread(table)),
                })
        cls._order = [('date', 'DESC'), ('id', 'DESC')]
        cls._transitions |= {('draft', 'final'), ('final', 'draft')}
        cls._buttons.update({
                'finalize': {'invisible': Eval('state') != 'draft'},
                'sign_next': {'invisible': Eval('state') != 'draft'},
                'amend': {'invisible': Eval('state') != 'final'},
                })

    @classmethod
    def __register__(cls, module):
        table_h = cls.__table_handler__(module)
        if table_h.column_exist('request'):
            if not table_h.column_exist('state'):
                table_h.add_column('state', 'VARCHAR')
                table_h.add_column('revision', 'INTEGER')
                set_result_states(
                    cls, Pool().get('gnuhealth.imaging.test.request'))
            keep_one_result(cls, module)
        known = table_h.column_exist('opened_at')
        super().__register__(module)
        bring_reporting(cls, module)
        if not known:
            # What was signed before is no news.
            table = cls.__table__()
            set_where(
                table, table.state == 'final', opened_at=table.signed_at)

    @staticmethod
    def default_date():
        return whole(now())

    @staticmethod
    def default_report_style():
        return 'default'

    @staticmethod
    def default_state():
        return 'draft'

    @staticmethod
    def default_revision():
        return 0

    @staticmethod
    def default_doctor():
        return own_health_professional()

    @fields.depends(
        'request', 'doctor', '_parent_request.patient',
        '_parent_request.requested_test', '_parent_request.request',
        '_parent_request.date', '_parent_request.doctor')
    def on_change_request(self):
        request = self.request
        if not request:
            return
        self.patient = request.patient
        self.requested_test = request.requested_test
        self.order = request.request
        self.request_date = request.date
        self.date = request.exam_dates([request])[request.id]
        if not self.doctor:
            self.doctor = request.doctor

    @classmethod
    @without_check_access
    def get_former_request_note(cls, results, name):
        """Return why a result has no request any more, None for most."""
        return {
            result.id: gettext('health_imaging.msg_former_request',
                request=result.former_request.rec_name)
            if result.former_request else None
            for result in results}

    def get_template(self, name):
        return None

    @classmethod
    def set_template(cls, results, name, value):
        pass

    def get_signed_minute(self, name):
        return whole(self.signed_at)

    def get_rec_name(self, name):
        return plain(' '.join(filter(None, [
                        self.number, self.exam_title(), '-',
                        self.patient.rec_name if self.patient else None])))

    @property
    def requests(self):
        """The requests that it reports, its own first."""
        return [*filter(None, [self.request]), *self.also_of]

    @without_check_access
    def exam_title(self):
        """Return the name of the exam with its side.

        :rtype: str
        """
        request = self.request or self.former_request
        return self.requested_test.title(request and request.side)

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words([
                'number', 'order', 'patient.party.rec_name', 'patient.puid',
                'requested_test.rec_name'], clause)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="state"]', 'visual',
                If(Eval('state') == 'draft', 'warning', '')),
            ]

    @classmethod
    def create(cls, vlist):
        vlist = [v.copy() for v in vlist]
        requests = cls._take_requests(vlist)
        cls._set_numbers(vlist)
        results = super().create(vlist)
        if requests:
            with without_check_access():
                type(requests[0]).do(requests)
        return results

    @classmethod
    def _take_requests(cls, vlist):
        """Fill in new results from their requests, and return these."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        vlist = [v for v in vlist if v.get('request')]
        requests = Request.browse([v['request'] for v in vlist])
        if len(requests) != len(set(requests)):
            raise ResultExistsError(gettext(
                    'health_imaging.msg_result_request_unique'))
        together = Request.together(requests)
        hold({*together, *chain(*together.values())})
        own = own_health_professional() if requests else None
        dates = Request.exam_dates(requests)
        for request, values in zip(requests, vlist):
            request.check_ready()
            of_request = {
                **request._result_values(), 'date': dates[request.id]}
            if own:
                of_request['doctor'] = own
            for name, value in of_request.items():
                if not values.get(name) or name in cls._fixed:
                    values[name] = value
        return requests

    @classmethod
    def _set_numbers(cls, vlist):
        missing = [v for v in vlist if not v.get('number')]
        if missing:
            numbers = next_numbers('imaging_test_sequence', len(missing))
            for values, number in zip(missing, numbers):
                values['number'] = number

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        for results, values in zip(actions, actions):
            if _CONTENT & values.keys():
                cls.check_draft(results)
        super().write(*args)

    @classmethod
    def check_draft(cls, results):
        """Raise FinalResultError when a result is signed."""
        for result in results:
            if result.state == 'final':
                raise FinalResultError(gettext(
                        'health_imaging.msg_result_final',
                        result=result.rec_name))

    @classmethod
    def delete(cls, results):
        """Delete results that were never signed, and reopen their requests.

        Users delete empty results only.

        :raises FinalResultError: one is signed
        :raises ResultNotEmptyError: one has a text, pictures or a former
            revision
        """
        cls.check_draft(results)
        for result in results if Transaction().check_access else ():
            if not result.is_empty():
                raise ResultNotEmptyError(gettext(
                        'health_imaging.msg_result_not_empty',
                        result=result.rec_name))
        requests = [r.request for r in results if r.request]
        super().delete(results)
        if requests:
            with without_check_access():
                type(requests[0]).reopen(requests)

    def is_empty(self):
        """Return whether it has no text, no images and no former revision."""
        return not (is_written(self) or self.images or self.revision)

    @classmethod
    def validate_fields(cls, results, field_names):
        super().validate_fields(results, field_names)
        if field_names and not field_names & {
                'request', 'patient', 'requested_test'}:
            return
        check_unique(
            results, 'request', 'health_imaging.msg_result_request_unique')
        for result in results:
            result.check_request()

    def check_request(self):
        """Check that patient and exam are those of the request.

        :raises ResultMismatchError: they are not
        """
        request = self.request
        if request and (request.patient != self.patient
                or request.requested_test != self.requested_test):
            raise ResultMismatchError(gettext(
                    'health_imaging.msg_result_mismatch',
                    result=self.rec_name, request=request.rec_name))

    @classmethod
    @ModelView.button
    def finalize(cls, results):
        """Sign results, which become read-only.

        :raises InterpretationMissingError: one has neither findings nor
            impression
        :raises NoHealthProfessionalError: the user is none
        :raises ReportChangedError: somebody changed one since the user read it
        :raises PickOpenError: a pick list is left
        :raises SameReaderError: the user is to be the second reader, and
            was the first
        :raises SignWarning: the user is asked, and may go on
        """
        cls.check_seen(results)
        professional = own_health_professional()
        if not professional:
            raise NoHealthProfessionalError(gettext(
                    'health_imaging.msg_sign_no_professional'))
        for result in results:
            if not is_written(result, TOLD):
                raise InterpretationMissingError(gettext(
                        'health_imaging.msg_interpretation_missing',
                        result=result.rec_name))
            if result.state == 'draft':
                result.check_picks()
        first, last = cls._split_readers(results, professional)
        drafts = [r for r in results if r.state == 'draft']
        findings = cls.sign_findings(drafts)
        cls._ask_to_sign(drafts, findings)
        if findings:
            Check = Pool().get('gnuhealth.imaging.test.result.sign_check')
            Check.keep(findings, professional)
        if first:
            cls._read_first(first, professional)
        if last:
            cls._sign(last, professional)

    @classmethod
    def _end_reading(cls, results):
        """Mark the requests of results that are signed as done, also those
        that were released, and as claimed by nobody."""
        requests = [r.request for r in results if r.request]
        if requests:
            # Requests are locked first.
            type(requests[0]).do(requests)
            type(requests[0]).let_go(requests)

    @classmethod
    @Workflow.transition('final')
    def _sign(cls, results, professional):
        cls._end_reading(results)
        cls.write(results, {
                'signed_by': professional,
                'signed_at': now(),
                'opened_at': None,
                })
        note_signed(results)

    @classmethod
    @ModelView.button_action('health_imaging.wizard_sign_next')
    def sign_next(cls, results):
        """Sign results and go on with the reading list.

        :raises ReportChangedError: somebody changed one since the user read it
        """
        cls.check_seen(results)

    @classmethod
    @without_check_access
    def note_opened(cls, ids):
        """Keep that the requesting doctor opened reports, given by ids."""
        own = own_health_professional()
        if not own:
            return
        with writing():
            opened = cls.search([
                    ('id', 'in', ids),
                    ('state', '=', 'final'),
                    ('opened_at', '=', None),
                    ('request.doctor', '=', own),
                    ])
            cls.write(opened, {'opened_at': now()})

    @classmethod
    @ModelView.button_action('health_imaging.wizard_amend_result')
    def amend(cls, results):
        """Open the wizard that amends signed results.

        :raises NotAmenderError: somebody else signed one
        """
        cls.check_amender(results)

    @classmethod
    def check_amender(cls, results):
        """Raise NotAmenderError unless the user may amend results.

        It takes the signer or the administration.  Who signed before an
        upgrade is not known, and may be any of those who report.
        """
        (administration,), inside = groups_of(ADMINISTRATION)
        own = own_health_professional()
        for result in results:
            signer = result.signed_by
            if signer and signer.id != own and not inside:
                raise NotAmenderError(gettext(
                        'health_imaging.msg_not_amender',
                        result=result.rec_name, signer=signer.rec_name,
                        group=administration.rec_name))

    @classmethod
    def reopen(cls, results, reason):
        """Set signed results back to draft and attach the signed report."""
        Attachment = Pool().get('ir.attachment')
        reports = [r._print_revision() for r in results]
        requests = [r.request for r in results if r.request]
        if requests:
            # Nobody else reports what is being amended.
            type(requests[0]).claim(requests)
        cls._unsign(results, reason)
        Attachment.create(reports)

    def _print_revision(self):
        """Return the values of the attachment with the report as it is."""
        Report = Pool().get('patient.imaging_report_results', type='report')
        extension, content, _, _ = Report.execute([self.id], {})
        revision = self.revision or 0
        return {
            'name': f'{self.number}-{revision}.{extension}',
            'type': 'data',
            'data': content,
            'resource': str(self),
            'imaging_revision': revision,
            }

    @classmethod
    @Workflow.transition('draft')
    def _unsign(cls, results, reason):
        for result in results:
            cls.write([result], {
                    'revision': (result.revision or 0) + 1,
                    'amend_reason': reason,
                    'former_signed_at': result.signed_at,
                    'signed_by': None,
                    'signed_at': None,
                    'first_read_by': None,
                    'first_read_at': None,
                    })


class AmendResultStart(ModelView):
    "Amend Imaging Result"
    __name__ = 'gnuhealth.imaging.test.result.amend.start'

    reason = fields.Text("Reason", required=True,
        help="Why the report changes, kept with the result.")


class AmendResult(CheckedWizard, Wizard):
    "Amend Imaging Result"
    __name__ = 'gnuhealth.imaging.test.result.amend'

    start = StateView('gnuhealth.imaging.test.result.amend.start',
        'health_imaging.imaging_test_result_amend_start_view_form', [
            Button("Keep", 'end', 'tryton-cancel'),
            Button("Amend", 'amend', 'tryton-ok', default=True),
            ])
    amend = StateTransition()

    # The administration amends without the right to write.
    _rights = {'gnuhealth.imaging.test.result': ['read']}
    _models = {'gnuhealth.imaging.test.result'}

    def transition_amend(self):
        Result = Pool().get('gnuhealth.imaging.test.result')
        results, reason = reasoned_records(self, Result, 'amend')
        for result in results:
            if result.state != 'final':
                raise ResultNotFinalError(gettext(
                        'health_imaging.msg_result_not_final',
                        result=result.rec_name))
        Result.reopen(results, reason)
        return 'end'
