# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what an Orthanc holds into the tables, block by block.

Nothing that belongs to the users (links, notes, comments) is touched.
"""
from collections import defaultdict

from sql import Null
from sql.operators import Exists

from trytond.modules.health_imaging.minute import now
from trytond.pool import Pool

from .. import blocks
from ..archive.pictures_kind import is_picture
from ..links import facts
from ..tables import delete, set_values, update_each, upsert
from .balance import LEVELS

# The columns of what instance_row returns
_INSTANCE = (
    'series', 'orthanc_UID', 'sop_instance_UID', 'instance_number',
    'image_position_patient', 'number_of_frames')
_TOTALS = ['number_of_series', 'number_of_instances']


class Tree:
    """Stores studies with their series and instances.

    :param told: Orthanc ids of instances that came, set
    :ivar counts: how many rows of each level were new, changed and gone, and
        how the number of those that are present changed
    :ivar touched: ids of the study rows that are new or changed
    :ivar arrived: ids of the known studies that have more pictures than before
    :ivar resent: Orthanc ids of the told instances that were known
    """

    def __init__(self, server, now, told=frozenset()):
        pool = Pool()
        self.told, self.resent = told, set()
        self.server = server
        self.now = now
        self.counts = defaultdict(int)
        self.touched, self.arrived = set(), set()
        # StudyRows by the id of the studies that were not there before
        self._new = {}
        self.Patient = pool.get('gnuhealth.orthanc.patient')
        self.Study = pool.get('gnuhealth.imaging_orthanc.study')
        self.Series = pool.get('gnuhealth.imaging_orthanc.study_series')
        self.Instance = pool.get(
            'gnuhealth.imaging_orthanc.series_instances')

    def store(self, items):
        """Store StudyRows that are complete: what is not in them is gone.

        :param items: list of rows.StudyRows
        """
        ids = self.store_studies(items)
        series = [
            (ids[row['orthanc_UID']], instances)
            for item in items for row, instances in item.series]
        done = self.store_instances([
                instance_row(id_, instance) for id_, instances in series
                for instance in instances], complete=True)
        table = self.Instance.__table__()
        self._delete_instances([*done.others, *blocks.ids(
                    table, table.id, table.series,
                    [id_ for id_, instances in series if not instances])])

    def new_studies(self):
        "Return facts.StudyRows of the new studies, which are not read again."
        return [
            facts.new_study(id_, {**item.study, **item.details}, self.now)
            for id_, item in self._new.items()]

    def store_studies(self, items):
        """Store StudyRows with their series, without their instances; return
        the ids of the series by their Orthanc id."""
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
        self._note_arrived(done, rows)
        self._store_details({
                studies[item.uid]: item.details for item in items
                if item.details})
        table, ids = self.Series.__table__(), {**done.ids, **done.new}
        self._mark_series([*done.others, *blocks.ids(
                    table, table.id, table.study,
                    [studies[item.uid] for item in items if not item.series])])
        return {
            row['orthanc_UID']: ids[row['study'], row['series_UID']]
            for row in rows}

    def store_totals(self, item):
        """Store the totals of StudyRows, known only when all instances are
        stored."""
        done = upsert(self.Study, 'orthanc_server', 'orthanc_UID', [{
                    'orthanc_server': self.server,
                    **_part(item.study, ['orthanc_UID', *_TOTALS]),
                    }])
        self._count('studies', done)
        self._count_difference(
            item.study, next(iter(done.before.values()), item.study))
        (study,) = done.ids.values()
        self.touched.update(done.ids[k] for k in done.changed)
        rows = [{**row, 'study': study} for row, _ in item.series]
        done = upsert(self.Series, 'study', 'series_UID', [
                _part(row, ['study', 'series_UID', 'number_of_instances'])
                for row in rows])
        self._note_series(done)
        self._note_arrived(done, rows)

    def store_instances(self, rows, complete=False):
        """Store some of the instances of series.

        :param rows: list of what instance_row returns
        :param bool complete: whether they are all that their series have
        :rtype: tables.Upsert
        """
        done = upsert(self.Instance, 'series', 'sop_instance_UID', rows,
            complete=complete, names=_INSTANCE, copied=True)
        self._count('instances', done)
        if self.told:
            self.resent.update(
                id_ for series, id_, uid, *_ in rows
                if id_ in self.told and (series, uid) in done.ids)
        return done

    def drop_instances(self, series, present):
        """Delete the instances of series that are gone.

        :param series: ids of series
        :param present: pairs of series and SOP Instance UID
        """
        table = self.Instance.__table__()
        self._delete_instances([id_ for id_, *key in blocks.rows(
                    table, [table.id, table.series, table.sop_instance_UID],
                    table.series, series) if tuple(key) not in present])

    def mark_missing(self, ids):
        """Mark studies, not missing yet, that the server does not list any
        more."""
        table, patients = self.Study.__table__(), set()
        for series, instances, patient in blocks.rows(table, [
                    table.number_of_series, table.number_of_instances,
                    table.orthanc_patient], table.id, ids):
            self._count_present(-1, -(series or 0), -(instances or 0))
            patients.add(patient)
        set_values(self.Study, ids, missing_since=self.now)
        mark_patients(patients - {None})
        self.counts['studies_gone'] += len(ids)

    def _count(self, level, done):
        self.counts[f'{level}_new'] += len(done.new)
        self.counts[f'{level}_changed'] += len(done.changed)

    def _count_present(self, *numbers):
        for level, number in zip(LEVELS, numbers):
            self.counts[f'{level}_present'] += number

    def _note_series(self, done):
        """Count series, and let what one of their instances told be read
        again."""
        self._count('series', done)
        studies = {study for study, _ in [*done.new, *done.changed]}
        table = self.Study.__table__()
        set_values(self.Study, blocks.ids(
                table, table.id, table.id, studies - self._new.keys(),
                table.details_at != Null), details_at=None)

    def _note_kinds(self, done, rows):
        "Note the studies with series that are pictures now, or no more."
        for row in rows if done.before else ():
            before = done.before.get((row['study'], row['series_UID']))
            if before and _kind(before) != _kind(row):
                self.touched.add(row['study'])

    def _note_arrived(self, done, rows):
        """Note the studies whose series of pictures have more than before.

        A large study is counted when all of it is stored. Of new studies it
        is told when they are linked.
        """
        for row in rows:
            key, number = (row['study'], row['series_UID']), row.get(
                'number_of_instances') or 0
            before = 0 if key in done.new else done.before.get(key, row).get(
                'number_of_instances') or 0
            if number > before and _kind(row) \
                    and row['study'] not in self._new:
                self.arrived.add(row['study'])

    def _store_details(self, details):
        """Store what the server lists of the details of studies, dicts of
        columns by the id of a study."""
        table, rows = self.Study.__table__(), []
        names = ['requested_ids', 'issuer', 'details_at']
        for id_, *before in blocks.rows(
                table, [table.id, *(getattr(table, n) for n in names)],
                table.id, details):
            after = {**dict(zip(names, before)), **details[id_]}
            if details[id_].keys() >= {'requested_ids', 'issuer'}:
                after['details_at'] = after['details_at'] or self.now
            after = list(after.values())
            if before[:2] != after[:2]:
                self.touched.add(id_)
            if before != after:
                rows.append((id_, after))
        update_each(self.Study, names, rows)

    def _store_patients(self, items):
        rows = {
            item.patient['uuid']: {
                **item.patient, 'server': self.server, 'missing_since': None}
            for item in items if item.patient}
        done = upsert(self.Patient, 'server', 'uuid', list(rows.values()))
        ids = {**done.ids, **done.new}
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
        self._new.update({
                done.new[self.server, item.uid]: item for item in items
                if (self.server, item.uid) in done.new})
        self.touched.update(done.new.values())
        self.touched.update(done.ids[k] for k in done.changed)
        ids = {**done.ids, **done.new}
        return {uid: id_ for (_, uid), id_ in ids.items()}

    def _count_difference(self, row, before):
        "Count how a study changes what is present; a new one has no before."
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
        gone = blocks.ids(
            table, table.id, table.id, ids, table.missing_since == Null)
        set_values(self.Series, gone, missing_since=self.now)
        self.counts['series_gone'] += len(gone)

    def _delete_instances(self, ids):
        """Instances carry nothing of the users, so their rows may go."""
        delete(self.Instance, ids)
        self.counts['instances_gone'] += len(ids)


def mark_patients(patients=None, server=None):
    """Mark Orthanc patients of whom their server has nothing any more.

    :param patients: ids of Orthanc patients
    :param int server: id of the server of whose patients to mark, instead
    """
    Patient = Pool().get('gnuhealth.orthanc.patient')
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    table = Patient.__table__()
    column, values = (table.id, patients) if server is None else (
        table.server, [server])
    lost = blocks.ids(table, table.id, column, values,
        (table.missing_since == Null) & ~Exists(study.select(
                study.id, where=(study.missing_since == Null)
                & (study.orthanc_patient == table.id))))
    # One that comes again is another one to the server.
    set_values(Patient, lost, missing_since=now(), protected=False)


def instance_row(series, instance):
    "Return the row of InstanceValues in the series with an id."
    return (series, *instance[:5])


def _kind(series):
    return is_picture(series['modality'], series.get('sop_class_UID'))


def _part(row, names):
    return {name: row[name] for name in names}
