# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the upgrade of a database of 5.0.4 takes, what became of its rows,
and how fast links of 4.4 are carried over.

    python tests/support/postgres.py python tests/benchmarks/upgrade.py \\
        [--studies 2000] [--series 3] [--instances 25] [--former 10000]

Without PostgreSQL it measures SQLite.  Environments and databases are kept in
the cache of pytest.
"""
import argparse
import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]
for folder in [ROOT / 'tests', ROOT / 'his-utils' / 'demo']:
    sys.path.insert(0, str(folder))
URI = os.environ.get('POSTGRESQL_URI') or 'sqlite://'
os.environ['TRYTOND_DATABASE_URI'] = URI
CACHE = ROOT / '.pytest_cache' / 'd'
SCRIPT = (ROOT / 'his-utils' / 'scripts' / 'upgrade_utils' / '5.0'
    / 'migrate_orthanc_module.py')
MARK = '?' if URI.startswith('sqlite') else '%s'
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


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in [
            ('studies', 2000), ('series', 3), ('instances', 25),
            ('former', 10000)]:
        parser.add_argument(f'--{name}', type=int, default=default)
    return parser.parse_args(arguments)


def releases(folder):
    "Return the kept environments and databases."
    from support.databases import Templates
    from support.releases import Releases
    for name in ['databases', 'releases']:
        (CACHE / name).mkdir(parents=True, exist_ok=True)
    templates = Templates(CACHE / 'databases')
    templates.prepare()
    os.environ['DB_CACHE'] = str(templates.folder)
    return Releases(CACHE / 'releases', templates, URI)


def count(copy):
    from support.releases import execute
    return {
        name: execute(
            copy, f'SELECT COUNT(*) FROM "{name.replace(".", "_")}"')[0][0]
        for name, _ in TABLES}


def timed(action):
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def measure_upgrade(released, options, folder):
    from support.releases import upgrade
    size = options.studies, options.series, options.instances
    name = '5.0.4-' + 'x'.join(map(str, size))
    released.database_504(name, size, folder)
    copy = released.copy(name, folder)
    add_requests(copy, released.made(name))
    before = count(copy)
    seconds, (_, log) = timed(lambda: upgrade(copy, verbosity='-vv'))
    after = count(copy)
    of_models = seconds_of_models(log)
    again, _ = timed(lambda: upgrade(copy))
    print(f"{'Rows':24}{'before':>10}{'after':>10}{'seconds':>10}")
    for model, label in TABLES:
        print(f"{label:24}{before[model]:>10}{after[model]:>10}"
            f"{of_models[model]:>10.1f}")
    print(f"first upgrade {seconds:.1f} s, second {again:.1f} s; "
        f"{os.getloadavg()[0]:.0f} processes wanted {os.cpu_count()} "
        "processors")
    return copy


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


def insert(cursor, table, row):
    names = ', '.join(f'"{name}"' for name in row)
    marks = ', '.join([MARK] * len(row))
    cursor.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks}) '
        'RETURNING id', list(row.values()))
    return cursor.fetchone()[0]


def change(cursor, table, id_, **values):
    sets = ', '.join(f'"{name}" = {MARK}' for name in values)
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


def measure_carry_over(copy, size, folder):
    from services import Trytond
    from support.former_studies import PASSWORD, make_former_studies
    make_former_studies(copy, size)
    with Trytond(folder / 'trytond', **copy.options) as server:
        seconds, result = timed(lambda: subprocess.run(
                [sys.executable, SCRIPT, '-p', str(server.port),
                    '-d', copy.name, '--csv', folder / 'links.csv'],
                env={**os.environ, 'GNUHEALTH_PASSWORD': PASSWORD},
                capture_output=True, text=True))
    print(result.stdout.splitlines()[-3:], result.stderr)
    print(f"{size} former studies carried over in {seconds:.1f} s")


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        released = releases(folder)
        try:
            copy = measure_upgrade(released, options, folder)
            if options.former:
                measure_carry_over(copy, options.former, folder)
        finally:
            released.close()


if __name__ == '__main__':
    main()
