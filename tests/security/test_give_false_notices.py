# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody in the network gives notices in the name of an Orthanc, or tries to
guess or read its secret."""
import pytest
from support.records import PASSWORD, Rpc, RpcError, commit, make_user
from support.synchronizing import free_address
from werkzeug.test import Client
from werkzeug.wrappers import Response

from trytond.ir import queue_
from trytond.modules.health_orthanc import notice
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction
from trytond.wsgi import app

SERVER = 'gnuhealth.orthanc.config'
WIZARD = 'gnuhealth.imaging_orthanc.notice_secret'


@pytest.fixture(autouse=True)
def with_workers(activated, monkeypatch):
    monkeypatch.setattr(queue_, 'has_worker', True)
    notice._counts.clear()


@pytest.fixture(scope='module')
def administrator(activated):
    commit(lambda: make_user(
            'pacs', 'health_orthanc.group_imaging_orthanc_admin',
            password=PASSWORD))
    return Rpc('pacs')


def make_server(label, **values):
    def make():
        url = f'http://{label}.invalid'
        free_address(url)
        server, = Pool().get(SERVER).create([{
                    'label': label, 'domain': url, 'user': 'u',
                    'password': 'p', 'validated': True, **values}])
        return server.id
    return commit(make)


@pytest.fixture(scope='module')
def servers(activated):
    "Two servers and one that is not active, ids."
    return [make_server('one'), make_server('two'),
        make_server('off', active=False)]


def make_secret(rpc, *servers):
    view = rpc.run_wizard(WIZARD, [('start', {}), ('made', {})], **{
            'active_model': SERVER, 'active_id': servers[0],
            'active_ids': servers})['view']
    return view['defaults']['url'], view['defaults']['secret']


def give_notice(secret, method='POST', data='{}', **options):
    return Client(app, Response).open(
        f'/{DB_NAME}/{notice.PATH}', method=method, data=data,
        headers={'Authorization': f'Bearer {secret}'}, **options)


def queued():
    "Return the servers whose notices wait in the queue, and forget them."
    def read():
        Queue = Pool().get('ir.queue')
        tasks = Queue.search([('dequeued_at', '=', None)])
        found = [
            t.data['instances'] for t in tasks
            if t.data['method'] == 'sync_noticed']
        Queue.delete(tasks)
        return found
    return commit(read)


def test_a_notice_is_queued_once(administrator, servers, caplog):
    url, secret = make_secret(administrator, servers[0])
    assert url.endswith(f'/{DB_NAME}/imaging/orthanc/changed')
    queued()
    caplog.set_level(1)
    for _ in range(3):
        answer = give_notice(secret)
        assert (answer.status_code, answer.data) == (200, b'ok')
    assert queued() == [servers[0]]
    # It is nowhere but in the hands of who asked for it.
    assert not [r for r in caplog.records if secret in r.getMessage()]


def test_all_others_hear_the_same(administrator, servers):
    secrets = [make_secret(administrator, server)[1] for server in servers]
    renewed = make_secret(administrator, servers[0])[1]
    queued()
    answers = {
        (a.status_code, a.data) for a in map(give_notice, [
                secrets[0], secrets[2], '', 'x' * 5000, 'ü', renewed[:-1]])}
    assert len(answers) == 1 and {status for status, _ in answers} == {403}
    assert not queued()
    give_notice(secrets[1])
    give_notice(renewed)
    assert sorted(queued()) == servers[:2]


def test_it_is_bounded(administrator, servers, monkeypatch):
    _, secret = make_secret(administrator, servers[0])
    assert give_notice(secret, method='GET').status_code == 405
    assert give_notice(secret, data=b'x' * 2000).status_code == 413
    monkeypatch.setattr(notice, 'MAX_NOTICES', 3)
    monkeypatch.setattr(notice.time, 'monotonic', lambda: 6000)
    notice._counts.clear()

    def statuses(address, times):
        return [
            give_notice(secret, environ_base={'REMOTE_ADDR': address}
                ).status_code for _ in range(times)]
    # One network of IPv6 is one sender.
    assert statuses('2001:db8::1', 2) + statuses('2001:db8::2', 2) == [
        200, 200, 200, 429]
    assert statuses('192.0.2.1', 1) == [200]


def test_only_who_looks_after_the_pacs_makes_one(administrator, servers):
    for group in ['health_orthanc.group_imaging_orthanc',
            'health_imaging.group_health_imaging_admin']:
        login = f'not {group}'
        commit(lambda: make_user(login, group, password=PASSWORD))
        with pytest.raises(RpcError):
            make_secret(Rpc(login), servers[0])


def test_only_a_hash_is_kept_and_nobody_reads_it(administrator, servers):
    _, secret = make_secret(administrator, servers[0])

    def read():
        cursor = Transaction().connection.cursor()
        for name in [SERVER, 'ir.session.wizard', 'ir.queue']:
            cursor.execute(*Pool().get(name).__table__().select())
            yield cursor.fetchall()
    stored = commit(lambda: list(read()))
    assert secret not in str(stored)
    assert notice._hash(secret) in str(stored[0])
    names = administrator(f'model.{SERVER}.fields_get', [])
    assert notice._hash(secret) not in str(administrator(
            f'model.{SERVER}.read', [servers[0]], list(names)))
    with pytest.raises(RpcError):
        administrator(f'model.{SERVER}.read', [servers[0]], ['notice_hash'])


def test_it_looks_again_for_a_while(servers, monkeypatch):
    def looks():
        Server, Queue = Pool().get(SERVER), Pool().get('ir.queue')
        monkeypatch.setattr(Server, 'sync_server', lambda *a, **k: found)
        Server.sync_noticed(Server(servers[0]), looks=left, pause=8)
        return [
            t.data['kwargs'] for t in Queue.search([
                    ('scheduled_at', '!=', None), ('dequeued_at', '=', None)])]
    for found, left, expected in [
            (1, 4, [{'looks': 3, 'pause': notice.PAUSE}]),
            # Another run has the server, and it waits longer.
            (None, 4, [{'looks': 4, 'pause': 16}]),
            (1, 0, [])]:
        queued()
        assert commit(looks) == expected


def test_many_notices_are_followed_by_one_row_of_looks(servers, monkeypatch):
    """Each notice comes while the task of the one before is taken, and none
    is forgotten."""
    def wait(found, **options):
        "Look at two servers, and return what looks of each wait then."
        Server, Queue = Pool().get(SERVER), Pool().get('ir.queue')
        monkeypatch.setattr(Server, 'sync_server', lambda *a, **k: found)
        for id_ in servers[:2]:
            Server.sync_noticed(Server(id_), **options)
        waiting = Queue.search([
                ('scheduled_at', '!=', None), ('dequeued_at', '=', None)])
        first, second = (
            sorted(t.data['kwargs']['looks'] for t in waiting
                if t.data['instances'] == id_) for id_ in servers[:2])
        assert first == second
        return first

    queued()
    most = notice.LOOKS - 1
    assert commit(lambda: wait(1, looks=2)) == [1]
    for _ in range(5):
        assert commit(lambda: wait(1)) == [1, most]
    # The looks before end with their next one.
    assert commit(lambda: wait(1, looks=1)) == [1, most]
    # Another run has the server: there is as much to look for as before.
    for _ in range(5):
        assert commit(lambda: wait(None)) == [1, most, notice.LOOKS]
    queued()
    # One that comes later does not stand for one that comes soon.
    assert commit(lambda: wait(None, pause=notice.LONGEST_PAUSE)) == [
        notice.LOOKS]
    assert commit(lambda: wait(1)) == [most, notice.LOOKS]
