# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PACS that lies: answers that are small on the way and large in memory,
that never end, a change log without end, and runs that never come to theirs.
What it costs is measured."""
import datetime as dt
import functools
import gzip
import itertools
import json
import re
import time
import tracemalloc
from contextlib import contextmanager

import pytest
from services import Orthanc
from support import archive
from support import fault_server as faults
from support.fault_server import SYSTEM, FaultServer, answer
from support.records import make_user
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, synchronize, transaction)

from trytond.ir import queue_
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc.archive import values as archive_values
from trytond.modules.health_orthanc.archive.orthanc import (
    AnswerTooLarge, BadAnswer, NotOrthanc, OrthancClient, OrthancError,
    TooSlow)
from trytond.modules.health_orthanc.sync import reading
from trytond.modules.health_orthanc.sync import run as sync_run
from trytond.pool import Pool
from trytond.transaction import Transaction

SERVER = 'gnuhealth.orthanc.config'
MIB = 2 ** 20
numbers = itertools.count()
COUNTS = {
    'CountPatients': 3, 'CountStudies': 3, 'CountSeries': 3,
    'CountInstances': 3}
IDS = [f'{n:08x}' for n in range(5000)]
ID = IDS[0]


@pytest.fixture
def liar():
    "A server whose files are harmless: they are read before their attributes."
    with FaultServer() as server:
        server.on('^/instances/[^/]*/file$', answer(b''))
        yield server


@pytest.fixture
def client(liar):
    with OrthancClient(liar.url, read_timeout=20) as client:
        yield client


@contextmanager
def bounded(memory, seconds):
    """Check what something costs.

    :param memory: how much more Python may take meanwhile, MiB
    """
    start = time.monotonic()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory * MIB
    assert time.monotonic() - start < seconds


# One answer

CALLS = {
    'system': (lambda c: c.system(), 2),
    'statistics': (lambda c: c.statistics(), 2),
    'plugins': (lambda c: c.plugins(), 2),
    'changes': (lambda c: c.changes(0), 40),
    'last change': (lambda c: c.last_change(), 2),
    'ids': (lambda c: c.ids('studies', 3), 2),
    'any number of ids': (lambda c: c.ids('series'), 120),
    'studies': (lambda c: c.bulk('studies', IDS[:100]), 40),
    'series': (lambda c: c.bulk('series', IDS[:100], source='studies'), 120),
    'instances': (lambda c: c.bulk('instances', IDS), 150),
    'tags': (lambda c: c.tags(ID), 20),
    'metadata': (lambda c: c.metadata('instances', ID), 2),
    'delete': (lambda c: c.delete('studies', ID), 20),
    'upload': (lambda c: c.upload(b'data'), 20),
    }
#: Begin, what is repeated, and end of answers that take far more memory when
#: they are parsed than on the way.
BOMBS = {
    'objects': (b'[', b'{},', b'{}]'),
    'objects with a key': (b'[', b'{"":0},', b'{}]'),
    'lists': (b'[', b'[],', b'[]]'),
    'lists in lists': (b'[', b'[[[[]]]],', b'[]]'),
    'objects in an object': (b'{"a":[', b'{},', b'{}]}'),
    'short texts': (b'[', b'"ab",', b'""]'),
    'numbers': (b'[', b'1234,', b'1]'),
    'wide letters': (b'["', '\U0001f600'.encode(), b'"]'),
    'blanks': (b'[', b' ', b']'),
    }


def lie(bomb, size):
    "Return the bytes of a bomb of about a size."
    start, piece, end = BOMBS[bomb]
    return start + piece * (size // len(piece)) + end


@functools.cache
def packed_lie(bomb):
    return gzip.compress(lie(bomb, 64 * MIB), 1)


def packed(body):
    return answer(body, headers={'Content-Encoding': 'gzip'})


@pytest.mark.parametrize('bomb', BOMBS)
@pytest.mark.parametrize('call', CALLS)
def test_packed_bomb(liar, client, call, bomb):
    liar.on('', packed(packed_lie(bomb)))
    ask, most = CALLS[call]
    with bounded(most, 10), pytest.raises((AnswerTooLarge, NotOrthanc)):
        ask(client)
    assert liar.count() == (2 if call == 'tags' else 1)


@pytest.mark.parametrize('bomb', BOMBS)
def test_bomb_as_a_file(bomb):
    with FaultServer() as server, OrthancClient(server.url) as client:
        server.on('', packed(packed_lie(bomb)))
        with bounded(20, 10), pytest.raises(OrthancError):
            client.tags(ID)
        assert server.count() == 1


@pytest.mark.parametrize('bomb', BOMBS)
@pytest.mark.parametrize('call', CALLS)
def test_bomb_as_large_as_allowed(liar, client, call, bomb):
    "All that a call takes, sent as it is: what is parsed is bounded, too."
    sizes = {
        'instances': 20, 'series': 16, 'any number of ids': 30,
        'changes': 4, 'studies': 2, 'tags': 2, 'delete': 2, 'upload': 2}
    size = sizes.get(call, 0) * MIB or 60_000
    liar.on('', answer(lie(bomb, size)))
    call, most = CALLS[call]
    with bounded(most, 20):
        try:
            call(client)
        except OrthancError as error:
            assert isinstance(error, (AnswerTooLarge, BadAnswer))


def test_bomb_that_is_no_answer_at_all(liar, client):
    liar.on('', answer(
            packed_lie('objects'), 500, headers={'Content-Encoding': 'gzip'}))
    with bounded(2, 10), pytest.raises(OrthancError):
        client.ids('studies')


@pytest.mark.parametrize('size', [1, 1000, 100_000])
def test_nothing_is_kept_behind_the_packed_answer(liar, client, size):
    good = gzip.compress(b'["a"]')
    liar.on('', packed(good + b'x' * size))
    with bounded(2, 5), pytest.raises(BadAnswer):
        client.ids('studies')


def test_endless_garbage_behind_the_packed_answer(liar, client):
    good = gzip.compress(b'["a"]')
    liar.on('', faults.endless(good, b'x' * 65536, (
                b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n'
                b'Connection: close\r\n\r\n')))
    with bounded(2, 5), pytest.raises(BadAnswer):
        client.ids('studies')


def test_second_packed_answer_behind_the_first(liar, client):
    liar.on('', packed(gzip.compress(b'["a"') + gzip.compress(b',"b"]')))
    with pytest.raises(BadAnswer):
        client.ids('studies')


@pytest.mark.parametrize('body', [
        b'[' * 100_000, b'{"a":' * 20_000, b'[' * 900 + b']' * 900])
def test_deep_answer(liar, client, body):
    liar.on('', answer(body))
    with bounded(10, 5), pytest.raises((BadAnswer, AnswerTooLarge)):
        client.bulk('studies', [ID])


# What an honest server may say

def resource(number, **values):
    id_ = '-'.join([f'{number:08x}'] * 5)
    return {
        'ID': id_, 'Type': 'Instance', 'ParentSeries': id_,
        'FileSize': 1000, 'FileUuid': id_, 'IndexInSeries': number,
        'MainDicomTags': {
            'InstanceNumber': str(number), 'SOPInstanceUID': '1.2.3' * 12,
            'ImageComments': "as seen, in part, from the side, " * 20},
        'Metadata': {f'Name{n}': 'value' for n in range(12)}, **values}


def test_large_honest_answers_are_read(liar, client):
    some = [resource(n) for n in range(5000)]
    liar.on('bulk-content', packed(gzip.compress(json.dumps(some).encode())))
    assert client.bulk('instances', IDS) == some
    ids = [f'{n:040x}abcd' for n in range(20_000)]
    liar.on('^/series$', answer(json.dumps(ids, indent=3)))
    assert client.ids('series', 20_000) == ids
    # Some came since they were counted.
    assert client.ids('series', 19_100) == ids
    liar.on('^/series/.*/instances', answer(some))
    client.has_bulk = False
    series = archive_values.series({
            'ID': ID, 'ParentStudy': ID,
            'Instances': [item['ID'] for item in some]})
    assert list(client.instances([series])) == [
        list(map(archive_values.instance, some))]
    frame = {
        f'Sequence{n}': [{'ImagePositionPatient': '-100\\-100\\30'}]
        for n in range(8)}
    tags = {'PerFrameFunctionalGroupsSequence': [frame] * 1400}
    liar.on('/simplified-tags', answer(json.dumps(tags, indent=3)))
    assert client.tags(ID) == tags
    frames = list(range(30_000))
    liar.on('/frames$', answer(json.dumps(frames)))
    assert client._has_frame(ID, 29_999)


def test_series_of_a_large_study_is_read(liar, client):
    ids = [f'{n:040x}abcd' for n in range(200_000)]
    series = [{'ID': ID, 'Type': 'Series', 'Instances': ids}]
    liar.on('bulk-content', answer(json.dumps(series, indent=3)))
    assert client.bulk('series', [ID], source='studies') == series


def test_long_attributes_do_not_keep_a_report_out(liar, client):
    liar.on('^/studies', answer({
                'ID': ID, 'Series': [ID],
                'PatientMainDicomTags': {'PatientID': 'P1'},
                'MainDicomTags': {'StudyInstanceUID': '1.2.3'}}))
    liar.on('bulk-content', answer([{'ID': ID, 'Instances': [ID]}]))
    liar.on('/simplified-tags', answer({'x': 'y' * 3 * MIB}))
    assert client._tags_of_study(ID) == {
        'PatientID': 'P1', 'StudyInstanceUID': '1.2.3'}


# Whole runs

@pytest.fixture
def in_database(activated):
    with transaction():
        yield


def since(exchange):
    return int(re.search(r'since=(\d+)', exchange.call.path).group(1))


def endless_log(changes):
    "Answer that the log has one more change, for ever."
    def fault(exchange):
        found = {'Changes': changes, 'Last': since(exchange) + 1}
        return answer({**found, 'Done': False})(exchange)
    return fault


def say(liar, **paths):
    "Let a server answer as an Orthanc that has nothing does."
    for path, value in {
            'system': SYSTEM, 'statistics': dict.fromkeys(COUNTS, 0),
            'changes.last': {'Changes': [], 'Last': 5, 'Done': True},
            'studies': [], **paths}.items():
        liar.on(f'^/{path}$', answer(value))


def test_empty_change_log_that_goes_on(in_database, liar):
    say(liar)
    server = new_server(liar.url)
    assert synchronize(server).state == 'done'
    liar.on('^/changes.since', endless_log([]))
    run = synchronize(server)
    assert run.state == 'failed' and run.error
    assert liar.count('^/changes.since') == 2


def test_one_empty_block_is_believed(liar, client):
    blocks = itertools.cycle([[], [{'Seq': 1}]])
    liar.on('', lambda exchange: endless_log(next(blocks))(exchange))
    assert len(list(client.all_changes(0, max_blocks=8))) == 8


@pytest.mark.parametrize('bomb', ['objects', 'short texts', 'wide letters'])
@pytest.mark.parametrize('path', [
        '/system', '/statistics', '/changes', '/studies', '/bulk-content'])
def test_bomb_in_a_run(in_database, liar, path, bomb):
    liar.on(path, packed(packed_lie(bomb)))
    say(liar, studies=[ID], statistics=COUNTS)
    server = new_server(liar.url)
    with bounded(50, 20):
        run = synchronize(server)
    assert run.state == 'failed' and run.error
    assert liar.count(path) < 5


def limited(monkeypatch, seconds):
    monkeypatch.setattr(sync_run, 'HOUR', seconds)


@pytest.mark.parametrize('changes', [
        [{'ChangeType': 'NewInstance', 'ResourceType': 'Instance', 'ID': ID}],
        [{'ChangeType': 'StableStudy', 'ResourceType': 'Study', 'ID': ID}],
        [{}]], ids=['new', 'echo', 'nothing'])
def test_change_log_without_end(in_database, liar, monkeypatch, changes):
    say(liar)
    server = new_server(liar.url, run_hours=1)
    assert synchronize(server).state == 'done'
    liar.on('bulk-content', answer([]))
    liar.on('^/changes.since', endless_log(changes))
    limited(monkeypatch, 0.3)
    start = time.monotonic()
    run = synchronize(server)
    assert time.monotonic() - start < 3
    assert run.state == 'interrupted'
    assert '1 h' in run.error
    record = Pool().get(SERVER)(server)
    assert not record.lease
    first = record.last_changed_index
    assert first > 5
    # The next one goes on there.
    assert synchronize(server).state == 'interrupted'
    assert Pool().get(SERVER)(server).last_changed_index > first


@pytest.mark.parametrize('fault', [
        faults.drip(0.1, body=b'[' + b' ' * 1000),
        faults.drip(0.1, headers=True, body=b'[]' * 100), faults.hang()],
    ids=['drip', 'slow headers', 'hang'])
@pytest.mark.parametrize('path', ['^/system', '^/studies', '^/changes'])
def test_slow_answer_ends_with_the_run(
        in_database, liar, monkeypatch, path, fault):
    liar.on(path, fault)
    say(liar)
    server = new_server(liar.url, run_hours=1)
    limited(monkeypatch, 1)
    start = time.monotonic()
    run = synchronize(server)
    assert run.state == 'interrupted' and run.error
    assert time.monotonic() - start < 5


def test_runs_that_end_early_bring_everything_in_the_end(
        in_database, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, 'GROUP_STUDIES', 1)
    limited(monkeypatch, 1)
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    try:
        archive.upload(orthanc, [
                archive.study(n, series=1, instances=2) for n in range(6)])
        with FaultServer(orthanc.url) as proxy:
            proxy.on('bulk-content', faults.delay(0.2))
            server = new_server(proxy.url, run_hours=1)
            states = [synchronize(server).state]
            while states[-1] != 'done' and len(states) < 20:
                states.append(synchronize(server).state)
        assert states[0] == 'interrupted' and states[-1] == 'done'
        assert stored_tree(server) == orthanc_tree(orthanc)
    finally:
        orthanc.kill()


def test_later_calls_of_a_run_that_is_over_ask_nothing(liar, client):
    liar.on('', answer(SYSTEM))
    client.end_at(time.monotonic() - 1)
    with pytest.raises(TooSlow):
        client.system()
    assert liar.count() == 0


# The queue

@pytest.fixture
def with_worker(in_database, monkeypatch):
    "As where workers run the tasks: here none does."
    monkeypatch.setattr(queue_, 'has_worker', True)
    user = make_user(
        f'it {next(numbers)}', 'health_orthanc.group_imaging_orthanc_admin')
    Transaction().commit()
    with Transaction().set_user(user.id), Transaction().set_context(
            _check_access=True):
        yield


def waiting(server):
    "Return the tasks that wait for a server, as method and whether full."
    Queue = Pool().get('ir.queue')
    with Transaction().set_context(_check_access=False):
        found = [t.data for t in Queue.search([('dequeued_at', '=', None)])]
    return sorted(
        (d['method'], bool(d['kwargs'].get('full'))) for d in found
        if d['instances'] in (server, (server,), [server]))


def clear_queue(**values):
    Queue = Pool().get('ir.queue')
    with Transaction().set_context(_check_access=False):
        Queue.write(Queue.search([]), values or {'dequeued_at': None})


def test_impatient_person(with_worker):
    Server = Pool().get(SERVER)
    with Transaction().set_context(_check_access=False):
        servers = [new_server(f'http://127.0.0.1:{p}') for p in (1, 2)]
    clear_queue(dequeued_at=now())
    one, other = Server.browse(servers)
    for _ in range(50):
        Server.do_sync([one])
        Server.sync([one])
    assert len(waiting(one.id)) == 1
    for _ in range(3):
        Server.sync_later([one, other], full=True, started_by='wizard')
        Server.full_sync([one])
    assert [full for _, full in waiting(one.id)] == [False, True]
    assert waiting(other.id) == [('sync_server', True)]
    for number in range(20):
        Server.write([one], {'user': f'demo{number}'})
    assert waiting(one.id)[0] == ('check_servers', False)
    assert len(waiting(one.id)) == 3
    # What a worker has begun may have missed what came meanwhile.
    clear_queue(dequeued_at=now())
    Server.do_sync([one])
    assert waiting(one.id) == [('sync_server', False)]
    Transaction().rollback()


def test_task_that_a_client_puts_off_keeps_nobody_out(with_worker):
    Server = Pool().get(SERVER)
    with Transaction().set_context(_check_access=False):
        server = new_server('http://127.0.0.1:1')
    with Transaction().set_context(
            queue_scheduled_at=dt.timedelta(days=9999), queue_name='x'):
        Server.do_sync([Server(server)])
    Queue = Pool().get('ir.queue')
    with Transaction().set_context(_check_access=False):
        tasks = [
            t for t in Queue.search([('dequeued_at', '=', None)])
            if t.data['instances'] in (server, (server,))]
        assert ('sync_server', False) in waiting(server)
        assert {(t.name, t.scheduled_at) for t in tasks} == {
            ('default', None)}
    Transaction().rollback()
