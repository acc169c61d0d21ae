# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what an Orthanc holds into the tables, block by block.

A hospital has hundreds of thousands of instances, so rows are compared and
written with a few SQL statements per block instead of one record at a time.
Nothing that belongs to the users (links, notes, comments) is touched.
"""
from collections import defaultdict
from typing import NamedTuple

from sql import Literal, Null
from sql.aggregate import Count, Sum
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

# SQLite takes 32 766 parameters in one statement.
_ROWS = 1000


class Upsert(NamedTuple):
    """What an upsert did.

    :ivar ids: id of each row, by its key
    :ivar new: keys of the inserted rows
    :ivar changed: keys of the updated rows
    """
    ids: dict
    new: list
    changed: list


def execute(query):
    """Run a python-sql query.

    :return: list of rows, empty for what is no select
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []


def upsert(Model, scope, key, rows):
    """Insert the rows that are new and update those that differ.

    :param Model: class of the model
    :param str scope: name of the Many2One that the rows belong to
    :param str key: name of the text that is unique in the scope
    :param rows: list of dicts with the same names, scope and key among them
    :rtype: Upsert
    """
    wanted = {(row[scope], row[key]): row for row in rows}
    if not wanted:
        return Upsert({}, [], [])
    stored = _stored(Model, scope, key, wanted)
    new = [k for k in wanted if k not in stored]
    changed = [k for k, (_, values) in stored.items()
        if _differ(values, wanted[k])]
    _insert(Model, [wanted[k] for k in new])
    for k in changed:
        _update(Model, stored[k][0], wanted[k])
    ids = {k: id_ for k, (id_, _) in stored.items()}
    if new:
        ids.update(_ids(Model, scope, key, new))
    return Upsert(ids, new, changed)


def _stored(Model, scope, key, wanted):
    """Return id and values of the stored rows by their key."""
    table = Model.__table__()
    names = list(next(iter(wanted.values())))
    columns = [table.id] + [getattr(table, n) for n in names]
    stored = {}
    for row in _select(table, columns, scope, key, wanted):
        values = dict(zip(names, row[1:]))
        k = values[scope], values[key]
        if k in wanted:
            stored[k] = row[0], values
    return stored


def _ids(Model, scope, key, wanted):
    table = Model.__table__()
    columns = [table.id, getattr(table, scope), getattr(table, key)]
    wanted = set(wanted)
    return {(s, k): id_
        for id_, s, k in _select(table, columns, scope, key, wanted)
        if (s, k) in wanted}


def _select(table, columns, scope, key, wanted):
    """Yield the rows of some keys, with one statement for some hundred."""
    keys = defaultdict(list)
    for scope_id, value in wanted:
        keys[scope_id].append(value)
    scope_column, key_column = getattr(table, scope), getattr(table, key)
    if len(keys) == 1:
        (scope_id, values), = keys.items()
        for sub in grouped_slice(values, _ROWS):
            yield from execute(table.select(*columns,
                    where=(scope_column == scope_id)
                    & key_column.in_(list(sub))))
    else:
        for sub in grouped_slice(list(keys), _ROWS):
            yield from execute(table.select(*columns,
                    where=reduce_ids(scope_column, list(sub))))


def _differ(stored, wanted):
    return any(
        stored[name] != value and str(stored[name]) != str(value)
        for name, value in wanted.items())


def _insert(Model, rows):
    if not rows:
        return
    table = Model.__table__()
    user = Transaction().user
    names = list(rows[0])
    columns = [getattr(table, name) for name in names]
    columns += [table.create_uid, table.create_date]
    for sub in grouped_slice(rows, _ROWS):
        execute(table.insert(columns, [
                    [row[n] for n in names] + [user, CurrentTimestamp()]
                    for row in sub]))


def _update(Model, id_, values):
    table = Model.__table__()
    names = list(values)
    execute(table.update(
            [getattr(table, n) for n in names]
            + [table.write_uid, table.write_date],
            [values[n] for n in names]
            + [Transaction().user, CurrentTimestamp()],
            where=table.id == id_))


def set_values(Model, ids, **values):
    """Write the same values to rows given by their ids."""
    ids = list(ids)
    table = Model.__table__()
    names = list(values)
    for sub in grouped_slice(ids, _ROWS):
        execute(table.update(
                [getattr(table, n) for n in names]
                + [table.write_uid, table.write_date],
                [values[n] for n in names]
                + [Transaction().user, CurrentTimestamp()],
                where=reduce_ids(table.id, list(sub))))
    _forget(Model, ids)


def _forget(Model, ids):
    """Let records read rows again that were written behind their back."""
    transaction = Transaction()
    transaction.counter += 1
    for cache in transaction.cache.values():
        for id_ in ids if Model.__name__ in cache else ():
            cache[Model.__name__].pop(id_, None)


def delete(Model, ids):
    """Delete rows given by their ids."""
    table = Model.__table__()
    for sub in grouped_slice(list(ids), _ROWS):
        execute(table.delete(where=reduce_ids(table.id, list(sub))))


