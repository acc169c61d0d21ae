# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the upgrade of a database of 5.0.4 takes, what became of its rows,
and how fast links of 4.4 are carried over.  The floor is the same again, when
there is nothing left to do."""
import datetime as dt
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from support import releases
from support.benchmarks import measure, show, tell
from support.former_studies import PASSWORD, make_former_studies

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / 'his-utils' / 'scripts' / 'upgrade_utils' / '5.0'
    / 'migrate_orthanc_module.py')
STEP = re.compile(r'\[([\d-]+ [\d:,]+)\] (.*)')
MODEL = re.compile(r'(?:\w+:register|index:create) (\S+)')
TABLES = [
    ('gnuhealth.imaging.test.type', "Exam types"),
    ('gnuhealth.imaging.test', "Exams"),
    ('gnuhealth.imaging.test.request', "Requests"),
    ('gnuhealth.imaging.test.result', "Results"),
    ('ir.attachment', "Attachments"),
    ('gnuhealth.imaging_worklist.worklist_template', "Worklist templates"),
    ('gnuhealth.orthanc.config', "Servers"),
    ('gnuhealth.imaging_orthanc.study', "Studies"),
    ('gnuhealth.imaging_orthanc.study_series', "Series"),
    ('gnuhealth.imaging_orthanc.series_instances', "Instances"),
    ('gnuhealth.orthanc.patient', "Orthanc patients"),
    ('gnuhealth.orthanc.study', "Former studies"),
    ]


# Plain studies, series in each of them, images in each of these; the small one
# is what the tests of the upgrade have, too.
SMALL, FULL = (20, 2, 3), (2000, 3, 25)


@pytest.fixture
def copy(released, full, tmp_path):
    "A database of 5.0.4 with requests of all its plain studies."
    size = FULL if full else SMALL
    name = f'5.0.4-{"x".join(map(str, size))}' if full else '5.0.4'
    released.database_504(name, size, tmp_path)
    copy = released.copy(name, tmp_path)
    add_requests(copy, released.made(name))
    return copy


def count(copy):
    return {
        name: releases.execute(
            copy, f'SELECT COUNT(*) FROM "{name.replace(".", "_")}"')[0][0]
        for name, _ in TABLES}


def test_upgrade(copy):
    before = count(copy)
    seconds, (_, log) = measure(
        lambda: releases.upgrade(copy, verbosity='-vv'), 1)
    after = count(copy)
    of_models = seconds_of_models(log)
    floor, _ = measure(lambda: releases.upgrade(copy), 1)
    tell(f"{'Rows':24}{'before':>10}{'after':>10}{'seconds':>10}")
    for model, label in TABLES:
        tell(f"{label:24}{before[model]:>10}{after[model]:>10}"
            f"{of_models[model]:>10.1f}")
    images = before['gnuhealth.imaging_orthanc.series_instances']
    show("images of 5.0.4 upgraded", images, seconds, floor=floor)


def test_links_are_carried_over(database, make_trytond, full):
    size = 10_000 if full else 100
    make_former_studies(database, size)
    server = make_trytond(database)
    command = [
        sys.executable, SCRIPT, '-p', str(server.port), '-d',
        database.name, '--csv', database.path / 'links.csv']

    def run():
        return subprocess.run(
            command, env={**os.environ, 'GNUHEALTH_PASSWORD': PASSWORD},
            capture_output=True, text=True)
    seconds, result = measure(run, 1)
    assert result.returncode == 0, result.stderr
    carried, = releases.execute(database, 'SELECT COUNT(*) FROM '
        'gnuhealth_imaging_orthanc_study WHERE patient IS NOT NULL')
    assert carried[0] == size
    floor, _ = measure(run, 1)
    show("former studies carried over", size, seconds, floor=floor)


def add_requests(copy, made):
    """Give each plain study a request, and two of three a result; the three
    requests of an order share one UID, as 5.0.4 made it."""
    request, result, study = [
        name.replace('.', '_') for name in [
            'gnuhealth.imaging.test.request', 'gnuhealth.imaging.test.result',
            'gnuhealth.imaging_orthanc.study']]
    with closing(copy.connect()) as connection:
        cursor = connection.cursor()
        model = row_of(cursor, request, made['requests']['done'])
        report = row_of(cursor, result, made['results']['read'])
        cursor.execute(f'SELECT id, patient FROM "{study}" '
            "WHERE \"study_instance_UID\" LIKE '1.2.9.%' "
            "AND patient IS NOT NULL ORDER BY id")
        for i, (id_, patient) in enumerate(cursor.fetchall()):
            order = {'merge_id': f'1.2.8.{i // 3}', 'patient': patient}
            new = insert(cursor, request, {
                    **model, **order, 'request': f'B{i // 3}',
                    'request_line': f'B{i}'})
            filed = insert(cursor, result, {
                    **report, **order, 'number': f'B{i}', 'request': new,
                    'order': f'B{i // 3}'}) if i % 3 else None
            change(cursor, study, id_, imaging_test=filed,
                merge_id=order['merge_id'])
        connection.commit()


def row_of(cursor, table, id_):
    cursor.execute(f'SELECT * FROM "{table}" WHERE id = {id_}')
    row = dict(zip([c[0] for c in cursor.description], cursor.fetchone()))
    del row['id']
    return row


def mark(cursor):
    "Return what stands for a value in a statement."
    return '?' if isinstance(cursor, sqlite3.Cursor) else '%s'


def insert(cursor, table, row):
    names = ', '.join(f'"{name}"' for name in row)
    marks = ', '.join([mark(cursor)] * len(row))
    cursor.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks}) '
        'RETURNING id', list(row.values()))
    return cursor.fetchone()[0]


def change(cursor, table, id_, **values):
    sets = ', '.join(f'"{name}" = {mark(cursor)}' for name in values)
    cursor.execute(f'UPDATE "{table}" SET {sets} WHERE id = {id_}',
        list(values.values()))


def seconds_of_models(log):
    """Return how long the tables of each model took, with their indexes.

    :param str log: of trytond-admin, with the time of each step
    """
    seconds, last = Counter(), None
    for line in log.splitlines():
        match = STEP.search(line)
        if not match:
            continue
        at = dt.datetime.fromisoformat(match.group(1).replace(',', '.'))
        if last:
            seconds[last[1]] += (at - last[0]).total_seconds()
        model = MODEL.search(match.group(2))
        last = at, model and model.group(1)
    return seconds
