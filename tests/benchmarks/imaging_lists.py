# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the lists of requests and results open, how fast one is found, and
how fast results are made.

    python tests/benchmarks/imaging_lists.py [--rows 10000]

SQLite is used, or PostgreSQL where POSTGRESQL_URI says so.
"""
import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests'))
if os.environ.get('POSTGRESQL_URI'):
    os.environ['TRYTOND_DATABASE_URI'] = os.environ['POSTGRESQL_URI']
else:
    os.environ.setdefault('DB_NAME', ':memory:')

from support.imaging_lists import (  # noqa: E402
    REQUEST, RESULT, fill, read_page)
from support.records import as_user, make_institution, make_user  # noqa: E402
from support.statements import columns  # noqa: E402

from trytond.pool import Pool  # noqa: E402
from trytond.tests.test_tryton import (  # noqa: E402
    activate_module, with_transaction)

PAGE = 100
REPEAT = 5


def measure(what, action):
    "Run an action some times and print the best time in milliseconds."
    times = []
    for _ in range(REPEAT):
        begin = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - begin)
    print(f"{what:52} {min(times) * 1000:8.1f} ms")
    return result


@with_transaction()
def run(rows):
    make_institution()
    begin = time.perf_counter()
    fill(rows)
    print(f"{rows} requests and results in "
        f"{time.perf_counter() - begin:.1f} s")
    Request = Pool().get(REQUEST)
    user = make_user('radiologist', 'health_imaging.group_health_imaging')
    with as_user(user):
        for model in [REQUEST, RESULT]:
            names = columns(model, 'tree')
            for offset in [0, rows // 2]:
                queries, _ = measure(
                    f"{model}, {PAGE} rows from {offset}",
                    lambda: read_page(model, names, offset, PAGE))
                print(f"{'':52} {len(queries):8} queries")
        measure("search by patient and exam", lambda: Request.search([
                    ('rec_name', 'ilike', '%family7 exam%')], 0, PAGE))
        measure("search by line number", lambda: Request.search([
                    ('rec_name', 'ilike', f'%{rows - 1}-01-01%')], 0, PAGE))
        measure("counts of the tabs", lambda: [
                Request.search_count([('state', '=', state)] if state else [])
                for state in ['draft', 'requested', 'done', 'canceled', '']])
    waiting = iter(Request.search([('state', '=', 'requested')]))
    measure("results of 10 requests", lambda: Request.make_results(
            [next(waiting) for _ in range(10)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rows', type=int, default=10000)
    arguments = parser.parse_args()
    activate_module('health_imaging')
    run(arguments.rows)


if __name__ == '__main__':
    main()
