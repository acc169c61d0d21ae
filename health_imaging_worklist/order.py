# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the window "New order" gains: the machine, and when it is free."""
import datetime as dt

from trytond.model import fields
from trytond.modules.health_imaging.institution import local_text
from trytond.pool import PoolMeta
from trytond.pyson import Eval
from trytond.transaction import Transaction

from .slots import free_times

_FORMAT = '%Y-%m-%d %H:%M'


class OrderStart(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.imaging.test.request.start'

    machine = fields.Many2One(
        'gnuhealth.imaging_worklist.machine', "Machine",
        domain=[('exams', 'in', Eval('tests', []))],
        states={'invisible': ~Eval('tests', [])},
        help="Where the exams are done. Leave it empty for the first machine "
        "of each exam.")
    free_time = fields.Selection('get_free_times', "Free Times",
        sort=False, states={'invisible': ~Eval('machine')},
        help="When the machine is free next. Choose one to set the date.")

    @fields.depends('machine', 'tests', 'date', 'free_time')
    def get_free_times(self):
        """Return the next times at which the machine is free."""
        times = [(None, "")]
        if self.machine and self.tests:
            exams = [e for e in self.tests if self.machine in e.machines]
            after = max(filter(None, [self.date, dt.datetime.now()]))
            # What was chosen is offered still.
            chosen = _parsed(self.free_time)
            times += [
                (f'{at:{_FORMAT}}', local_text(at)) for at in sorted({
                        *free_times(self.machine, exams, after),
                        *filter(None, [chosen])})]
        return times

    @fields.depends('tests', 'machine')
    def on_change_tests(self):
        if self.machine and not any(
                self.machine in e.machines for e in self.tests or []):
            self.machine = None

    @fields.depends('free_time')
    def on_change_free_time(self):
        at = _parsed(self.free_time)
        if at:
            self.date = at


class Order(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient.imaging.test.request'

    def default_start(self, field_names):
        """Return what was typed before, after "Back"."""
        typed = super().default_start(field_names)
        machine = getattr(self.start, 'machine', None)
        if machine:
            typed['machine'] = machine.id
        return typed

    def _checks(self):
        machine = getattr(self.start, 'machine', None)
        with Transaction().set_context(
                imaging_machine=machine.id if machine else None):
            return super()._checks()

    def _request_values(self, test, number):
        values = super()._request_values(test, number)
        machine = getattr(self.start, 'machine', None)
        if machine and machine.active and machine in test.machines:
            values['machine'] = machine.id
        return values


def _parsed(text):
    return dt.datetime.strptime(text, _FORMAT) if text else None
