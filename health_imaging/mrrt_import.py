# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Import Templates": brings a template file of the IHE profile
MRRT into the prepared texts of reports."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.transaction import check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from . import mrrt
from .doors import CheckedWizard
from .exceptions import MrrtError
from .report_template import FIELDS


class ImportTemplateStart(ModelView):
    "Import Template"
    __name__ = 'gnuhealth.imaging.report.template.import.start'

    file = fields.Binary("File", required=True, filename='file_name',
        help="A template of RadReport or another collection, in HTML.")
    file_name = fields.Char("File Name")
    exams = fields.Many2Many(
        'gnuhealth.imaging.test', None, None, "Exams",
        help="Leave it empty to offer the text for every exam.")


class ImportTemplateDone(ModelView):
    "Template Was Imported"
    __name__ = 'gnuhealth.imaging.report.template.import.done'

    template = fields.Many2One(
        'gnuhealth.imaging.report.template', "Report Text", readonly=True)
    lost = fields.Text("What Could Not Be Kept", readonly=True)


class ImportTemplate(CheckedWizard, Wizard):
    "Import Template"
    __name__ = 'gnuhealth.imaging.report.template.import'

    start = StateView('gnuhealth.imaging.report.template.import.start',
        'health_imaging.imaging_report_template_import_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Import", 'import_', 'tryton-import', default=True),
            ])
    import_ = StateTransition()
    done = StateView('gnuhealth.imaging.report.template.import.done',
        'health_imaging.imaging_report_template_import_done_view_form', [
            Button("Close", 'end', 'tryton-ok'),
            Button("Open", 'open_', 'tryton-open', default=True),
            ])
    open_ = StateAction('health_imaging.act_imaging_report_template_form')

    _rights = {'gnuhealth.imaging.report.template': ['create']}

    # The template that was made, and what of the file it has not.
    _template = None
    _lost = ''

    def transition_import_(self):
        Template = Pool().get('gnuhealth.imaging.report.template')
        try:
            read = mrrt.read(bytes(getattr(self.start, 'file', None) or b''))
        except mrrt.Refused as refused:
            raise MrrtError(gettext(
                    f'health_imaging.msg_mrrt_{refused}',
                    limit=mrrt.LIMIT // 1000)) from None
        exams = getattr(self.start, 'exams', None) or ()
        name = read.name or getattr(self.start, 'file_name', None)
        with check_access():
            self._template, = Template.create([{
                        'name': name or gettext(
                            'health_imaging.msg_mrrt_unnamed'),
                        'notice': read.notice,
                        'exams': [('add', [e.id for e in exams])],
                        **{FIELDS[section]: text
                            for section, text in read.texts.items()}}])
        self._lost = '\n'.join(
            gettext(f'health_imaging.msg_mrrt_lost_{lost.code}',
                text=lost.text) for lost in read.lost)
        return 'done'

    def default_done(self, field_names):
        return {'template': self._template.id, 'lost': self._lost}

    def do_open_(self, action):
        action['views'].reverse()
        return action, {'res_id': [self.done.template.id]}
