# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests know of the steps that machines perform for them: whether the
patient is on the table, whether the exam is done or was broken off."""
import datetime as dt
from collections import defaultdict
from typing import NamedTuple

from sql import Literal
from sql.operators import Exists

from trytond.i18n import gettext
from trytond.model import fields
from trytond.modules.health_imaging.institution import (
    institution_timezone, local_datetime)
from trytond.modules.health_imaging.minute import Minute, whole
from trytond.modules.health_imaging.request_list import one_of, wanted
from trytond.modules.health_imaging.tables import execute, moment, once
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

#: A step of which nothing was heard for so long does not go on: the machine
#: was switched off, and what is known of images counts again.
SILENT = dt.timedelta(hours=24)
# Which step says how far a request is, when it has several.
_STATES = ['in_progress', 'completed', 'discontinued']
#: States after which a machine says nothing more of a step.
ENDED = _STATES[1:]


class _Step(NamedTuple):
    """A step of a request; one step may be of several.

    :ivar int id: of the step
    :ivar int request: id
    """
    id: int
    request: int
    state: str
    received: dt.datetime
    start: dt.datetime
    end: dt.datetime
    reason: str
    images: int


class StepsMixin:
    """Mixin of requests: the steps that machines perform for them."""
    __slots__ = ()

    performed_steps = fields.Many2Many(
        'gnuhealth.imaging_worklist.performed_step-request', 'request',
        'step', "Steps", readonly=True,
        states={'invisible': ~Eval('performed_steps', [])},
        help="What machines did for the request.")
    step_state = fields.Function(fields.Selection([
                (None, ""),
                ('in_progress', "Started"),
                ('completed', "Completed"),
                ('discontinued', "Discontinued"),
                ], "Exam", sort=False,
            help="How far the exam is, as the machine says."),
        'get_step')
    started_at = fields.Function(Minute("Started",
            states={'invisible': ~Eval('started_at')},
            help="Since when the patient is on the table."), 'get_step')
    ended_at = fields.Function(Minute("Ended",
            states={'invisible': ~Eval('ended_at')}), 'get_step')
    step_note = fields.Function(fields.Char("Machine Says",
            states={'invisible': ~Eval('step_note')}), 'get_step')
    to_examine = fields.Function(fields.Boolean("To Examine",
            help="Whether the exam is still to be done: no images are there, "
            "and no machine says that it was done; or a machine says that it "
            "goes on, or was broken off."),
        'get_to_examine', searcher='search_to_examine')

    @classmethod
    @once
    def _steps(cls, ids):
        """Return the steps of requests, those that are of other requests too
        also with those, the first ones first.

        :param tuple ids: of requests
        :return: list of _Step
        """
        link, step = step_tables()
        found = {}
        for some in grouped_slice(ids):
            mine = link.select(
                link.step, where=reduce_ids(link.request, list(some)))
            for id_, request, state, received, start, end, *rest in execute(
                    link.join(step, condition=link.step == step.id).select(
                        step.id, link.request, step.state, step.received,
                        step.start, step.end, step.reason, step.images,
                        where=step.state.in_(_STATES) & step.id.in_(mine))):
                found[id_, request] = _Step(
                    id_, request, state, moment(received), moment(start),
                    moment(end), *rest)
        return sorted(
            found.values(), key=lambda s: (s.start or dt.datetime.max, s.id))

    @classmethod
    def _last_steps(cls, ids):
        """Return the step that says how far each request is, by id of the
        request: that which goes on, else that which was completed last, else
        that which was broken off last."""
        found, silent = defaultdict(list), dt.datetime.now() - SILENT
        for step in cls._steps(tuple(ids)):
            if step.state != 'in_progress' or step.received > silent:
                found[step.request].append(step)
        return {
            id_: min(
                reversed(found[id_]), key=lambda s: _STATES.index(s.state))
            for id_ in ids if id_ in found}

    @classmethod
    def get_step(cls, requests, names):
        ids = [r.id for r in requests]
        values = {name: dict.fromkeys(ids) for name in names}
        zone = institution_timezone()
        for id_, step in cls._last_steps(ids).items():
            for name, value in [
                    ('step_state', step.state),
                    ('started_at', whole(step.start)),
                    ('ended_at', whole(step.end)),
                    ('step_note', _note(step, zone))]:
                if name in values:
                    values[name][id_] = value
        return values

    @classmethod
    def domain_step_state(cls, domain, tables):
        """Return the SQL condition of requests by what machines say.

        :param domain: name, operator and value
        :param tables: of the search
        """
        table, _ = tables[None]
        silent = dt.datetime.now() - SILENT

        def has(*states):
            link, step = step_tables()
            is_one = step.state.in_(list(states))
            if 'in_progress' in states:
                is_one &= (
                    step.state != 'in_progress') | (step.received > silent)
            return Exists(link.join(step, condition=link.step == step.id)
                .select(Literal(1),
                    where=(link.request == table.id) & is_one))
        return one_of(domain, {
                None: ~has(*_STATES),
                'in_progress': has('in_progress'),
                'completed': has('completed') & ~has('in_progress'),
                'discontinued': has('discontinued')
                & ~has('in_progress', 'completed')})

    @classmethod
    def get_to_examine(cls, requests, name):
        found = {
            r.id for some in grouped_slice(requests)
            for r in cls.search([
                    ('id', 'in', [r.id for r in some]),
                    ('to_examine', '=', True)], order=[])}
        return {r.id: r.id in found for r in requests}

    @classmethod
    def search_to_examine(cls, name, clause):
        # What the machine says counts, images where it says nothing.
        domains = {
            True: ['OR',
                ('step_state', 'in', ['in_progress', 'discontinued']),
                [('step_state', '=', None), ('has_images', '=', False)]],
            False: ['OR',
                ('step_state', '=', 'completed'),
                [('step_state', '=', None), ('has_images', '=', True)]],
            }
        return ['OR', ('id', '<', 0), *(
                domains[one] for one in wanted(clause, {True, False}))]

    @classmethod
    def get_waiting(cls, requests, name):
        """Who is on the table waits no longer."""
        waiting = super().get_waiting(requests, name)
        for id_, step in cls._last_steps(list(waiting)).items():
            if step.state != 'discontinued':
                waiting[id_] = None
        return waiting

    @classmethod
    def examined(cls, ids, with_images):
        """Return which requests were examined: as machines say where they
        say it, else those with images.

        :param ids: ids of requests
        :param set with_images: those of them that have images
        """
        steps = cls._last_steps(list(ids))
        return {
            id_ for id_ in ids if (
                steps[id_].state == 'completed' if id_ in steps
                else id_ in with_images)}

    @classmethod
    @without_check_access
    def settle_steps(cls, requests):
        """Take requests of which machines told something from the worklist
        when they were examined, and put back those that were not.

        :param requests: records
        """
        ids = [r.id for r in requests]
        with_images = set() if not cls._with_images() else {
            r.id for some in grouped_slice(ids) for r in cls.search([
                    ('id', 'in', list(some)), *cls._with_images()], order=[])}
        examined = cls.examined(ids, with_images)
        moved = defaultdict(list)
        for request in requests:
            status = 'done' if request.id in examined else 'todo'
            if (request.state == 'requested'
                    and request.worklist_status != status):
                moved[status].append(request)
        for status, some in moved.items():
            cls.write(some, {'worklist_status': status})

    @classmethod
    def reopen(cls, requests):
        """Mark requests as requested again; those that a machine did are not
        to be done once more.

        :param requests: records
        """
        super().reopen(requests)
        cls.settle_steps([
                r for r in cls.browse([r.id for r in requests])
                if r.performed_steps])

    @classmethod
    def made_images(cls, ids=None, since=None, until=None):
        """Return how many images machines say they made; parameters are those
        of health_imaging."""
        if ids is None:
            link, step = step_tables()
            where = step.state.in_(ENDED) & (step.images > 0)
            if since:
                where &= (step.end > since) & (step.end <= until)
            found = execute(link.join(step, condition=link.step == step.id)
                .select(step.id, step.images, link.request, where=where))
        else:
            found = [
                (s.id, s.images, s.request) for s in cls._steps(tuple(ids))
                if s.state in ENDED and (s.images or 0) > 0 and (
                    not since or s.end and since < s.end <= until)]
        images, requests = {}, defaultdict(set)
        for id_, number, request in found:
            images[id_] = number
            requests[id_].add(request)
        return [(images[id_], requests[id_]) for id_ in images]

    @classmethod
    def silent(cls):
        """Return the ids of requests whose machine was last heard a day ago,
        and might have said long ago how the exam ended."""
        link, step = step_tables()
        before = dt.datetime.now() - SILENT
        return {id_ for id_, in execute(
                link.join(step, condition=link.step == step.id).select(
                    link.request, where=(step.state == 'in_progress')
                    & (step.received <= before)
                    & (step.received > before - SILENT)))}

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="step_note"]', 'visual',
                If(Eval('step_state') == 'discontinued', 'danger',
                    If(Eval('step_state') == 'in_progress', 'success', ''))),
            ]


def step_tables():
    "Return the tables of the steps of requests, and of steps."
    pool = Pool()
    return [
        pool.get(f'gnuhealth.imaging_worklist.performed_step{end}')
        .__table__() for end in ['-request', '']]


def _note(step, zone):
    """Return what a step says of its request, a sentence."""
    at = step.end if step.state != 'in_progress' else step.start
    return gettext(f'health_imaging_worklist.msg_step_{step.state}',
        time=f'{local_datetime(at or step.start, zone):%H:%M}',
        reason=step.reason or '-')
