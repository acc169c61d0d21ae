# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Read": shows the report of a former exam in a dialog."""
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.wizard import Button, StateView, Wizard

from .direction import plain
from .doors import CheckedWizard
from .institution import local_datetime
from .patient_exam import reported
from .sections import SECTIONS


def _section(name, string):
    return fields.Text(string, readonly=True, states={
            'invisible': ~Eval(name)})


class ReadExamStart(ModelView):
    "Read Imaging Report"
    __name__ = 'gnuhealth.imaging.patient_exam.read.start'

    title = fields.Char("Exam", readonly=True)
    day = fields.Date("Date", readonly=True)
    signed = fields.Char("Signed by", readonly=True,
        states={'invisible': ~Eval('signed')})
    technique = _section('technique', "Technique")
    comparison = _section('comparison', "Comparison")
    comment = _section('comment', "Findings")
    impression = _section('impression', "Impression")


class ReadExam(CheckedWizard, Wizard):
    "Read Imaging Report"
    __name__ = 'gnuhealth.imaging.patient_exam.read'
    _models = {'gnuhealth.imaging.patient_exam'}

    start = StateView('gnuhealth.imaging.patient_exam.read.start',
        'health_imaging.patient_exam_read_start_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def default_start(self, field_names):
        result, *_ = reported(self)
        Pool().get('gnuhealth.imaging.test.result').note_opened([result.id])
        return {
            'title': result.exam_title(),
            'day': local_datetime(result.date).date(),
            'signed': result.signed_by and plain(result.signed_by.rec_name),
            **{name: getattr(result, name) for name in SECTIONS},
            }
