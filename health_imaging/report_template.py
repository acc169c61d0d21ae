# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepared texts of reports, with a text for each section."""
from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, ModelSQL, ModelView, fields, sequence_ordered)

from . import picks
from .calls import CheckedCalls
from .exceptions import PickListError, ReportTextEmptyError
from .sections import SECTIONS

#: The field of a prepared text by section of the report. Those of former
#: releases have one text, which goes to the findings.
FIELDS = {name: 'text' if name == 'comment' else name for name in SECTIONS}


class ReportTemplate(
        CheckedCalls, sequence_ordered(), DeactivableMixin, ModelSQL,
        ModelView):
    "Imaging Report Text"
    __name__ = 'gnuhealth.imaging.report.template'

    name = fields.Char("Name", required=True)
    exams = fields.Many2Many(
        'gnuhealth.imaging.report.template-exam', 'template', 'exam',
        "Exams", help="Leave it empty to offer the text for every exam.")
    technique = fields.Text("Technique",
        help="Write [none|small|large] for a list to pick from, [__ mm] for a "
        "number and [__] for any text.")
    comparison = fields.Text("Comparison")
    text = fields.Text("Findings")
    impression = fields.Text("Impression")
    notice = fields.Text("Origin and License",
        help="Who made the text, and on which terms it may be used.")

    @staticmethod
    def default_text():
        # SQLite keeps the column of former releases, which may not be empty.
        return ''

    @classmethod
    def validate_fields(cls, templates, field_names):
        super().validate_fields(templates, field_names)
        if field_names and not field_names & set(FIELDS.values()):
            return
        for template in templates:
            texts = [getattr(template, name) for name in FIELDS.values()]
            if not any((text or '').strip() for text in texts):
                raise ReportTextEmptyError(gettext(
                        'health_imaging.msg_report_text_empty',
                        template=template.rec_name))
            for name in FIELDS.values():
                check_picks(template, name)


def check_picks(record, name):
    """Check the pick lists in a text that is brought into reports.

    :param str name: the field of the text
    :raises PickListError: brackets do not match, or an option is empty
    """
    for flaw in picks.check(getattr(record, name)):
        raise PickListError(gettext(
                f'health_imaging.msg_pick_{flaw.code}',
                line=flaw.line, excerpt=flaw.excerpt,
                **record.__names__(name)))


class ReportTemplateExam(ModelSQL):
    "Imaging Report Text - Exam"
    __name__ = 'gnuhealth.imaging.report.template-exam'

    template = fields.Many2One(
        'gnuhealth.imaging.report.template', "Text", required=True,
        ondelete='CASCADE')
    exam = fields.Many2One(
        'gnuhealth.imaging.test', "Exam", required=True, ondelete='CASCADE')
