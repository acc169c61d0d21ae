# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What statistics gain: when the images of a request were first known."""
from sql import Null
from sql.aggregate import Min
from sql.conditionals import Least

from trytond.pool import Pool, PoolMeta


class StatisticsTurnaround(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.statistics.turnaround'

    @classmethod
    def _tables(cls):
        tables = super()._tables()
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        study = Study.__table__()
        tables['study'] = study.select(
            study.request, Min(study.create_date).as_('first'),
            where=study.request != Null, group_by=study.request)
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
