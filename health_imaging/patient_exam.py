# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exams of a patient in one list, for the doctor: requests, and reports
without a request."""
import datetime as dt
import operator
import time
from functools import reduce

from sql import Literal, Null, Union
from sql.conditionals import Case, Coalesce
from sql.functions import CurrentTimestamp

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.tools import reduce_ids
from trytond.transaction import Transaction
from trytond.wizard import StateReport, StateTransition, Wizard

from .calls import CheckedCalls
from .dashboard import OPEN
from .direction import plain
from .doors import CheckedWizard, selected_records
from .exam_side import side_field
from .exceptions import NoReportError
from .institution import (
    hospital_language, institution_timezone, local_datetime)
from .minute import Minute
from .professional import own_health_professional
from .request_list import report_state
from .rights import check_read
from .sections import SECTIONS, first_line
from .tables import execute, moment

#: Kinds of rows of PatientExam: the id of a row is the id of its record times
#: their number, plus the place of its kind.
KINDS = ['request', 'result', 'study']
_REPORTED = ['preliminary', 'final', 'amended']


class PatientExam(CheckedCalls, ModelSQL, ModelView):
    "Exam of a Patient"
    __name__ = 'gnuhealth.imaging.patient_exam'

    # Names of the fields that lead to what an exam is of.
    _sources = ['exam', 'request', 'result']

    patient = fields.Many2One('gnuhealth.patient', "Patient")
    date = Minute("Date and Time")
    day = fields.Function(fields.Date("Date"), 'get_day')
    exam = fields.Many2One('gnuhealth.imaging.test', "Ordered Exam")
    side = side_field(readonly=True)
    title = fields.Function(fields.Char("Exam"), 'get_title')
    doctor = fields.Many2One('gnuhealth.healthprofessional', "Requested by")
    request = fields.Many2One('gnuhealth.imaging.test.request', "Request")
    result = fields.Many2One('gnuhealth.imaging.test.result', "Result")
    state = fields.Selection([
            ('draft', "Not Sent"),
            ('waiting', "Waiting"),
            ('images', "Images Here"),
            ('reading', "Being Reported"),
            ('preliminary', "Preliminary"),
            ('final', "Final"),
            ('amended', "Amended"),
            ('done', "Done"),
            ('canceled', "Canceled"),
            ], "State", sort=False)
    state_string = state.translated('state')
    unread = fields.Boolean("New",
        help="The doctor who requested the exam has not opened its report.")
    not_sent = fields.Boolean("Not Sent")
    awaited = fields.Boolean("Awaited",
        help="The exam is asked for, and its report is not signed yet.")
    impression = fields.Function(fields.Char("Impression",
            help="The first line of the signed report: of its impression, "
                "else of its findings."), 'get_impression')
    quoted = fields.Function(
        fields.Float("Quoted", readonly=True), 'get_quoted')
    mine = fields.Function(fields.Boolean("Requested by Me"),
        'get_mine', searcher='search_mine')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('date', 'DESC NULLS LAST'), ('id', 'DESC')]
        cls._buttons.update({
                'open_report': {'invisible': ~Eval('state').in_(_REPORTED)},
                'read_report': {'invisible': ~Eval('state').in_(_REPORTED)},
                'quote': {
                    'invisible': Eval('context', {}).get(
                        'imaging_state', '') != 'draft',
                    },
                })

    @classmethod
    def table_query(cls):
        return Union(*cls._queries(), all_=True)

    @classmethod
    def _queries(cls):
        """Return the queries of the rows, one for each kind of record.

        Modules that know of other exams add theirs.

        :rtype: list of sql.Select with the columns of _columns
        """
        pool = Pool()
        request = pool.get('gnuhealth.imaging.test.request').__table__()
        result = pool.get('gnuhealth.imaging.test.result').__table__()
        alone = pool.get('gnuhealth.imaging.test.result').__table__()

        def of_requests(theirs, where, **columns):
            join = request.join(result, 'LEFT', condition=theirs)
            return join.select(*cls._columns(
                    'request', request.id, patient=request.patient,
                    date=Coalesce(result.date, request.date),
                    exam=request.requested_test, side=request.side,
                    doctor=request.doctor, request=request.id,
                    result=result.id, **columns), where=where)
        has_own = request.reported_in == Null
        reported = {
            'state': Case(
                (result.id != Null, _state_of_result(result)),
                else_=request.state),
            'awaited': result.state == 'draft',
            'unread': unread(result),
            }
        # What is not done, and what is, by queries of their own: an index
        # finds the few that are awaited among all that a doctor ordered.
        return [
            of_requests(result.request == request.id,
                has_own & request.state.in_([*OPEN, 'canceled']),
                state=cls._state_of_request(request, result),
                not_sent=request.state == 'draft',
                awaited=request.state == 'requested'),
            of_requests(result.request == request.id,
                has_own & (request.state == 'done'), **reported),
            of_requests(result.id == request.reported_in,
                request.reported_in != Null, **reported),
            alone.select(*cls._columns(
                    'result', alone.id, patient=alone.patient,
                    date=alone.date, exam=alone.requested_test,
                    result=alone.id, awaited=alone.state == 'draft',
                    state=_state_of_result(alone)),
                where=alone.request == Null),
            ]

    @classmethod
    def _columns(cls, kind, id_, **columns):
        """Return the columns of a query, by name, NULL where none is given."""
        empty = {
            'create_uid': Literal(0),
            'create_date': CurrentTimestamp(),
            **dict.fromkeys(['awaited', 'not_sent', 'unread'], Literal(False)),
            }
        # Only what is empty is cast: indexes serve the others.
        return [row_id(id_, kind).as_('id')] + [
            columns[name].as_(name) if name in columns
            else field.sql_cast(empty.get(name, Literal(Null))).as_(name)
            for name, field in cls._fields.items()
            if name != 'id' and not hasattr(field, 'set')]

    @staticmethod
    def _state_of_request(request, result):
        """Return the SQL expression of the state of a request."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        cases = [
            (result.id != Null, _state_of_result(result)),
            (request.state != 'requested', request.state),
            (request.claimed_by != Null, 'reading'),
            ]
        has_images = Request._has_images(request.id)
        if has_images:
            cases.append((has_images, 'images'))
        return Case(*cases, else_='waiting')

    @classmethod
    def get_day(cls, exams, name):
        zone = institution_timezone()
        return {
            e.id: local_datetime(e.date, zone).date() if e.date else None
            for e in exams}

    @classmethod
    def order_day(cls, tables):
        table, _ = tables[None]
        return [table.date]

    @classmethod
    def get_title(cls, exams, name):
        return {e.id: e.exam.title(e.side) if e.exam else '' for e in exams}

    @classmethod
    def get_impression(cls, exams, name):
        """Return the first line of the impression of signed reports, else of
        the findings."""
        return {
            e.id: plain(first_line(e.result))
            if e.result and e.result.state == 'final' else None
            for e in exams}

    def in_a_line(self):
        """Return date, exam, state and impression, str."""
        return ', '.join(filter(None, [
                    self.day and Pool().get('ir.lang').get().strftime(
                        self.day),
                    self.title, self.state_string, self.impression]))

    @classmethod
    def rows_of(cls, patients):
        """Return all exams of patients by one statement, the newest first.

        There may be thousands, more than trytond keeps as records.

        :param patients: ids of gnuhealth.patient records
        :return: list of dict with `id`, `patient`, `state`, `date`
            (datetime.datetime, UTC, or None), `exam`, `request`, `result`
        """
        table = cls.__table__()
        names = ['id', 'patient', 'state', 'date', *cls._sources]
        rows = [dict(zip(names, row)) for row in execute(table.select(
                    *(getattr(table, name) for name in names),
                    where=reduce_ids(table.patient, patients)))]
        for row in rows:
            row['date'] = moment(row['date'])
        return sorted(rows, reverse=True, key=lambda row: (
                row['date'] or dt.datetime.min, row['id']))

    @classmethod
    def kinds(cls, exams):
        """Return the modalities and the body parts of exams.

        Modules that know of images add what they say.

        :param exams: rows of `rows_of`
        :return: dict from the id of an exam to a pair of sets of str
        """
        Exam = Pool().get('gnuhealth.imaging.test')
        modalities = {
            exam.id: exam.test_type.code for exam in Exam.browse(
                {row['exam'] for row in exams if row['exam']})}
        return {
            row['id']: (
                {modalities[row['exam']]} if row['exam'] else set(), set())
            for row in exams}

    def get_quoted(self, name):
        return None

    @ModelView.button_change('quoted')
    def quote(self):
        """Have the report in whose form the exam is listed name it: see
        on_change_before of results."""
        self.quoted = time.time()

    def quotation(self):
        """Return what a report says that was compared with the exam, in the
        language of the hospital.

        :rtype: str
        """
        with Transaction().set_context(language=hospital_language()):
            exam = type(self)(self.id)
            if not exam.day:
                return gettext(
                    'health_imaging.msg_compared_undated', exam=exam.title)
            return gettext('health_imaging.msg_compared',
                exam=exam.title, date=exam.day.isoformat())

    @classmethod
    @ModelView.button_action('health_imaging.wizard_read_exam')
    def read_report(cls, exams):
        """Show the report of an exam in a dialog."""

    @classmethod
    def get_mine(cls, exams, name):
        own = own_health_professional()
        return {e.id: bool(own) and e.doctor and e.doctor.id == own
            for e in exams}

    @classmethod
    def search_mine(cls, name, clause):
        _, operator, value = clause
        own = own_health_professional() or -1
        wanted = (operator == '=') == bool(value)
        return [('doctor', '=' if wanted else '!=', own)]

    def get_rec_name(self, name):
        record = self.request or self.result
        return record.rec_name if record else self.title

    @classmethod
    def search_rec_name(cls, name, clause):
        operator = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [operator,
            ('patient.rec_name', *clause[1:]),
            ('exam.rec_name', *clause[1:]),
            ]

    @classmethod
    @ModelView.button_action('health_imaging.wizard_exam_report')
    def open_report(cls, exams):
        """Print the reports of exams."""


