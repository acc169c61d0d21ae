#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show before the upgrade of a database what will happen to it, and compare
afterwards.  Run it with -h for a manual.

It reads only, with SQL, and needs no trytond.
"""
import argparse
import configparser
import json
import os
import re
import shutil
import sqlite3
import sys
import urllib.parse
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'imaging'))

from command_line import (  # noqa: E402
    DONE, SOME_FAILED, VERSION, Failure, FolderFailure, Unreachable,
    UsageFailure)
from files import read_all, rewrite_own  # noqa: E402

SUITE = 'gnuhealth-imaging-suite'
RIVALS = [
    'gnuhealth-imaging', 'gnuhealth-imaging-worklist', 'gnuhealth-orthanc']
NEEDED = {'gnuhealth': '5.0', 'trytond': '7.0'}
TABLES = [
    'gnuhealth_imaging_test_type', 'gnuhealth_imaging_test',
    'gnuhealth_imaging_test_request', 'gnuhealth_imaging_test_result',
    'gnuhealth_imaging_worklist_worklist_template',
    'gnuhealth_orthanc_worklist_template', 'gnuhealth_orthanc_config',
    'gnuhealth_orthanc_patient', 'gnuhealth_orthanc_study',
    'gnuhealth_imaging_orthanc_study',
    'gnuhealth_imaging_orthanc_study_series',
    'gnuhealth_imaging_orthanc_series_instances', 'ir_attachment']
STUDY, SERIES, INSTANCE = TABLES[9:12]
# What several rows share and only one may have, and what is done then.
SHARED = [
    ('gnuhealth_imaging_test', 'code', 'active',
        "exams get a number after their code"),
    ('gnuhealth_imaging_test_request', 'request_line', None,
        "requests get a number after their line"),
    ('gnuhealth_imaging_test_request', 'merge_id', None,
        "requests get a merge id of their own, but the one with images"),
    ('gnuhealth_imaging_test_result', 'request', None,
        "results are kept without their request, one keeps it"),
    ]

LARGEST_FILE = 16 * 1024 * 1024

# The user and password of an address, which nobody should read.
CREDENTIALS = re.compile(r'^((?:[\w+.-]+://)?)[^/?#]*@')

EPILOG = """\
before writes the counts to a file (--file, default upgrade-DATABASE.json),
after reads them there.  The database is read only, at any time.

exit status:
  0  all right; after: every row is accounted for
  1  something is in the way; after: rows are missing
  2  wrong usage
  3  the database cannot be read
  5  the file with the counts cannot be read or written
