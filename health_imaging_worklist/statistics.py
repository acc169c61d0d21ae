# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What statistics gain: when patients came to the table and left it."""
from sql.aggregate import Max, Min

from trytond.modules.health_imaging.statistics import hours
from trytond.pool import PoolMeta

from .steps import step_tables


class StatisticsTurnaround(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.statistics.turnaround'

    waiting_median = hours("Waiting, Median (h)",
        "Hours from the arrival of the patient to the begin of the exam, as "
        "the machine says: half of the patients waited no longer.")
    waiting_percentile = hours("Waiting, 90 % (h)",
        "Hours from the arrival of the patient to the begin of the exam, as "
        "the machine says: nine of ten patients waited no longer.")
    performing_median = hours("Exam, Median (h)",
        "Hours from the begin to the end of the exam, as the machine says: "
        "half of the exams took no longer.")
    performing_percentile = hours("Exam, 90 % (h)",
        "Hours from the begin to the end of the exam, as the machine says: "
        "nine of ten exams took no longer.")

    @classmethod
    def _stages(cls):
        return {
            **super()._stages(),
            'waiting': ('arrived', 'started'),
            'performing': ('started', 'ended'),
            }

    @classmethod
    def _tables(cls):
        tables = super()._tables()
        link, step = step_tables()
        tables['step'] = link.join(
            step, condition=link.step == step.id).select(
            link.request, Min(step.start).as_('started'),
            Max(step.end).as_('ended'),
            where=(step.state == 'completed')
            & link.request.in_(cls._sent()), group_by=link.request)
        return tables

    @classmethod
    def _from_item(cls, tables):
        step = tables['step']
        return super()._from_item(tables).join(step, 'LEFT',
            condition=step.request == tables['request'].id)

    @classmethod
    def _instants(cls, tables):
        return {
            **super()._instants(tables),
            'started': tables['step'].started,
            'ended': tables['step'].ended,
            }
