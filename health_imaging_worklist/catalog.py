# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exam adds for the worklist: its station and its template."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.transaction import Transaction

from . import attributes, migration
from .exceptions import ApplicationEntityError


class Test(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test'

    aetitle = fields.Char("AE Title",
        help="The application entity title of the modality that does the "
        "exam, as set on the modality.")
    imaging_worklist_template = fields.Many2One(
        'gnuhealth.imaging_worklist.worklist_template', "Worklist Template",
        ondelete='RESTRICT',
        help="What is sent to the modality. Without a template, requests of "
        "this exam are not sent to a modality.")

    machines = fields.Many2Many(
        'gnuhealth.imaging_worklist.exam-machine', 'exam', 'machine',
        "Machines",
        domain=['OR',
            ('modality', '=', None),
            ('modality', '=', Eval('test_type', -1)),
            ],
        help="The machines that can do the exam. New requests are given to "
        "the first of them that is active.")
    duration = fields.TimeDelta("Duration",
        domain=['OR',
            ('duration', '=', None),
            ('duration', '>', dt.timedelta()),
            ],
        help="How long the patient is at the machine.")

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        migration.carry_over_templates(cls, module)

    @staticmethod
    def default_imaging_worklist_template():
        ModelData = Pool().get('ir.model.data')
        try:
            return ModelData.get_id(
                'health_imaging_worklist',
                'worklist_template_general_dump2dcm')
        except KeyError:
            return None

    def first_machine(self):
        """Return the id of the machine that new requests are given to, or
        None."""
        return next((m.id for m in self.machines if m.active), None)

    def greatest_weight(self, request=None):
        if request:
            machine = request.machine
        else:
            chosen = Transaction().context.get('imaging_machine')
            machines = [m for m in self.machines if m.active]
            machines.sort(key=lambda m: m.id != chosen)
            machine = machines[0] if machines else None
        return machine.weight_limit if machine else None

    def worklist_setting(self):
        """Return what `get_worklist_exams` tells of this exam, dict."""
        template = self.imaging_worklist_template
        return {
            'exam': self.rec_name,
            'aetitle': next((
                    m.aetitle for m in self.machines if m.active),
                self.aetitle or ''),
            'modality': self.test_type.code or '',
            'template': template.name if template else '',
            'charset': (template.charset or '') if template else '',
            }

    @classmethod
    def validate_fields(cls, tests, field_names):
        super().validate_fields(tests, field_names)
        if field_names and 'aetitle' not in field_names:
            return
        for test in tests:
            if (test.aetitle and test.aetitle
                    != attributes.application_entity(test.aetitle)):
                raise ApplicationEntityError(gettext(
                        'health_imaging_worklist.msg_aetitle_invalid',
                        aetitle=test.aetitle, exam=test.rec_name))
