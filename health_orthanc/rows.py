# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc's answers about whole studies as rows, without what cannot be
stored, and cut into blocks of bounded size."""
from collections import defaultdict
from typing import NamedTuple

from .archive import records


class StudyRows(NamedTuple):
    """The rows of one study.

    :ivar patient: row of its Orthanc patient, or None
    :ivar study: row of the study
    :ivar series: list of pairs: the row of a series, its instances' rows
    :ivar details: columns of the study that the server lists beyond the
        usual ones, see records.listed_details
    :ivar identity: what the server lists, see records.identity
    """
    patient: dict
    study: dict
    series: list
    details: dict = {}
    identity: dict = {}

    @property
    def uid(self):
        """The Orthanc id of the study."""
        return self.study['orthanc_UID']

    def add_totals(self):
        """Set how much is in the study and in its series."""
        self.count({
                row['orthanc_UID']: len(rows) for row, rows in self.series})

    def set_classes(self, classes):
        """Set the SOP Class UID of each series.

        :param classes: UIDs by the Orthanc id of the series
        """
        for row, _ in self.series:
            row['sop_class_UID'] = classes.get(row['orthanc_UID'])

    def count(self, instances):
        """Set how much is in the study and in its series.

        :param instances: numbers by the Orthanc id of the series
        """
        for row, _ in self.series:
            row['number_of_instances'] = instances.get(row['orthanc_UID'], 0)
        self.study['number_of_series'] = len(self.series)
        self.study['number_of_instances'] = sum(
            row['number_of_instances'] for row, _ in self.series)


class Converter:
    """Converts Orthanc's dicts into rows.

    :param skip: function that is told the Orthanc id and the reason's code
        of what cannot be stored
    """

    def __init__(self, skip):
        self.skip = skip

    def study(self, study, series, correction=None):
        """Return StudyRows without instances, None for a study that cannot
        be stored.

        :param study: Orthanc's dict
        :param series: Orthanc's dicts of its series
        :param correction: see records.corrected
        """
        listed, study = study, records.corrected(study, correction)
        row = self._converted(records.study_values, study)
        if not row:
            return None
        rows = [self._converted(records.series_values, s) for s in series]
        rows = self.unique(filter(None, rows), 'series_UID')
        _complete_study(row, rows)
        return StudyRows(
            _take_patient(row), row, [(item, []) for item in rows],
            records.listed_details(study, filter(_is_dict, series)),
            records.identity(listed))

    def instances(self, instances):
        """Return lists of rows by the Orthanc id of their series.

        :param instances: Orthanc's dicts
        """
        rows = defaultdict(list)
        for item in instances:
            row = self._converted(records.instance_values, item)
            if row:
                rows[records.parent(item)].append(row)
        return rows

    def _converted(self, convert, item):
        try:
            return convert(item)
        except records.UnusableRecord as error:
            self.skip(error.orthanc_id, error.reason)

    def unique(self, rows, key):
        """Return the rows without those whose key another one has."""
        found = {}
        for row in rows:
            other = found.setdefault(row[key], row)
            if other['orthanc_UID'] != row['orthanc_UID']:
                # Always the same one, in whatever order they come.
                kept, left = sorted(
                    [other, row], key=lambda r: r['orthanc_UID'])
                found[row[key]] = kept
                self.skip(left['orthanc_UID'], 'duplicate_uid')
        return list(found.values())


def _is_dict(value):
    return isinstance(value, dict)


def _complete_study(study, series):
    """Set what a study tells of all its series.

    :param study: row
    :param series: rows; what is no column of them is taken out
    """
    study['modalities'] = ', '.join(
        sorted({s['modality'] for s in series})) or None
    for name in ['performing_physician_name', 'institution']:
        values = [item.pop(name) for item in series]
        study[name] = study[name] or next(filter(None, values), None)


def _take_patient(study):
    """Take what is no column out of the row of a study, return the row of its
    Orthanc patient, or None."""
    uuid = study.pop('orthanc_patient_UID')
    return uuid and {
        'uuid': uuid,
        'name': study['patient_name'],
        'bd': study['patient_birth_date'],
        'bd_text': study['patient_birth_date_text'],
        'sex': study['patient_sex'],
        'ident': study['patient_id'],
        }


def cut(studies, weight, limit):
    """Yield lists of studies that together weigh no more than the limit,
    unless one alone does.

    :param weight: function that returns the weight of a study
    """
    block, size = [], 0
    for study in studies:
        more = weight(study)
        if block and size + more > limit:
            yield block
            block, size = [], 0
        block.append(study)
        size += more
    if block:
        yield block


def count_series(study):
    """Return how many series Orthanc's dict of a study lists."""
    return len(records.children(study))


def count_instances(series):
    """Return how many instances Orthanc's dicts of some series list."""
    return sum(len(records.children(item)) for item in series)
