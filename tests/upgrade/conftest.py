# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases of released packages and of landed states, as they were and as
this checkout makes them, for the tests of the upgrade."""
import contextlib
import datetime as dt
from collections import namedtuple

import pytest
from support import releases

#: An upgraded database, and a function that gives another copy of it as it was
#: right after the upgrade, which takes longest.
Upgraded = namedtuple('Upgraded', 'copy made before after log another')


@pytest.fixture(scope='session')
def copies_of(released, tmp_path_factory):
    """Return a function that gives one that copies a kept database.

    Its `made` is what the filler of the database said of it.
    """
    def prepare(make, *arguments):
        name = make(*arguments, folder=tmp_path_factory.mktemp('filled'))

        def copy():
            return released.copy(name, tmp_path_factory.mktemp('upgrade'))
        copy.made = released.made(name)
        return copy
    return prepare


@pytest.fixture(scope='session')
def database_504(released, copies_of):
    "Return a function that gives a copy of the filled database of 5.0.4."
    return copies_of(released.database_504)


@pytest.fixture(scope='session')
def database_441(released, copies_of):
    "Return a function that gives a copy of the filled database of 4.4.1."
    return copies_of(released.database_441)


@pytest.fixture(scope='session')
def database_landed(released, copies_of):
    """Return a function that gives a copy of the filled database of the last
    landed state."""
    return copies_of(
        released.database_of_state, releases.LANDED, 'fill_landed.py')


@pytest.fixture(scope='session')
def database_former(released, copies_of):
    """Return a function that gives a copy of the filled database of a state
    before the last landed one."""
    return copies_of(
        released.database_of_state, releases.FORMER, 'fill_former.py')


@pytest.fixture(scope='session')
def upgraded_copy(released, tmp_path_factory):
    "Return a function that upgrades a copy of a database."
    def upgrade(make):
        copy = make()
        before = releases.snapshot(copy)
        _, log = releases.upgrade(copy)
        after, again = releases.snapshot(copy), released.copies.again
        kept = again(copy, tmp_path_factory.mktemp('upgraded'))
        return Upgraded(copy, make.made, before, after, log,
            lambda: again(kept, tmp_path_factory.mktemp('upgraded')))
    return upgrade


@pytest.fixture(scope='session')
def upgraded(upgraded_copy, database_504):
    "The database of 5.0.4 before and after the upgrade."
    return upgraded_copy(database_504)


@pytest.fixture(scope='session')
def landed(upgraded_copy, database_landed):
    "The database of the last landed state before and after the upgrade."
    return upgraded_copy(database_landed)


@pytest.fixture(scope='session')
def former(upgraded_copy, database_former):
    "The database of a former state before and after the upgrade."
    return upgraded_copy(database_former)


@pytest.fixture(scope='session')
def decide(opened):
    """Return a function that decides on all studies of an upgraded database
    as a complete synchronization does.

    It returns the studies and their log after what waited, and all tables at
    the end.
    """
    def decide(upgraded):
        from trytond.modules.health_orthanc.links import events
        from trytond.pool import Pool
        study = 'gnuhealth_imaging_orthanc_study'
        with opened(upgraded.copy):
            LinkEvent = Pool().get('gnuhealth.orthanc.link_event')
            LinkEvent.catch_up(dt.datetime.now() - dt.timedelta(days=1))
            caught_up = releases.snapshot(
                upgraded.copy, study, 'gnuhealth_orthanc_link_log')
            events.decide_in_parts(sorted(upgraded.after[study]), 'sync')
        return caught_up, releases.snapshot(upgraded.copy)
    return decide


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
