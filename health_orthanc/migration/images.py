# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Series and instances of former releases: one row for each, and their
numbers in the study."""
from collections import defaultdict

from sql import Null
from sql.aggregate import Count
from sql.functions import Function

from trytond.modules.health_imaging.migration import set_by_id, set_where, warn
from trytond.pool import Pool

from ..tables import execute
from .requests import return_merge_ids
from .rows import Merge, is_former, repeated


class Replace(Function):
    "The function REPLACE of SQL."
    __slots__ = ()
    _function = 'REPLACE'


def migrate_series(Series, module):
    """Merge the rows of one series of a study."""
    if not is_former(Series, module, 'series_UID', 'body_part'):
        return
    names = ['notes', 'series_description', 'series_number']
    merge = Merge(Series)
    for rows in repeated(Series, ['study', 'series_UID'], names):
        rows.sort(key=lambda r: (not r['notes'], r['id']))
        merge.add(rows, names)
    merge.finish()


def migrate_instances(Instance, module):
    """Merge the rows of one instance of a series, and separate the numbers of
    ImagePositionPatient (0020,0032, DS) by backslashes."""
    if not is_former(
            Instance, module, 'sop_instance_UID', 'number_of_frames'):
        return
    merge, by_series = Merge(Instance), defaultdict(list)
    for first, *others in repeated(
            Instance, ['series', 'sop_instance_UID'], []):
        ids = [o['id'] for o in others]
        merge.replace(first['id'], ids)
        by_series[first['series']] += ids
    merge.finish()
    for series, ids in sorted(by_series.items()):
        warn(Instance, ids, "%s instances of series %s were there twice",
            len(ids), series)
    table = Instance.__table__()
    set_where(table, table.image_position_patient.like('%, %'),
        image_position_patient=Replace(
            table.image_position_patient, ', ', '\\'))


def complete_studies():
    """Link the studies of 5.0 to their requests, and count their series and
    instances.

    They are those without a number of series, which a synchronization sets.
    """
    study, series, instance = [
        Pool().get(f'gnuhealth.imaging_orthanc.{name}').__table__()
        for name in ['study', 'study_series', 'series_instances']]
    uncounted = study.select(study.id, where=study.number_of_series == Null)
    counts, modalities = {}, {id_: [] for id_, in execute(uncounted)}
    if not modalities:
        return
    return_merge_ids()
    totals = dict.fromkeys(modalities, 0)
    for id_, parent, modality, count in execute(series.join(instance, 'LEFT',
                condition=instance.series == series.id).select(
                series.id, series.study, series.modality, Count(instance.id),
                where=series.study.in_(uncounted),
                group_by=[series.id, series.study, series.modality])):
        counts[id_] = count
        totals[parent] += count
        modalities[parent].append(modality)
    set_by_id(series, 'number_of_instances', counts)
    set_by_id(study, 'number_of_instances', totals)
    set_by_id(study, 'number_of_series', {
            id_: len(codes) for id_, codes in modalities.items()})
    set_by_id(study, 'modalities', {
            id_: ', '.join(sorted(set(filter(None, codes))))
            for id_, codes in modalities.items() if any(codes)})
