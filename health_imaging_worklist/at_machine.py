# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of a request: the first of its exam, or another that somebody
chose."""
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.dashboard import OPEN
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import without_check_access


def aetitle(request):
    """Return the AE title of the machine of a request, or of its exam."""
    return (request.machine or request.requested_test).aetitle


class AtMachineMixin:
    """Mixin of requests: the machine that does the exam."""
    __slots__ = ()

    machine = fields.Many2One(
        'gnuhealth.imaging_worklist.machine', "Machine", ondelete='RESTRICT',
        domain=[('exams', '=', Eval('requested_test', -1))],
        states={'readonly': ~Eval('state').in_(OPEN)},
        help="The machine that does the exam.")
    other_machine = fields.Function(fields.Boolean("Another Machine"),
        'get_other_machine')
    aetitle = fields.Function(fields.Char("AE Title",
            help="The application entity title of the modality that does the "
            "exam."),
        'get_aetitle', searcher='search_aetitle')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['next_machine'] = {'invisible': ~Eval('other_machine')}

    @classmethod
    def get_aetitle(cls, requests, name):
        return {r.id: aetitle(r) for r in requests}

    @classmethod
    def search_aetitle(cls, name, clause):
        return ['OR',
            [('machine', '!=', None), ('machine.aetitle', *clause[1:])],
            [('machine', '=', None),
                ('requested_test.aetitle', *clause[1:])],
            ]

    @classmethod
    def get_other_machine(cls, requests, name):
        return {r.id: bool(r._next_machine()) for r in requests}

    def _next_machine(self):
        """Return the active machine of the exam that comes after that of the
        request, or None."""
        if self.state not in OPEN:
            return None
        machines = [m for m in self.requested_test.machines if m.active]
        if machines in ([], [self.machine]):
            return None
        if self.machine not in machines:
            return machines[0]
        return machines[
            (machines.index(self.machine) + 1) % len(machines)]

    @classmethod
    @ModelView.button
    def next_machine(cls, requests):
        """Give requests to the next machine that does their exam."""
        cls.give_machines({
                r: machine for r in requests
                for machine in [r._next_machine()] if machine})

    @classmethod
    def give_machines(cls, machines):
        """Give requests to machines, and check whether they bear the patients.

        :param dict machines: records of the machines by request
        :raises SafetyWarning: the user is asked, and may go on
        """
        by_machine = {}
        for request, machine in machines.items():
            by_machine.setdefault(machine, []).append(request)
        for machine, requests in by_machine.items():
            cls.write(requests, {'machine': machine.id})
        cls.check_safety(
            [r for r in machines if r.state == 'requested'], again=True)

    @classmethod
    @without_check_access
    def _completed(cls, vlist):
        Exam = Pool().get('gnuhealth.imaging.test')
        exams = Exam.browse({v['requested_test'] for v in vlist
                if v.get('requested_test')})
        first = {e.id: e.first_machine() for e in exams}
        return [
            {'machine': first.get(v.get('requested_test')), **v}
            for v in super()._completed(vlist)]

    @classmethod
    def with_machines(cls, args):
        """Return the arguments of a write in which another exam has a machine
        that does it.

        :param args: as for write
        """
        Exam = Pool().get('gnuhealth.imaging.test')
        actions, done = iter(args), []
        for requests, values in zip(actions, actions):
            if values.get('requested_test') and 'machine' not in values:
                exam = Exam(values['requested_test'])
                same = [r for r in requests if r.requested_test == exam]
                if same:
                    done += [same, values]
                requests = [r for r in requests if r not in same]
                values = {**values, 'machine': exam.first_machine()}
            if requests:
                done += [requests, values]
        return done
