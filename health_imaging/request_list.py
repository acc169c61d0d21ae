# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lists of requests show and how they sort: urgency, time, report and
images."""
from functools import reduce
from operator import or_

from sql import Literal, Null
from sql.conditionals import Case
from sql.operators import Exists

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


def one_of(clause, conditions):
    """Return the SQL condition for a clause of a search.

    :param clause: name, operator (=, !=, in or not in) and value
    :param dict conditions: SQL conditions by value, one of which holds
    """
    found = wanted(clause, set(conditions))
    if 2 * len(found) > len(conditions):
        # What is left out is less to look for.
        return ~one_of((clause[0], 'not in', list(found)), conditions)
    return reduce(or_, map(conditions.get, found)) if found else Literal(False)


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
        'get_report_state')
    has_images = fields.Function(
        fields.Boolean("With Images"), 'get_has_images')

    @classmethod
    def search(cls, domain, offset=0, limit=None, order=None, count=False,
            query=False):
        """Return the requests of a domain, as trytond does.

        The few open ones are sorted; an index has the order of the others.
        """
        search, domain = super().search, once_each(domain)
        if limit is None or count or query or (
                order is not None
                and [tuple(one) for one in order] != cls._order):
            return search(domain, offset, limit, order, count, query)
        found = search(
            [domain, ('state', 'in', OPEN)], 0, offset + limit, order)
        skip, found = max(offset - len(found), 0), found[offset:]
        if len(found) < limit:
            found += search([domain, ('state', 'not in', OPEN)], skip,
                limit - len(found), [('date', 'DESC'), ('id', 'DESC')])
        return cls.browse(found)

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
    def domain_report_state(cls, domain, tables):
        """Return the SQL condition of requests by the state of their report.

        :param domain: name, operator and value
        :param tables: of the search
        """
        table, _ = tables[None]

        def has(condition):
            own, other = [
                Pool().get('gnuhealth.imaging.test.result').__table__()
                for _ in 'ab']
            return Exists(own.select(Literal(1), where=(
                        own.request == table.id) & condition(own))
                ) | Exists(other.select(Literal(1), where=(
                        other.id == table.reported_in) & condition(other)))
        return one_of(domain, {
                'none': ~has(lambda result: Literal(True)),
                'preliminary': has(lambda result: result.state == 'draft'),
                'final': has(lambda result: report_state(result) == 'final'),
                'amended': has(
                    lambda result: report_state(result) == 'amended')})

    @classmethod
    def _has_images(cls, request):
        """Return the SQL condition that a request has images, or None.

        Modules that know of images extend this.

        :param request: SQL column of the id of the request
        """
        return None

    @classmethod
    def get_has_images(cls, requests, name):
        table, found = cls.__table__(), set()
        has_images = cls._has_images(table.id)
        for some in grouped_slice([r.id for r in requests]):
            if has_images:
                found.update(id_ for id_, in execute(table.select(
                            table.id, where=has_images
                            & reduce_ids(table.id, list(some)))))
        return {r.id: r.id in found for r in requests}

    @classmethod
    def domain_has_images(cls, domain, tables):
        """Return the SQL condition of requests with images or without.

        :param domain: name, operator and value
        :param tables: of the search
        """
        table, _ = tables[None]
        return true_or_false(
            domain, cls._has_images(table.id) or Literal(False))

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('state') == 'canceled', 'muted', '')),
            ('/tree/field[@name="urgency"]', 'visual',
                If(Eval('urgency') == 'urgent', 'danger', '')),
            ]


def true_or_false(clause, condition):
    """Return the SQL condition for a clause that searches a Boolean.

    :param clause: name, operator (=, !=, in or not in) and value
    :param condition: SQL condition of those for which it is true
    """
    name, operator, value, *_ = clause
    value = [bool(v) for v in value] \
        if operator in {'in', 'not in'} else bool(value)
    return one_of(
        (name, operator, value), {True: condition, False: ~condition})


def report_state(table):
    """Return the SQL expression of the state of reports in a table."""
    return Case(
        (table.state != 'final', 'preliminary'),
        (table.revision > 0, 'amended'), else_='final')


def once_each(domain):
    """Return a domain without conditions that it has already: clients join
    that of a list and that of its tab, and where both name the same ids
    PostgreSQL believes that it had to look for each pair of them."""
    # By their texts, for a client may send many.
    return list({
            repr(condition): condition
            for condition in _conditions(domain)}.values())


def _conditions(domain):
    "Yield what all has to be true for a domain to be."
    if not isinstance(domain, (list, tuple)) or domain[:1] == ['OR'] or (
            domain and isinstance(domain[0], str) and domain[0] != 'AND'):
        yield domain
        return
    for part in domain:
        if part != 'AND':
            yield from _conditions(part)
