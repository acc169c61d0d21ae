# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures in results and stored reports of former releases: of which studies
they are, and whether these still belong to the results."""
import re
from collections import defaultdict

from sql import Null

from trytond.modules.health_imaging.migration import set_by_id, set_where, warn
from trytond.modules.health_imaging.minute import now
from trytond.pool import Pool

from .. import blocks
from ..tables import execute

# Name of a picture: SOP Instance UID, number of the frame, and the extension,
# which 5.0 left out.
_OF_INSTANCE = re.compile(r'([\d.]+\d)(?:-\d+)?(?:\.[a-z]+)?$')


# Pictures

def find_studies_of_pictures(Attachment):
    """Set the study of pictures in results, whose name begins with the SOP
    Instance UID.

    Signed results with a picture of a study that belongs elsewhere are marked
    like those that lose a study from now on."""
    pool = Pool()
    Result = pool.get('gnuhealth.imaging.test.result')
    table = Attachment.__table__()
    pictures = _pictures_by_uid(table, f'{Result.__name__},')
    instance, series, study = [
        pool.get(f'gnuhealth.imaging_orthanc.{name}').__table__()
        for name in ['series_instances', 'study_series', 'study']]
    query = instance.join(
        series, condition=instance.series == series.id).join(
        study, condition=series.study == study.id)
    studies, foreign = {}, {}
    for uid, id_, result in blocks.rows(
            query, [instance.sop_instance_UID, study.id, study.imaging_test],
            instance.sop_instance_UID, pictures, order_by=study.id):
        for picture, of in pictures[uid]:
            # Of two studies with the instance, that of the result.
            if picture not in studies or result == of:
                studies[picture] = id_
                foreign[picture] = of if result != of else None
    set_by_id(table, 'imaging_study', studies)
    result = Result.__table__()
    signed = sorted(blocks.ids(
            result, result.id, result.id, set(foreign.values()) - {None},
            result.state == 'final'))
    set_by_id(result, 'studies_changed_at', dict.fromkeys(signed, now()))
    if signed:
        warn(Result, signed, "signed with pictures of studies that are not "
            "theirs any more; to confirm or to amend")


def _pictures_by_uid(table, prefix):
    """Return ids of pictures and their results, lists by SOP Instance UID."""
    pictures = defaultdict(list)
    for id_, resource, name in execute(table.select(
                table.id, table.resource, table.name,
                where=table.resource.like(f'{prefix}%'))):
        named = _OF_INSTANCE.match(name or '')
        result = resource[len(prefix):]
        if named and result.isdigit():
            pictures[named.group(1)].append((id_, int(result)))
    return pictures


# Stored reports

def try_reports_again(Report):
    """Let failed reports wait again: their attempts included those at which
    the server refused every report."""
    table = Report.__table__()
    set_where(table, table.state == 'failed', state='waiting', attempts=0)


def mark_misplaced_reports(Report):
    """Mark reports that are stored in studies which do not belong to their
    results any more."""
    table = Report.__table__()
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    ids = [id_ for id_, in execute(table.join(
                study, condition=table.study == study.id).select(table.id,
                where=(table.state == 'stored')
                & ((study.imaging_test == Null)
                    | (study.imaging_test != table.result))))]
    set_by_id(table, 'state', dict.fromkeys(ids, 'misplaced'))
    if ids:
        warn(Report, ids,
            "stored in studies that are not of their results any more")
