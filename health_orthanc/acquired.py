# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which studies and requests have pictures that a modality acquired, and how
many."""
from sql import Literal, Null
from sql.aggregate import Sum
from sql.conditionals import Coalesce
from sql.functions import Upper
from sql.operators import Exists

from trytond.modules.health_imaging.tables import once
from trytond.pool import Pool
from trytond.tools import grouped_slice

from . import blocks, tables
from .archive.pictures_kind import (
    NOT_PICTURE_MODALITIES, NOT_PICTURE_SOP_CLASSES, WAVEFORM_MODALITIES,
    WAVEFORM_SOP_CLASSES)
from .links.further import NAME, studies_with_requests


def series_of_requests(columns, where=None, among=None, **options):
    """Return the query for the series with pictures of studies, with each of
    their requests; parameters are those of series.

    :param among: query of the ids of the requests that count, None: all
    """
    return series(
        columns, where or (lambda study, _: study.request != Null),
        studies_with_requests(among), **options)


def of_request(request):
    """Return the SQL condition that a request has pictures.

    :param request: SQL column of its id
    """
    link = Pool().get(NAME).__table__()
    further = link.select(link.study, where=link.request == request)
    own, other = [
        Exists(series(lambda *_: [Literal(1)], where)) for where in [
            lambda study, _: study.request == request,
            lambda study, _: study.id.in_(further)]]
    # An index serves each of them.
    return own | other


def series(columns, where, study=None, **options):
    """Return the query for the series with pictures that are on their server;
    the study itself stands for the series of a large one that are not stored
    yet.

    :param columns: function of the tables of studies and series, a list
    :param where: the same, a further condition
    :param study: query for studies, None: their table
    :param options: the same, of python-sql's select
    """
    pool = Pool()
    study = study or pool.get('gnuhealth.imaging_orthanc.study').__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    joined = study.join(series, 'LEFT', condition=series.study == study.id)
    condition = (
        (study.missing_since == Null) & (series.missing_since == Null)
        & _is_picture(study, series) & where(study, series))
    return joined.select(
        *columns(study, series), where=condition,
        **{name: make(study, series) for name, make in options.items()})


def number(study, series):
    """Return the expression for the number of pictures of a group of series.

    :param study: table of studies
    :param series: table of series
    """
    return Coalesce(Sum(Coalesce(
                series.number_of_instances, study.number_of_instances)), 0)


def count(ids, column):
    """Return the number of pictures of each id.

    :param ids: ids of studies, or of what they belong to
    :param str column: where studies have them: id, request or imaging_test
    :rtype: dict of int
    """
    counts = dict.fromkeys(ids, 0)
    query = series_of_requests if column == 'request' else series
    for some in grouped_slice(list(counts)):
        counts.update(tables.execute(query(
                    lambda study, series: [
                        getattr(study, column), number(study, series)],
                    lambda study, _: getattr(study, column).in_(list(some)),
                    group_by=lambda study, _: getattr(study, column))))
    return counts


@once
def studies_of(requests):
    """Return the studies of requests, list of pairs of ids.

    :param tuple requests: ids
    """
    of = studies_with_requests()
    return blocks.rows(of, [of.request, of.id], of.request, requests)


def count_together(requests):
    """Return the number of pictures of the studies of some requests that are
    not there twice, by id of the request and of the study.

    :param requests: ids of requests
    :rtype: dict of dict of int
    """
    found = {id_: {} for id_ in requests}
    pairs = studies_of(tuple(sorted(found)))
    counts = count([study for _, study in pairs], 'id')
    for request, study in pairs:
        found[request][study] = counts[study]
    return found


def _is_picture(study, series):
    """The condition for pictures_kind.is_picture."""
    modality = Upper(series.modality)
    alone = (series.id == Null) & (
        (study.modalities == Null)
        | ~Upper(study.modalities).in_(sorted(NOT_PICTURE_MODALITIES)))
    known = (series.sop_class_UID == Null) | (
        ~series.sop_class_UID.in_(sorted(NOT_PICTURE_SOP_CLASSES))
        & (~series.sop_class_UID.in_(sorted(WAVEFORM_SOP_CLASSES))
            | modality.in_(sorted(WAVEFORM_MODALITIES))))
    return alone | (
        (series.id != Null) & known
        & ~modality.in_(sorted(NOT_PICTURE_MODALITIES)))
