# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside the text of a report: the patient, the question, and
what was examined before."""
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .direction import plain
from .exceptions import ReportChangedError
from .identity import IdentityMixin
from .patient_facts import PatientFacts

_EXAM = 'gnuhealth.imaging.patient_exam'
# States of exams of which there is something to see or to read.
_FORMER = ['images', 'reading', 'preliminary', 'final', 'amended', 'done']


class DeskMixin(IdentityMixin):
    """Mixin of results: what the form shows beside the text."""
    __slots__ = ()

    # The web client gives numbers room for twenty digits.
    patient_weight = fields.Function(fields.Char("Weight",
            states={'invisible': ~Eval('patient_weight')},
            help="The last weight in the patient's record."),
        'get_patient_weight')
    alert_line = fields.Function(fields.Char("Alert",
            states={'invisible': ~Eval('alert_line')}), 'get_alert')
    asked = fields.Function(fields.Text("Clinical Question",
            states={'invisible': ~Eval('asked')},
            help="What the request asks."), 'get_asked')
    asked_line = fields.Function(fields.Char("Question",
            states={'invisible': ~Eval('asked_line')},
            help="The context and the question of the request."),
        'get_asked')
    before = fields.Function(fields.One2Many(_EXAM, None, "Before",
            readonly=True, context={
                'imaging_result': Eval('id', -1),
                'imaging_state': Eval('state', ''),
                },
            help="The patient's former exams: those of the same modality and "
            "body part first, then by date."),
        'get_before', setter='set_before')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['preview'] = {'invisible': Eval('id', -1) < 0}

    @classmethod
    def get_patient_weight(cls, results, name):
        lang = Pool().get('ir.lang').get()
        weights = PatientFacts(
            [r.patient for r in results if r.patient]).measured('weight')
        known = {
            patient: f'{lang.format("%.4g", weight)} kg'
            for patient, weight in weights.items()}
        return {
            r.id: known.get(r.patient.id) if r.patient else None
            for r in results}

    @classmethod
    @without_check_access
    def get_asked(cls, results, names):
        found = {name: dict.fromkeys(r.id for r in results) for name in names}
        for result in cls.browse(results):
            request = result.request
            if not request:
                continue
            question = '\n'.join(filter(None, [
                        request.clinical_question, request.comment]))
            for name, value in [
                    ('asked', question),
                    ('asked_line', _one_line(
                            request.context and request.context.rec_name,
                            question))]:
                if name in found:
                    found[name][result.id] = value
        return found

    @classmethod
    def get_alert(cls, results, names):
        parts = ['alert', 'alert_details']
        values = super().get_alert(results, {*names, *parts})
        values['alert_line'] = {
            r.id: _one_line(*(values[n][r.id] for n in parts))
            for r in results}
        return {name: values[name] for name in names}

    @classmethod
    @without_check_access
    def get_before(cls, results, name):
        Exam = Pool().get(_EXAM)
        exams = defaultdict(list)
        of_patients = [r for r in results if r.patient]
        for some in grouped_slice(list({r.patient.id for r in of_patients})):
            for row in Exam.rows_of(list(some)):
                exams[row['patient']].append(row)
        kinds = Exam.kinds([row for rows in exams.values() for row in rows])
        return {r.id: r._before(exams[r.patient.id], kinds)
            if r.patient else [] for r in results}

    def _before(self, exams, kinds):
        """Return the ids of former exams in the order in which they are
        shown.

        :param exams: rows of gnuhealth.imaging.patient_exam of the patient,
            the newest first
        :param dict kinds: see PatientExam.kinds
        """
        own = [row['id'] for row in exams if row['result'] == self.id]
        modalities, parts = kinds[own[0]] if own else (set(), set())

        def distance(row):
            others, other_parts = kinds[row['id']]
            if not modalities & others:
                return 2
            is_same = row['exam'] == self.requested_test.id
            return 0 if is_same or parts & other_parts else 1

        day = self.date.date()
        return [
            row['id'] for row in sorted(exams, key=distance)
            if row['id'] not in own and row['state'] in _FORMER
            and (not row['date'] or row['date'].date() <= day)]

    @classmethod
    def set_before(cls, results, name, value):
        """Clients send the exam that was quoted, which is stored nowhere."""

    @fields.depends('before', 'comparison', methods=['_check_open'])
    def on_change_before(self):
        """Add the exam that was quoted last to the comparison."""
        # What a client does not send is not looked up.
        quoted = [
            exam for exam in self.before or []
            if getattr(exam._values, 'quoted', None)]
        if not quoted:
            return
        self._check_open()
        Exam = Pool().get(_EXAM)
        text = Exam(max(quoted, key=lambda e: e.quoted).id).quotation()
        written = self.comparison or ''
        if text not in written:
            self.comparison = '\n'.join(
                filter(None, [written.rstrip(), text]))

    @fields.depends('id', 'state')
    def _check_open(self):
        if self.id and self.id > 0 and self.state == 'final':
            self.check_draft([type(self)(self.id)])

    @classmethod
    @ModelView.button_action('health_imaging.imaging_result_report')
    def preview(cls, results):
        """Print reports as they are now."""

    @classmethod
    def check_seen(cls, results):
        """Raise ReportChangedError when the user saw another text than that
        which is stored: trytond itself looks only when something is written.
        """
        seen = Transaction().timestamp or {}
        for row in cls.read([r.id for r in results], ['_timestamp']):
            if seen.get(f'{cls.__name__},{row["id"]}') not in {
                    None, row['_timestamp']}:
                result = cls(row['id'])
                raise ReportChangedError(gettext(
                        'health_imaging.msg_report_changed',
                        result=result.rec_name,
                        user=result.write_uid.rec_name
                        if result.write_uid else ''))


def _one_line(*texts):
    """Return texts, or None, in one line."""
    return plain(' - '.join(
            ' '.join(text.split()) for text in texts if text)) or None
