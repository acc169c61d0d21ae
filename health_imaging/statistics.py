# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics in SQL: requests per month and modality, and turnaround times."""
import datetime as dt
import itertools
import xml.etree.ElementTree as ET

from dateutil.relativedelta import relativedelta
from sql import As, Cast, Column, Literal, Null, Values, Window
from sql.aggregate import Aggregate, Count, Min, Sum
from sql.conditionals import Case, Coalesce, Greatest
from sql.functions import Abs, CurrentTimestamp, Extract, RowNumber

from trytond import backend
from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, If, PYSONEncoder
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from .dashboard import today, utc
from .institution import institution_timezone
from .tables import In, execute, once

#: Longest period of a statistic, in months.
MONTHS = 600
# How many rows a query holds; SQLite takes only so many values.
_MOST_GIVEN = 1000
#: Percentiles of the turnaround times.
_SHARES = {'median': 0.5, 'percentile': 0.9}
_STAGES = {
    'images': ('requested', 'images'),
    'reading': ('images', 'final'),
    'total': ('requested', 'final'),
    }


def period():
    """Return the first and the last day of the context.

    The default is the last twelve months, the limit MONTHS.

    :rtype: pair of datetime.date
    """
    context = Transaction().context
    last = context.get('to_date') or today()
    first = context.get('from_date') or _default_from(last)
    return max(first, _months_before(last, MONTHS - 1)), last


def _default_from(last):
    return _months_before(last, 11)


def _months_before(day, count):
    """Return the first day of the month so many months before."""
    day = day.replace(day=1)
    left = (day.year - 1) * 12 + day.month - 1
    return day - relativedelta(months=min(count, left))


def instants():
    """Return when the period of the context begins and ends, in UTC."""
    first, last = period()
    zone = institution_timezone()
    return utc(first, zone), utc(
        last + dt.timedelta(days=last < dt.date.max), zone)


def months():
    """Return the months of the period, cut at its ends.

    :return: list of the first day, and of begin and end (datetime, naive, UTC)
    """
    first, last = period()
    zone = institution_timezone()
    start, end = instants()
    days = []
    month = first.replace(day=1)
    while month <= last:
        days.append(month)
        if (month.year, month.month) == (9999, 12):
            break
        month += relativedelta(months=1)
    edges = [start, *(utc(d, zone) for d in days[1:]), end]
    return list(zip(days, edges, edges[1:])) or [(first, start, start)]


class StatisticsContext(ModelView):
    "Context of Imaging Statistics"
    __name__ = 'gnuhealth.imaging.statistics.context'

    from_date = fields.Date("From",
        domain=[
            If(Eval('to_date') & Eval('from_date'),
                ('from_date', '<=', Eval('to_date')), ()),
            ])
    to_date = fields.Date("To",
        domain=[
            If(Eval('to_date') & Eval('from_date'),
                ('to_date', '>=', Eval('from_date')), ()),
            ])
    type = fields.Many2One('gnuhealth.imaging.test.type', "Modality",
        help="Leave it empty for all.")

    @staticmethod
    def default_from_date():
        return Transaction().context.get(
            'from_date', _default_from(today()))

    @staticmethod
    def default_to_date():
        return Transaction().context.get('to_date', today())

    @staticmethod
    def default_type():
        return Transaction().context.get('type')


class _Percentile(Aggregate):
    __slots__ = ()
    _sql = 'PERCENTILE_CONT'


class Shares(ModelSQL, ModelView):
    """Base of the statistics with percentiles."""

    @classmethod
    def _share(cls, ranked, stage, name):
        """Return the column of a percentile, in hours.

        SQLite has no such function: each value is weighted by the distance of
        its rank from the wanted place.
        """
        name_, taken = f'{stage}_{name}', getattr(ranked, stage)
        if backend.name == 'postgresql':
            value = _Percentile(Literal(_SHARES[name]), within=taken)
        else:
            rank, number = [
                getattr(ranked, f'{stage}_{n}') for n in ['rank', 'count']]
            place = (number - 1) * _SHARES[name] + 1
            value = Sum(
                taken * Greatest(Literal(1) - Abs(rank - place), 0))
        return getattr(cls, name_).sql_cast(value / 3600.0).as_(name_)


