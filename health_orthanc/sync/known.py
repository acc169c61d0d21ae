# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a server: the studies, series and instances that are not
missing, and what a run has to look at again.
"""
import json
from collections import defaultdict

from sql import Literal, Null
from sql.aggregate import Count, Min, Sum
from sql.conditionals import Coalesce

from trytond.pool import Pool

from ..archive.pictures_kind import is_picture
from ..blocks import ids, rows
from ..matching import REVIEW
from ..tables import execute, ids_of, set_values, update_each


def present_studies(server):
    """Return the ids of the studies of a server that are not missing, by
    their Orthanc id."""
    study, *_ = _tables()
    return dict(execute(study.select(
                study.orthanc_UID, study.id, where=_present(study, server))))


def present_series(server):
    """Return the Orthanc ids of the studies of the series of a server that
    are not missing, by the Orthanc id of the series."""
    study, series, _, with_series, _ = _tables()
    return dict(execute(with_series.select(
                series.orthanc_UID, study.orthanc_UID,
                where=_present(study, server)
                & (series.missing_since == Null))))


def present_instances(server, series_uids):
    """Return sets of the Orthanc ids of instances by that of their series.

    :param int server: id of the server
    :param series_uids: Orthanc ids of series
    """
    study, series, instance, _, with_instances = _tables()
    found = defaultdict(set)
    for series_uid, uid in rows(
            with_instances, [series.orthanc_UID, instance.orthanc_UID],
            series.orthanc_UID, series_uids, _present(study, server)):
        found[series_uid].add(uid)
    return found


def present_counts(server):
    "Return how many studies, series and instances of a server are known."
    study, *_ = _tables()
    (counts,) = execute(study.select(
            Count(Literal(1)),
            Coalesce(Sum(study.number_of_series), 0),
            Coalesce(Sum(study.number_of_instances), 0),
            where=_present(study, server)))
    return tuple(int(c) for c in counts)


def has_deletions(server):
    """Return whether a server was asked to delete something and did not
    confirm it."""
    study, series, _, with_series, _ = _tables()
    where = study.orthanc_server == server
    return any(execute(query) for query in [
            study.select(study.id, limit=1,
                where=where & (study.deleting_since != Null)),
            with_series.select(series.id, limit=1,
                where=where & (series.deleting_since != Null)),
            ])


def all_are_being_deleted(server):
    """Return whether a server was asked to delete each of its studies that
    are not missing, whole or with all their series."""
    study, series, *_ = _tables()
    there = study.join(series, 'LEFT', condition=(
            (series.study == study.id) & (series.missing_since == Null)))
    return all(
        of_study or of_series for of_study, of_series in execute(there.select(
                study.deleting_since, series.deleting_since,
                where=_present(study, server))))


def instances_to_read(ids):
    """Return the Orthanc id of an instance that tells more about each of some
    studies: one of the first series that is a picture."""
    _, series, instance, *_ = _tables()
    first = {}
    for study, id_, *kind in rows(
            series, [series.study, series.id, series.modality,
                series.sop_class_UID],
            series.study, ids, series.missing_since == Null,
            order_by=[series.study, series.id]):
        if study not in first and is_picture(*kind):
            first[study] = id_
    uids = dict(rows(
            instance, [instance.series, Min(instance.orthanc_UID)],
            instance.series, first.values(), group_by=instance.series))
    return {
        study: uids[id_] for study, id_ in first.items() if id_ in uids}


def store_details(details, names, ids, now):
    """Store what one instance told of each of some studies.

    :param details: columns by the id of a study, dict of dicts
    :param names: which of the columns to store
    :param ids: ids of all studies that need not be read again
    :param now: datetime
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    set_values(Study, ids, details_at=now)
    update_each(Study, names, [
            (id_, [row[name] for name in names])
            for id_, row in details.items()])


def corrections(server):
    """Return the corrections of the studies of a server by their Orthanc id,
    see StudyValues.corrected."""
    study, *_ = _tables()
    return {
        uid: json.loads(text) for uid, text in execute(study.select(
                study.orthanc_UID, study.correction,
                where=(study.orthanc_server == server)
                & (study.correction != Null)))}


def store_corrections(server, corrections):
    """Store corrections, None for those that are none any more.

    :param int server: id of the server
    :param corrections: by the Orthanc id of the study
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    ids = ids_of(Study, 'orthanc_server', 'orthanc_UID', [
            (server, uid) for uid in corrections])
    update_each(Study, ['correction'], [
            (id_, [corrections[uid] and json.dumps(
                        corrections[uid], sort_keys=True)])
            for (_, uid), id_ in ids.items()])


def left_undone(review, undecided):
    """Return how many of some studies wait to be reviewed, or for a decision
    that an error prevented, as values of a run.

    :param review: ids of the studies that came to be reviewed
    :param undecided: ids of the studies that were not decided
    """
    study, *_ = _tables()
    return {
        'studies_review': len(ids(study, study.id, study.id, review,
                study.link_state == REVIEW)),
        'studies_undecided': len(ids(study, study.id, study.id, undecided,
                study.undecided_since != Null)),
        }


def _present(study, server):
    return (study.orthanc_server == server) & (study.missing_since == Null)


def _tables():
    """Return the tables of studies, series and instances, and the two joins
    that lead from studies to the others."""
    pool = Pool()
    study, series, instance = [
        pool.get(f'gnuhealth.imaging_orthanc.{name}').__table__()
        for name in ['study', 'study_series', 'series_instances']]
    with_series = study.join(series, condition=series.study == study.id)
    with_instances = with_series.join(
        instance, condition=instance.series == series.id)
    return study, series, instance, with_series, with_instances
