# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests have pictures that a modality acquired."""
from sql import Null
from sql.functions import Upper

from trytond.pool import Pool

from .archive.pictures_kind import (
    NOT_PICTURE_MODALITIES, NOT_PICTURE_SOP_CLASSES, WAVEFORM_MODALITIES,
    WAVEFORM_SOP_CLASSES)


def series_of_requests(columns, where=None, **options):
    """Return the query for the series with pictures that are on their server,
    of studies that belong to a request; the study itself stands for the
    series of a large one that are not stored yet.

    :param columns: function of the tables of studies and series, a list
    :param where: the same, a further condition
    :param options: the same, of python-sql's select
    """
    pool = Pool()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    joined = study.join(series, 'LEFT', condition=series.study == study.id)
    condition = (
        (study.request != Null) & (study.missing_since == Null)
        & (series.missing_since == Null) & _is_picture(study, series))
    if where:
        condition &= where(study, series)
    return joined.select(
        *columns(study, series), where=condition,
        **{name: make(study, series) for name, make in options.items()})


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