def present_ids(server, level='study'):
    """Return the rows of a server that are not missing, id by Orthanc id.

    :param int server: id of the server
    :param str level: study, series or instance
    """
    pool = Pool()
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    where = (study.orthanc_server == server) & (study.missing_since == Null)
    if level == 'study':
        return dict(execute(study.select(
                    study.orthanc_UID, study.id, where=where)))
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    query = study.join(series, condition=series.study == study.id)
    where &= series.missing_since == Null
    if level == 'series':
        return dict(execute(query.select(
                    series.orthanc_UID, study.orthanc_UID, where=where)))
    instance = pool.get(
        'gnuhealth.imaging_orthanc.series_instances').__table__()
    query = query.join(instance, condition=instance.series == series.id)
    return dict(execute(query.select(
                instance.orthanc_UID, study.orthanc_UID, where=where)))


def present_counts(server):
    """Return how many studies, series and instances of a server are known."""
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    (counts,) = execute(study.select(
            Count(Literal(1)),
            Coalesce(Sum(study.number_of_series), 0),
            Coalesce(Sum(study.number_of_instances), 0),
            where=(study.orthanc_server == server)
            & (study.missing_since == Null)))
    return tuple(int(c) for c in counts)


def mark_missing(server, orthanc_ids, now):
    """Mark studies that the server does not list any more.

    :return: ids of the rows that were marked
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    known = present_ids(server)
    ids = [known[i] for i in orthanc_ids if i in known]
    set_values(Study, ids, missing_since=now)
    return ids


class Tree:
    """Stores studies with their series and instances.

    :ivar counts: how many rows of each level were new, changed and gone
    :ivar touched: ids of the study rows that are new or changed
    """

    def __init__(self, server, now):
        pool = Pool()
        self.server = server
        self.now = now
        self.counts = defaultdict(int)
        self.touched = set()
        self.Patient = pool.get('gnuhealth.orthanc.patient')
        self.Study = pool.get('gnuhealth.imaging_orthanc.study')
        self.Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        self.Instance = pool.get(
            'gnuhealth.imaging_orthanc.series_instances')

    def store(self, patients, studies, series, instances):
        """Store rows that are complete: what is not among them is gone.

        :param patients: rows of orthanc patients
        :param studies: rows of studies, with the Orthanc id of the patient
            as orthanc_patient
        :param series: rows of series, by the Orthanc id of the study
        :param instances: rows of instances, by the Orthanc id of the series
        """
        patient_ids = self._store_patients(patients)
        study_ids = self._store_studies(studies, patient_ids)
        series_ids = self._store_series(series, study_ids)
        self._store_instances(instances, series_ids)

    def _count(self, level, done):
        self.counts[f'{level}_new'] += len(done.new)
        self.counts[f'{level}_changed'] += len(done.changed)

    def _store_patients(self, rows):
        done = upsert(self.Patient, 'server', 'uuid', [
                {**row, 'server': self.server} for row in rows])
        return {uuid: id_ for (_, uuid), id_ in done.ids.items()}

    def _store_studies(self, rows, patient_ids):
        done = upsert(self.Study, 'orthanc_server', 'orthanc_UID', [{
                    **row,
                    'orthanc_server': self.server,
                    'orthanc_patient': patient_ids.get(
                        row['orthanc_patient']),
                    'missing_since': None,
                    } for row in rows])
        self._count('studies', done)
        self.touched.update(done.ids[k] for k in done.new + done.changed)
        return {uid: id_ for (_, uid), id_ in done.ids.items()}

    def _store_series(self, rows_by_study, study_ids):
        done = upsert(self.Series, 'study', 'series_UID', [
                {**row, 'study': study_ids[uid], 'missing_since': None}
                for uid, rows in rows_by_study.items() for row in rows
                if uid in study_ids])
        self._count('series', done)
        self.touched.update(study for study, _ in done.new)
        self._mark_series_gone(study_ids.values(), set(done.ids.values()))
        return {
            row['orthanc_UID']: done.ids[study_ids[uid], row['series_UID']]
            for uid, rows in rows_by_study.items() for row in rows
            if uid in study_ids}

    def _mark_series_gone(self, studies, present):
        table = self.Series.__table__()
        gone = []
        for sub in grouped_slice(list(studies), _ROWS):
            gone.extend(id_ for id_, in execute(table.select(table.id,
                        where=reduce_ids(table.study, list(sub))
                        & (table.missing_since == Null)))
                if id_ not in present)
        set_values(self.Series, gone, missing_since=self.now)
        self.counts['series_gone'] += len(gone)

    def _store_instances(self, rows_by_series, series_ids):
        rows = [
            {**row, 'series': series_ids[uid]}
            for uid, rows in rows_by_series.items() for row in rows
            if uid in series_ids]
        done = upsert(self.Instance, 'series', 'sop_instance_UID', rows)
        self._count('instances', done)
        self._delete_instances_gone(
            series_ids.values(), set(done.ids.values()))

    def _delete_instances_gone(self, series, present):
        """Instances carry nothing of the users, so their rows may go."""
        table = self.Instance.__table__()
        gone = []
        for sub in grouped_slice(list(series), _ROWS):
            gone.extend(id_ for id_, in execute(table.select(table.id,
                        where=reduce_ids(table.series, list(sub))))
                if id_ not in present)
        delete(self.Instance, gone)
        self.counts['instances_gone'] += len(gone)
