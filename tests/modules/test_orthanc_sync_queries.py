# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No statement of a synchronization reads a whole table of what is in the
PACS, and one with nothing new looks at no study."""
import datetime as dt
import re

import pytest
from support.fake_pacs import fakes
from support.plans import unserved
from support.statements import counted
from support.synchronizing import new_server, synchronize, transaction

from trytond.ir import queue_
from trytond.modules.health_orthanc.sync import run as sync_run
from trytond.pool import Pool
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


@pytest.fixture(scope='module')
def kinds(pacs):
    "The statements of each kind of run."
    with transaction():
        return dict(recorded_kinds(pacs))


@pytest.fixture
def large():
    """Let the planner believe that the tables are large, and of many servers:
    of small ones it reads all."""
    cursor = Transaction().connection.cursor()
    cursor.execute('ANALYZE')
    cursor.execute(
        'UPDATE pg_class SET reltuples = 1e7 WHERE relname IN %s',
        [tuple(TABLES)])
    cursor.execute('DELETE FROM pg_statistic USING pg_attribute '
        'WHERE attrelid = starelid AND attnum = staattnum '
        "AND attname IN ('server', 'orthanc_server')")
    yield cursor
    Transaction().rollback()


def recorded(pacs, state='done', **options):
    "Synchronize, return the run and its statements."
    with counted() as statements:
        run = synchronize(pacs.server, **options)
    assert run.state == state, run.error
    return run, statements


def recorded_kinds(pacs):
    "Yield kinds of runs and their statements."
    with pytest.MonkeyPatch.context() as patch:
        # It lets others go first after one of two blocks.
        patch.setattr(queue_, 'has_worker', True)
        patch.setattr(sync_run, 'TURN_SECONDS', -1)
        run, statements = recorded(
            pacs, 'interrupted', started_by='cron')
    yield 'first', statements
    assert 0 < run.studies_new < STUDIES
    run, statements = recorded(pacs)
    yield 'resumed', statements
    assert 0 < run.studies_new < STUDIES
    pacs.set(studies=STUDIES + 1)
    run, statements = recorded(pacs)
    yield 'new study', statements
    assert run.studies_new == 1
    run, statements = recorded(pacs)
    yield 'nothing new', statements
    assert run.calls == 3
    run, statements = recorded(pacs, full=True)
    yield 'full', statements
    assert not run.studies_changed
    # A series is gone of each study, one study is, and all are but one.
    for kind, values, gone in [
            ('fewer series', {'series': 1}, 0),
            ('fewer studies', {'first': 1, 'studies': STUDIES}, 1),
            ('wiped', {'first': STUDIES, 'studies': 1}, STUDIES - 1)]:
        pacs.set(**values)
        run, statements = recorded(pacs)
        yield kind, statements
        assert (run.studies_gone, bool(run.series_gone)) == (
            gone, kind == 'fewer series')


def read_as_a_whole(kinds):
    "Return what statements read whole tables, lists by kind of run."
    found = {
        kind: [(shortened(statement), nodes) for statement, nodes in unserved(
                filter(is_of_run, statements), TABLES)]
        for kind, statements in kinds.items()}
    return {kind: some for kind, some in found.items() if some}


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


@pytest.mark.parametrize('listed, stored', [
        (r'1\2\3', r'1\2\3'), (r'\N', r'\N'), (r'\.', r'\.'),
        ('Übel, "so"; \'x\'', 'Übel, "so"; \'x\''), ('a\r\nb\t\0c', 'a  b c'),
        ('\ud800', '\ufffd'), ('', None)])
def test_images_are_copied_as_they_are(listed, stored):
    with fakes({
                'studies': 1, 'series': 1, 'instances': 2, 'seed': 8,
                'position': listed}) as (pacs,):
        pacs.server = new_server(pacs)
        run, _ = recorded(pacs)
        again, _ = recorded(pacs, full=True)
    assert (run.instances_new, again.instances_changed) == (2, 0)
    Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
    images = Instance.search([
            ('series.study.orthanc_server', '=', pacs.server)])
    assert [i.image_position_patient for i in images] == [stored] * 2
    assert all(i.create_uid.id == Transaction().user for i in images)
    assert all(
        abs(i.create_date - i.series.create_date) < dt.timedelta(minutes=1)
        for i in images)


def test_no_statement_reads_a_whole_table(kinds, large):
    found = read_as_a_whole(kinds)
    assert not found, '\n'.join(
        f'{kind}: {text} {nodes}' for kind, some in found.items()
        for text, nodes in some)


@pytest.mark.parametrize('table, key, unserved_kinds', [
        ('study', 'orthanc_uid_unique', {
                'first', 'resumed', 'new study', 'full', 'fewer series',
                'fewer studies', 'wiped'}),
        ('study_series', 'series_uid_unique', {
                'first', 'resumed', 'new study', 'full', 'fewer series'}),
        ('series_instances', 'sop_uid_unique', {
                'first', 'resumed', 'new study', 'full', 'fewer series'}),
        ])
def test_without_its_key_a_table_is_read_as_a_whole(
        kinds, large, table, key, unserved_kinds):
    "What the test above finds where an index is missing."
    large.execute(f'ALTER TABLE {PREFIX}{table} '
        f'DROP CONSTRAINT {PREFIX}{table}_{key}')
    found = read_as_a_whole(kinds)
    assert found.keys() >= unserved_kinds
    assert {
        node['Relation Name'] for some in found.values() for _, nodes in some
        for node in nodes} == {PREFIX + table}


def test_no_index_repeats_a_key():
    """What trytond declares for each One2Many would be written for each image
    beside the unique key that begins with the same column."""
    cursor = Transaction().connection.cursor()
    assert not repeated(cursor)
    # As a database has them that was made before.
    for table, column in [
            ('series_instances', 'series'), ('study_series', 'study')]:
        cursor.execute(f'CREATE INDEX idx_former_{table} '
            f'ON {PREFIX}{table} ({column})')
    assert len(repeated(cursor)) == 2
    for name in ['series_instances', 'study_series']:
        Model = Pool().get(f'gnuhealth.imaging_orthanc.{name}')
        Model._update_sql_indexes()
    assert not repeated(cursor)
    Transaction().rollback()


def repeated(cursor):
    "Return the indexes with whose columns those of another one begin."
    cursor.execute('SELECT one.indexrelid::regclass::text '
        'FROM pg_index AS one JOIN pg_index AS other USING (indrelid) '
        'JOIN pg_class ON pg_class.oid = indrelid '
        'WHERE one.indexrelid <> other.indexrelid AND NOT one.indisunique '
        'AND one.indpred IS NULL AND other.indpred IS NULL '
        "AND other.indkey::text LIKE one.indkey::text || ' %%' "
        'AND relname = ANY(%s)', [list(TABLES)])
    return [name for name, in cursor.fetchall()]


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
