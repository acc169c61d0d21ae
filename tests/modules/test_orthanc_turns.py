# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers take turns: what reads everything lets others go first, and goes on
afterwards."""
import pytest
from support.fake_pacs import fakes
from support.synchronizing import count_rows, new_server, transaction

from trytond import backend
from trytond.ir import queue_
from trytond.modules.health_orthanc.sync import run as sync_run
from trytond.pool import Pool
from trytond.transaction import Transaction

# 1700 instances a study: a block has two.
STUDIES, SERIES, INSTANCES = 5, 2, 850

pytestmark = pytest.mark.postgresql


@pytest.fixture(autouse=True)
def with_workers(activated, monkeypatch):
    "A transaction where tasks are left to workers, and turns are short."
    monkeypatch.setattr(queue_, 'has_worker', True)
    monkeypatch.setattr(sync_run, 'TURN_SECONDS', -1)
    with transaction():
        forget_tasks()
        yield


def forget_tasks():
    "Empty the queue: new servers are tested by a task."
    Queue = Pool().get('ir.queue')
    Queue.delete(Queue.search([]))
    Transaction().commit()


@pytest.fixture
def pacs():
    with fakes({
                'studies': STUDIES, 'series': SERIES, 'instances': INSTANCES,
                }) as (pacs,):
        pacs.server = new_server(pacs)
        forget_tasks()
        yield pacs


def pulled():
    "Return the tasks that wait in the order in which a worker takes them."
    Queue, found = Pool().get('ir.queue'), []
    Transaction().commit()
    database = backend.Database(Transaction().database.name)
    connection = database.get_connection(autocommit=True)
    try:
        while True:
            task, _ = Queue.pull(database, connection)
            if not task:
                break
            found.append(task)
    finally:
        database.put_connection(connection)
    Transaction().rollback()
    return [
        (task.data['instances'], task.data['method'],
            task.data['kwargs'].get('full')) for task in map(Queue, found)]


def synchronize(server, **options):
    Server = Pool().get('gnuhealth.orthanc.config')
    run = Server.sync_server(Server(server), **options)
    Transaction().commit()
    return Pool().get('gnuhealth.orthanc.sync_run')(run)


def test_a_long_run_lets_others_go_first(pacs):
    Server = Pool().get('gnuhealth.orthanc.config')
    other = new_server('http://127.0.0.1:1')
    forget_tasks()
    states, stored = [], []
    for _ in range(4):
        Server.sync_later([Server(other)], started_by='button')
        run = synchronize(pacs.server, started_by='cron')
        states.append((run.state, run.error))
        stored.append(count_rows(pacs.server)[2])
        waiting = pulled()
        assert waiting[:1] == [(other, 'sync_server', False)]
        assert waiting[1:] == [(pacs.server, 'sync_server', True)] * (
            run.state != 'done')
    assert states == [('interrupted', None)] * 3 + [('done', None)]
    each = SERIES * INSTANCES
    assert stored == [2 * each, 4 * each, 5 * each, 5 * each]
    # Not where a person waits for the run itself.
    Server.sync_later([Server(other)], started_by='button')
    assert synchronize(
        pacs.server, full=True, started_by='script').state == 'done'


def test_a_long_run_reads_what_came_when_it_goes_on(pacs):
    synchronize(pacs.server)
    run = synchronize(pacs.server, full=True, started_by='nightly')
    assert run.state == 'interrupted'
    pacs.set(studies=STUDIES + 1)
    given = pacs.ask()['given']
    run = synchronize(pacs.server, full=True, started_by='nightly')
    assert (run.state, run.studies_new) == ('interrupted', 1)
    each = SERIES * INSTANCES
    # The new study, and the next block, which the thread reads ahead.
    assert count_rows(pacs.server)[2] == (STUDIES + 1) * each
    assert each < pacs.ask()['given'] - given <= 6 * each
    while run.state == 'interrupted':
        run = synchronize(pacs.server, full=True, started_by='nightly')
    assert (run.state, run.studies_changed) == ('done', 0)
    assert synchronize(pacs.server).calls == 3


def test_quick_runs_come_before_long_ones():
    Server = Pool().get('gnuhealth.orthanc.config')
    good, bad = [
        new_server(f'http://{name}.example') for name in ['good', 'bad']]
    Server.write([Server(good)], {'validated': True})
    forget_tasks()
    Server.full_sync([Server(good), Server(bad)])
    Server.sync([Server(bad), Server(good)])
    Server.look_soon(Server(good))
    assert pulled() == [
        (good, 'sync_server', False), (good, 'sync_noticed', None),
        (good, 'check_and_sync', True), (bad, 'check_and_sync', True),
        (bad, 'check_and_sync', False)]


def test_what_is_gone_is_marked_in_blocks(pacs, monkeypatch):
    synchronize(pacs.server)
    monkeypatch.setattr(sync_run, 'GROUP_GONE', 2)
    monkeypatch.setattr(sync_run.Run, '_mark', lambda self, ids, mark=(
                sync_run.Run._mark): sizes.append(len(ids)) or mark(self, ids))
    sizes = []
    pacs.set(first=STUDIES, studies=1, instances=1)
    run = synchronize(pacs.server)
    assert (run.state, run.studies_gone) == ('done', STUDIES)
    assert sizes == [2, 2, 1]
    # A run that follows has nothing to do.
    assert synchronize(pacs.server).calls == 3