def row_id(id_, kind):
    """Return the SQL expression of the id of a row; an index of each table
    has it.

    :param id_: SQL column of the id of its record
    :param str kind: one of KINDS
    """
    return id_ * len(KINDS) + KINDS.index(kind)


def _state_of_result(result):
    """Return the SQL expression of the state of a result."""
    return Case(
        ((result.state != 'final') & reduce(operator.and_, (
                    Coalesce(getattr(result, name), '') == ''
                    for name in SECTIONS)), 'reading'),
        else_=report_state(result))


def unread(result):
    """Return the SQL condition that a signed report was not opened."""
    return (result.state == 'final') & (result.opened_at == Null)


def reported(wizard):
    """Return the results of the exams that a wizard was started on.

    :param wizard: its session
    :return: list of gnuhealth.imaging.test.result records
    :raises NoReportError: there are none
    """
    Exam = Pool().get('gnuhealth.imaging.patient_exam')
    exams = selected_records(wizard, Exam)
    check_read(exams)
    results = [e.result for e in exams if e.state in _REPORTED]
    if not results:
        raise NoReportError(gettext(
                'health_imaging.msg_no_report', exam=exams[0].rec_name))
    return results


class ExamReport(CheckedWizard, Wizard):
    "Imaging Report"
    __name__ = 'gnuhealth.imaging.patient_exam.report'
    _models = {'gnuhealth.imaging.patient_exam'}

    start = StateTransition()
    print_ = StateReport('patient.imaging_report_results')

    def transition_start(self):
        reported(self)
        return 'print_'

    def do_print_(self, action):
        ids = [r.id for r in reported(self)]
        return action, {
            'model': 'gnuhealth.imaging.test.result',
            'id': ids[0],
            'ids': ids,
            }
