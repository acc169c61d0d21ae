# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lists of requests show and how they sort: urgency, time, report and
images."""
from sql import Literal, Null
from sql.conditionals import Case

from trytond.model import fields
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.tools import grouped_slice, reduce_ids

from .dashboard import OPEN, bounds_of_today
from .tables import execute


def wanted(clause, values):
    """Return which of a few values a clause of a search finds.

    :param clause: name, operator (=, !=, in or not in) and value
    :param set values: all there are
    :rtype: set
    """
    _, operator, value, *_ = clause
    several = operator in {'in', 'not in'}
    chosen = values & (set(value or []) if several else {value})
    return values - chosen if operator in {'!=', 'not in'} else chosen


class ListMixin:
    """Mixin of requests: columns and order of their lists."""
    __slots__ = ()

    time = fields.Function(
        fields.DateTime("Time", format='%H:%M',
            help="When the exam is to be done."), 'get_time')
    urgency = fields.Function(fields.Selection([
                (None, ""),
                ('urgent', "Urgent"),
                ], "Urgent", sort=False),
        'get_urgency', searcher='search_urgency')
    report_state = fields.Function(fields.Selection([
                ('none', "None"),
                ('preliminary', "Preliminary"),
                ('final', "Final"),
                ('amended', "Amended"),
                ], "Report", sort=False,
            help="How far the report of the exam is."),
        'get_report_state', searcher='search_report_state')
    has_images = fields.Function(
        fields.Boolean("With Images"),
        'get_has_images', searcher='search_has_images')

    @classmethod
    def get_time(cls, requests, name):
        return {r.id: r.date for r in requests}

    @classmethod
    def order_time(cls, tables):
        return cls.date.convert_order('date', tables, cls)

    @classmethod
    def get_urgency(cls, requests, name):
        return {r.id: 'urgent' if r.urgent else None for r in requests}

    @classmethod
    def search_urgency(cls, name, clause):
        found = wanted(clause, {'urgent', None})
        domains = {
            'urgent': ('urgent', '=', True), None: ('urgent', '!=', True)}
        return ['OR', ('id', '<', 0), *(domains[f] for f in found)]

    @staticmethod
    def order_urgency(tables):
        table, _ = tables[None]
        return [Case((table.urgent == Literal(True), 1), else_=0)]

    @classmethod
    def order_urgent(cls, tables):
        """Sort by urgency: what is urgent until tonight, what else is open,
        the rest."""
        table, _ = tables[None]
        _, tonight = bounds_of_today()
        is_open = table.state.in_(OPEN)
        return [Case(
                (is_open & (table.urgent == Literal(True))
                    & (table.date < tonight), 2),
                (is_open, 1), else_=0)]

    @classmethod
    def order_due(cls, tables):
        """Sort open requests by their date."""
        table, _ = tables[None]
        return [Case((table.state.in_(OPEN), table.date), else_=Null)]

    @classmethod
    def get_report_state(cls, requests, name):
        table = Pool().get('gnuhealth.imaging.test.result').__table__()
        states = dict.fromkeys((r.id for r in requests), 'none')
        request, in_other = cls._reported_in_other()
        for some in map(list, grouped_slice(list(states))):
            states.update(execute(in_other.select(
                        request.id, report_state(in_other.right),
                        where=reduce_ids(request.id, some))))
            states.update(execute(table.select(
                        table.request, report_state(table),
                        where=reduce_ids(table.request, some))))
        return states

    @classmethod
    def _reported_in_other(cls):
        """Return the table of requests, and its join with the reports of
        other requests that serve them."""
        request = cls.__table__()
        result = Pool().get('gnuhealth.imaging.test.result').__table__()
        return request, request.join(
            result, condition=request.reported_in == result.id)

    @classmethod
    def search_report_state(cls, name, clause):
        table = Pool().get('gnuhealth.imaging.test.result').__table__()
        found = wanted(clause, {'none', 'preliminary', 'final', 'amended'})
        known = sorted(found - {'none'}) or ['']
        request, in_other = cls._reported_in_other()
        domain = ['OR', ('id', 'in', table.select(table.request,
                    where=(table.request != Null)
                    & report_state(table).in_(known))),
            ('id', 'in', in_other.select(request.id,
                    where=report_state(in_other.right).in_(known)))]
        if 'none' in found:
            domain.append([
                    ('reported_in', '=', None),
                    ('id', 'not in', table.select(
                            table.request, where=table.request != Null))])
        return domain

    @classmethod
    def _images_query(cls, among=None):
        """Return the query of the ids of the requests with images, or None.

        Modules that know of images extend this.

        :param among: query of the ids of the requests that count, None: all
        """
        return None

    @classmethod
    def _without_images(cls):
        """Return a domain of the requests without images."""
        query = cls._images_query()
        return [('id', 'not in', query)] if query else []

    @classmethod
    def get_has_images(cls, requests, name):
        table, found = cls.__table__(), set()
        for some in grouped_slice([r.id for r in requests]):
            query = cls._images_query(table.select(
                    table.id, where=reduce_ids(table.id, list(some))))
            if query:
                found.update(id_ for id_, in execute(query))
        return {r.id: r.id in found for r in requests}

    @classmethod
    def search_has_images(cls, name, clause):
        _, operator, value, *_ = clause
        clause = (name, operator, [bool(v) for v in value]
            if operator in {'in', 'not in'} else bool(value))
        found = wanted(clause, {True, False})
        domain = ['OR', ('id', '<', 0)]
        if False in found:
            domain.append(cls._by_images('not in') or [])
        if True in found:
            domain.append(cls._by_images('in') or ('id', '<', 0))
        return domain

    @classmethod
    def _by_images(cls, operator):
        """Return the domain of requests with images ('in') or without.

        The few open requests have a query of their own, which does not grow
        with the archive; the database asks the other one only when it must.
        """
        table = cls.__table__()
        is_open = cls._images_query(
            table.select(table.id, where=table.state.in_(OPEN)))
        if not is_open:
            return None
        return ['OR',
            [('state', 'in', OPEN), ('id', operator, is_open)],
            [('state', 'not in', OPEN),
                ('id', operator, cls._images_query())]]

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('state') == 'canceled', 'muted', '')),
            ('/tree/field[@name="urgency"]', 'visual',
                If(Eval('urgency') == 'urgent', 'danger', '')),
            ]


def report_state(table):
    """Return the SQL expression of the state of reports in a table."""
    return Case(
        (table.state != 'final', 'preliminary'),
        (table.revision > 0, 'amended'), else_='final')
