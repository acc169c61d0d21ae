# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases of released packages and of the last landed state, as they were
and as this checkout makes them, for the tests of the upgrade."""
import contextlib
from collections import namedtuple

import pytest
from support import releases

Upgraded = namedtuple('Upgraded', 'copy made before after log')


@pytest.fixture(scope='session')
def database_504(released, tmp_path_factory):
    "Return a function that gives a copy of the filled database of 5.0.4."
    name = released.database_504(folder=tmp_path_factory.mktemp('5.0.4'))

    def make():
        return released.copy(name, tmp_path_factory.mktemp('upgrade'))
    make.made = released.made(name)
    return make


@pytest.fixture(scope='session')
def database_441(released, tmp_path_factory):
    "Return a function that gives a copy of the filled database of 4.4.1."
    name = released.database_441(tmp_path_factory.mktemp('4.4.1'))

    def make():
        return released.copy(name, tmp_path_factory.mktemp('upgrade'))
    make.made = released.made(name)
    return make


@pytest.fixture(scope='session')
def database_landed(released, tmp_path_factory):
    """Return a function that gives a copy of the filled database of the last
    landed state."""
    name = released.database_landed(tmp_path_factory.mktemp('landed'))

    def make():
        return released.copy(name, tmp_path_factory.mktemp('upgrade'))
    make.made = released.made(name)
    return make


@pytest.fixture(scope='session')
def upgraded(database_504):
    "The database of 5.0.4 before and after the upgrade."
    copy = database_504()
    before = releases.snapshot(copy)
    _, log = releases.upgrade(copy)
    return Upgraded(
        copy, database_504.made, before, releases.snapshot(copy), log)


@pytest.fixture(scope='session')
def opened(files):
    "Return a context manager that opens a copy in the test process."
    return opened_copy


@contextlib.contextmanager
def opened_copy(copy, user=1):
    from trytond.config import config
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    path = config.get('database', 'path')
    config.set('database', 'path', str(copy.path))
    try:
        if copy.name not in Pool.database_list():
            Pool(copy.name).init()
        with Transaction().start(
                copy.name, user, context={'company': 1}) as transaction:
            yield transaction
            transaction.rollback()
            transaction.tasks.clear()
    finally:
        config.set('database', 'path', path)
