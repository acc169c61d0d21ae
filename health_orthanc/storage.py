# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what an Orthanc holds into the tables, block by block.

A hospital has hundreds of thousands of instances, so rows are compared and
written with a few SQL statements per block instead of one record at a time.
Nothing that belongs to the users (links, notes, comments) is touched.
"""
import functools
import json
from collections import defaultdict
from operator import itemgetter
from typing import NamedTuple

from sql import Cast, Column, Flavor, Literal, Null, Table, Values, With
from sql.aggregate import Count, Min, Sum
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp
from sql.operators import Exists

from trytond.modules.health_imaging.common import execute
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from .archive.pictures_kind import is_picture
from .lease import now
from .links.link import Link

# SQLite takes 32 766 parameters in one statement.
_ROWS = 500
_TOTALS = ['number_of_series', 'number_of_instances']


class Upsert(NamedTuple):
    """What an upsert did.

    :ivar ids: id of each row that was stored before, by its key
    :ivar new: keys of the inserted rows
    :ivar changed: keys of the updated rows
    :ivar before: their former values, dict by key
    :ivar others: ids of the rows that were not among the wanted ones, when
        the scopes were said to be complete
    """
    ids: dict
    new: list
    changed: list
    before: dict
    others: list


def upsert(Model, scope, key, rows, complete=False, kept=()):
    """Insert the rows that are new and update those that differ.

    :param Model: class of the model
    :param str scope: name of the Many2One that the rows belong to
    :param str key: name of the text that is unique in the scope
    :param rows: list of dicts with the same names, scope and key among them
    :param bool complete: whether the rows are all that their scopes have
    :param kept: names of values that stay where the row has none
    :rtype: Upsert
    """
    done = Upsert({}, [], [], {}, [])
    if not rows:
        return done
    names = tuple(rows[0])
    identity, values = itemgetter(scope, key), itemgetter(*names)
    wanted = {identity(row): values(row) for row in rows}
    outdated, kept = [], [names.index(name) for name in kept]
    for id_, *stored in _stored(Model, scope, key, names, wanted, complete):
        stored = dict(zip(names, stored))
        k = identity(stored)
        if k not in wanted:
            done.others.append(id_)
            continue
        done.ids[k] = id_
        for i in kept:
            if wanted[k][i] is None:
                wanted[k] = (
                    *wanted[k][:i], stored[names[i]], *wanted[k][i + 1:])
        if tuple(stored.values()) != wanted[k]:
            done.changed.append(k)
            done.before[k] = stored
            outdated.append((id_, wanted[k]))
    done.new.extend(k for k in wanted if k not in done.ids)
    _insert(Model, names, [wanted[k] for k in done.new])
    _update(Model, names, outdated)
    return done


def ids_of(Model, scope, key, wanted):
    """Return the id of rows by their key.

    :param wanted: pairs of scope and key
    """
    wanted = set(wanted)
    return {(s, k): id_
        for id_, s, k in _stored(Model, scope, key, (scope, key), wanted)
        if (s, k) in wanted}


def _stored(Model, scope, key, names, wanted, complete=False):
    """Yield id and values of the stored rows, with a statement for some
    hundred of them. Others of the same scopes may be among them."""
    table = Model.__table__()
    columns = [table.id] + [Column(table, name) for name in names]
    scope_column, key_column = Column(table, scope), Column(table, key)
    scopes = {s for s, _ in wanted}
    if len(scopes) == 1 and not complete:
        (scope_id,) = scopes
        for sub in grouped_slice([k for _, k in wanted], _ROWS):
            yield from execute(table.select(*columns,
                    where=(scope_column == scope_id)
                    & key_column.in_(list(sub))))
    else:
        for sub in grouped_slice(sorted(scopes), _ROWS):
            yield from execute(table.select(*columns,
                    where=reduce_ids(scope_column, list(sub))))


def _insert(Model, names, rows):
    user = Transaction().user
    for start in range(0, len(rows), _ROWS):
        sub = rows[start:start + _ROWS]
        text = _insert_text(
            Model._table, names, len(sub), Flavor.get().paramstyle)
        execute((text, [value for row in sub for value in (*row, user)]))


def insert(Model, rows):
    """Insert rows in the name of the user, and nothing else.

    :param rows: list of dicts with the same names
    """
    if not rows:
        return
    names = tuple(rows[0])
    formats = [Model._fields[name].sql_format for name in names]
    _insert(Model, names, [
            [format_(row[name]) for name, format_ in zip(names, formats)]
            for row in rows])
    Transaction().counter += 1


@functools.lru_cache(maxsize=32)
def _insert_text(table, names, count, paramstyle):
    """Return the statement that inserts rows.

    To write it takes longer than to run it, so it is kept.
    """
    table = Table(table)
    columns = [Column(table, name)
        for name in (*names, 'create_uid', 'create_date')]
    row = [''] * (len(names) + 1) + [CurrentTimestamp()]
    return str(table.insert(columns, [row] * count))


def _update(Model, names, rows):
    """Update rows.

    :param rows: list of pairs of id and values
    """
    if not rows:
        return
    table = Model.__table__()
    columns = [Column(table, name) for name in (*names, 'write_uid')]
    text = str(table.update(
            columns + [table.write_date],
            [''] * len(columns) + [CurrentTimestamp()],
            where=table.id == 0))
    user = Transaction().user
    for id_, values in rows:
        execute((text, [*values, user, id_]))
    _forget(Model, [id_ for id_, _ in rows])


def write_each(Model, names, rows):
    """Write values of their own to many rows, with a statement for some
    hundred of them.

    :param rows: values in the order of names, by the id of the row
    """
    user, items = Transaction().user, list(rows.items())
    types = ('INTEGER', *(Model._fields[n].sql_type().base for n in names))
    for start in range(0, len(items), _ROWS):
        sub = items[start:start + _ROWS]
        text = _write_text(Model._table, tuple(names), types, len(sub),
            Flavor.get().paramstyle)
        execute((text, [
                    *(value for id_, values in sub
                        for value in (id_, *values)), user]))
    _forget(Model, list(rows))


@functools.lru_cache(maxsize=32)
def _write_text(table, names, types, count, paramstyle):
    "Return the statement that writes to rows, see _insert_text."
    table = Table(table)
    # PostgreSQL takes the types from the first row.
    first = [Cast('', type_) for type_ in types]
    new = With('id', *names, query=Values(
            [first, *[[''] * len(types)] * (count - 1)]))
    return str(table.update(
            [Column(table, name) for name in names]
            + [table.write_uid, table.write_date],
            [Column(new, name) for name in names]
            + ['', CurrentTimestamp()],
            from_=[new], where=table.id == new.id, with_=[new]))


def set_values(Model, ids, **values):
    """Write the same values to rows given by their ids."""
    ids = list(ids)
    table = Model.__table__()
    names = list(values)
    for sub in grouped_slice(ids, _ROWS):
        execute(table.update(
                [Column(table, n) for n in names]
                + [table.write_uid, table.write_date],
                [values[n] for n in names]
                + [Transaction().user, CurrentTimestamp()],
                where=reduce_ids(table.id, list(sub))))
    _forget(Model, ids)


def touch(Model, ids):
    """Let only one of two transactions pass that build at the same time on
    what is in or about some rows; the other one is repeated.

    PostgreSQL repeats none that only read or lock, also where what one reads
    is what the other writes.

    :param ids: ids of rows
    """
    if not Transaction().database.has_select_for():
        # SQLite has one transaction at a time.
        return
    table = Model.__table__()
    for sub in grouped_slice(sorted(ids), _ROWS):
        execute(table.update([table.write_date], [table.write_date],
                where=reduce_ids(table.id, list(sub))))


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


def _present(study, server):
    return (study.orthanc_server == server) & (study.missing_since == Null)


def present_studies(server):
    """Return the ids of the studies of a server that are not missing, by
    their Orthanc id.

    :param int server: id of the server
    """
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
    """Return the Orthanc ids of instances by that of their series.

    :param series_uids: Orthanc ids of series
    :return: dict of sets
    """
    study, series, instance, _, with_instances = _tables()
    found = defaultdict(set)
    for sub in grouped_slice(list(series_uids), _ROWS):
        for series_uid, uid in execute(with_instances.select(
                    series.orthanc_UID, instance.orthanc_UID,
                    where=_present(study, server)
                    & series.orthanc_UID.in_(list(sub)))):
            found[series_uid].add(uid)
    return found


def mark_patients(patients=None, server=None):
    """Mark Orthanc patients of whom their server has nothing any more.

    Those who have studies again are unmarked when these are stored.

    :param patients: ids of Orthanc patients
    :param int server: id of the server of whose patients to mark, instead
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    study, *_ = _tables()
    table = Patient.__table__()
    lost = (table.missing_since == Null) & ~Exists(study.select(
            study.id, where=(study.missing_since == Null)
            & (study.orthanc_patient == table.id)))
    if server is not None:
        some = [table.server == server]
    else:
        some = [
            reduce_ids(table.id, list(sub))
            for sub in grouped_slice(list(patients), _ROWS)]
    for where in some:
        rows = execute(table.select(table.id, where=lost & where))
        set_values(Patient, [id_ for id_, in rows], missing_since=now())


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
    """Return which instances tell more about studies: one of the first series
    that is a picture.

    :param ids: ids of studies
    :return: Orthanc ids of instances by the id of the study
    """
    _, series, instance, *_ = _tables()
    first = {}
    for sub in grouped_slice(list(ids), _ROWS):
        for study, id_, modality, sop_class in execute(series.select(
                    series.study, series.id, series.modality,
                    series.sop_class_UID,
                    where=reduce_ids(series.study, list(sub))
                    & (series.missing_since == Null),
                    order_by=[series.study, series.id])):
            if study not in first and is_picture(modality, sop_class):
                first[study] = id_
    uids = {}
    for sub in grouped_slice(list(first.values()), _ROWS):
        uids.update(execute(instance.select(
                    instance.series, Min(instance.orthanc_UID),
                    where=reduce_ids(instance.series, list(sub)),
                    group_by=instance.series)))
    return {
        study: uids[id_] for study, id_ in first.items() if id_ in uids}


