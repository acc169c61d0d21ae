# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What doc/operation.rst says of archives and partitions of the access log is
done as it is written there, and people go on working."""
import datetime as dt
import os
import re
import subprocess
from pathlib import Path

import psycopg2.extensions
import pytest
from support import releases
from support.databases import Copy
from support.postgres import find_programs

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_orthanc.links import access_log
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

pytestmark = pytest.mark.postgresql
MANUAL = Path(__file__).parents[2] / 'doc' / 'operation.rst'
TABLE = 'gnuhealth_orthanc_access_log'
YEAR = dt.date.today().year


@pytest.fixture
def manual():
    "The section, written this year for the database of the test."
    text = MANUAL.read_text().split('.. _Growth:')[1]
    text = text.replace('psql health', f'psql {DB_NAME}').replace(
        '.dump health', f'.dump {DB_NAME}')
    return re.sub(r'\b202[678]\b|(?<=_)202[678]\b',
        lambda found: str(int(found[0]) - 2026 + YEAR), text)


@pytest.fixture
def copy(activated, copies, tmp_path):
    "The database of the test process."
    return Copy(copies.uri, DB_NAME, tmp_path)


@pytest.fixture
def shell(copy):
    "Return a function that runs a command or statements as the manual does."
    at = psycopg2.extensions.parse_dsn(f'{copy.uri}{copy.name}')
    environment = {
        **os.environ, 'PGHOST': at['host'], 'PGPORT': at['port'],
        'PGUSER': at['user'], 'PGPASSWORD': at['password'],
        'PATH': f"{find_programs()}:{os.environ['PATH']}"}

    def run(command, statements=''):
        done = subprocess.run(
            ['sh', '-c', command], input=statements, cwd=copy.path, text=True,
            env=environment, capture_output=True)
        assert not done.returncode, done.stderr
    return run


def note():
    "Note that somebody looked at images, in a transaction of its own."
    with Transaction().start(DB_NAME, 1):
        access_log.note('view', [])
        Transaction().commit()


def lines():
    "Return the lines as the list shows them, with all their fields."
    with Transaction().start(DB_NAME, 1):
        Log = Pool().get('gnuhealth.orthanc.access_log')
        found = [line.id for line in Log.search([('user', '=', 1)])]
        assert len(Log.read(found, list(Log._fields))) == len(found)
        return found


def move(id_, year):
    "Let a line be of another year."
    with Transaction().start(DB_NAME, 1):
        table = Pool().get('gnuhealth.orthanc.access_log').__table__()
        execute(table.update(
                [table.at], [dt.datetime(year, 3, 2)], where=table.id == id_))
        Transaction().commit()


def keys(copy):
    "Return the indexes of the table, and the tables that it refers to."
    return {
        *(re.sub(r'.* USING ', '', definition) for definition, in
            releases.execute(copy, "SELECT indexdef FROM pg_indexes "
                "WHERE tablename = ?", TABLE)),
        *(name for name, in releases.execute(copy,
                "SELECT confrelid::regclass::text FROM pg_constraint "
                "WHERE contype = 'f' AND conrelid = ?::regclass", TABLE))}


def test_the_manual_is_followed(copy, shell, manual):
    note(), note()
    old, new = sorted(lines())
    move(old, 2019)
    for command in re.findall(r'   (psql .*COPY .*|psql .*copy .*)', manual):
        shell(command)
    archived = (copy.path / 'access-log-2019.csv').read_text().split('\n')
    assert archived[1].startswith(f'{old},') and len(archived) == 3
    assert (copy.path / 'link-log-2019.csv').exists()
    before = keys(copy)
    cut, taken_out = (
        block.replace('\n   ', '\n') for block in re.findall(
            r'code-block:: (?:postgre)?sql\n\n((?:   .*\n|\n)+)', manual))
    shell(f'psql -v ON_ERROR_STOP=1 {DB_NAME}', cut)
    releases.upgrade(copy)
    assert len(before) > 5 and keys(copy) == before
    note()
    *_, newest = sorted(lines())
    assert sorted(lines()) == [old, new, newest] and newest > new
    move(newest, YEAR + 1)
    assert rows(copy, f'access_log_{YEAR + 1}') == [newest]
    shell(f'psql -v ON_ERROR_STOP=1 {DB_NAME}', taken_out)
    dump, = re.findall('``(pg_dump .*?)``', manual)
    shell(dump)
    shell(f'psql {DB_NAME} -c "DROP TABLE access_log_until_{YEAR}"')
    assert lines() == [newest]
    # Before the next year begins there is a place for what is noted.
    note()
    assert len(lines()) == 2 and len(rows(copy, 'access_log_later')) == 1


def rows(copy, table):
    "Return the ids of the rows of a table."
    return [id_ for id_, in releases.execute(copy, f'SELECT id FROM {table}')]
