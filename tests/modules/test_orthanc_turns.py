# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers take turns: what reads everything lets others go first, and goes on
afterwards; those that do not answer keep one worker at the most."""
import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import killed_runs
from support.fake_pacs import fakes
from support.fault_server import FaultServer, delay
from support.statements import counted
from support.synchronizing import count_rows, new_server, transaction

from trytond import backend
from trytond.ir import queue_
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_orthanc import server as server_module
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
    found = list(taken())
    Transaction().rollback()
    return list(map(told, found))


def worked(limit=None):
    """Do what waits, and what waits then, as a worker does; return what that
    was.

    :param limit: how many tasks at the most
    """
    Queue, done = Pool().get('ir.queue'), []
    for id_ in taken(limit):
        Transaction().rollback()
        task = Queue(id_)
        done.append(told(id_))
        task.run()
        Transaction().commit()
    return done


def told(task):
    task = Pool().get('ir.queue')(task)
    return (
        servers_of(task), task.data['method'], task.data['kwargs'].get('full'))


def taken(limit=None):
    "Yield the ids of the tasks that a worker takes."
    Queue = Pool().get('ir.queue')
    Transaction().commit()
    database = backend.Database(Transaction().database.name)
    connection = database.get_connection(autocommit=True)
    # Of a queue that was as good as empty when PostgreSQL looked at it last,
    # trytond takes several tasks and tells of one.
    connection.cursor().execute('SET enable_nestloop = off')
    try:
        while limit != 0:
            try:
                task, _ = Queue.pull(database, connection)
            except backend.DatabaseOperationalError:
                # As a worker does when another one takes the same.
                continue
            if not task:
                break
            yield task
            limit = limit and limit - 1
    finally:
        database.put_connection(connection)


def servers_of(task):
    "Return the id of the server of a task, or a list where it has one."
    servers = task.data['instances']
    return servers if isinstance(servers, int) else list(servers)


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


def servers_at(*names, **values):
    "Return records of servers that answer nothing."
    Server = Pool().get('gnuhealth.orthanc.config')
    servers = Server.browse([
            new_server(f'http://{name}.example', **values) for name in names])
    forget_tasks()
    return servers


def answered(servers):
    "Let servers have answered when they were asked last."
    servers[0].__class__.write(list(servers), {'validated': True})
    forget_tasks()


def let_pass(**times):
    "Let what is in the queue be there for longer, by column."
    queue = Pool().get('ir.queue').__table__()
    for name, past in times.items():
        column = getattr(queue, name)
        execute(queue.update([column], [column - past]))
    Transaction().commit()


def test_quick_runs_come_before_long_ones():
    Server = Pool().get('gnuhealth.orthanc.config')
    good, bad = servers_at('good', 'bad')
    answered([good])
    Server.sync_later([good], full=True)
    # After hours of waiting, too.
    let_pass(
        enqueued_at=dt.timedelta(hours=3), expected_at=dt.timedelta(hours=3))
    Server.sync([bad, good])
    Server.look_soon(good)
    assert pulled() == [
        (good.id, 'sync_server', False), (good.id, 'sync_noticed', None),
        ([bad.id], 'check_and_sync', False), (good.id, 'sync_server', True)]


def test_a_long_run_gives_way_to_who_waits(pacs, monkeypatch):
    Server = Pool().get('gnuhealth.orthanc.config')
    monkeypatch.setattr(sync_run, 'TURN_SECONDS', 1000)
    monkeypatch.setattr(sync_run, 'LEAST_SECONDS', -1)
    monkeypatch.setattr(sync_run, 'PATIENCE', dt.timedelta(minutes=10))
    other, = servers_at('other')
    Server.sync_later([other], full=True)
    Server.sync_later([other], started_by='button')
    # Another worker may take it.
    run = synchronize(pacs.server, full=True, started_by='nightly')
    assert run.state == 'done'
    past = dt.timedelta(minutes=11)
    let_pass(enqueued_at=past, expected_at=past)
    run = synchronize(pacs.server, full=True, started_by='nightly')
    assert run.state == 'interrupted'
    assert [task[0] for task in pulled()] == [
        other.id, other.id, pacs.server]


def test_a_complete_comparison_begins_with_what_is_new(pacs):
    while synchronize(pacs.server).state != 'done':
        pass
    pacs.set(studies=STUDIES + 2)
    run = synchronize(pacs.server, full=True, started_by='nightly')
    assert (run.state, run.studies_new) == ('interrupted', 2)


def test_servers_that_do_not_answer_have_one_task():
    Server = Pool().get('gnuhealth.orthanc.config')
    good, *bad = servers_at('up', 'down-1', 'down-2', 'down-3')
    answered([good])
    servers, ids = [good, *bad], [server.id for server in bad]
    for _ in range(3):
        Server.sync(servers)
    assert pulled() == [
        (good.id, 'sync_server', False), (ids, 'check_and_sync', False)]
    # While a worker asks them, no other one does.
    Server.sync(servers)
    assert pulled() == [(good.id, 'sync_server', False)]
    # It may have been killed.
    let_pass(dequeued_at=dt.timedelta(minutes=11))
    Server.sync(servers)
    assert (ids, 'check_and_sync', False) in pulled()


def test_many_servers_are_asked_at_once():
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes(*[{'hangs': True}] * 4) as silent, FaultServer() as slow, \
            fakes({'studies': 1}) as (quick,):
        slow.target = quick.url
        slow.on('/system', delay(1))
        servers = Server.browse([
                new_server(url, read_timeout=2)
                for url in [*silent, slow, quick, 'http://127.0.0.1:1']])
        forget_tasks()
        begin = time.monotonic()
        Server.check_and_sync(servers)
        took = time.monotonic() - begin
    assert 2 <= took < 5
    assert [server.validated for server in servers] == [False] * 4 + [
        True, True, False]
    texts = [*["stopped"] * 4, None, None, "Nothing"]
    for server, text in zip(servers, texts):
        assert text is None or text in server.last_error
        assert server.check_time
    # Nobody waits for one that is slower.
    assert pulled() == [
        (servers[n].id, 'sync_server', False) for n in (5, 4)]


def test_one_server_does_not_keep_the_others_from_their_answers(monkeypatch):
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes({}, {}) as pacs:
        servers = Server.browse([new_server(each) for each in pacs])
        monkeypatch.setattr(server_module, 'probe', lambda client, probe=(
                    server_module.probe): (
                {}['odd'] if client.url == pacs[0].url else probe(client)))
        Server.check_and_sync(servers)
    assert [server.validated for server in servers] == [False, True]
    assert "unexpected" in servers[0].last_error


def test_a_slow_server_is_not_given_up():
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes({'studies': 1}) as (pacs,), FaultServer(pacs.url) as slow:
        slow.on('', delay(0.7))
        server, = servers = Server.browse([
                new_server(slow, connect_timeout=1, read_timeout=2)])
        for _ in range(2):
            Server.write(servers, {'validated': False})
            forget_tasks()
            Server.sync(servers)
            assert pulled() == [([server.id], 'check_and_sync', False)]
            Server.check_and_sync(servers)
            assert pulled() == [(server.id, 'sync_server', False)]
            assert synchronize(server.id, started_by='script').state == 'done'
            assert Server(server.id).validated


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(sync_run, 'HASTE_SECONDS', 0.4)


def known(pacs, **values):
    "Return servers that were read."
    Server = Pool().get('gnuhealth.orthanc.config')
    servers = Server.browse([new_server(each, **values) for each in pacs])
    for server in servers:
        synchronize(server.id, started_by='script')
    forget_tasks()
    return servers


def states(server):
    "Return what a server is said to be, and its runs."
    server = server.__class__(server.id)
    return (
        server.validated, server.last_error, bool(server.compared),
        server.lease, of_server(server.id))


@pytest.mark.parametrize('started_by', ['cron', 'button', 'notice'])
def test_a_server_that_begins_to_hang_is_left_to_one_task(hasty, started_by):
    with fakes({'studies': 1}) as pacs:
        server, = known(pacs, read_timeout=60)
        pacs[0].set(hangs=True)
        begin = time.monotonic()
        synchronize(server.id, started_by=started_by)
        assert time.monotonic() - begin < 5
        # Nobody says that it is down.
        assert states(server) == (True, None, True, None, ['done'])
        synchronize(server.id, started_by=started_by)
        # The clock leaves it there, too, and does not ask it in haste again.
        server.__class__.sync([server])
        assert pulled() == [([server.id], 'check_and_sync', False)]
        server.__class__.sync([server])
        assert pulled() == []


def worked_beside(limit):
    with transaction():
        return worked(limit)


def asking(state):
    "Return the tasks that ask servers and have no time of a state yet."
    Transaction().rollback()
    return Pool().get('ir.queue').search([
            (state, '=', None), ('data.method', '=', 'check_and_sync')])


def test_servers_that_begin_to_hang_keep_one_worker(hasty):
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes(*[{'studies': 1}] * 4) as pacs:
        *silent, again = servers = known(pacs, read_timeout=3)
        ids = [server.id for server in servers]
        for each in pacs:
            each.set(hangs=True)
        Server.sync(servers)
        assert worked(4) == [(id_, 'sync_server', False) for id_ in ids]
        assert len(asking('dequeued_at')) == 4
        pacs[-1].set(hangs=False)
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(worked_beside, 1)
            while asking('dequeued_at'):
                time.sleep(0.05)
            # Nor does another worker get them while they are asked.
            Server.write(silent, {'validated': False})
            Server.sync(silent)
            assert not asking('dequeued_at')
            assert done.result() == [(ids[:1], 'check_and_sync', False)]
        assert not asking('finished_at')
        assert (again.id, 'sync_server', False) in worked()
        assert states(again) == (True, None, True, None, ['done'] * 2)
        for server in silent:
            validated, error, *_ = states(server)
            assert not validated and "stopped" in error


@pytest.mark.parametrize('limit', [1, None])
def test_workers_that_ask_silent_servers_at_once_ask_all(hasty, limit):
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes(*[{'studies': 1}] * 8) as pacs:
        servers = known(pacs, read_timeout=2)
        for each in pacs:
            each.set(hangs=True)
        for server in servers:
            Server.sync([server], full=True)
        Transaction().commit()
        assert len(asking('dequeued_at')) == 8
        with ThreadPoolExecutor(4) as threads:
            done = list(threads.map(worked_beside, [limit] * 4))
        assert 1 <= sum(map(len, done)) <= 8
        assert not asking('finished_at')
        assert not any(states(server)[0] for server in servers)


def test_a_slow_server_is_synchronized_and_not_declared_down(hasty):
    Server = Pool().get('gnuhealth.orthanc.config')
    with fakes({'studies': 1}) as (pacs,), FaultServer(pacs.url) as slow:
        server, = known([slow], read_timeout=3)
        slow.on('', delay(0.7))
        for studies in [2, 3]:
            pacs.set(studies=studies)
            Server.sync([server])
            Server.sync([server])
            one = server.id, 'sync_server', False
            assert worked() == [
                one, ([server.id], 'check_and_sync', False), one]
            assert count_rows(server.id)[0] == studies
            assert states(server) == (
                True, None, True, None, ['done'] * studies)


def test_without_workers_nobody_else_asks_a_slow_server(hasty, monkeypatch):
    monkeypatch.setattr(queue_, 'has_worker', False)
    with fakes({'studies': 1}) as (pacs,), FaultServer(pacs.url) as slow:
        slow.on('', delay(0.7))
        assert synchronize(
            new_server(slow), started_by='cron').state == 'done'


def killed_at(server):
    "Start a run that is killed while it waits for its server."
    count = len(of_server(server))
    process = killed_runs.start(server)
    while len(of_server(server)) == count:
        time.sleep(0.05)
    process.kill()
    process.wait()


def of_server(server):
    "Return the states of the runs of a server, the last one first."
    Transaction().rollback()
    return [run.state for run in Pool().get('gnuhealth.orthanc.sync_run')
        .search([('server', '=', server)])]


def test_another_worker_takes_up_what_one_left_that_was_killed():
    with fakes({'hangs': True}, {'studies': 1}) as (pacs, other):
        server, good = [new_server(each) for each in (pacs, other)]
        forget_tasks()
        synchronize(good)
        assert not pulled()
        killed_at(server)
        assert of_server(server) == ['running']
        # While it is done by none.
        for _ in range(2):
            synchronize(good)
        assert pulled() == [(server, 'sync_server', False)]
        # Nor when it may be to blame.
        killed_at(server)
        assert of_server(server) == ['running', 'interrupted']
        synchronize(good)
        assert not pulled()
        pacs.set(hangs=False)
        assert synchronize(server).state == 'done'


def test_the_queue_is_read_once_for_all_servers():
    Server = Pool().get('gnuhealth.orthanc.config')
    counts = []
    for number in [3, 30]:
        servers = servers_at(*(f'{n}-of-{number}' for n in range(number)))
        answered(servers[1:])
        Server.sync(servers)
        Transaction().commit()
        with counted() as statements:
            Server.sync(servers)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 5


def test_what_was_lost_is_marked_when_a_wiped_server_gets_studies(pacs):
    while synchronize(pacs.server).state != 'done':
        pass
    pacs.set(studies=0)
    for _ in range(3):
        run = synchronize(pacs.server)
        assert (run.state, run.studies_gone) == ('done', 0)
    assert "no studies" in run.error
    pacs.set(first=STUDIES, studies=1)
    run = synchronize(pacs.server)
    assert (run.studies_new, run.studies_gone) == (1, STUDIES)
    assert not run.error


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