class _Statistic(Shares):
    """Base of the statistics of requests."""

    @classmethod
    def _tables(cls):
        """Return the tables of the query, by name."""
        pool = Pool()
        return {
            'request': pool.get('gnuhealth.imaging.test.request').__table__(),
            'exam': pool.get('gnuhealth.imaging.test').__table__(),
            'type': pool.get('gnuhealth.imaging.test.type').__table__(),
            }

    @classmethod
    def _from_item(cls, tables):
        """Return the joined tables."""
        request, exam, type_ = [
            tables[name] for name in ['request', 'exam', 'type']]
        return (request
            .join(exam, condition=request.requested_test == exam.id)
            .join(type_, condition=exam.test_type == type_.id))

    @classmethod
    def _where(cls, tables):
        """Return the condition of the requests that count, without period."""
        type_ = Transaction().context.get('type')
        where = tables['request'].state != 'draft'
        if type_:
            where &= tables['type'].id == type_
        return where


class StatisticsRequests(_Statistic):
    "Imaging Requests per Month"
    __name__ = 'gnuhealth.imaging.statistics.requests'

    month = fields.Char("Month")
    modality = fields.Char("Modality")
    number = fields.Integer("Requests",
        # Needed by the graph, which has a line for each modality.
        depends=['modality'],
        help="Requests that were sent, without those that were canceled.")
    done = fields.Integer("Done")
    urgent = fields.Integer("Urgent")
    canceled = fields.Integer("Canceled")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('month', 'ASC'), ('modality', 'ASC')]

    @classmethod
    def table_query(cls):
        cell, request = Values(cls._cells()), cls._counted()
        return cell.join(request, 'LEFT',
            condition=(request.month == cell.column2)
            & (request.modality == cell.column3)).select(
            cell.column1.as_('id'),
            *nobody(),
            cell.column2.as_('month'),
            cell.column3.as_('modality'),
            *(Coalesce(getattr(request, name), 0).as_(name)
                for name in ['number', 'done', 'urgent', 'canceled']))

    @classmethod
    def _cells(cls):
        """Return the rows of the statistic.

        The graph of the desktop client needs each modality in each month.

        :return: list of id, month, modality
        """
        return [(id_, f'{day:%Y-%m}', code)
            for id_, ((day, *_), code) in enumerate(
                itertools.product(months(), cls._modalities()), 1)]

    @classmethod
    def _counted(cls):
        """Return the query of the numbers of requests, with the months and
        modalities that have some."""
        month = Values([
                (f'{day:%Y-%m}', start, end) for day, start, end in months()])
        tables = cls._tables()
        request, modality = tables['request'], tables['type'].code
        kept = request.state != 'canceled'
        return cls._from_item(tables).join(month,
            condition=(request.date >= month.column2)
            & (request.date < month.column3)).select(
            month.column1.as_('month'), modality.as_('modality'),
            count(kept).as_('number'),
            count(request.state == 'done').as_('done'),
            count(kept & (request.urgent == Literal(True))).as_('urgent'),
            count(request.state == 'canceled').as_('canceled'),
            where=cls._where(tables), group_by=[month.column1, modality])

    @classmethod
    def fields_view_get(cls, view_id=None, view_type='form', level=None):
        """Return the view; the graph has a line for each modality."""
        view = super().fields_view_get(
            view_id=view_id, view_type=view_type, level=level)
        if view['type'] == 'graph':
            view = {**view, 'arch': cls._with_modalities(view['arch'])}
        return view

    @classmethod
    def _with_modalities(cls, arch):
        graph = ET.fromstring(arch)
        bars = graph.find('y')
        bars.clear()
        for code in cls._modalities():
            ET.SubElement(bars, 'field', {
                    'name': 'number',
                    'key': f'modality_{code}',
                    'string': code,
                    'domain': PYSONEncoder().encode(
                        Eval('modality', '') == code),
                    })
        return ET.tostring(graph, encoding='unicode')

    @classmethod
    @without_check_access
    def _modalities(cls):
        """Return the codes of the modalities that have exams, sorted."""
        Exam = Pool().get('gnuhealth.imaging.test')
        with Transaction().set_context(active_test=False):
            exams = Exam.search([])
        return sorted({e.test_type.code for e in exams}) or ['']


