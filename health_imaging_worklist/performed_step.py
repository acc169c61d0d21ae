# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that machines say they perform (MPPS): when, what, how many images,
which dose, and of which requests."""
import datetime as dt
import json

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import checked
from trytond.modules.health_imaging.kept import Kept, Ledger
from trytond.modules.health_imaging.minute import Minute, whole
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.workflow import check_unique
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access

from .inbox import Inbox
from .machine import is_bounded, is_text

#: How many messages a node sends at once.
MESSAGES = 100


def _said(label, name, **options):
    """Return the field of what a machine says, hidden where it says none."""
    return fields.Char(label, readonly=True,
        states={'invisible': ~Eval(name)}, **options)


def _dose(label, name, help):
    return fields.Float(label, digits=(16, 3), readonly=True,
        states={'invisible': ~Eval(name)}, help=help)


class PerformedStep(Kept, ModelSQL, ModelView):
    "Performed Procedure Step"
    __name__ = 'gnuhealth.imaging_worklist.performed_step'

    uid = _said("SOP Instance UID", 'uid')
    node = _said("Node", 'node')
    number = fields.Integer("Message", readonly=True,
        help="The number that the node gave to the last message.")
    machine = fields.Many2One(
        'gnuhealth.imaging_worklist.machine', "Machine", readonly=True,
        ondelete='SET NULL')
    aetitle = fields.Char("AE Title", readonly=True)
    address = _said("Address", 'address')
    state = fields.Selection([
            (None, ""),
            ('in_progress', "In Progress"),
            ('completed', "Completed"),
            ('discontinued', "Discontinued"),
            ], "State", readonly=True, sort=False)
    received = Minute("Received", required=True, readonly=True,
        help="When the machine last told of the step.")
    start = Minute("Start", readonly=True)
    end = Minute("End", readonly=True, states={'invisible': ~Eval('end')})
    protocol = _said("Protocol", 'protocol')
    reason = _said("Reason", 'reason',
        help="Why the machine ended the exam before it was done.")
    series = fields.Text("Series in JSON", readonly=True)
    series_lines = fields.Function(fields.Text("Series",
            states={'invisible': ~Eval('series')},
            help="The series and the number of their images."),
        'get_series_lines')
    images = fields.Integer("Images", readonly=True,
        help="How many images the machine made.")
    dap = _dose("Dose Area Product", 'dap', "In dGy·cm².")
    exposures = fields.Integer("Exposures", readonly=True,
        states={'invisible': ~Eval('exposures')})
    ctdivol = _dose("CTDIvol", 'ctdivol', "In mGy, of the series with most.")
    dlp = _dose("DLP", 'dlp', "Dose length product, in mGy·cm.")
    patient_id = _said("Patient ID", 'patient_id')
    patient_name = _said("Patient's Name", 'patient_name')
    patient_birth = fields.Date("Date of Birth", readonly=True,
        states={'invisible': ~Eval('patient_birth')})
    patient_sex = _said("Sex", 'patient_sex')
    accession_number = _said("Accession Number", 'accession_number')
    study_uid = _said("Study Instance UID", 'study_uid')
    problem = fields.Selection([
            (None, ""),
            ('unreadable', "The message cannot be read"),
            ('unscheduled', "No request belongs to it"),
            ('unknown_patient', "The patient is not known"),
            ('patient_differs', "The request is of another patient"),
            ('request_state', "The request was not sent or is canceled"),
            ], "Problem", readonly=True, sort=False,
        states={'invisible': ~Eval('problem')},
        help="Why a person must say to which request it belongs.")
    requests = fields.Many2Many(
        'gnuhealth.imaging_worklist.performed_step-request', 'step',
        'request', "Requests", readonly=True)
    decided_by = fields.Many2One('res.user', "Assigned by", readonly=True,
        states={'invisible': ~Eval('decided_by')})
    decided_at = Minute("Assigned at", readonly=True,
        states={'invisible': ~Eval('decided_at')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('uid_unique', Unique(table, table.uid),
                'health_imaging_worklist.msg_step_unique'),
            ('number_unique', Unique(table, table.node, table.number),
                'health_imaging_worklist.msg_step_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.problem, Index.Range()),
                    where=table.problem != Null),
                Index(table, (table.machine, Index.Equality()),
                    (table.start, Index.Range())),
                Index(table, (table.start, Index.Range(order='DESC'))),
                Index(table, (table.state, Index.Equality()),
                    (table.end, Index.Range())),
                })
        cls._order = [('start', 'DESC'), ('id', 'DESC')]
        cls._buttons.update(
            (name, {'invisible': ~Eval('problem')})
            for name in ['assign', 'of_none'])
        cls.__rpc__['receive'] = RPC(readonly=False, decorator=checked(
                node=is_text,
                messages=lambda messages: is_bounded(messages, MESSAGES)))

    def get_rec_name(self, name):
        return ' '.join(filter(None, [
                    self.machine.name if self.machine else self.aetitle,
                    self.protocol, self.patient_name])) or f'#{self.id}'

    @classmethod
    def search_rec_name(cls, name, clause):
        logic = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [logic, *((field, *clause[1:]) for field in [
                    'aetitle', 'machine.name', 'protocol', 'patient_name',
                    'patient_id', 'accession_number'])]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="problem"]', 'visual', 'warning'),
            ('/tree/field[@name="state"]', 'visual',
                If(Eval('state') == 'discontinued', 'danger', '')),
            ]

    @classmethod
    def validate_fields(cls, steps, field_names):
        super().validate_fields(steps, field_names)
        check_unique(steps, 'uid', 'health_imaging_worklist.msg_step_unique')

    def get_series_lines(self, name):
        return '\n'.join(
            gettext('health_imaging_worklist.msg_series',
                series=text or uid, count=count)
            for uid, text, count in json.loads(self.series or '[]'))

    # RPC of the modality node

    @classmethod
    def receive(cls, node, messages):
        """Keep what machines said to a node.

        What cannot be read, or belongs to no request, is kept with its
        problem. What was kept before changes nothing.

        :param str node: UUID of the node's store
        :param messages: list of dicts, in the order in which they came; see
            the documentation of the node
        :return: list of the numbers that are kept
        """
        check_rights(cls.__name__, 'create')
        with without_check_access():
            return Inbox(node, messages).keep()

    # What people decide

    @classmethod
    @ModelView.button_action('health_imaging_worklist.wizard_assign_step')
    def assign(cls, steps):
        """Open the wizard that gives a step to a request."""

    @classmethod
    @ModelView.button
    def of_none(cls, steps):
        """Note that steps belong to no request, such as a test of the
        machine."""
        cls.decide(steps)

    @classmethod
    def decide(cls, steps, requests=()):
        """Note what the user says of steps, and what follows from it.

        :param steps: records
        :param requests: records of the requests to which they belong
        """
        pool = Pool()
        Link = pool.get('gnuhealth.imaging_worklist.performed_step-request')
        Request = pool.get('gnuhealth.imaging.test.request')
        cls.write(steps, {
                'problem': None,
                'decided_by': Transaction().user or None,
                'decided_at': whole(dt.datetime.now()),
                })
        Link.create([
                {'step': step.id, 'request': request.id}
                for step in steps for request in requests
                if request not in step.requests])
        Request.settle_steps(requests)


class StepRequest(Ledger, ModelSQL):
    "Performed Procedure Step - Request"
    __name__ = 'gnuhealth.imaging_worklist.performed_step-request'

    step = fields.Many2One(
        'gnuhealth.imaging_worklist.performed_step', "Step", required=True,
        ondelete='CASCADE')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", required=True,
        ondelete='CASCADE')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('step_request_unique', Unique(table, table.step, table.request),
                'health_imaging_worklist.msg_step_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.request, Index.Equality())))
