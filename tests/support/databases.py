# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test databases: each set of modules is activated once per state of the
sources, kept, and copied for whoever needs it.

The copies inside the test process are those of trytond's own test helpers,
so module tests, scenarios and fixtures share what is kept.
"""
import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
import uuid
from contextlib import closing
from pathlib import Path

from sources import MODULES, packages_hash, sources_hash

BASE = ('health',)
SEEDED = 'seeded'
KEPT_SECONDS = 24 * 60 * 60


class Templates:
    """The databases that are kept, in a folder.

    Its folder must be the ``DB_CACHE`` of trytond's test helpers.
    """

    def __init__(self, cache):
        self.cache = Path(cache)
        self.base = self.cache / f'base-{packages_hash()}'
        self.folder = self.cache / f'suite-{sources_hash()}'
        self._ready = set()

    @contextlib.contextmanager
    def locked(self, name='lock'):
        "Return a context in which one test run builds at a time."
        with open(self.cache / name, 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def prepare(self):
        "Make the folder, and drop those of old sources."
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)
        for folder in self.cache.glob('suite-*'):
            if folder.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def path(self, name):
        "Return the file or folder where a kept database is."
        from trytond.tests import test_tryton
        return Path(test_tryton._db_cache_file(str(self.folder), name))

    def need(self, modules):
        "Build the database of these modules unless it is kept."
        modules = tuple(modules)
        if modules not in self._ready:
            # One by one, that nobody waits for more than he needs.
            start = MODULES[:1] if modules == MODULES else BASE
            if modules != BASE:
                self.need(start)
            with self.locked():
                if not self.path('-'.join(modules)).exists():
                    self._make(modules, start)
            self._ready.add(modules)

    def need_seeded(self):
        "Build the database with all modules and the records of the seed."
        if SEEDED not in self._ready:
            self.need(MODULES)
            with self.locked():
                if not self.path(SEEDED).exists():
                    self._seed()
            self._ready.add(SEEDED)

    def _make(self, modules, start):
        if modules == BASE:
            self._link_base()
        else:
            activate(start)
            activate_more(modules)

    def _link_base(self):
        """Link GNU Health alone, which depends on the packages only and takes
        by far the longest."""
        link = self.path('-'.join(BASE))
        kept = self.base / link.name
        if not kept.exists():
            activate(BASE)
            self.base.mkdir(exist_ok=True)
            shutil.move(link, kept)
        link.symlink_to(Path('..', self.base.name, kept.name))

    def _seed(self):
        import seed
        from proteus import Model, config

        from trytond.tests.test_tryton import backup_db_cache
        activate(MODULES)
        administrator = config.set_trytond()
        seed.seed(administrator)
        # It ends the sessions of the user.
        user, = Model.get('res.user').find([('login', '=', 'admin')])
        user.password = seed.PASSWORD
        user.save()
        backup_db_cache(SEEDED)


def activate(modules):
    "Put a fresh copy of a kept database into the test process."
    from trytond.tests.test_tryton import activate_module, drop_db
    drop_db()
    activate_module(list(modules))


def activate_more(modules):
    "Activate more modules in the test process, and keep that database."
    from trytond.pool import Pool
    from trytond.tests.test_tryton import DB_NAME, activate_module
    from trytond.transaction import Transaction
    with Transaction().start(DB_NAME, 1):
        # The kept database may be older than the packages of the modules.
        Pool().get('ir.module').update_list()
        Transaction().commit()
    activate_module(list(modules))


class Copy:
    """A copy of a kept database that other processes can open.

    :ivar uri: the address of the back-end, as trytond takes it
    :ivar name: the name of the database
    :ivar path: the folder of SQLite databases and of stored files
    """

    def __init__(self, uri, name, path):
        self.uri = uri
        self.name = name
        self.path = Path(path)

    @property
    def options(self):
        "The arguments that a Trytond service takes."
        return {
            'database_uri': self.uri,
            'database': self.name,
            'database_path': self.path,
            }

    def connect(self):
        "Return a new DB-API connection."
        if self.uri.startswith('sqlite'):
            return sqlite3.connect(self.path / f'{self.name}.sqlite')
        import psycopg2
        return psycopg2.connect(f'{self.uri.rstrip("/")}/{self.name}')


class Copies:
    "Makes copies of the kept databases, and drops them."

    def __init__(self, templates, uri):
        self.templates = templates
        self.uri = uri
        self._templates = {}
        self._copies = []
        # The name of what was opened last, and the pool of its models.
        self._opened = None

    def make(self, name, path):
        "Return a new copy of a kept database, with its files in path."
        copy = Copy(self.uri, f'test_{uuid.uuid4().hex}', path)
        if self.uri.startswith('sqlite'):
            shutil.copyfile(self.templates.path(name),
                copy.path / f'{copy.name}.sqlite')
        else:
            self._create(copy.name, self._template(name))
            self._copies.append(copy.name)
        return copy

    def again(self, copy, path):
        "Return a copy of a copy to which nobody is connected."
        twin = Copy(self.uri, f'test_{uuid.uuid4().hex}', path)
        if self.uri.startswith('sqlite'):
            shutil.copyfile(copy.path / f'{copy.name}.sqlite',
                twin.path / f'{twin.name}.sqlite')
        else:
            self._create(twin.name, copy.name)
            self._copies.append(twin.name)
        return twin

    def open(self, name):
        "Put a fresh copy of a kept database into the test process."
        from trytond import backend
        from trytond.pool import Pool
        from trytond.tests.test_tryton import (
            DB_NAME, drop_db, restore_db_cache)
        pool, instance = Pool._pool.get(DB_NAME), Pool(DB_NAME)
        drop_db()
        if pool and (name, pool) == self._opened:
            # The same models as before; to make them anew takes seconds.
            Pool._pool[DB_NAME], Pool._instances[DB_NAME] = pool, instance
        if self.uri.startswith('sqlite'):
            assert restore_db_cache(name)
        else:
            # Much faster than to restore it each time.
            self._create(DB_NAME, self._template(name))
            # trytond keeps a list of the databases, to drop them among others.
            backend.Database._list_cache.clear()
            Pool(DB_NAME).init()
        self._opened = name, Pool._pool[DB_NAME]

    def keep(self, copy, name):
        "Keep a copy that is made use of no more under a name."
        path = self.templates.path(name)
        if self.uri.startswith('sqlite'):
            shutil.copyfile(copy.path / f'{copy.name}.sqlite', path)
        else:
            subprocess.run(
                ['pg_dump', '-F', 'd', '-f', path,
                    f'{self.uri.rstrip("/")}/{copy.name}'], check=True)

    def _template(self, name):
        "Restore a kept database once, as a template in the cluster."
        if name not in self._templates:
            template = f'template_{uuid.uuid4().hex}'
            self._create(template)
            subprocess.run(
                ['pg_restore', '-j', '2', '-d',
                    f'{self.uri.rstrip("/")}/{template}',
                    self.templates.path(name)],
                check=True, capture_output=True)
            # The planner misjudges what trytond asks of a restored one.
            self._execute('ANALYZE', database=template)
            self._templates[name] = template
        return self._templates[name]

    def create(self, copy):
        "Make an empty database in the cluster."
        self._create(copy.name, 'template0')
        self._copies.append(copy.name)

    def drop(self, copy):
        "Drop a copy; who is still connected to it is thrown out."
        if copy.name in self._copies:
            self._copies.remove(copy.name)
            self._execute('DROP DATABASE {} WITH (FORCE)', copy.name)

    def close(self):
        "Drop all that is left."
        for name in [*self._copies, *self._templates.values()]:
            self._execute('DROP DATABASE {} WITH (FORCE)', name)

    def _create(self, name, template='template1'):
        # From PostgreSQL 15 on each page would go through the log, too.
        self._execute('CREATE DATABASE {} TEMPLATE {}', name, template,
            newer=' STRATEGY file_copy')

    def _execute(self, statement, *names, database='postgres', newer=''):
        import psycopg2
        from psycopg2 import sql
        connection = psycopg2.connect(f'{self.uri.rstrip("/")}/{database}')
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            if connection.server_version >= 150000:
                statement += newer
            cursor.execute(
                sql.SQL(statement).format(*map(sql.Identifier, names)))
