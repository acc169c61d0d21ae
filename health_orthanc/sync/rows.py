# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PACS lists as the rows of whole studies, without what cannot be
stored, and cut into blocks of bounded size."""
from collections import defaultdict
from operator import itemgetter
from typing import NamedTuple

from ..archive import values


class StudyRows(NamedTuple):
    """The rows of one study.

    :ivar patient: row of its Orthanc patient, or None
    :ivar study: row of the study
    :ivar series: list of pairs: the row of a series, its InstanceValues
    :ivar details: columns of the study that the PACS lists beyond the usual
        ones, see values.listed_details
    :ivar identity: as in StudyValues
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
        "Set the SOP Class UIDs, given by the id of the series."
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
    """Converts values into rows.

    :param skip: function that is told the id in the PACS and the reason's
        code of what cannot be stored
    """

    def __init__(self, skip):
        self.skip = skip

    def study(self, study, series, correction=None):
        """Return StudyRows without instances, None if it cannot be stored.

        :param study: StudyValues
        :param series: list of SeriesValues
        :param correction: see StudyValues.corrected
        """
        if not self._usable([study]):
            return None
        row = {**study.corrected(correction).columns}
        rows = [{**item.columns} for item in self._usable(series)]
        rows = self.unique(rows, itemgetter('orthanc_UID', 'series_UID'))
        _complete_study(row, rows)
        return StudyRows(
            study.patient and _patient(study.patient, row), row,
            [(item, []) for item in rows],
            values.listed_details(study, series), study.identity)

    def instances(self, instances):
        """Return lists of the InstanceValues that can be stored, by the id of
        their series."""
        found = defaultdict(list)
        for item in self._usable(instances):
            found[item.series].append(item)
        return found

    def _usable(self, items):
        for item in items:
            if item.problem:
                self.skip(item.id, item.problem)
        return [item for item in items if not item.problem]

    def unique(self, rows, key=itemgetter(0, 1)):
        """Return the rows without those whose UID another one has.

        :param key: function that returns the id in the PACS and the UID
        """
        found = {}
        for row in rows:
            id_, uid = key(row)
            other = found.setdefault(uid, row)
            if key(other)[0] != id_:
                # Always the same one, in whatever order they come.
                found[uid], left = sorted([other, row], key=key)
                self.skip(key(left)[0], 'duplicate_uid')
        return list(found.values())


def _complete_study(study, series):
    """Set what a study tells of all its series, and take out of their rows
    what is no column of them."""
    study['modalities'] = ', '.join(
        sorted({s['modality'] for s in series})) or None
    for name in ['performing_physician_name', 'institution']:
        values = [item.pop(name) for item in series]
        study[name] = study[name] or next(filter(None, values), None)


def _patient(uuid, study):
    "Return the row of an Orthanc patient, by that of one of the studies."
    return {
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
