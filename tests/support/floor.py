# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that a synchronization can cost: the same data read with one
session of requests, and inserted into bare tables or compared with them; and
how the benchmarks take time and memory."""
import gc
import time
from contextlib import contextmanager
from pathlib import Path

import requests

from trytond.transaction import Transaction

BLOCK = {'studies': 100, 'series': 300, 'instances': 5000}
LEVEL = {'studies': 'Study', 'series': 'Series', 'instances': 'Instance'}
TAGS = {
    'studies': [
        'StudyInstanceUID', 'StudyDate', 'StudyTime', 'StudyDescription',
        'StudyID', 'AccessionNumber', 'ReferringPhysicianName',
        'InstitutionName'],
    'series': [
        'SeriesInstanceUID', 'SeriesNumber', 'Modality', 'SeriesDescription',
        'BodyPartExamined'],
    'instances': [
        'SOPInstanceUID', 'InstanceNumber', 'ImagePositionPatient'],
    }
PATIENT_TAGS = ['PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex']
ROWS = 500


class Floor:
    "The least that reading an archive and storing it can cost."

    def __init__(self, orthanc):
        self.url = orthanc.url
        self.session = requests.Session()
        self.session.auth = orthanc.user, orthanc.password

    def rows(self):
        "Yield level and rows, a block at a time."
        for level, size in BLOCK.items():
            ids = self.session.get(f'{self.url}/{level}').json()
            for start in range(0, len(ids), size):
                found = self.session.post(
                    f'{self.url}/tools/bulk-content', json={
                        'Resources': ids[start:start + size],
                        'Level': LEVEL[level], 'Metadata': False}).json()
                yield level, [self.row(level, item) for item in found]

    @staticmethod
    def row(level, item):
        tags = item['MainDicomTags']
        values = [tags.get(name) for name in TAGS[level]]
        if level == 'studies':
            patient = item['PatientMainDicomTags']
            values += [patient.get(name) for name in PATIENT_TAGS]
        parent = item.get(
            'ParentSeries', item.get('ParentStudy', item.get('ParentPatient')))
        return (item['ID'], parent, *values)

    def first(self):
        "Read all and insert it into bare tables."
        self.create()
        cursor = Transaction().connection.cursor()
        mark = '?' if Transaction().database.flavor.paramstyle == 'qmark' \
            else '%s'
        for level, rows in self.rows():
            width = 2 + len(TAGS[level]) + 4 * (level == 'studies')
            values = f"({', '.join([mark] * width)})"
            for start in range(0, len(rows), ROWS):
                part = rows[start:start + ROWS]
                cursor.execute(
                    f'INSERT INTO bare_{level} VALUES '
                    + ', '.join([values] * len(part)),
                    [value for row in part for value in row])
            Transaction().commit()

    def create(self):
        cursor = Transaction().connection.cursor()
        for level, tags in TAGS.items():
            names = ['id', 'parent', *tags]
            names += PATIENT_TAGS if level == 'studies' else []
            columns = ', '.join(f'"{name}" VARCHAR' for name in names)
            cursor.execute(f'DROP TABLE IF EXISTS bare_{level}')
            cursor.execute(f'CREATE TABLE bare_{level} ({columns})')
        Transaction().commit()

    def second(self):
        "Read all and compare it with what is in the bare tables."
        cursor = Transaction().connection.cursor()
        stored = {}
        for level in LEVEL:
            cursor.execute(f'SELECT * FROM bare_{level}')
            stored[level] = {row[0]: row for row in cursor.fetchall()}
        differing = 0
        for level, rows in self.rows():
            differing += sum(
                stored[level].get(row[0]) != row for row in rows)
        Transaction().commit()
        assert not differing


def seconds(function):
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def best(*functions, count=2):
    """Return the shortest time of each function; they take turns, so that
    whatever else the computer does meets all of them."""
    times = [[seconds(f) for f in functions] for _ in range(count)]
    return map(min, zip(*times))


def memory(name):
    "Return a value of the memory of this process in MiB."
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024


@contextmanager
def more_memory(kept):
    "Note by how many MiB the memory rose above what it was before."
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')
    before = memory('VmRSS')
    yield
    kept.append(memory('VmHWM') - before)