def store_details(details, ids, now):
    """Store what one instance told of each of some studies.

    :param details: columns by the id of a study, dict of dicts
    :param ids: ids of all studies that need not be read again
    :param now: datetime
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    set_values(Study, ids, details_at=now)
    _update(Study, ['requested_ids', 'issuer'], [
            (id_, (row['requested_ids'], row['issuer']))
            for id_, row in details.items()])


def corrections(server):
    """Return the corrections of the studies of a server by their Orthanc id,
    see records.corrected.

    :param int server: id of the server
    """
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
    _update(Study, ['correction'], [
            (id_, [corrections[uid] and json.dumps(
                        corrections[uid], sort_keys=True)])
            for (_, uid), id_ in ids.items()])


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


def _twins():
    """Return the tables of studies and of others that have their server and
    Study Instance UID, and the join of both."""
    study, *_ = _tables()
    other, *_ = _tables()
    return study, other, study.join(other, condition=(
            (other.orthanc_server == study.orthanc_server)
            & (other.study_instance_UID == study.study_instance_UID)
            & (other.id != study.id)))


def same_studies(ids):
    """Return the ids of the studies that are not missing and have the server
    and the Study Instance UID of others.

    :param ids: ids of these others
    """
    return {other for _, other in _present_twins(ids)}


def ambiguous_studies(ids):
    """Return those of some ids of studies whose Study Instance UID leads to
    another one of their server too."""
    return {study for study, _ in _present_twins(ids)}


def studies_of_results_again(ids):
    """Return pairs of some ids of studies and the results that have another
    study with the server and Study Instance UID."""
    study, other, twins = _twins()
    return execute(twins.select(
            study.id, other.imaging_test,
            where=reduce_ids(study.id, list(ids))
            & (other.imaging_test != Null)))


def studies_sent_again():
    "Return the ids of the studies that took the place of missing ones."
    study, other, twins = _twins()
    return {id_ for id_, in execute(twins.select(study.id,
                where=(study.missing_since == Null)
                & (other.missing_since != Null)))}


def missing_twins(ids):
    """Return the ids of the missing studies that are there as others.

    :param ids: ids of these others
    """
    study, other, twins = _twins()
    return {
        id_ for sub in grouped_slice(list(ids), _ROWS)
        for id_, in execute(twins.select(
                other.id, where=reduce_ids(study.id, list(sub))
                & (other.missing_since != Null)))}


def _present_twins(ids):
    study, other, twins = _twins()
    return [
        pair for sub in grouped_slice(list(ids), _ROWS)
        for pair in execute(twins.select(
                study.id, other.id, where=reduce_ids(study.id, list(sub))
                & (other.missing_since == Null)))]


def former_links(ids):
    """Return to whom studies were linked that are missing, but there under
    another PatientID, and studies themselves that came back.

    :param ids: ids of the studies that are there
    :return: list of: id of the study, id of the missing one or of itself, its
        PatientID, and the Link to a patient that it has or had
    """
    study, other, twins = _twins()
    log, later = [
        Pool().get('gnuhealth.orthanc.link_log').__table__() for _ in 'ab']
    # The link was ended when the study came again: the history has it.
    ended = study.join(other, condition=(
            (other.orthanc_server == study.orthanc_server)
            & (other.study_instance_UID == study.study_instance_UID))).join(
        log, condition=log.study == other.id).join(
        later, 'LEFT', condition=(later.study == log.study)
        & (later.id > log.id))
    found = []
    for sub in grouped_slice(list(ids), _ROWS):
        there = (study.missing_since == Null) & reduce_ids(
            study.id, list(sub))
        found += execute(twins.select(
                study.id, other.id, other.patient_id, other.link_rule,
                other.link_state, other.patient, other.request,
                other.imaging_test,
                where=there & (other.missing_since != Null)
                & (other.patient != Null),
                order_by=[other.missing_since, other.id]))
        found += execute(ended.select(
                study.id, other.id, other.patient_id, log.rule_before,
                log.state_before, log.patient_before, log.request_before,
                log.result_before,
                where=there & (other.patient == Null)
                & ((other.missing_since != Null) | (other.id == study.id))
                & (later.id == Null) & (log.cause == 'replaced')
                & (log.patient_before != Null),
                order_by=[other.missing_since, other.id]))
    return [
        (id_, twin, patient_id, Link(*link))
        for id_, twin, patient_id, *link in found]


def present_counts(server):
    """Return how many studies, series and instances of a server are known.
    """
    study, *_ = _tables()
    (counts,) = execute(study.select(
            Count(Literal(1)),
            Coalesce(Sum(study.number_of_series), 0),
            Coalesce(Sum(study.number_of_instances), 0),
            where=_present(study, server)))
    return tuple(int(c) for c in counts)


class Tree:
    """Stores studies with their series and instances.

    :ivar counts: how many rows of each level were new, changed and gone, and
        how the number of those that are present changed
    :ivar touched: ids of the study rows that are new or changed
    :ivar resent: Orthanc ids of the told instances that were known

    :param told: Orthanc ids of instances that came, set
    """

    def __init__(self, server, now, told=frozenset()):
        pool = Pool()
        self.told, self.resent = told, set()
        self.server = server
        self.now = now
        self.counts = defaultdict(int)
        self.touched = set()
        # Ids of the studies that were not there before
        self._new = set()
        self.Patient = pool.get('gnuhealth.orthanc.patient')
        self.Study = pool.get('gnuhealth.imaging_orthanc.study')
        self.Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        self.Instance = pool.get(
            'gnuhealth.imaging_orthanc.series_instances')

    def store(self, items):
        """Store studies that are complete: what is not in them is gone.

        :param items: list of rows.StudyRows
        """
        series_ids = self.store_studies(items)
        rows = [
            {**instance, 'series': series_ids[row['orthanc_UID']]}
            for item in items for row, instances in item.series
            for instance in instances]
        done = upsert(self.Instance, 'series', 'sop_instance_UID', rows,
            complete=True)
        self._note_instances(done, rows)
        empty = [
            series_ids[row['orthanc_UID']]
            for item in items for row, instances in item.series
            if not instances]
        self._delete_instances(done.others + self._ids_in_series(empty))

    def store_studies(self, items):
        """Store studies with their series, without their instances.

        :return: ids of the series by their Orthanc id
        """
        patients = self._store_patients(items)
        studies = self._store_studies(items, patients)
        rows = [
            {**row, 'study': studies[item.uid], 'missing_since': None}
            for item in items for row, _ in item.series]
        done = upsert(self.Series, 'study', 'series_UID', rows,
            complete=True, kept=['sop_class_UID'])
        self._note_series(done)
        self.touched.update(study for study, _ in done.new)
        self._note_kinds(done, rows)
        self._store_details({
                studies[item.uid]: item.details for item in items
                if item.details})
        empty = [studies[item.uid] for item in items if not item.series]
        self._mark_series(done.others + self._ids_in_studies(empty))
        ids = {**done.ids, **ids_of(
                self.Series, 'study', 'series_UID', done.new)}
        return {
            row['orthanc_UID']: ids[studies[item.uid], row['series_UID']]
            for item in items for row, _ in item.series}

    def store_totals(self, item):
        """Store the totals of a study and of its series, which are known
        only when all its instances are stored."""
        done = upsert(self.Study, 'orthanc_server', 'orthanc_UID', [{
                    'orthanc_server': self.server,
                    **_part(item.study, ['orthanc_UID', *_TOTALS]),
                    }])
        self._count('studies', done)
        self._count_difference(
            item.study, next(iter(done.before.values()), item.study))
        (study,) = done.ids.values()
        self.touched.update(done.ids[k] for k in done.changed)
        self._note_series(upsert(self.Series, 'study', 'series_UID', [{
                        'study': study,
                        **_part(row, ['series_UID', 'number_of_instances']),
                        } for row, _ in item.series]))

    def store_instances(self, rows):
        """Store some of the instances of series.

        :param rows: list of rows, each with its series
        """
        self._note_instances(upsert(
                self.Instance, 'series', 'sop_instance_UID', rows), rows)

    def drop_instances(self, series, present):
        """Delete the instances of series that are gone.

        :param series: ids of series
        :param present: pairs of series and SOP Instance UID
        """
        table = self.Instance.__table__()
        gone = []
        for sub in grouped_slice(list(series), _ROWS):
            gone.extend(id_ for id_, *key in execute(table.select(
                        table.id, table.series, table.sop_instance_UID,
                        where=reduce_ids(table.series, list(sub))))
                if tuple(key) not in present)
        self._delete_instances(gone)

    def mark_missing(self, ids):
        """Mark studies that the server does not list any more.

        :param ids: ids of studies that are not missing yet
        """
        table = self.Study.__table__()
        for sub in grouped_slice(list(ids), _ROWS):
            for series, instances in execute(table.select(
                        table.number_of_series, table.number_of_instances,
                        where=reduce_ids(table.id, list(sub)))):
                self._count_present(-1, -(series or 0), -(instances or 0))
        set_values(self.Study, ids, missing_since=self.now)
        mark_patients(_patients_of(ids))
        self.counts['studies_gone'] += len(ids)

    def _count(self, level, done):
        self.counts[f'{level}_new'] += len(done.new)
        self.counts[f'{level}_changed'] += len(done.changed)

    def _count_present(self, studies, series, instances):
        self.counts['studies_present'] += studies
        self.counts['series_present'] += series
        self.counts['instances_present'] += instances

    def _note_instances(self, done, rows):
        self._count('instances', done)
        if self.told:
            self.resent.update(
                row['orthanc_UID'] for row in rows
                if row['orthanc_UID'] in self.told
                and (row['series'], row['sop_instance_UID']) in done.ids)

    def _note_series(self, done):
        """Count series, and let what one of their instances told be read
        again."""
        self._count('series', done)
        studies = {study for study, _ in [*done.new, *done.changed]}
        table = self.Study.__table__()
        for sub in grouped_slice(sorted(studies - self._new), _ROWS):
            execute(table.update([table.details_at], [None],
                    where=reduce_ids(table.id, list(sub))
                    & (table.details_at != Null)))

    def _note_kinds(self, done, rows):
        """Note the studies with series that are pictures now, or no more.

        :param rows: of series
        """
        for row in rows if done.before else ():
            before = done.before.get((row['study'], row['series_UID']))
            if before and _kind(before) != _kind(row):
                self.touched.add(row['study'])

    def _store_details(self, details):
        """Store what the server lists of the details of studies.

        :param details: columns by the id of a study, dict of dicts
        """
        table = self.Study.__table__()
        rows = []
        for sub in grouped_slice(sorted(details), _ROWS):
            for id_, ids, issuer, stored_at in execute(table.select(
                        table.id, table.requested_ids, table.issuer,
                        table.details_at,
                        where=reduce_ids(table.id, list(sub)))):
                listed = details[id_]
                before = {'requested_ids': ids, 'issuer': issuer}
                after = {**before, **listed}
                at = stored_at or (
                    self.now if 'requested_ids' in listed else None)
                if before != after:
                    self.touched.add(id_)
                if (*before.values(), stored_at) != (*after.values(), at):
                    rows.append((id_, (*after.values(), at)))
        _update(self.Study, ['requested_ids', 'issuer', 'details_at'], rows)

    def _store_patients(self, items):
        rows = {
            item.patient['uuid']: {
                **item.patient, 'server': self.server, 'missing_since': None}
            for item in items if item.patient}
        done = upsert(self.Patient, 'server', 'uuid', list(rows.values()))
        ids = {**done.ids, **ids_of(
                self.Patient, 'server', 'uuid', done.new)}
        return {uuid: id_ for (_, uuid), id_ in ids.items()}

    def _store_studies(self, items, patients):
        rows = [{
                **item.study,
                'orthanc_server': self.server,
                'orthanc_patient': (
                    patients[item.patient['uuid']] if item.patient else None),
                'missing_since': None,
                } for item in items]
        done = upsert(self.Study, 'orthanc_server', 'orthanc_UID', rows)
        self._count('studies', done)
        for row in rows:
            key = self.server, row['orthanc_UID']
            self._count_difference(row, done.before.get(
                    key, row if key in done.ids else None))
        new = ids_of(self.Study, 'orthanc_server', 'orthanc_UID', done.new)
        self._new.update(new.values())
        self.touched.update(new.values())
        self.touched.update(done.ids[k] for k in done.changed)
        return {uid: id_ for (_, uid), id_ in {**done.ids, **new}.items()}

    def _count_difference(self, row, before):
        """Count how a study changes what is present.

        :param before: its former values, None when it is new
        """
        if before and before.get('missing_since'):
            before = None
        old, new = [
            [(values or {}).get(name) or 0 for name in _TOTALS]
            for values in (before, row)]
        self._count_present(
            int(not before), *[n - o for o, n in zip(old, new)])

    def _mark_series(self, ids):
        """Mark those of some series as missing that are not marked yet."""
        table = self.Series.__table__()
        gone = []
        for sub in grouped_slice(ids, _ROWS):
            gone.extend(id_ for id_, in execute(table.select(table.id,
                        where=reduce_ids(table.id, list(sub))
                        & (table.missing_since == Null))))
        set_values(self.Series, gone, missing_since=self.now)
        self.counts['series_gone'] += len(gone)

    def _ids_in_studies(self, studies):
        return _ids_in(self.Series, 'study', studies)

    def _ids_in_series(self, series):
        return _ids_in(self.Instance, 'series', series)

    def _delete_instances(self, ids):
        """Instances carry nothing of the users, so their rows may go."""
        delete(self.Instance, ids)
        self.counts['instances_gone'] += len(ids)


def _kind(series):
    return is_picture(series['modality'], series['sop_class_UID'])


def _patients_of(studies):
    """Return the ids of the Orthanc patients of studies given by their
    ids."""
    table, *_ = _tables()
    return {
        patient for sub in grouped_slice(list(studies), _ROWS)
        for patient, in execute(table.select(table.orthanc_patient,
                where=reduce_ids(table.id, list(sub))
                & (table.orthanc_patient != Null)))}


def _part(row, names):
    return {name: row[name] for name in names}


def _ids_in(Model, scope, ids):
    table = Model.__table__()
    return [
        id_ for sub in grouped_slice(ids, _ROWS)
        for id_, in execute(table.select(table.id,
                where=reduce_ids(Column(table, scope), list(sub))))]
