# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar of the machines: when each does which exam, what overlaps, and
when the next is possible."""
import datetime as dt
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import fields
from trytond.modules.health_imaging.dashboard import OPEN
from trytond.modules.health_imaging.institution import institution_timezone
from trytond.modules.health_imaging.minute import whole
from trytond.modules.health_imaging.tables import execute, moment
from trytond.modules.health_imaging.told import tell
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import check_access, without_check_access

from . import spans

#: How long an exam takes that says nothing of it.
USUAL = dt.timedelta(minutes=30)
#: For how long free times are looked for.
AHEAD = dt.timedelta(days=14)
_DAY = dt.timedelta(days=1)
# Background of what the calendar shows, the first that is true.
_COLORS = [
    ('ended', 'gray'), ('overlaps', 'firebrick'), ('closed', 'darkorange'),
    ('started', 'seagreen')]
_COLOR = 'steelblue'


class SlotsMixin:
    """Mixin of requests: their place in the calendar of a machine."""
    __slots__ = ()

    slot_start = fields.Function(fields.DateTime("From", format='%H:%M'),
        'get_slot', setter='set_slot_start', searcher='search_slot')
    slot_end = fields.Function(fields.DateTime("To", format='%H:%M'),
        'get_slot', setter='set_slot_end', searcher='search_slot')
    slot_note = fields.Function(
        fields.Char("In the Calendar"), 'get_slot_note')
    slot_color = fields.Function(fields.Char("Color"), 'get_slot_note')

    @classmethod
    def get_slot(cls, requests, names):
        values = {
            'slot_start': {r.id: r.date for r in requests},
            'slot_end': {
                r.id: r.date + (r.requested_test.duration or USUAL)
                for r in requests},
            }
        return {name: values[name] for name in names}

    @classmethod
    def search_slot(cls, name, clause):
        return [('date', *clause[1:])]

    @classmethod
    def set_slot_start(cls, requests, name, value):
        """Reschedule requests that are dragged, as the wizard does.

        :raises RequestNotReadyError: one is done or canceled
        :raises AccessError: the user may not
        """
        moved = [r for r in requests if value and r.date != whole(value)]
        if moved:
            with check_access():
                cls.reschedule(moved)
            with without_check_access():
                cls.reschedule_to(moved, whole(value), tell(
                        'health_imaging_worklist.msg_moved_in_calendar'))

    @classmethod
    def set_slot_end(cls, requests, name, value):
        """How long an exam takes is said with the exam."""

    @classmethod
    def get_slot_note(cls, requests, names):
        values = {name: {} for name in names}
        facts = cls._slot_facts(requests)
        for request in requests:
            said = facts[request.id]
            for name, value in [
                    ('slot_note', _note(said)),
                    ('slot_color', next((
                                color for fact, color in _COLORS
                                if fact in said), _COLOR))]:
                if name in values:
                    values[name][request.id] = value
        return values

    @classmethod
    def _slot_facts(cls, requests):
        """Return what is to be known of the place of requests: sets of
        overlaps, closed, started and ended, by id."""
        zone, facts = institution_timezone(), {r.id: set() for r in requests}
        placed = [r for r in requests if r.machine and r.state in OPEN]
        dates = [r.date for r in placed]
        overlap = set()
        if placed:
            for taken in taken_times(
                    {r.machine.id for r in placed}, min(dates) - _DAY,
                    max(dates) + _DAY).values():
                overlap |= spans.overlapping(taken)
        for request in placed:
            if request.id in overlap:
                facts[request.id].add('overlaps')
            if not request.machine.is_open(
                    request.slot_start, request.slot_end, zone):
                facts[request.id].add('closed')
        for request in requests:
            if request.step_state == 'in_progress':
                facts[request.id].add('started')
            if request.state not in OPEN or request.step_state == 'completed':
                facts[request.id].add('ended')
        return facts


def _note(said):
    """Return what the calendar says of a request, in words."""
    return ', '.join(
        gettext(f'health_imaging_worklist.msg_slot_{fact}')
        for fact in ['overlaps', 'closed'] if fact in said)


def taken_times(machines, since, until):
    """Return when machines are taken by open requests.

    :param machines: ids
    :param datetime.datetime since: naive, UTC
    :param datetime.datetime until: naive, UTC
    :return: lists of begin, end and id of the request, by id of the machine
    """
    pool = Pool()
    Exam = pool.get('gnuhealth.imaging.test')
    table = pool.get('gnuhealth.imaging.test.request').__table__()
    rows = [
        row for some in grouped_slice(list(machines))
        for row in execute(table.select(
                table.machine, table.requested_test, table.date, table.id,
                where=reduce_ids(table.machine, list(some))
                & table.state.in_(OPEN)
                & (table.date >= since) & (table.date < until)))]
    lengths = {
        e.id: e.duration or USUAL
        for e in Exam.browse({exam for _, exam, *_ in rows})}
    taken = defaultdict(list)
    for machine, exam, date, id_ in rows:
        begin = whole(moment(date))
        taken[machine].append((begin, begin + lengths[exam], id_))
    return taken


@without_check_access
def free_times(machine, exams, after, count=3):
    """Return when exams may begin at a machine.

    :param machine: gnuhealth.imaging_worklist.machine record
    :param exams: gnuhealth.imaging.test records, done one after the other
    :param datetime.datetime after: not before this; naive, UTC
    :param int count: how many moments are wanted
    :rtype: list of datetime, naive, UTC
    """
    zone = institution_timezone()
    taken = taken_times([machine.id], after - _DAY, after + AHEAD)
    return spans.free(
        [(begin, end) for begin, end, _ in taken[machine.id]],
        lambda begin, end: machine.is_open(begin, end, zone),
        after, after + AHEAD,
        sum((e.duration or USUAL for e in exams), dt.timedelta()), count)
