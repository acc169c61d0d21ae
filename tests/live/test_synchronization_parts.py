# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server, or a proxy before it, that refuses or garbles one study of many:
the others are stored, and the run tells which one was skipped and why."""
import pytest
from services import Orthanc
from support import archive
from support.fault_server import FaultServer, answer, change, html, status
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, studies, synchronize, transaction)

from trytond.modules.health_orthanc.archive import session
from trytond.modules.health_orthanc.sync import reading
from trytond.pool import Pool

NUMBER = 4
UNKNOWN = '00000000-11111111-22222222-33333333-44444444'
SERVER = 'gnuhealth.orthanc.config'


@pytest.fixture(autouse=True)
def in_transaction(activated, monkeypatch):
    monkeypatch.setattr(session, 'BACKOFF', 0.02)
    with transaction():
        yield


@pytest.fixture(scope='module')
def orthanc(tmp_path_factory):
    orthanc = Orthanc(tmp_path_factory.mktemp('orthanc'))
    orthanc.start()
    archive.upload(orthanc, [small(number) for number in range(NUMBER)])
    yield orthanc
    orthanc.kill()


@pytest.fixture
def proxy(orthanc):
    with FaultServer(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def bad(orthanc):
    "The Orthanc ids of one study, one of its series, one of its instances."
    study = sorted(orthanc.rest('GET', '/studies'))[1]
    series = orthanc.rest('GET', f'/studies/{study}')['Series'][1]
    return study, series, orthanc.rest(
        'GET', f'/series/{series}')['Instances'][0]


def small(number):
    return archive.study(number, series=2, instances=2)


def without(tree, study):
    return {uid: series for uid, series in tree.items() if uid != study}


def expect_skipped(run, server, orthanc, study, text=''):
    "Check that a run stored all but one study, and says why."
    assert (run.state, run.skipped) == ('done', 1)
    assert "are known here" in run.error
    assert (run.done, run.total >= NUMBER) == (run.total, True)
    assert run.skipped_reasons.startswith(f'{study}: ')
    assert text in run.skipped_reasons
    assert stored_tree(server) == without(orthanc_tree(orthanc), study)


def expect_recovery(proxy, server, orthanc):
    proxy.clear()
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 0)
    assert stored_tree(server) == orthanc_tree(orthanc)


# In the answer to a call for many

ODD = {
    'null': lambda item: None,
    'list': lambda item: [],
    'list of it': lambda item: [item],
    'string': lambda item: 'x',
    'number': lambda item: 5,
    'true': lambda item: True,
    'no object': lambda item: {},
    'no id': lambda item: {**item, 'ID': None},
    'id of another kind': lambda item: {**item, 'ID': [item['ID']]},
    'id that cannot be': lambda item: {**item, 'ID': '../x'},
    'another id': lambda item: {**item, 'ID': UNKNOWN, 'Type': 'Patient'},
    'another level': lambda item: {**item, 'Type': 'Patient'},
    }


def exchanging(index, uid, odd):
    """Return a fault that gives something odd for one resource.

    :param index: 0 for a study, 1 for a series, 2 for an instance
    """
    level = ['Study', 'Series', 'Instance'][index]

    def alter(items):
        return [
            odd(item) if (item['Type'], item['ID']) == (level, uid) else item
            for item in items]
    return change(alter)


@pytest.mark.parametrize('index', range(3))
@pytest.mark.parametrize('name', ODD)
def test_odd_entry_costs_one_study(orthanc, proxy, bad, name, index):
    proxy.on('bulk-content', exchanging(index, bad[index], ODD[name]))
    server = new_server(proxy.url)
    expect_skipped(
        synchronize(server), server, orthanc, bad[0], "be understood")
    expect_recovery(proxy, server, orthanc)


@pytest.mark.parametrize('index', range(3))
def test_odd_entry_takes_nothing_away(orthanc, proxy, bad, index):
    server = new_server(proxy.url)
    synchronize(server)
    proxy.on('bulk-content', exchanging(index, bad[index], ODD['null']))
    for _ in range(2):
        run = synchronize(server, full=True)
        assert (run.state, run.skipped) == ('done', 1)
        assert not (run.studies_gone or run.series_gone or run.instances_gone)
        assert stored_tree(server) == orthanc_tree(orthanc)


@pytest.mark.parametrize('level', ['Series', 'Instance'])
def test_entry_without_its_parent(orthanc, proxy, bad, level):
    def orphan(item):
        return {
            k: v for k, v in item.items() if not k.startswith('Parent')}
    index = ['Study', 'Series', 'Instance'].index(level)
    proxy.on('bulk-content', exchanging(index, bad[index], orphan))
    server = new_server(proxy.url)
    expect_skipped(synchronize(server), server, orthanc, bad[0])


def test_strays_cost_nothing(orthanc, proxy):
    "What belongs to nothing that was asked for is left out."
    def add(items):
        stray = {**items[0], 'ID': UNKNOWN}
        return [None, *items, 5, stray, {}]
    proxy.on('bulk-content', change(add))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 0)
    assert stored_tree(server) == orthanc_tree(orthanc)


def test_odd_entries_of_the_changed_studies(proxy, tmp_path):
    "The change log tells ids of instances, not which study is odd."
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    with FaultServer(orthanc.url) as proxy:
        archive.upload(orthanc, [small(0)])
        server = new_server(proxy.url)
        synchronize(server)
        archive.upload(orthanc, [small(1), small(2), small(3)])
        bad = sorted(
            orthanc_tree(orthanc).keys() - stored_tree(server).keys())[0]
        proxy.on('bulk-content', exchanging(0, bad, ODD['null']))
        run = synchronize(server)
        assert (run.state, run.full, run.skipped) == ('done', False, 1)
        assert run.skipped_reasons.startswith(bad)
        assert stored_tree(server) == without(orthanc_tree(orthanc), bad)
        expect_recovery(proxy, server, orthanc)
    orthanc.kill()


@pytest.mark.parametrize('index', range(3))
def test_odd_entry_of_a_large_study(
        orthanc, proxy, bad, monkeypatch, index):
    monkeypatch.setattr(reading, 'BLOCK_INSTANCES', 2)
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.archive.orthanc.FEW_INSTANCES', 0)
    proxy.on('bulk-content', exchanging(index, bad[index], ODD['null']))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 1)
    assert run.skipped_reasons.startswith(bad[0])
    assert without(stored_tree(server), bad[0]) == without(
        orthanc_tree(orthanc), bad[0])
    expect_recovery(proxy, server, orthanc)


@pytest.mark.parametrize('text', ['{', '[{"ID": "\\x"}]', 'null', '{}', ''])
def test_answer_that_is_none_for_one_study(orthanc, proxy, bad, text):
    "A block is halved until the study stands alone."
    def fault(exchange):
        body = exchange.read()
        if bad[0].encode() in body:
            return answer(text)(exchange)
        return pass_on(exchange, body)
    proxy.on('bulk-content', fault)
    server = new_server(proxy.url)
    expect_skipped(
        synchronize(server), server, orthanc, bad[0], "be understood")
    expect_recovery(proxy, server, orthanc)


def pass_on(exchange, body):
    "Let the server behind answer a request whose body was read."
    parts = [body]
    exchange.read = lambda size=None: parts.pop() if parts else b''
    exchange._unread = len(body)
    reply = exchange.forward()
    exchange._unread = 0
    return reply


@pytest.mark.parametrize('value', [[], [None] * 3, [{}], 'x', None])
def test_server_that_tells_nothing_of_many(proxy, orthanc, monkeypatch, value):
    monkeypatch.setattr(reading, 'MAX_REFUSED', NUMBER - 1)
    proxy.on('bulk-content', answer(value))
    server = new_server(proxy.url)
    run = synchronize(server)
    # An empty list says that they went.
    assert run.state == ('done' if value == [] else 'failed')
    assert not studies(server)
    expect_recovery(proxy, server, orthanc)


# Where each is asked for alone

REFUSALS = {
    '400': (status(400), "refuses"),
    '401': (status(401), "refuses"),
    '403': (status(403), "refuses"),
    '403 page': (html(403), "refuses"),
    '404 page': (html(404), "refuses"),
    '500': (status(500), "error of its own"),
    '502 page': (html(502), "error of its own"),
    'page': (html(), "be understood"),
    'cut JSON': (answer('{"ID": "'), "be understood"),
    'null': (answer('null'), "be understood"),
    'number': (answer('5'), "be understood"),
    'odd list': (answer('[null]'), "be understood"),
    }
PATHS = ['^/studies/{0}$', '^/studies/{0}/series$', '^/series/{1}/instances$']


@pytest.fixture
def bare(proxy):
    "A proxy that does not let bulk-content through."
    proxy.on('bulk-content', status(403))
    return proxy


@pytest.mark.parametrize('path', PATHS)
@pytest.mark.parametrize('name', REFUSALS)
def test_refusal_costs_one_study(orthanc, bare, bad, path, name):
    fault, text = REFUSALS[name]
    bare.on(path.format(*bad), fault)
    server = new_server(bare.url)
    expect_skipped(synchronize(server), server, orthanc, bad[0], text)
    bare.clear()
    bare.on('bulk-content', status(403))
    assert synchronize(server).skipped == 0
    assert stored_tree(server) == orthanc_tree(orthanc)


@pytest.mark.parametrize('name', ['401', '403 page', '500', 'page'])
def test_refused_metadata_cost_nothing(orthanc, bare, name):
    bare.on('/metadata', REFUSALS[name][0])
    server = new_server(bare.url)
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 0)
    assert stored_tree(server) == orthanc_tree(orthanc)


@pytest.mark.parametrize('path', PATHS)
@pytest.mark.parametrize('name', ['403', '500', 'page'])
@pytest.mark.parametrize('most', [10, 1])
def test_server_that_refuses_all_is_ill(
        orthanc, bare, path, name, most, monkeypatch):
    monkeypatch.setattr(reading, 'MAX_REFUSED', most)
    any_ = '[0-9a-f-]{44}'
    bare.on(path.replace('{0}', any_).replace('{1}', any_),
        REFUSALS[name][0])
    server = new_server(bare.url)
    for _ in range(2):
        run = synchronize(server)
        assert run.state == 'failed' and run.error
        assert not studies(server)
        assert not Pool().get(SERVER)(server).validated
    expect_recovery(bare, server, orthanc)


@pytest.mark.parametrize('hidden', [False, True])
@pytest.mark.parametrize('name', REFUSALS)
def test_refusal_of_what_changed(bad, name, hidden, tmp_path, monkeypatch):
    "More images are refused than studies may be."
    monkeypatch.setattr(reading, 'MAX_REFUSED', 2)
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    with FaultServer(orthanc.url) as proxy:
        proxy.on('bulk-content', status(403))
        archive.upload(orthanc, [small(0)])
        server = new_server(proxy.url)
        synchronize(server)
        archive.upload(orthanc, [small(1)])
        new, = orthanc_tree(orthanc).keys() - stored_tree(server).keys()
        fault = REFUSALS[name][0]
        for series in orthanc.rest('GET', f'/studies/{new}/series'):
            for instance in series['Instances']:
                proxy.on(f'/instances/{instance}', fault)
        if hidden:
            proxy.on(f'/studies/{new}', fault)
        archive.upload(orthanc, [small(2)])
        run = synchronize(server)
        assert (run.state, run.skipped) == ('done', int(hidden))
        assert stored_tree(server) == without(
            orthanc_tree(orthanc), new if hidden else None)
        expect_recovery(proxy, server, orthanc)
    orthanc.kill()
