# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What statistics gain: when the images of a request were first known."""
from sql.aggregate import Min
from sql.conditionals import Coalesce, Least

from trytond.pool import PoolMeta

from . import acquired


class StatisticsTurnaround(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.statistics.turnaround'

    @classmethod
    def _tables(cls):
        tables = super()._tables()
        tables['study'] = acquired.series_of_requests(
            lambda study, series: [study.request, Min(Coalesce(
                        series.create_date, study.create_date)).as_('first')],
            among=cls._sent(), group_by=lambda study, _: study.request)
        return tables

    @classmethod
    def _from_item(cls, tables):
        study = tables['study']
        return super()._from_item(tables).join(study, 'LEFT',
            condition=study.request == tables['request'].id)

    @classmethod
    def _instants(cls, tables):
        """As without a PACS, but images count from when the first of them
        was known here, if that is earlier."""
        instants = super()._instants(tables)
        instants['images'] = Least(instants['images'], tables['study'].first)
        return instants
