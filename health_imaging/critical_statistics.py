# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistic of critical findings: how soon they are acknowledged."""
import datetime as dt

from sql import Literal, Null, Window
from sql.aggregate import Count, Min
from sql.functions import RowNumber

from trytond.model import fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from .critical import URGENCIES
from .statistics import Shares, count, hours, instants, nobody, seconds


class StatisticsCritical(Shares):
    "Critical Findings by Urgency"
    __name__ = 'gnuhealth.imaging.statistics.critical'

    urgency = fields.Selection(URGENCIES, "Urgency", sort=False)
    number = fields.Integer("Findings",
        help="Critical findings of the period.")
    acknowledged = fields.Integer("Acknowledged")
    answer_median = hours("Until Acknowledged, Median (h)",
        "Hours until the acknowledgement: half of the findings "
        "took no longer.")
    answer_percentile = hours("Until Acknowledged, 90 % (h)",
        "Hours until the acknowledgement: nine of ten findings "
        "took no longer.")
    in_time = fields.Float("In Time (%)", digits=(16, 1),
        help="Share of those that were acknowledged in time among those that "
        "were acknowledged or whose time is over.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('urgency', 'ASC')]

    @classmethod
    def table_query(cls):
        ranked = cls._ranked()
        return ranked.select(
            Min(ranked.id).as_('id'),
            *nobody(),
            ranked.urgency,
            Count(Literal(1)).as_('number'),
            Count(ranked.answer).as_('acknowledged'),
            *(cls._share(ranked, 'answer', name)
                for name in ['median', 'percentile']),
            cls.in_time.sql_cast(
                count(ranked.acknowledged_at <= ranked.due) * 100.0
                / count((ranked.acknowledged_at != Null)
                    | (ranked.due < dt.datetime.now()), None)
                ).as_('in_time'),
            group_by=[ranked.urgency])

    @classmethod
    def _ranked(cls):
        """Return the query of the findings with the ranks of their times."""
        pool = Pool()
        finding = pool.get('gnuhealth.imaging.critical_finding').__table__()
        result = pool.get('gnuhealth.imaging.test.result').__table__()
        exam = pool.get('gnuhealth.imaging.test').__table__()
        answer = seconds(finding.at, finding.acknowledged_at)
        group = [finding.urgency, answer == Null]
        start, end = instants()
        where = (finding.at >= start) & (finding.at < end)
        type_ = Transaction().context.get('type')
        if type_:
            where &= exam.test_type == type_
        return (finding
            .join(result, condition=finding.result == result.id)
            .join(exam, condition=result.requested_test == exam.id)
            .select(
                finding.id, finding.urgency, finding.due,
                finding.acknowledged_at, answer.as_('answer'),
                RowNumber(window=Window(group, order_by=[answer.asc])).as_(
                    'answer_rank'),
                Count(Literal(1), window=Window(group)).as_('answer_count'),
                where=where))
