# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases made by released packages of GNU Health, in virtual environments
of their own, and what the tests of the upgrade do with them.

Environments and databases are made once, kept, and copied.
"""
import configparser
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import uuid
import venv
import zipfile
from contextlib import closing
from importlib import metadata
from pathlib import Path

from services import Orthanc, trytond_command, write_trytond_configuration
from sources import MODULES, PACKAGES, ROOT, packages_hash

from .databases import BASE, Copies, Copy

#: States of this repository whose databases are upgraded too: the last landed
#: one, and one from before it, whose upgrade has code of its own.  Who begins
#: to work on the next state moves the first one.
LANDED = '88f96a2b1753488fadb03901b5251b4de60bd8cc'
FORMER = '769ab0e796dd514a8d72ad2f92be18bc35ed839d'
KEPT_SECONDS = 7 * 24 * 60 * 60
FILLERS = Path(__file__).parents[1] / 'upgrade'
# Plain CT slices, which the synchronisation of 5.0.4 can read.
IMAGES = ['CT_small.dcm', 'MR_small.dcm']


def pinned(*names):
    "Return the requirements of packages as they are installed here."
    return [f'{name}=={metadata.version(name)}' for name in names]


def needed(section='options', key='install_requires'):
    "Return the names of the packages that the suite, or an extra, asks for."
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    lines = parser[section][key].split('\n')
    return [re.match(r'[\w-]+', line).group() for line in lines if line]


# The same core as here: what differs is the imaging modules alone.
CORE_50 = pinned(*PACKAGES, 'python-sql', 'psycopg2')
# What the suite is built and runs with.
OF_SUITE = [*CORE_50, *pinned(*needed()), 'setuptools<81', 'wheel']
REQUIREMENTS = {
    '5.0.4': [
        *CORE_50, 'gnuhealth-imaging==5.0.4',
        'gnuhealth-imaging-worklist==5.0.4', 'gnuhealth-orthanc==5.0.4',
        # Its package forgets to ask for it.
        'requests'],
    '4.4.1': [
        'setuptools<81', 'Pillow', *pinned('psycopg2'),
        'gnuhealth_imaging==4.4.1', 'gnuhealth_orthanc==4.4.1'],
    # What builds on the suite; its own packages ask for those of 5.0.4.
    'services': [
        *OF_SUITE, 'gnuhealth-services==5.0.4', 'gnuhealth-lab==5.0.4'],
    # Landed states asked for requests.
    'state': [*OF_SUITE, *pinned('proteus'), 'requests'],
    # One that runs the benchmarks of this checkout.
    'measured': [
        *OF_SUITE, *pinned(*needed('options.extras_require', 'test'))],
    }
ALONE = {
    'services': [
        'gnuhealth-services-imaging==5.0.4', 'gnuhealth-surgery==5.0.4'],
    }


# What the content of their databases is made of.
SOURCES = {
    '5.0.4': ['fill_504.py'],
    '4.4.1': ['fill_504.py', 'fill_441.py'],
    'state': ['fill_landed.py', 'fill_former.py'],
    }


def _environment():
    "Return the environment variables for a program of another release."
    return {
        name: value for name, value in os.environ.items()
        if not name.startswith(('PYTHON', 'TRYTOND', 'DB_', 'COVERAGE'))}


def _run(command, **variables):
    "Run a program with more environment variables and return its output."
    result = subprocess.run(
        [str(word) for word in command], text=True, capture_output=True,
        env={**_environment(), **variables})
    if result.returncode:
        raise AssertionError(
            f"{command[0]} failed\n{result.stdout[-2000:]}"
            f"\n{result.stderr[-4000:]}")
    return result.stdout


def extract(commit, folder):
    """Write the files of a commit of this repository to a folder.

    :raises AssertionError: this clone does not have it, or there is no git
    """
    try:
        answer = subprocess.run(
            ['git', '-C', ROOT, 'archive', '--format=zip', commit],
            capture_output=True)
    except FileNotFoundError:
        raise AssertionError("There is no git, from which the tests take "
            "landed states: install it.")
    if answer.returncode:
        raise AssertionError(
            f"The commit {commit}, a landed state, is not in this "
            "clone: fetch the whole history, for instance with \"git fetch "
            f"--unshallow\". git says: {answer.stderr.decode().strip()}")
    with zipfile.ZipFile(io.BytesIO(answer.stdout)) as files:
        files.extractall(folder)


class Releases:
    """The environments and databases that are kept, in a folder.

    :param templates: the kept databases of this checkout, whose core is the
        start of the databases of 5.0
    :param uri: the address of the back-end
    """

    def __init__(self, cache, templates, uri):
        self.cache = Path(cache)
        self.templates = templates
        self.uri = uri
        self.copies = Copies(self, uri)
        self._cores = Copies(templates, uri)
        self._drop_old()

    def _drop_old(self):
        for path in self.cache.iterdir():
            if (path.suffix == '.lock'
                    or path.stat().st_mtime > time.time() - KEPT_SECONDS):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self, name):
        "Let one test run at a time make what has this name."
        with open(self.cache / f'{name}.lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _hash(self, *parts):
        digest = hashlib.sha256(
            '\0'.join([sys.version, *parts]).encode()).hexdigest()
        return digest[:12]

    def environment(self, release):
        "Return the folder with the programs of a release."
        requirements, alone = REQUIREMENTS[release], ALONE.get(release, [])
        folder = self.cache / f'{release}-{self._hash(*requirements, *alone)}'
        with self._locked(folder.name):
            if not (folder / 'complete').exists():
                shutil.rmtree(folder, ignore_errors=True)
                venv.create(folder)
                self._install(folder / 'bin', *requirements)
                if alone:
                    self._install(folder / 'bin', '--no-deps', *alone)
            (folder / 'complete').touch()
            os.utime(folder)
        return folder / 'bin'

    @staticmethod
    def _install(programs, *arguments):
        # Each with a pip of its own, and what is never imported compiled,
        # took twice as long.
        _run([
            sys.executable, '-m', 'pip', '--python', programs / 'python',
            'install', '--quiet', '--no-compile',
            '--disable-pip-version-check', *arguments])

    @contextlib.contextmanager
    def environment_of_services(self, folder):
        """Give the folder with the programs of an environment in which the
        suite, as it is now, has modules of GNU Health on top."""
        programs = self.environment('services')
        with self._locked('services'):
            self._install_suite(programs, folder / 'source')
            yield programs

    def _install_suite(self, programs, source):
        for path in [
                *MODULES, 'setup.cfg', 'pyproject.toml', 'README.rst',
                'LICENSE']:
            copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
            source.mkdir(exist_ok=True)
            copy(ROOT / path, source / path)
        self._install_built(programs, source)

    def _install_built(self, programs, source):
        self._install(programs, '--no-deps', '--force-reinstall',
            '--no-build-isolation', source)

    @contextlib.contextmanager
    def installed(self, commit, name='state'):
        """Give the folder with the files of a commit, and that with the
        programs of an environment in which it is installed, for a while.

        :param name: of the environment, 'state' or 'measured'
        """
        source = self.cache / f'source-{commit}'
        programs = self.environment(name)
        installed = programs.parent / 'installed'
        with self._locked(name):
            if not (source / 'complete').exists():
                shutil.rmtree(source, ignore_errors=True)
                extract(commit, source)
                (source / 'complete').touch()
            if not installed.exists() or installed.read_text() != commit:
                installed.unlink(missing_ok=True)
                self._install_built(programs, source)
                installed.write_text(commit)
            os.utime(source)
            yield source, programs

    # Databases

    def path(self, name):
        "Return the file of a kept database."
        backend = self.uri.partition(':')[0]
        key = self._source_hash(name)
        return self.cache / f'{name}-{key}-{backend}.dump'

    def _source_hash(self, name):
        release = next(r for r in REQUIREMENTS if name.startswith(r))
        fillers = [] if name.endswith('core') else SOURCES[release]
        return self._hash(
            name, packages_hash(), *REQUIREMENTS[release],
            *((FILLERS / filler).read_text() for filler in fillers))

    def made(self, name):
        "Return what the program that filled a database said of it."
        return json.loads(self.path(name).with_suffix('.json').read_text())

    def database_504(self, name='5.0.4', size=(20, 2, 3), folder=None):
        """Make a filled database of 5.0.4 unless it is kept.

        :param size: how many plain studies, series in each of them and
            instances in each of these
        :return: the name of the kept database
        """
        programs = self.environment('5.0.4')
        self._make_50(name, programs, 'fill_504.py', IMAGES, folder, size)
        return name

    def database_of_state(self, commit, filler, folder):
        """Make a filled database of a commit unless it is kept.

        :return: the name of the kept database
        """
        name = f'state-{commit[:12]}'
        if not self.path(name).exists():
            with self.installed(commit) as (source, programs):
                self._make_50(name, programs, filler, [], folder, [source])
        return name

    def _make_50(self, name, programs, filler, images, folder, arguments):
        """Make a filled database of 5.0 unless it is kept.

        :param images: names of the files in the Orthanc that the filler has
        :param arguments: what the filler gets before the address of that
        """
        self.templates.need(BASE)
        with self._locked(self.path(name).stem):
            if self.path(name).exists():
                return
            core = self._cores.make('-'.join(BASE), folder)
            try:
                self.activate(programs, core, MODULES)
                with filled_orthanc(folder, images) as orthanc:
                    self._fill(programs, filler, name, core, *arguments,
                        orthanc.url, orthanc.user, orthanc.password)
                self._keep(core, name)
            finally:
                self._cores.drop(core)

    def database_441(self, folder):
        """Make a filled database of 4.4.1 unless it is kept; it needs
        PostgreSQL.

        :return: the name of the kept database
        """
        programs = self.environment('4.4.1')
        with self._locked(self.path('4.4.1').stem):
            if not self.path('4.4.1').exists():
                self._make_core_441(programs, folder)
                copy = self.copies.make('4.4.1-core', folder)
                with filled_orthanc(folder) as orthanc:
                    self._fill(programs, 'fill_441.py', '4.4.1', copy,
                        orthanc.url, orthanc.user, orthanc.password)
                self._keep(copy, '4.4.1')
                self.copies.drop(copy)
        return '4.4.1'

    def _make_core_441(self, programs, folder):
        "Make the database without content, which takes by far the longest."
        if self.path('4.4.1-core').exists():
            return
        with self._empty(folder) as copy:
            # In one step it fails, on a model of the core.
            for modules in [None, ['health_orthanc']]:
                self._make_441(programs, copy, modules)
            self._keep(copy, '4.4.1-core')

    @contextlib.contextmanager
    def _empty(self, folder):
        "Return a database without tables, for a while."
        copy = Copy(self.uri, f'made_{uuid.uuid4().hex}', folder)
        self.copies.create(copy)
        try:
            yield copy
        finally:
            self.copies.drop(copy)

    def _make_441(self, programs, copy, modules):
        secret = copy.path / 'password'
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe())
        what = ['-u', *modules, '--activate-dependencies'] if modules \
            else ['--all', '--email', 'admin@hospital.example']
        _run([
            programs / 'trytond-admin', '-c', self.configuration(copy),
            '-d', copy.name, *what], TRYTONPASSFILE=str(secret))

    def upgrade_to_504(self, copy):
        "Upgrade a copy of a database of 4.4.1 with the packages of 5.0.4."
        programs = self.environment('5.0.4')
        _run([
            programs / 'trytond-admin', '-c', self.configuration(copy),
            '-d', copy.name, '-u', *MODULES, '--all'])

    def configuration(self, copy):
        "Return a configuration file of trytond for a copy of a database."
        path = copy.path / 'trytond.conf'
        write_trytond_configuration(path, copy.uri, copy.path)
        return path

    def run(self, programs, name, copy):
        "Run a program beside the fillers and return what it printed."
        return json.loads(_run([
                    programs / 'python', '-W', 'ignore', FILLERS / name,
                    self.configuration(copy), copy.name]))

    def activate(self, programs, copy, modules):
        _run([
            programs / 'trytond-admin', '-c', self.configuration(copy),
            '-d', copy.name, '-u', *modules, '--activate-dependencies'])

    def _fill(self, programs, filler, name, copy, *arguments):
        made = _run([
            programs / 'python', '-W', 'ignore', FILLERS / filler,
            self.configuration(copy), copy.name, *arguments])
        self.path(name).with_suffix('.json').write_text(made)

    def _keep(self, copy, name):
        target = self.path(name)
        if copy.uri.startswith('sqlite'):
            source = copy.path / f'{copy.name}.sqlite'
            shutil.move(source, target)
        else:
            _run([
                'pg_dump', '-Fc', '-f', f'{target}.new',
                f'{copy.uri.rstrip("/")}/{copy.name}'])
            os.rename(f'{target}.new', target)

    def copy(self, name, folder):
        "Return a new copy of a kept database."
        os.utime(self.path(name))
        os.utime(self.path(name).with_suffix('.json'))
        return self.copies.make(name, folder)

    def close(self):
        self.copies.close()
        self._cores.close()


@contextlib.contextmanager
def filled_orthanc(folder, images=IMAGES):
    "Run an Orthanc with a few images."
    with Orthanc(folder / 'orthanc') as orthanc:
        store(orthanc, images)
        yield orthanc


def store(orthanc, names):
    "Store test files of pydicom in an Orthanc."
    import pydicom
    images = Path(pydicom.__file__).parent / 'data' / 'test_files'
    for name in names:
        orthanc.rest('POST', '/instances', (images / name).read_bytes())


# The upgrade

def upgrade(copy, everything=False, check=True, verbosity='-v'):
    """Upgrade a copy of a database with the modules of this checkout.

    :param everything: whether all modules are updated, as a new series of
        trytond needs it
    :return: exit status and what was logged
    """
    what = ['-u', *MODULES, *(['--all'] if everything else [])]
    configuration = copy.path / 'trytond.conf'
    write_trytond_configuration(configuration, copy.uri, copy.path)
    result = subprocess.run(
        [*trytond_command('trytond-admin'), verbosity, '-c',
            str(configuration), '-d', copy.name, *what],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check:
        assert not result.returncode, result.stdout[-4000:]
    return result.returncode, result.stdout


def doctor(copy, *arguments, python=sys.executable):
    """Run the script that shows before an upgrade what will happen, and
    compares afterwards."""
    configuration = copy.path / 'trytond.conf'
    write_trytond_configuration(configuration, copy.uri, copy.path)
    return subprocess.run(
        ['sh', ROOT / 'his-utils' / 'doctor.sh', '-c', configuration, '-d',
            copy.name, '--file', copy.path / 'counts.json', *arguments],
        env={**_environment(), 'PYTHON': str(python)}, text=True,
        capture_output=True)


def snapshot(copy, *names):
    """Return all rows of tables, by default of all: dict by table of dicts by
    id of dicts by column."""
    with closing(copy.connect()) as connection:
        cursor = connection.cursor()
        return {
            table: _rows(cursor, table)
            for table in names or tables(cursor, copy)}


def tables(cursor, copy):
    "Return the names of the tables of a copy of a database."
    if copy.uri.startswith('sqlite'):
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' "
            "AND name NOT LIKE 'sqlite_%'")
    else:
        cursor.execute("SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
    return sorted(name for name, in cursor.fetchall())


def _rows(cursor, table):
    cursor.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    return {row['id']: row for row in rows if 'id' in row}


def execute(copy, statement, *parameters):
    "Run one statement on a copy of a database and return its rows."
    if not copy.uri.startswith('sqlite'):
        statement = statement.replace('?', '%s')
    with closing(copy.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(statement, parameters)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
    return rows


def untimed(rows):
    "Return rows of a snapshot without their times."
    return {
        id_: {name: value for name, value in row.items()
            if name not in {'create_date', 'write_date'}}
        for id_, row in rows.items()}


def changed_again(copy, before):
    """Upgrade a copy once more, and return the names of the tables that
    changed.

    :param before: all tables, what snapshot returned
    """
    upgrade(copy)
    again = snapshot(copy)
    # What trytond itself writes each time.
    return {
        table for table, rows in before.items()
        if table not in {'ir_cache', 'ir_lang'}
        and untimed(again[table]) != untimed(rows)}


def read_everything(orphaned=()):
    """Read all fields of all records of the suite's models, in the database
    that is open, and return the names of the models.

    :param orphaned: names of models of which the columns alone are read, for
        their rows point to what SQLite let go
    """
    from trytond.model import ModelSQL
    from trytond.model.fields import Function
    from trytond.pool import Pool
    names = [
        name for name, Model in Pool().iterobject()
        if issubclass(Model, ModelSQL) and _is_of_suite(Model)]
    for name in names:
        Model = Pool().get(name)
        ids = [record.id for record in Model.search([])]
        fields = [
            name_ for name_, field in Model._fields.items()
            # Pictures come from the server.
            if name_ != 'image'
            and not (name in orphaned and isinstance(field, Function))]
        assert len(Model.read(ids, fields)) == len(ids), name
    return names


def _is_of_suite(Model):
    "Return whether a model is one of the suite, or one that it extends."
    return any(
        set(Base.__module__.split('.')[2:3]) & set(MODULES)
        for Base in Model.__mro__
        if getattr(Base, '__name__', None) == Model.__name__)
