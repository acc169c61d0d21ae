# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Due dates of requests for the dashboard, in the institution's time zone."""
import datetime as dt

from trytond.model import fields
from trytond.pyson import Eval, If

from .institution import institution_timezone, local_datetime, utc_datetime

#: States of requests that are not finished.
OPEN = ['draft', 'requested']
_DUE = {'overdue', 'today', 'later', None}


def utc(day, zone):
    """Return when a day begins in a time zone.

    :param datetime.date day: the local day
    :param datetime.tzinfo zone: the time zone
    :return: datetime, naive, UTC; midnight at the ends of the calendar
    """
    return utc_datetime(dt.datetime.combine(day, dt.time.min), zone)


def today(zone=None):
    """Return the local date at the institution.

    :param datetime.tzinfo zone: time zone, that of the institution by default
    :rtype: datetime.date
    """
    return local_datetime(dt.datetime.now(), zone).date()


def bounds_of_today():
    """Return when the institution's day begins and ends, datetimes in UTC."""
    zone = institution_timezone()
    day = today(zone)
    return utc(day, zone), utc(day + dt.timedelta(days=1), zone)


class DueMixin:
    """Mixin of requests: when they are due, and sorting by modality."""
    __slots__ = ()

    due = fields.Function(fields.Selection([
                (None, ""),
                ('overdue', "Overdue"),
                ('today', "Today"),
                ('later', "Later"),
                ], "Due", sort=False,
            help="Whether an open request was to be done before today, is "
            "for today, or for later."),
        'get_due', searcher='search_due')

    @classmethod
    def get_due(cls, requests, name):
        start, end = bounds_of_today()
        return {r.id: r._due(start, end) for r in requests}

    def _due(self, start, end):
        if self.state not in OPEN:
            return None
        if self.date < start:
            return 'overdue'
        return 'today' if self.date < end else 'later'

    @classmethod
    def search_due(cls, name, clause):
        _, operator, value = clause
        wanted = set(value) if operator in {'in', 'not in'} else {value}
        if operator in {'!=', 'not in'}:
            wanted = _DUE - wanted
        start, end = bounds_of_today()
        opened = ('state', 'in', OPEN)
        domains = {
            'overdue': [opened, ('date', '<', start)],
            'today': [opened, ('date', '>=', start), ('date', '<', end)],
            'later': [opened, ('date', '>=', end)],
            None: [('state', 'not in', OPEN)],
            }
        return ['OR', ('id', '<', 0), *(domains[w] for w in wanted & _DUE)]

    @classmethod
    def order_modality(cls, tables):
        return cls.requested_test.convert_order(
            'requested_test.test_type.code', tables, cls)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="due"]', 'visual',
                If(Eval('due') == 'overdue', 'warning', '')),
            ]
