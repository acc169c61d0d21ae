# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes wrong between GNU Health and a real Orthanc: what is stored
stays consistent, nothing is lost, and the next run finishes the job."""
import pytest
from services import Orthanc
from support import archive
from support.fault_server import (
    FaultServer, after, answer, change, delay, drip, drop, endless, garbage,
    hang, html, redirect, reset, status, truncate)
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, studies, synchronize, transaction)

from trytond.modules.health_orthanc import connection
from trytond.modules.health_orthanc.archive import session
from trytond.pool import Pool

SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'

# What happens at one request, and whether it is over quickly.
FAULTS = {
    '401': status(401),
    '403': status(403),
    '404': status(404),
    '409': status(409),
    '500': status(500),
    '503': status(503),
    'error page': html(502),
    'web page': html(),
    'no JSON': answer('{"Changes": ['),
    'null': answer('null'),
    'object': answer({}),
    'list': answer([]),
    'list of null': answer([None]),
    'drop': drop(),
    'reset': reset(0.5),
    'cut headers': truncate(10),
    'cut body': truncate(0.5),
    'empty': truncate(),
    'redirect': redirect('http://192.0.2.1/'),
    'no HTTP': garbage(),
    'less': change(lambda v: v[1:] if isinstance(v, list) else v),
    }
SLOW = {
    'hang': hang(),
    'late': delay(1.5),
    'drip': drip(0.3),
    'slow headers': drip(0.3, headers=True),
    'endless': endless(),
    'endless headers': endless(
        b'', b'X: ' + b'x' * 1000 + b'\r\n', b'HTTP/1.1 200 OK\r\n'),
    }
# How many requests the runs of these tests make at least.
FIRST, LATER = 7, 8


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(session, 'BACKOFF', 0.02)


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


@pytest.fixture
def orthanc(tmp_path):
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    archive.upload(orthanc, [small(number) for number in range(3)])
    yield orthanc
    orthanc.kill()


def small(number, **changes):
    return archive.study(number, **{'series': 2, 'instances': 2, **changes})


def expect_truth(run, server, orthanc):
    "Check that the record of a run tells what happened."
    record = Pool().get(SERVER)(server)
    assert run.state in {'done', 'failed'}
    assert run.end >= run.start and run.calls > 0
    assert record.validated == (run.state == 'done')
    assert record.last_error == run.error
    assert run.error or run.state == 'done'
    assert not record.lease
    stored, there = stored_tree(server), orthanc_tree(orthanc)
    for study in studies(server):
        if not study.missing_since and study.orthanc_UID in there:
            assert study.number_of_series == len(stored[study.orthanc_UID])
    if run.state == 'done':
        assert all(
            stored[uid] == there[uid] for uid in stored.keys() & there.keys())
        assert run.error or stored == there


def expect_recovery(server, orthanc):
    "Check that the next run finishes the job."
    run = synchronize(server)
    assert (run.state, run.error) == ('done', None)
    record = Pool().get(SERVER)(server)
    assert record.validated and not record.last_error
    assert stored_tree(server) == orthanc_tree(orthanc)


def survive_first(orthanc, fault, number):
    "Let a fault happen at one request of the first synchronization."
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url, read_timeout=1)
        rule = proxy.on('', fault, nth=number)
        expect_truth(synchronize(server), server, orthanc)
        proxy.clear()
        expect_recovery(server, orthanc)
    return rule.applied


def survive_next(orthanc, fault, number):
    "Let a fault happen at one request of a later synchronization."
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url, read_timeout=1)
        synchronize(server)
        gone = orthanc.rest('GET', '/studies')[0]
        archive.upload(orthanc, [small(100 + number, series=1)])
        orthanc.rest('DELETE', f'/studies/{gone}')
        proxy.clear()
        rule = proxy.on('', fault, nth=number)
        expect_truth(synchronize(server), server, orthanc)
        proxy.clear()
        expect_recovery(server, orthanc)
    return rule.applied


@pytest.mark.parametrize('name', [
        '401', '404', '500', 'web page', 'no JSON', 'object', 'list', 'drop',
        'reset', 'cut headers', 'cut body', 'redirect', 'less'])
def test_fault_at_each_call_of_the_first_run(orthanc, name):
    numbers = range(1, FIRST + 1)
    assert all(survive_first(orthanc, FAULTS[name], n) for n in numbers)


@pytest.mark.parametrize('name', [
        '404', '500', 'web page', 'list', 'drop', 'less'])
def test_fault_at_each_call_of_a_later_run(orthanc, name):
    numbers = range(1, LATER + 1)
    assert all(survive_next(orthanc, FAULTS[name], n) for n in numbers)


@pytest.mark.parametrize('name', SLOW)
def test_slow_fault(orthanc, monkeypatch, name):
    monkeypatch.setattr(connection, '_PATIENCE', 2)
    # The request for the instances
    assert survive_first(orthanc, SLOW[name], 6)


@pytest.mark.parametrize('name', [
        '401', '403', '404', '409', '500', '503', 'error page', 'null',
        'list', 'list of null', 'reset', 'empty', 'redirect', 'no HTTP',
        'less', 'hang'])
def test_fault_at_all_calls(orthanc, name):
    fault = {**FAULTS, **SLOW}[name]
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url, read_timeout=1)
        synchronize(server)
        archive.upload(orthanc, [small(7)])
        proxy.on('', fault)
        synchronize(server)
        proxy.clear()
        expect_recovery(server, orthanc)


def test_refusing_server(orthanc):
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url)
        with proxy.refusing():
            run = synchronize(server)
        assert run.state == 'failed'
        assert 'Nothing answers' in run.error
        expect_recovery(server, orthanc)


@pytest.mark.parametrize('number', range(1, FIRST + LATER))
def test_study_deleted_between_two_calls(orthanc, number):
    def delete():
        for id_ in orthanc.rest('GET', '/studies')[:1]:
            orthanc.rest('DELETE', f'/studies/{id_}')
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url)
        proxy.on('', after(delete), nth=number)
        while proxy.count() < number:
            assert synchronize(server).state == 'done'
        assert synchronize(server).state == 'done'
        assert stored_tree(server) == orthanc_tree(orthanc)


@pytest.mark.parametrize('statistics', [
        {'CountStudies': 0, 'CountSeries': 0, 'CountInstances': 0},
        {'CountStudies': 10 ** 15}, {'CountInstances': 5},
        ])
def test_server_that_counts_wrong(orthanc, statistics):
    with FaultServer(orthanc.url) as proxy:
        proxy.on('/statistics', change(lambda s: {**s, **statistics}))
        server = new_server(proxy.url)
        assert synchronize(server).state == 'done'
        assert stored_tree(server) == orthanc_tree(orthanc)
        # It is looked at twice only, but for studies that are not listed.
        synchronize(server)
        run = synchronize(server)
        assert run.calls == (6 if statistics.get('CountStudies') else 3)
        assert '3' in run.error
        proxy.clear()
        expect_recovery(server, orthanc)


@pytest.mark.parametrize('changes', [
        {'Last': 10 ** 12}, {'Changes': [{}] * 5},
        {'Changes': [{
                    'ChangeType': 'NewInstance', 'ResourceType': 'Instance',
                    'ID': 5}]},
        {'Changes': [{
                    'ChangeType': ['x'], 'ResourceType': {},
                    'ID': 'a'}]},
        {'Done': False},
        ])
def test_change_log_that_lies(orthanc, changes):
    with FaultServer(orthanc.url) as proxy:
        server = new_server(proxy.url)
        synchronize(server)
        archive.upload(orthanc, [small(9)])
        proxy.on('/changes.since', change(lambda c: {**c, **changes}))
        synchronize(server)
        proxy.clear()
        expect_recovery(server, orthanc)


def test_password_that_was_changed(orthanc):
    server = new_server(orthanc, password='wrong')
    run = synchronize(server)
    assert run.state == 'failed'
    assert 'user' in run.error and 'wrong' not in run.error
    Server = Pool().get(SERVER)
    Server.write([Server(server)], {'password': 'secret'})
    expect_recovery(server, orthanc)
