# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard that gives the requests of a machine to others, such as when it
is broken."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.dashboard import OPEN
from trytond.modules.health_imaging.doors import (
    ReloadingWizard, selected_records)
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.wizard import Button, StateTransition, StateView, Wizard

_MACHINE = 'gnuhealth.imaging_worklist.machine'


class MoveStart(ModelView):
    "Move Requests to Another Machine"
    __name__ = 'gnuhealth.imaging_worklist.move_requests.start'

    machines = fields.Many2Many(_MACHINE, None, None, "From", readonly=True)
    number = fields.Integer("Open Requests", readonly=True)
    to = fields.Many2One(_MACHINE, "To",
        domain=[('id', 'not in', Eval('machines', []))],
        help="Leave it empty to give each request to the first other machine "
        "that can do its exam.")
    switch_off = fields.Boolean("Switch Off",
        help="The machine gets no requests until it is active again.")


class MoveDone(ModelView):
    "Requests Moved"
    __name__ = 'gnuhealth.imaging_worklist.move_requests.done'

    text = fields.Text("Result", readonly=True)
    left = fields.Many2Many('gnuhealth.imaging.test.request', None, None,
        "Requests That Cannot Move", readonly=True,
        states={'invisible': ~Eval('left', [])},
        help="No other machine can do their exam.")


class MoveRequests(ReloadingWizard, Wizard):
    "Move Requests to Another Machine"
    __name__ = 'gnuhealth.imaging_worklist.move_requests'

    start = StateView('gnuhealth.imaging_worklist.move_requests.start',
        'health_imaging_worklist.move_requests_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Move", 'move', 'tryton-ok', default=True),
            ])
    move = StateTransition()
    done = StateView('gnuhealth.imaging_worklist.move_requests.done',
        'health_imaging_worklist.move_requests_done_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    _rights = {_MACHINE: ['read'], 'gnuhealth.imaging.test.request': ['write']}
    _models = {_MACHINE}

    # What the last state shows.
    _moved, _left = 0, ()

    def _machines(self):
        return selected_records(self, Pool().get(_MACHINE))

    def _requests(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        return Request.search([
                ('machine', 'in', [m.id for m in self._machines()]),
                ('state', 'in', OPEN)])

    def default_start(self, field_names):
        return {
            'machines': [m.id for m in self._machines()],
            'number': len(self._requests()),
            'switch_off': True,
            }

    def transition_move(self):
        pool = Pool()
        Machine = pool.get(_MACHINE)
        Request = pool.get('gnuhealth.imaging.test.request')
        machines, requests = self._machines(), self._requests()
        to = getattr(self.start, 'to', None)
        moved = {
            r: m for r in requests for m in [next((
                        m for m in r.requested_test.machines
                        if m.active and m not in machines and to in (None, m)),
                    None)] if m}
        self._left = [r for r in requests if r not in moved]
        Request.give_machines(moved)
        self._moved = len(moved)
        if getattr(self.start, 'switch_off', False):
            Machine.write(machines, {'active': False})
        return 'done'

    def default_done(self, field_names):
        return {
            'text': gettext('health_imaging_worklist.msg_requests_moved',
                moved=self._moved, left=len(self._left)),
            'left': [r.id for r in self._left],
            }