"""


def _reason_of(error):
    return getattr(error, 'strerror', None) or str(error).splitlines()[0]


def _parse(arguments=None):
    "Return the options of the command line."
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0].split('  ')[0], epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--version', action='version', version=f'%(prog)s {VERSION}')
    parser.add_argument('-c', '--config', required=True,
        help="configuration file of trytond")
    parser.add_argument('-d', '--database', required=True)
    parser.add_argument('--file', help="where the counts are kept")
    parser.add_argument('when', choices=['before', 'after'])
    return parser.parse_args(arguments)


# The database

class Database:
    "A connection that reads a database; config is the file of trytond."

    def __init__(self, config, name):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(read_all(config, LARGEST_FILE).decode())
        except UnicodeDecodeError:
            raise UsageFailure(f"The configuration {config} cannot be read: "
                "it is no UTF-8 text.")
        except (OSError, configparser.Error) as error:
            raise UsageFailure(f"The configuration {config} cannot be read: "
                f"{_reason_of(error)}.")
        self.name = name
        uri = (os.environ.get('TRYTOND_DATABASE_URI')
            or parser.get('database', 'uri', fallback='sqlite://'))
        path = Path(parser.get('database', 'path', fallback='.'))
        # The file of SQLite.
        self._file = (
            path / f'{name}.sqlite' if uri.startswith('sqlite') else None)
        self._error = sqlite3.Error
        self._connect(uri)

    def _connect(self, uri):
        try:
            if self._file:
                file = f'{self._file.absolute().as_uri()}?mode=ro'
                self.connection = sqlite3.connect(file, uri=True)
            else:
                self._connect_postgresql(urllib.parse.urlsplit(uri))
        except ValueError:
            raise UsageFailure("The address of the database in the "
                "configuration is wrong: see uri in the section database.")
        except ImportError as error:
            raise Unreachable("The environment of this Python does not fit "
                f"to the database: {error}.")
        except self._error as error:
            raise self._unreadable(error)

    def _connect_postgresql(self, parts):
        import psycopg2
        self._error = psycopg2.Error
        self.connection = psycopg2.connect(
            dbname=self.name, host=parts.hostname, port=parts.port,
            user=parts.username and urllib.parse.unquote(parts.username),
            password=parts.password and urllib.parse.unquote(parts.password))
        self.connection.set_session(readonly=True)

    def _unreadable(self, error):
        reason = (str(error) or "no answer").splitlines()[0]
        return Unreachable(
            f"The database {self.name} cannot be read: {reason}.")

    def rows(self, statement):
        "Return the rows of a statement of SQL; raise Unreachable."
        try:
            with closing(self.connection.cursor()) as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        except self._error as error:
            raise self._unreadable(error)

    def value(self, statement):
        "Return the first value of the first row of a statement."
        return self.rows(statement)[0][0]

    def columns(self, table):
        "Return the names of the columns of a table, none if it is not there."
        if self._file:
            return {row[1] for row in self.rows(
                    f'PRAGMA table_info("{table}")')}
        return {name for name, in self.rows(
                "SELECT column_name FROM information_schema.columns "
                f"WHERE table_name = '{table}' "
                "AND table_schema = CURRENT_SCHEMA()")}

    def size(self):
        """Return the bytes of the database, and the free ones where it is,
        None when unknown."""
        if self._file:
            size, folder = self._file.stat().st_size, self._file.parent
        else:
            size = self.value('SELECT pg_database_size(current_database())')
            try:
                folder = self.value('SHOW data_directory')
            except Unreachable:
                # Only some roles may know.
                self.connection.rollback()
                return size, None
        try:
            return size, shutil.disk_usage(folder).free
        except OSError:
            # The server may be elsewhere.
            return size, None


# What is there

def _examine(database):
    "Return what is to know of a database, as what JSON can hold."
    columns = {table: database.columns(table) for table in TABLES}
    tables = [table for table in TABLES if columns[table]]
    if 'gnuhealth_imaging_test_request' not in tables:
        raise Unreachable(
            f"The database {database.name} has no imaging modules.")
    upgraded = 'orthanc_server' in columns[STUDY]
    found = {
        'release': (
            'suite' if upgraded
            or 'signed_at' in columns['gnuhealth_imaging_test_result']
            else '5.0' if columns[STUDY] else '4.4'),
        'counts': {
            table: database.value(f'SELECT COUNT(*) FROM "{table}"')
            for table in tables},
        'shared': [
            [table, column, _shared(database, table, column, where)]
            for table, column, where, _ in SHARED
            if column in columns[table]],
        }
    if 'server' in columns[STUDY] and not upgraded:
        found.update(_examine_servers(database))
    return found


def _shared(database, table, column, where):
    "Return how many rows have what a row before them has."
    condition = f'"{column}" IS NOT NULL'
    if where:
        condition += f' AND "{where}"'
    return int(database.value(
            f'SELECT COALESCE(SUM(n - 1), 0) FROM (SELECT COUNT(*) AS n '
            f'FROM "{table}" WHERE {condition} '
            f'GROUP BY "{column}") AS groups_'))


def _examine_servers(database):
    """Return what the addresses of 5.0 stand for, and how many rows are left
    when what stands for the same is merged."""
    texts = [text for text, in database.rows(
            f'SELECT DISTINCT server FROM "{STUDY}"')]
    known = {
        _address(domain) for domain, in database.rows(
            'SELECT domain FROM gnuhealth_orthanc_config')}
    addresses = sorted({_address(text) for text in texts})
    case = ' '.join(
        f"WHEN server = {_quoted(text)} THEN {addresses.index(_address(text))}"
        for text in texts if text is not None)
    server = f'CASE {case} ELSE -1 END' if case else '-1'
    study = (f'SELECT DISTINCT {server} AS s, "orthanc_UID" AS o, '
        f'"study_instance_UID" AS u, id FROM "{STUDY}"')
    # On SQLite there may be rows whose parent is gone.
    series = (f'SELECT s, o, u, "series_UID" AS v, series.id '
        f'FROM "{SERIES}" AS series LEFT JOIN ({study}) AS study '
        f'ON series.study = study.id')
    instance = (f'SELECT s, o, u, v, i FROM (SELECT series '
        f'AS parent, "sop_instance_UID" AS i '
        f'FROM "{INSTANCE}") AS instance LEFT JOIN ({series}) AS series '
        f'ON parent = series.id')
    return {
        'unknown': [a for a in addresses if a not in known],
        'expected': {
            table: database.value('SELECT COUNT(*) FROM (SELECT DISTINCT '
                f'{columns} FROM ({query}) AS rows_) AS distinct_')
            for table, columns, query in [
                (STUDY, 's, o, u', study), (SERIES, 's, o, u, v', series),
                (INSTANCE, 's, o, u, v, i', instance)]},
        }


def _quoted(text):
    "Return a text as a literal of SQL."
    return "'" + text.replace("'", "''") + "'"


def _address(text):
    "Return an address without the differences that mean nothing."
    text = CREDENTIALS.sub(r'\1', (text or '').strip())
    if text and '://' not in text:
        text = f'http://{text}'
    try:
        parts = urllib.parse.urlsplit(text)
        port = {('http', 80): None, ('https', 443): None}.get(
            (parts.scheme, parts.port), parts.port)
    except ValueError:
        return text
    host = parts.hostname or ''
    return (f'{parts.scheme}://{host}' + (f':{port}' if port else '')
        + parts.path.rstrip('/'))


# What is told

def _show_before(found):
    print({
            '4.4': "Made by GNU Health 4.4 or before.",
            '5.0': "Made by GNU Health 5.0.",
            'suite': "Made or upgraded by this suite already.",
            }[found['release']])
    for table, count in found['counts'].items():
        print(f"{count:>12}  {table}")
    texts = {(table, column): text for table, column, _, text in SHARED}
    for table, column, count in found['shared']:
        if count:
            print(f"{count} {table}: {column} is there already: "
                f"{texts[table, column]}.")
    for table, expected in found.get('expected', {}).items():
        twice = found['counts'][table] - expected
        if twice:
            print(f"{twice} {table} are there twice: they will be merged, "
                f"{expected} rows stay.")
    for server in found.get('unknown', []):
        print(f"No server has the address {server or '(none)'} of some "
            "studies: an inactive one will be made.")


def _show_space(database):
    "Tell the size; return whether there is room for the upgrade."
    size, left = database.size()
    text = f"The database has {size / 1e6:.0f} MB"
    if left is None:
        print(f"{text}. Let its server have as much free space again.")
        return True
    print(f"{text}, {left / 1e6:.0f} MB are free.")
    if left < size:
        print("There should be as much free space as the database has: rows "
            "are written anew.")
    return left >= size


def _packages(when):
    "Yield what is in the way in the environment of this Python."
    installed = {}
    for name in [SUITE, *RIVALS, *NEEDED]:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    rivals = [name for name in RIVALS if name in installed]
    if rivals and (when == 'after' or SUITE in installed):
        yield ("These packages have modules of the same names, remove them: "
            f"pip uninstall {' '.join(rivals)}")
    # Packages with modules of the same names take some files with them.
    if SUITE in installed and not all(
            os.path.exists(file.locate())
            for file in metadata.files(SUITE) or [] if file.suffix != '.pyc'):
        yield (f"Files of {SUITE} are missing: pip install --force-reinstall "
            f"--no-deps {SUITE}")
    if when == 'after' and SUITE not in installed:
        yield f"{SUITE} is not installed in the environment of this Python."
    for name, series in NEEDED.items():
        version = installed.get(name)
        if version and not version.startswith(f'{series}.'):
            yield f"{name} {version} is installed, {series} is needed."


def _compare(before, after):
    "Tell the rows before and after; return whether all are accounted for."
    complete = True
    expected = {**before['counts'], **before.get('expected', {})}
    print(f"{'before':>12}{'after':>12}")
    for table, count in before['counts'].items():
        now = after['counts'].get(table, 0)
        missing = now < expected[table]
        if table == 'gnuhealth_orthanc_worklist_template':
            missing = now == 0 and after['counts'].get(
                'gnuhealth_imaging_worklist_worklist_template', 0) < count
        complete &= not missing
        print(f"{count:>12}{now:>12}  {table}"
            f"{'  ROWS ARE MISSING' if missing else ''}")
    for table, column, count in after['shared']:
        if count:
            complete = False
            print(f"{count} {table}: {column} is there already.")
    if after['release'] != 'suite':
        complete = False
        print("The database was not upgraded: trytond-admin -u.")
    return complete


def _before(database, name):
    "Examine a database, and keep the counts in a file."
    found = _examine(database)
    _show_before(found)
    fine = _show_space(database)
    try:
        with rewrite_own(name) as file:
            json.dump(found, file, indent=1)
    except OSError as error:
        raise FolderFailure(
            f"The file {name} cannot be written: {_reason_of(error)}.")
    print(f"The counts are in {name}. Make a backup before you go on.")
    return fine


def _after(database, name):
    "Compare an upgraded database with the counts that were kept."
    try:
        former = json.loads(read_all(name, LARGEST_FILE))
        former['counts'].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError,
            RecursionError) as error:
        raise FolderFailure("The counts from before cannot be read from "
            f"{name}: "
            f"{getattr(error, 'strerror', None) or 'it is another file'}.")
    complete = _compare(former, _examine(database))
    print("Every row is accounted for." if complete else "Look into it.")
    return complete


def _warn_of_readers(config):
    """Say so when every user of this computer can read a configuration that
    has a secret, an address with a password or a fernet_key."""
    with suppress(OSError):
        if os.stat(config).st_mode & 0o007 and re.search(
                rb'^\s*(fernet_key\b|uri\b.*://[^/\s]*:[^/\s]*@)',
                read_all(config, LARGEST_FILE), re.M):
            print(f"Every user of this computer can read {config}, which has "
                f"a secret: chmod 640 {config} helps.", file=sys.stderr)


def main(arguments=None):
    "Run the script; return its exit status."
    options = _parse(arguments)
    _warn_of_readers(options.config)
    name = options.file or f'upgrade-{options.database}.json'
    try:
        database = Database(options.config, options.database)
        with closing(database.connection):
            work = {'before': _before, 'after': _after}[options.when]
            fine = work(database, name)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.status
    for problem in _packages(options.when):
        fine = False
        print(problem)
    return DONE if fine else SOME_FAILED


if __name__ == '__main__':
    sys.exit(main())