def hours(label, help):
    """Return the field of a duration in hours."""
    return fields.Float(label, digits=(16, 1), help=help)


class StatisticsTurnaround(_Statistic):
    "Imaging Turnaround"
    __name__ = 'gnuhealth.imaging.statistics.turnaround'

    exam = fields.Many2One('gnuhealth.imaging.test', "Exam")
    modality = fields.Char("Modality")
    urgent = fields.Boolean("Urgent")
    number = fields.Integer("Requests",
        help="Requests that were sent in the period and not canceled.")
    final = fields.Integer("Final", help="Those whose result is final.")
    images_median = hours("Until Images, Median (h)",
        "Hours from the request to its images: half of the exams took "
        "no longer.")
    images_percentile = hours("Until Images, 90 % (h)",
        "Hours from the request to its images: nine of ten exams took "
        "no longer.")
    reading_median = hours("Images to Final, Median (h)",
        "Hours from the images to the signature of the result: half of "
        "the exams took no longer.")
    reading_percentile = hours("Images to Final, 90 % (h)",
        "Hours from the images to the signature of the result: nine of "
        "ten exams took no longer.")
    total_median = hours("Until Final, Median (h)",
        "Hours from the request to the signature of the result: half "
        "of the exams took no longer.")
    total_percentile = hours("Until Final, 90 % (h)",
        "Hours from the request to the signature of the result: nine "
        "of ten exams took no longer.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('modality', 'ASC'), ('exam', 'ASC'), ('urgent', 'DESC')]

    def get_rec_name(self, name):
        if self.urgent:
            return gettext(
                'health_imaging.msg_exam_urgent', exam=self.exam.rec_name)
        return self.exam.rec_name

    @classmethod
    def search_rec_name(cls, name, clause):
        return [('exam.rec_name', *clause[1:])]

    @classmethod
    def _tables(cls):
        tables = super()._tables()
        Result = Pool().get('gnuhealth.imaging.test.result')
        tables['result'] = Result.__table__()
        return tables

    @classmethod
    def _from_item(cls, tables):
        result = tables['result']
        return super()._from_item(tables).join(result, 'LEFT',
            condition=result.request == tables['request'].id)

    @staticmethod
    def _stages():
        """Return the instants at which each stage begins and ends, by its
        name. Other modules extend this."""
        return dict(_STAGES)

    @classmethod
    def _instants(cls, tables):
        """Return the SQL expressions (timestamps) of the stages.

        Without images from a PACS, the date of the exam in its result counts.
        """
        return {
            'requested': tables['request'].requested_at,
            'arrived': tables['request'].arrived_at,
            'images': tables['result'].date,
            'final': tables['result'].signed_at,
            }

    @staticmethod
    def _of_period(request):
        """Return the SQL condition of the requests sent in the period, in a
        form those of its exam.

        :param request: table of requests
        """
        start, end = instants()
        where = (request.requested_at >= start) & (request.requested_at < end)
        exams = Transaction().context.get('_exams')
        return where if exams is None else where & In(
            request.requested_test, list(exams))

    @classmethod
    def _sent(cls):
        """Return the query of the ids of the requests sent in the period."""
        request = super()._tables()['request']
        return request.select(request.id, where=cls._of_period(request))

    @classmethod
    def _requests(cls):
        """Return the query of the requests with the seconds of each stage."""
        tables = cls._tables()
        request = tables['request']
        at = cls._instants(tables)
        return cls._from_item(tables).select(
            request.id.as_('id'),
            request.requested_test.as_('exam'),
            tables['type'].code.as_('modality'),
            Coalesce(request.urgent, Literal(False)).as_('urgent'),
            *(seconds(at[begin], at[finish]).as_(stage)
                for stage, (begin, finish) in cls._stages().items()),
            where=cls._where(tables) & (request.state != 'canceled')
            & cls._of_period(request))

    @classmethod
    def _ranked(cls):
        """Return the query of the requests, with their ranks for SQLite.

        The rank of a stage is among the requests of the same exam and urgency
        that have it; the query has also their number.
        """
        request = cls._requests()
        if backend.name == 'postgresql':
            return request
        columns = [request.id, request.exam, request.modality, request.urgent]
        for stage in cls._stages():
            taken = getattr(request, stage)
            group = [request.exam, request.urgent, taken == Null]
            columns += [
                taken.as_(stage),
                RowNumber(window=Window(group, order_by=[taken.asc])).as_(
                    f'{stage}_rank'),
                Count(Literal(1), window=Window(group)).as_(f'{stage}_count'),
                ]
        return request.select(*columns)

    @classmethod
    @without_check_access
    def table_query(cls):
        """Return the query of the rows, which are computed once: clients
        search them and read them."""
        query = cls._computed()
        context = Transaction().context
        rows = cls._rows(
            *instants(), context.get('type'), context.get('_exams'))
        if not 0 < len(rows) <= _MOST_GIVEN:
            return query
        names = [
            c.output_name if isinstance(c, As) else c.name
            for c in query.columns]
        if backend.name == 'postgresql':
            # It takes the types from the first row.
            types = [cls._fields[name].sql_type().base for name in names]
            rows = [list(map(Cast, rows[0], types)), *rows[1:]]
        row = Values(rows)
        return row.select(*(
                Column(row, f'column{n}').as_(name)
                for n, name in enumerate(names, 1)))

    @classmethod
    def read(cls, ids, fields_names):
        """Read rows; of those that no list computed only the requests of
        their exams are looked at: a form has one."""
        with Transaction().set_context(_exams=cls._exams_of(ids)):
            return super().read(ids, fields_names)

    @classmethod
    @without_check_access
    def _exams_of(cls, ids):
        """Return the ids of the exams of rows, tuple, None: of all."""
        context = Transaction().context
        if context.get('_exams') or cls._rows.known(
                cls, *instants(), context.get('type'), None):
            return context.get('_exams')
        request = super()._tables()['request']
        return tuple({exam for some in grouped_slice(ids)
                for exam, in execute(request.select(
                        request.requested_test,
                        where=reduce_ids(request.id, list(some))))})

    @classmethod
    @once
    def _rows(cls, start, end, type_, exams):
        """Return the rows of a period, see instants, of a modality and of
        some exams."""
        return execute(cls._computed())

    @classmethod
    def _computed(cls):
        ranked = cls._ranked()
        return ranked.select(
            Min(ranked.id).as_('id'),
            *nobody(),
            ranked.exam,
            Min(ranked.modality).as_('modality'),
            ranked.urgent,
            Count(Literal(1)).as_('number'),
            Count(ranked.total).as_('final'),
            *(cls._share(ranked, stage, name)
                for stage in cls._stages() for name in _SHARES),
            group_by=[ranked.exam, ranked.urgent])


def nobody():
    """Return empty columns for create_uid, create_date and so on."""
    return [
        Literal(0).as_('create_uid'),
        CurrentTimestamp().as_('create_date'),
        Literal(Null).as_('write_uid'),
        Literal(Null).as_('write_date'),
        ]


def count(condition, otherwise=0):
    """Return the number of the rows for which a condition holds.

    :param condition: SQL expression
    :param otherwise: what each other row adds
    """
    return Sum(Case((condition, 1), else_=otherwise))


def seconds(begin, end):
    """Return the seconds between timestamps, 0 when in wrong order.

    :param begin: SQL expression
    :param end: SQL expression
    """
    both = (begin != Null) & (end != Null)
    taken = Extract('EPOCH', end) - Extract('EPOCH', begin)
    return Case((both, Greatest(taken, 0)))
