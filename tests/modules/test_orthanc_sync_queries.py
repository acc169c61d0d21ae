# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No statement of a synchronization reads a whole table of what is in the
PACS, and one with nothing new looks at no study."""
import re

import pytest
from support.fake_pacs import fakes
from support.plans import unserved
from support.statements import counted
from support.synchronizing import new_server, synchronize, transaction

from trytond.transaction import Transaction

PREFIX = 'gnuhealth_imaging_orthanc_'
TABLES = {
    f'{PREFIX}study', f'{PREFIX}study_series', f'{PREFIX}series_instances',
    'gnuhealth_orthanc_patient', 'gnuhealth_orthanc_link_candidate',
    'gnuhealth_orthanc_link_log'}
STUDIES = 150

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope='module')
def pacs(activated):
    "A fake PACS with some studies, and the id of its server."
    with fakes({'studies': STUDIES, 'series': 2, 'instances': 2}) as (pacs,):
        with transaction():
            pacs.server = new_server(pacs)
            Transaction().commit()
        yield pacs


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


def recorded(pacs, **options):
    "Synchronize, return the run and its statements."
    with counted() as statements:
        run = synchronize(pacs.server, **options)
    assert run.state == 'done', run.error
    return run, statements


def test_foreign_keys_are_not_checked_by_reading_whole_tables():
    """PostgreSQL keeps the plan of such a check, which is made while there
    are few series."""
    with fakes({
                'studies': 400, 'series': 3, 'instances': 20, 'seed': 7,
                }) as (pacs,):
        pacs.server = new_server(pacs)
        cursor = Transaction().connection.cursor()
        before = read_by_scans(cursor)
        recorded(pacs)
        read = read_by_scans(cursor) - before
    # Each of 24 000 checks would read up to 1200 series; those of the first
    # block do read a few.
    assert read < 2_000_000


def read_by_scans(cursor):
    "Return how many rows of series were read in whole tables."
    cursor.execute('SELECT pg_stat_force_next_flush()')
    Transaction().commit()
    cursor.execute('SELECT seq_tup_read FROM pg_stat_user_tables '
        "WHERE relname = %s", [f'{PREFIX}study_series'])
    (count,), = cursor.fetchall()
    Transaction().commit()
    return count


def test_no_statement_reads_a_whole_table(pacs):
    kinds = {}
    run, kinds['first'] = recorded(pacs)
    assert run.studies_new == STUDIES
    pacs.set(studies=STUDIES + 1)
    run, kinds['new study'] = recorded(pacs)
    assert run.studies_new == 1
    run, kinds['nothing new'] = recorded(pacs)
    assert run.calls == 3
    run, kinds['full'] = recorded(pacs, full=True)
    assert not run.studies_changed
    Transaction().connection.cursor().execute('ANALYZE')
    # A series is gone of each study, one study is, and all are but one.
    for what, values, gone in [
            ('fewer series', {'series': 1}, 0),
            ('fewer studies', {'first': 1, 'studies': STUDIES}, 1),
            ('wiped', {'first': STUDIES, 'studies': 1}, STUDIES - 1)]:
        pacs.set(**values)
        run, kinds[what] = recorded(pacs)
        assert (run.studies_gone, bool(run.series_gone)) == (
            gone, what == 'fewer series')
    cursor = Transaction().connection.cursor()
    # The planner believes them to be large, and of many servers: of small
    # ones it reads all.
    cursor.execute(
        'UPDATE pg_class SET reltuples = 1e7 WHERE relname IN %s',
        [tuple(TABLES)])
    cursor.execute('DELETE FROM pg_statistic USING pg_attribute '
        'WHERE attrelid = starelid AND attnum = staattnum '
        "AND attname IN ('server', 'orthanc_server')")
    found = {
        kind: [(shortened(statement), nodes) for statement, nodes in unserved(
                filter(is_of_run, statements), TABLES)]
        for kind, statements in kinds.items()}
    Transaction().rollback()
    assert not any(found.values()), '\n'.join(
        f'{kind}: {text} {nodes}' for kind, some in found.items()
        for text, nodes in some)


def test_a_run_with_nothing_new_looks_at_no_study(pacs):
    pacs.set(first=0, studies=STUDIES, series=2)
    recorded(pacs, full=True)
    run, statements = recorded(pacs)
    assert run.calls == 3
    cursor = Transaction().connection.cursor()
    cursor.execute('ANALYZE')
    cursor.execute('SET LOCAL enable_seqscan = off')
    looked = {}
    for statement in statements:
        if statement.lstrip('( ').startswith('SELECT'):
            cursor.execute(f'EXPLAIN (ANALYZE, FORMAT JSON) {statement}',
                statement.params)
            rows = sum(looked_at(cursor.fetchone()[0][0]['Plan']))
            if rows:
                looked[shortened(statement)] = rows
    assert not looked, looked


def is_of_run(statement):
    "Return whether it is not trytond's own estimate, once in each process."
    return not re.match(r'SELECT COUNT\(%s\) FROM "\w+" AS "a" WHERE %s$',
        statement)


def shortened(statement):
    "Return a statement without most of its marks."
    return re.sub(r'(%s, ){9,}', '%s, ..., ', str(statement))


def looked_at(node):
    "Yield how many rows of the large tables the nodes of a plan looked at."
    if node.get('Relation Name') in TABLES:
        yield node['Actual Loops'] * (
            node['Actual Rows'] + node.get('Rows Removed by Filter', 0))
    for part in node.get('Plans', []):
        yield from looked_at(part)
