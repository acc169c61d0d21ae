# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What signing a result looks at in the studies on the servers."""
from sql import Literal, Null
from sql.aggregate import Count, Max
from sql.conditionals import Coalesce

from trytond.modules.health_imaging.institution import local_datetime
from trytond.modules.health_imaging.sign_check import CHECKS, Finding
from trytond.modules.health_imaging.tables import moment
from trytond.pool import Pool
from trytond.tools import grouped_slice

from . import tables

CHECKS.update({
        'study_unlinked': 'health_orthanc.msg_check_study_unlinked',
        'study_review': 'health_orthanc.msg_check_study_review',
        'images_later': 'health_orthanc.msg_check_images_later',
        'images_fewer': 'health_orthanc.msg_check_images_fewer',
        })
# How many studies are named at most.
_NAMED = 5


def studies_findings(results):
    """Return what a person should know of the studies of results that are
    signed.

    :rtype: list of Finding
    """
    found = []
    for result in results:
        for code, domain in [
                ('study_unlinked', _unlinked(result)),
                ('study_review', _in_review(result))]:
            found.extend(
                Finding(result, code, study.rec_name)
                for study in _studies(domain))
    return found + _of_images(results)


def _studies(domain):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    return Study.search(
        [('missing_since', '=', None), domain], limit=_NAMED)


def _unlinked(result):
    """Return the domain of studies that should be of a result: those of its
    request, and those of the patient on the day of the exam."""
    day = local_datetime(result.date).date()
    domain = ['OR', [
            ('patient', '=', result.patient.id), ('study_date', '=', day),
            ('request', '=', None)]]
    if result.request:
        domain.append(('request', '=', result.request.id))
    return [('imaging_test', '=', None), ('link_state', '!=', 'review'),
        domain]


def _in_review(result):
    domain = ['OR', ('candidates.patient', '=', result.patient.id)]
    if result.request:
        domain.append(('candidates.request', '=', result.request.id))
    return [('link_state', '=', 'review'), domain]


def _of_images(results):
    """Return what is to be said of the images of results, in one query."""
    by_id = {r.id: r for r in results}
    found = []
    for some in grouped_slice(list(by_id)):
        for id_, name, total, count, arrived in _counted(list(some)):
            result = by_id[id_]
            arrived = moment(arrived)
            if (result.text_changed_at and arrived
                    and arrived.replace(microsecond=0)
                    > result.text_changed_at):
                found.append(Finding(result, 'images_later', name))
            if count < (total or 0):
                found.append(
                    Finding(result, 'images_fewer', f'{count} / {total}'))
    return found


def _counted(results):
    """Return rows of result, description of a study, the number of images on
    its server, how many are known here, and when the last of them came."""
    pool = Pool()
    study, series, instance = [
        pool.get(f'gnuhealth.imaging_orthanc.{name}').__table__()
        for name in ['study', 'study_series', 'series_instances']]
    return tables.execute(study.join(
            series, 'LEFT', condition=(series.study == study.id)
            & (series.missing_since == Null)).join(
            instance, 'LEFT', condition=instance.series == series.id).select(
            study.imaging_test, Coalesce(study.description, Literal('')),
            study.number_of_instances, Count(instance.id),
            Max(Coalesce(instance.create_date, series.create_date,
                    study.create_date)),
            where=study.imaging_test.in_(results)
            & (study.missing_since == Null),
            group_by=[study.id, study.imaging_test, study.description,
                study.number_of_instances],
            order_by=study.id))
