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

from files import open_own, open_plain, read_all  # noqa: E402

VERSION = '5.0.12'
DONE, SOME_FAILED, USAGE, NOT_CONNECTED, FOLDER = 0, 1, 2, 3, 5

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
    ('gnuhealth_imaging_test', ['code'], 'active',
        "exams get a number after their code"),
    ('gnuhealth_imaging_test_request', ['request_line'], None,
        "requests get a number after their line"),
    ('gnuhealth_imaging_test_request', ['merge_id'], None,
        "requests get a merge id of their own, but the one with images"),
    ('gnuhealth_imaging_test_result', ['request'], None,
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


class Failure(Exception):
    "What ends the work: a sentence, and the exit status."

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def reason_of(error):
    "Return why a file cannot be used, one line, str."
    return getattr(error, 'strerror', None) or str(error).splitlines()[0]


def parse(arguments=None):
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
    """A connection that reads.

    :param config: name of the configuration file of trytond
    :param name: of the database
    """

    def __init__(self, config, name):
        parser = configparser.RawConfigParser()
        try:
            text = read_all(open_plain(config), config, LARGEST_FILE)
            parser.read_string(text.decode())
        except UnicodeDecodeError:
            raise Failure(f"The configuration {config} cannot be read: it is "
                "no UTF-8 text.", USAGE)
        except (OSError, configparser.Error) as error:
            raise Failure(f"The configuration {config} cannot be read: "
                f"{reason_of(error)}.", USAGE)
        self.name = name
        self.uri = (os.environ.get('TRYTOND_DATABASE_URI')
            or parser.get('database', 'uri', fallback='sqlite://'))
        self.path = Path(parser.get('database', 'path', fallback='.'))
        self.connection = self._connect()

    @property
    def is_sqlite(self):
        "Whether the database is a file of SQLite."
        return self.uri.startswith('sqlite')

    @property
    def file(self):
        "The file of SQLite."
        return self.path / f'{self.name}.sqlite'

    def _connect(self):
        try:
            if self.is_sqlite:
                self.error = sqlite3.Error
                uri = f'{self.file.absolute().as_uri()}?mode=ro'
                return sqlite3.connect(uri, uri=True)
            return self._connect_postgresql()
        except ValueError:
            raise Failure("The address of the database in the configuration "
                "is wrong: see uri in the section database.", USAGE)
        except ImportError as error:
            raise Failure(f"The environment of this Python does not fit to "
                f"the database: {error}.", NOT_CONNECTED)
        except self.error as error:
            raise self._unreadable(error)

    def _connect_postgresql(self):
        import psycopg2
        self.error = psycopg2.Error
        parts = urllib.parse.urlsplit(self.uri)
        connection = psycopg2.connect(
            dbname=self.name, host=parts.hostname, port=parts.port,
            user=parts.username and urllib.parse.unquote(parts.username),
            password=parts.password and urllib.parse.unquote(parts.password))
        connection.set_session(readonly=True)
        return connection

    def _unreadable(self, error):
        reason = (str(error) or "no answer").splitlines()[0]
        return Failure(f"The database {self.name} cannot be read: {reason}.",
            NOT_CONNECTED)

    def rows(self, statement):
        """Run a statement and return its rows.

        :param str statement: SQL
        :raises Failure: the database cannot be read
        """
        try:
            with closing(self.connection.cursor()) as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        except self.error as error:
            raise self._unreadable(error)

    def value(self, statement):
        "Return the first value of the first row of a statement."
        return self.rows(statement)[0][0]

    def columns(self, table):
        "Return the names of the columns of a table, none if it is not there."
        if self.is_sqlite:
            return {row[1] for row in self.rows(
                    f'PRAGMA table_info("{table}")')}
        return {name for name, in self.rows(
                "SELECT column_name FROM information_schema.columns "
                f"WHERE table_name = '{table}' "
                "AND table_schema = CURRENT_SCHEMA()")}

    def size(self):
        "Return the bytes of the database, and the free ones where it is."
        if self.is_sqlite:
            return self.file.stat().st_size, free(self.path)
        size = self.value('SELECT pg_database_size(current_database())')
        try:
            folder = self.value('SHOW data_directory')
        except Failure:
            # Only some roles may know, and the server may be elsewhere.
            self.connection.rollback()
            folder = ''
        return size, free(folder)


def free(folder):
    "Return the free bytes where a folder is, None when unknown."
    try:
        return shutil.disk_usage(folder).free if folder else None
    except OSError:
        return None


# What is there

def examine(database):
    "Return what is to know of a database, as what JSON can hold."
    columns = {table: database.columns(table) for table in TABLES}
    tables = [table for table in TABLES if columns[table]]
    if 'gnuhealth_imaging_test_request' not in tables:
        raise Failure(f"The database {database.name} has no imaging modules.",
            NOT_CONNECTED)
    found = {
        'release': release(columns),
        'counts': {
            table: database.value(f'SELECT COUNT(*) FROM "{table}"')
            for table in tables},
        'shared': [
            [table, names, shared(database, table, names, where)]
            for table, names, where, _ in SHARED
            if set(names) <= columns[table]],
        }
    if 'server' in columns[STUDY] and 'orthanc_server' not in columns[STUDY]:
        found.update(examine_servers(database))
    return found


def release(columns):
    """Return which release made the tables: suite, 5.0 or 4.4.

    :param columns: names of the columns by table
    """
    if 'orthanc_server' in columns[STUDY] or (
            'signed_at' in columns['gnuhealth_imaging_test_result']):
        return 'suite'
    return '5.0' if columns[STUDY] else '4.4'


def shared(database, table, names, where):
    "Return how many rows have what a row before them has."
    columns = ', '.join(f'"{name}"' for name in names)
    conditions = [f'"{name}" IS NOT NULL' for name in names]
    if where:
        conditions.append(f'"{where}"')
    return int(database.value(
            f'SELECT COALESCE(SUM(n - 1), 0) FROM (SELECT COUNT(*) AS n '
            f'FROM "{table}" WHERE {" AND ".join(conditions)} '
            f'GROUP BY {columns}) AS groups_'))


def examine_servers(database):
    """Return what the addresses of 5.0 stand for, and how many rows are left
    when what stands for the same is merged."""
    texts = [text for text, in database.rows(
            f'SELECT DISTINCT server FROM "{STUDY}"')]
    known = {
        address(domain) for domain, in database.rows(
            'SELECT domain FROM gnuhealth_orthanc_config')}
    addresses = sorted({address(text) for text in texts})
    case = ' '.join(
        f"WHEN server = {quoted(text)} THEN {addresses.index(address(text))}"
        for text in texts if text is not None)
    server = f'CASE {case} ELSE -1 END' if case else '-1'
    study = (f'SELECT DISTINCT {server} AS s, "orthanc_UID" AS o, '
        f'"study_instance_UID" AS u, id FROM "{STUDY}"')
    keys = 's, o, u'
    # On SQLite there may be rows whose parent is gone.
    series = (f'SELECT s, o, u, "series_UID" AS v, series.id '
        f'FROM "{SERIES}" AS series LEFT JOIN ({study}) AS study '
        f'ON series.study = study.id')
    instance = (f'SELECT s, o, u, v, sop_instance_uid FROM (SELECT series '
        f'AS parent, "sop_instance_UID" AS sop_instance_uid '
        f'FROM "{INSTANCE}") AS instance LEFT JOIN ({series}) AS series '
        f'ON parent = series.id')
    return {
        'unknown': [a for a in addresses if a not in known],
        'expected': {
            STUDY: distinct(database, keys, study),
            SERIES: distinct(database, f'{keys}, v', series),
            INSTANCE: distinct(
                database, f'{keys}, v, sop_instance_uid', instance),
            }}


def distinct(database, columns, query):
    "Return how many rows of a query differ in some columns."
    return database.value(
        f'SELECT COUNT(*) FROM (SELECT DISTINCT {columns} FROM ({query}) '
        'AS rows_) AS distinct_')


def quoted(text):
    "Return a text as a literal of SQL."
    return "'" + text.replace("'", "''") + "'"


def address(text):
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

def show_before(found):
    """Print what is to know before an upgrade.

    :param dict found: what ``examine`` returned
    """
    print({
            '4.4': "Made by GNU Health 4.4 or before.",
            '5.0': "Made by GNU Health 5.0.",
            'suite': "Made or upgraded by this suite already.",
            }[found['release']])
    for table, count in found['counts'].items():
        print(f"{count:>12}  {table}")
    texts = {
        (table, tuple(names)): text for table, names, _, text in SHARED}
    for table, names, count in found['shared']:
        if count:
            print(f"{count} {table}: {', '.join(names)} is there already: "
                f"{texts[table, tuple(names)]}.")
    for table, expected in found.get('expected', {}).items():
        twice = found['counts'][table] - expected
        if twice:
            print(f"{twice} {table} are there twice: they will be merged, "
                f"{expected} rows stay.")
    for server in found.get('unknown', []):
        print(f"No server has the address {server or '(none)'} of some "
            "studies: an inactive one will be made.")


def packages(when):
    "Yield what is in the way in the environment of this Python."
    installed = {}
    for name in [SUITE, *RIVALS, *NEEDED]:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    rivals = [name for name in RIVALS if name in installed]
    if rivals and (when == 'after' or SUITE in installed):
        yield ("These packages have modules of the same names, remove them: "
            f"pip uninstall {' '.join(rivals)}")
    if SUITE in installed and not is_whole():
        yield (f"Files of {SUITE} are missing: pip install --force-reinstall "
            f"--no-deps {SUITE}")
    if when == 'after' and SUITE not in installed:
        yield f"{SUITE} is not installed in the environment of this Python."
    for name, series in NEEDED.items():
        version = installed.get(name)
        if version and not version.startswith(f'{series}.'):
            yield f"{name} {version} is installed, {series} is needed."


def is_whole():
    """Return whether all files of the suite are there: packages with modules
    of the same names take some with them."""
    files = metadata.distribution(SUITE).files or []
    return all(
        os.path.exists(file.locate()) for file in files
        if file.suffix != '.pyc')


def show_space(database):
    "Tell the size; return whether there is room for the upgrade."
    size, left = database.size()
    text = f"The database has {megabytes(size)}"
    if left is None:
        print(f"{text}. Let its server have as much free space again.")
        return True
    print(f"{text}, {megabytes(left)} are free.")
    if left < size:
        print("There should be as much free space as the database has: rows "
            "are written anew.")
    return left >= size


def megabytes(size):
    "Return a number of bytes as a text in MB."
    return f"{size / 1e6:.0f} MB"


def compare(before, after):
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
    for table, names, count in after['shared']:
        if count:
            complete = False
            print(f"{count} {table}: {', '.join(names)} is there already.")
    if after['release'] != 'suite':
        complete = False
        print("The database was not upgraded: trytond-admin -u.")
    return complete


def before(database, name):
    """Examine a database before its upgrade, and keep the counts.

    :param Database database: the database
    :param str name: name of the file for the counts
    :raises Failure: the file cannot be written
    """
    found = examine(database)
    show_before(found)
    fine = show_space(database)
    try:
        descriptor = open_own(name, os.O_WRONLY | os.O_CREAT)
        os.ftruncate(descriptor, 0)
        with open(descriptor, 'w', encoding='utf-8') as file:
            json.dump(found, file, indent=1)
    except OSError as error:
        raise Failure(f"The file {name} cannot be written: "
            f"{reason_of(error)}.", FOLDER)
    print(f"The counts are in {name}. Make a backup before you go on.")
    return fine


def after(database, name):
    """Compare an upgraded database with the counts that were kept.

    :param Database database: the database
    :param str name: name of the file with the counts
    :raises Failure: the file cannot be read
    """
    try:
        former = json.loads(read_all(open_plain(name), name, LARGEST_FILE))
        former['counts'].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError,
            RecursionError) as error:
        raise Failure(f"The counts from before cannot be read from {name}: "
            f"{getattr(error, 'strerror', None) or 'it is another file'}.",
            FOLDER)
    complete = compare(former, examine(database))
    print("Every row is accounted for." if complete else "Look into it.")
    return complete


def warn_of_readers(config):
    """Say so when every user of this computer can read a configuration that
    has a secret, an address with a password or a fernet_key."""
    with suppress(OSError):
        others = os.stat(config).st_mode & 0o007
        text = read_all(open_plain(config), config, LARGEST_FILE)
        if others and re.search(
                rb'^\s*(fernet_key\b|uri\b.*://[^/\s]*:[^/\s]*@)', text, re.M):
            print(f"Every user of this computer can read {config}, which has "
                f"a secret: chmod 640 {config} helps.", file=sys.stderr)


def main(arguments=None):
    "Run the script; return its exit status."
    options = parse(arguments)
    warn_of_readers(options.config)
    name = options.file or f'upgrade-{options.database}.json'
    try:
        database = Database(options.config, options.database)
        with closing(database.connection):
            work = {'before': before, 'after': after}[options.when]
            fine = work(database, name)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.status
    for problem in packages(options.when):
        fine = False
        print(problem)
    return DONE if fine else SOME_FAILED


if __name__ == '__main__':
    sys.exit(main())
