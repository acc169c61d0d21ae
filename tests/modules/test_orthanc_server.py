# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of Orthanc servers: their addresses, passwords and checks, the
schedules, and the wizards."""
import configparser
import datetime as dt
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from services import Orthanc
from support import archive
from support.fault_server import FaultServer, answer, hang, html, status
from support.records import make_user
from support.synchronizing import (
    free_address, new_server, transaction, with_queue)

from trytond.config import config
from trytond.exceptions import UserError
from trytond.model.exceptions import AccessError
from trytond.model.modelsql import SQLConstraintError
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc import password
from trytond.modules.health_orthanc.connection import connect
from trytond.modules.health_orthanc.exceptions import (
    SecretKeyError, ServerError, ServerInUseError, ServerURLError)
from trytond.modules.health_orthanc.server import MASK, TEST_SECONDS
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
ADD = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
SECRET = ' s3cret ü%(x)s '


@pytest.fixture(autouse=True)
def in_database(activated):
    pass


@pytest.fixture(scope='module')
def orthanc(tmp_path_factory):
    "An Orthanc with two small studies, for all tests."
    orthanc = Orthanc(
        tmp_path_factory.mktemp('orthanc'), users={'demo': SECRET})
    orthanc.start()
    archive.upload(orthanc, [
            archive.study(n, series=1, instances=2) for n in range(2)])
    yield orthanc
    orthanc.kill()


@pytest.fixture
def proxy(orthanc):
    "Another address of the Orthanc, which can be made to fail."
    with FaultServer(orthanc.url) as proxy:
        with transaction():
            free_address(proxy.url)
            Transaction().commit()
        yield proxy


@pytest.fixture
def server(proxy):
    "The id of a server at the proxy."
    with transaction():
        return new_server(proxy.url, password=SECRET)


def get(name, **options):
    return Pool(DB_NAME).get(name, **options)


def values(url, **changes):
    return {
        'label': url, 'domain': url, 'user': 'demo', 'password': SECRET,
        **changes}


def stored_password(id_):
    table = get(SERVER).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(table.password, where=table.id == id_))
    (stored,), = cursor.fetchall()
    return stored


# Addresses

@pytest.mark.parametrize('typed, stored', [
        ('pacs.example:8042', 'http://pacs.example:8042'),
        (' HTTP://PACS2.Example/ ', 'http://pacs2.example'),
        ('https://pacs.example:443/orthanc//', 'https://pacs.example/orthanc'),
        ])
def test_addresses_get_one_form(typed, stored):
    with transaction():
        server, = get(SERVER).create([
                values(typed, label=stored, proxy_domain=typed)])
        assert server.domain == server.proxy_domain == stored
        assert server.link_base_url == stored
        assert server.link == f'{stored}/app/explorer.html'
        get(SERVER).write([server], {'domain': 'http://other:80/'})
        assert server.domain == 'http://other'
        assert server.link_base_url == stored
        Transaction().rollback()


@pytest.mark.parametrize('field', ['domain', 'proxy_domain'])
@pytest.mark.parametrize('typed, part', [
        ('http://demo:s3cret@pacs', 'user or a password'),
        ('http://pa cs', 'blanks'),
        ('ftp://pacs', 'http://'),
        ('javascript:alert(1)', 'address'),
        ('file:///etc/passwd', 'http://'),
        ('http://pacs/?a=b', 'address'),
        ('http://', 'address'),
        ('http://pacs:99999', 'address'),
        ])
def test_what_is_no_address_is_refused(field, typed, part):
    with transaction():
        Server = get(SERVER)
        with pytest.raises(ServerURLError, match=part) as error:
            Server.create([{**values('http://fine'), field: typed}])
        server, = Server.create([values('http://fine')])
        with pytest.raises(ServerURLError, match=part):
            Server.write([server], {field: typed})
        assert 's3cret' not in str(error.value)
        Transaction().rollback()


@pytest.mark.parametrize('changes', [
        {'domain': 'HTTP://One:80/', 'label': "Two"},
        {'domain': 'http://two', 'label': "One"},
        ])
def test_address_and_label_are_unique(changes):
    with transaction():
        Server = get(SERVER)
        Server.create([values('http://one', label="One")])
        with pytest.raises(SQLConstraintError):
            Server.create([values('', **changes)])
        Transaction().rollback()


# Passwords

def assert_secret(text):
    assert 's3cret' not in str(text)


def test_password_cannot_be_read(server):
    Server = get(SERVER)
    with transaction(_check_access=True) as current:
        names = list(Server._fields)
        assert Server.read([server], ['password']) == [
            {'id': server, 'password': MASK}]
        assert_secret(Server.read([server], names))
        assert_secret(Server.export_data(
                [Server(server)], names))
        assert_secret(Server.search_read([('id', '=', server)], 0, None,
                None, names))
        assert_secret(Server.fields_view_get())
        assert Server(server).password == MASK
        current.rollback()


@pytest.mark.parametrize('operator, value', [
        ('=', SECRET), ('=', MASK), ('like', '%3%'), ('in', [SECRET]),
        ('!=', None), ('>', 'a')])
def test_password_cannot_be_guessed_by_searching(server, operator, value):
    Study = get('gnuhealth.imaging_orthanc.study')
    with transaction(_check_access=True) as current:
        for Model, path in [
                (get(SERVER), ''), (get(RUN), 'server.'),
                (Study, 'orthanc_server.')]:
            clause = (f'{path}password', operator, value)
            for domain in [
                    [clause], [('id', '>', 0), ['OR', ('id', '=', 0), clause]],
                    [(f'{path}password.x', operator, value)]]:
                for search in [
                        Model.search, Model.search_count,
                        lambda d: Model.search_read(d, 0, None, None, ['id'])]:
                    with pytest.raises(NotImplementedError):
                        search(domain)
            with pytest.raises(NotImplementedError):
                Model.search([], order=[(f'{path}password', 'ASC')])
        current.rollback()


def test_password_does_not_come_by_a_detour(server):
    with transaction() as current:
        run, = get(RUN).create([{'server': server, 'state': 'done'}])
        paths = ['server.password', 'server.rec_name']
        assert get(RUN).read([run.id], paths)[0]['server.']['password'] == MASK
        assert_secret(get(RUN).export_data(
                [run], ['server/password', 'server/label']))
        assert_secret(get(RUN).search_read([], 0, None, None, paths))
        current.rollback()


def test_copy_has_no_password(server):
    Server = get(SERVER)
    with transaction(_check_access=True) as current:
        copy, = Server.copy([Server(server)], {
                'label': "Copy", 'domain': 'https://copy'})
        assert stored_password(copy.id) is None
        assert not (copy.validated or copy.version or copy.runs)
        current.rollback()


def test_password_leaves_no_trace(server, caplog):
    Server = get(SERVER)
    caplog.set_level(1)
    with_queue(lambda: Server.write(
            [Server(server)], {'password': 'n3w s3cret'}),
        _check_access=True)
    with_queue(lambda: Server.sync([Server(server)]))
    with transaction() as current:
        cursor = current.connection.cursor()
        for name in ['ir.model.log', 'ir.queue', 'ir.error']:
            table = get(name).__table__()
            cursor.execute(*table.select())
            assert_secret(cursor.fetchall())
        assert_secret(Server(server).last_error)
        assert not Server(server).validated
        assert stored_password(server) == 'n3w s3cret'
    assert_secret([r.getMessage() for r in caplog.records
            if not r.name.startswith('trytond.backend')])


def test_mask_is_no_password(server):
    Server = get(SERVER)
    with transaction():
        Server.write([Server(server)], {
                'password': MASK, 'label': "Other name"})
        assert stored_password(server) == SECRET
        Server.write([Server(server)], {'password': ' new '})
        assert stored_password(server) == ' new '
        with connect(Server(server)) as client:
            assert client._secrets[-1] == ' new '
        Transaction().rollback()


@pytest.fixture
def fernet_key():
    "Return a function that sets the key of the configuration."
    def use(*keys):
        if not config.has_section('health_orthanc'):
            config.add_section('health_orthanc')
        config.set('health_orthanc', 'fernet_key', ' '.join(keys))
    yield use
    use()


def key():
    return Fernet.generate_key().decode()


@pytest.mark.parametrize('text', [
        SECRET, 'fernet:x', 'plain:', 'plain:fernet:', 'ü' * 500])
def test_passwords_are_sealed(text, fernet_key):
    assert password.unseal(password.seal(text)) == text
    fernet_key(key())
    sealed = password.seal(text)
    assert sealed.startswith('fernet:') and text not in sealed
    assert password.unseal(sealed) == text
    assert password.seal(text) != sealed


def test_keys_are_rotated(server, fernet_key):
    Server = get(SERVER)
    one, two = key(), key()
    with transaction():
        for keys in [[one], [two, one], [two]]:
            fernet_key(*keys)
            assert Server.rotate_passwords() >= 1
            assert stored_password(server).startswith('fernet:')
            with connect(Server(server)) as client:
                assert client._secrets[-1] == SECRET
        fernet_key(one)
        before = stored_password(server)
        with pytest.raises(SecretKeyError, match="not in the configuration"):
            Server.rotate_passwords()
        assert stored_password(server) == before
        fernet_key()
        with pytest.raises(SecretKeyError, match="no fernet_key"):
            Server.rotate_passwords()
        fernet_key('nonsense')
        with pytest.raises(SecretKeyError, match="not a valid key"):
            Server.write([Server(server)], {'password': 'x'})
        fernet_key(two)
        with monkeypatched(password, 'Fernet', None):
            with pytest.raises(SecretKeyError, match="not installed"):
                connect(Server(server))
        Transaction().rollback()


def monkeypatched(target, name, value):
    patch = pytest.MonkeyPatch()

    class Patched:
        def __enter__(self):
            patch.setattr(target, name, value)

        def __exit__(self, *exception):
            patch.undo()
    return Patched()


def test_lost_key_is_told_by_run_and_check(server, fernet_key):
    Server = get(SERVER)
    fernet_key(key())
    with_queue(Server.rotate_passwords)
    fernet_key(key())
    with_queue(lambda: Server.sync([Server(server)]))
    with transaction():
        record = Server(server)
        assert not record.validated
        assert 'fernet_key' in record.last_error
        run_id = Server.sync_server(record)
        run = get(RUN)(run_id)
        assert (run.state, run.error) == ('failed', record.last_error)


# Whether a server answers

def test_new_server_is_checked(proxy):
    Server = get(SERVER)
    server, = with_queue(lambda: Server.create([values(proxy.url)]),
        _check_access=True)
    with transaction():
        server = Server(server.id)
        assert server.validated and not server.last_error
        assert server.version == '1.10.1'
        assert server.viewers == ('explorer',)
        assert server.viewer_names == "Orthanc Explorer"


@pytest.mark.parametrize('changes, part', [
        ({'user': 'other'}, "refuses the user"),
        ({'password': 'other'}, "refuses the user"),
        ({'domain': 'http://127.0.0.1:1', 'password': SECRET},
            "Nothing answers"),
        ])
def test_changed_server_is_checked(server, proxy, changes, part):
    Server = get(SERVER)
    with_queue(lambda: Server.check_servers([Server(server)]))
    with transaction(_check_access=True) as current:
        assert Server(server).validated
        Server.write([Server(server)], changes)
        assert not Server(server).validated
        current.rollback()
    with_queue(lambda: Server.write([Server(server)], changes),
        _check_access=True)
    with transaction():
        assert not Server(server).validated
        assert part in Server(server).last_error
    with_queue(lambda: Server.write([Server(server)], {
                'user': 'demo', 'password': SECRET, 'domain': proxy.url}))
    with transaction():
        assert Server(server).validated
        assert not Server(server).last_error


def test_what_a_server_tells_cannot_be_claimed(server):
    Server = get(SERVER)
    with transaction(_check_access=True):
        claims = {
            'validated': True, 'version': '9', 'last_changed_index': 5,
            'sync_time': dt.datetime(2026, 1, 1), 'lease': 'me',
            'compared': '1 1 1 0 0 0 1', 'viewers': ['stone']}
        Server.write([Server(server)], {**claims, 'label': "Claims"})
        other, = Server.create([values('https://claims', **claims)])
        for record in [Server(server), other]:
            assert not record.validated
            assert not (record.version or record.last_changed_index
                or record.sync_time or record.lease or record.compared
                or record.viewers)
        assert Server(server).label == "Claims"
        Transaction().rollback()


def test_inactive_server_is_left_alone(server, proxy):
    Server = get(SERVER)
    proxy.clear()
    with_queue(lambda: Server.write([Server(server)], {
                'active': False, 'user': 'x'}))
    with_queue(Server.sync)
    assert not proxy.count()
    with_queue(lambda: Server.write([Server(server)], {
                'active': True, 'user': 'demo'}))
    with transaction():
        assert Server(server).validated


FAULTS = {
    "refuses the user": status(401),
    "does not allow": status(403),
    "not an Orthanc": html(),
    "sends on": status(302),
    "own": status(500),
    "cannot be understood": answer('{', headers={
            'Content-Type': 'application/json'}),
    }


@pytest.mark.parametrize('part', FAULTS)
def test_button_tells_what_is_wrong(server, proxy, part):
    Server = get(SERVER)
    path = '^/statistics' if 'understood' in part else '^/system'
    proxy.on(path, FAULTS[part])
    with transaction():
        with pytest.raises(ServerError, match=part):
            Server.test_connection([Server(server)])
    with transaction():
        assert part in Server(server).last_error
        assert not Server(server).validated
    proxy.clear()
    with transaction():
        Server.write([Server(server)], {'check_time': None})
        Server.test_connection([Server(server)])
        assert Server(server).validated and Server(server).check_time
        Transaction().commit()


def test_button_tells_what_it_found(server, proxy):
    Server = get(SERVER)
    with transaction():
        Server.test_connection([Server(server)])
        found, *plugins = Server(server).findings.splitlines()
        assert "Patients: 1, studies: 2, series: 2, images: 4." in found
        assert Server(server).version in found
        assert "worklists" in ' '.join(plugins)
        Server.write([Server(server)], {'validated': False})
        assert not Server(server).findings
        Transaction().commit()


@pytest.mark.parametrize('path', ['^/system', '^/plugins'])
def test_button_does_not_wait_for_long(server, proxy, monkeypatch, path):
    assert TEST_SECONDS < 10
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.server.TEST_SECONDS', 1)
    Server = get(SERVER)
    proxy.on(path, hang())
    with transaction():
        Server.write([Server(server)], {
                'connect_timeout': 120, 'read_timeout': 600})
        start = time.monotonic()
        with pytest.raises(ServerError, match="too slow"):
            Server.test_connection([Server(server)])
        assert time.monotonic() - start < 5


# Removing

def test_server_with_studies_is_not_removed(server):
    Server = get(SERVER)
    with transaction():
        Server.sync_server(Server(server))
        for remove in [Server.delete, Server.remove_config_server]:
            with pytest.raises(ServerInUseError, match='2'):
                remove([Server(server)])
        Study = get('gnuhealth.imaging_orthanc.study')
        Study.delete(Study.search([('orthanc_server', '=', server)]))
        Server.remove_config_server([Server(server)])
        assert not Server.search([('id', '=', server)])
        assert not get(RUN).search([('server', '=', server)])
        Transaction().rollback()


def test_address_and_label_can_change(server, proxy, orthanc):
    Server = get(SERVER)
    Study = get('gnuhealth.imaging_orthanc.study')
    with transaction():
        Server.sync_server(Server(server))
        before = Study.search([('orthanc_server', '=', server)])
        with FaultServer(orthanc.url) as other:
            free_address(other.url)
            Server.write([Server(server)], {
                    'domain': other.url, 'label': "New label"})
            assert Study.search([('server', '=', other.url)]) == before
            assert not Study.search([('server', '=', proxy.url)])
            run = get(RUN)(Server.sync_server(Server(server)))
            assert (run.state, run.studies_new, run.studies_gone) == (
                'done', 0, 0)
        assert Study.search([('orthanc_server', '=', server)]) == before


# Schedules

def test_schedules():
    with transaction():
        Cron = get('ir.cron')
        sync, = Cron.search([
                ('method', '=', 'gnuhealth.orthanc.config|sync')])
        assert (sync.interval_number, sync.interval_type, sync.active) == (
            15, 'minutes', True)
        assert dict(Cron.method.selection)[sync.method] == (
            "Sync Orthanc servers")
        full, = Cron.search([
                ('method', '=', 'gnuhealth.orthanc.config|full_sync')])
        assert (full.interval_number, full.interval_type) == (1, 'days')


def tasks(work):
    "Return the methods and instances that a function puts into the queue."
    Queue = get('ir.queue')
    with transaction() as current:
        work()
        found = [Queue(id_).data for id_ in current.tasks]
        current.rollback()
    return [(d['method'], d['instances']) for d in found]


def test_each_server_has_a_task_of_its_own(server, orthanc):
    Server = get(SERVER)
    with transaction():
        new_server('http://127.0.0.1:1')
        good = new_server(orthanc.url, password=SECRET)
        Server.write(Server.search([]), {'validated': False})
        Server.write([Server(server), Server(good)], {'validated': True})
        Server.write([Server(good)], {'label': "A"})
        bad = [s.id for s in Server.search([('validated', '=', False)])]
        Transaction().commit()
    # Those that did not answer have one for all of them.
    assert tasks(Server.sync) == [
        ('sync_server', good), ('sync_server', server),
        ('check_and_sync', tuple(bad))]
    (method, asked), = tasks(Server.full_sync)
    assert method == 'check_and_sync'
    assert set(asked) == {server, good, *bad}
    assert tasks(lambda: Server.sync([Server(server)])) == [
        ('sync_server', server)]


def test_failed_server_comes_back(server, proxy):
    Server = get(SERVER)
    proxy.on('', status(503))
    with_queue(lambda: Server.sync([Server(server)]))
    with transaction():
        assert not Server(server).validated
        assert "error of its own" in Server(server).last_error
        assert not Server(server).sync_time
    proxy.clear()
    with_queue(lambda: Server.sync([Server(server)]))
    with transaction():
        record = Server(server)
        assert record.validated and not record.last_error
        assert record.sync_time and record.last_changed_index
        assert record.check_time >= record.sync_time
        assert record.number_of_studies == 2
        assert record.runs[0].started_by == 'cron'


@pytest.mark.parametrize('ago, text', [
        (None, ''),
        (dt.timedelta(seconds=20), "just now"),
        (dt.timedelta(minutes=1, seconds=5), "1 minute ago"),
        (dt.timedelta(minutes=3, seconds=5), "3 minutes ago"),
        (dt.timedelta(hours=1, minutes=50), "1 hour ago"),
        (dt.timedelta(hours=5, seconds=5), "5 hours ago"),
        (dt.timedelta(days=2, seconds=5), "2 days ago"),
        (dt.timedelta(days=70, seconds=5), "2 months ago"),
        (dt.timedelta(days=800), "2 years ago"),
        (-dt.timedelta(minutes=3), "just now"),
        ])
def test_since_sync(server, ago, text):
    Server = get(SERVER)
    with transaction():
        Server.write([Server(server)], {
                'sync_time': ago and now() - ago})
        assert Server(server).since_sync.lower() == text
        Transaction().rollback()


@pytest.mark.parametrize('days, text', [
        (1, "قبل يوم واحد"), (2, "قبل يومين"), (3, "قبل 3 أيام")])
def test_since_sync_in_arabic(server, days, text):
    Server = get(SERVER)
    with transaction(1, language='ar'):
        Server.write([Server(server)], {
                'sync_time': now() - dt.timedelta(days=days, seconds=5)})
        assert Server(server).since_sync == text
        Transaction().rollback()


# Buttons and wizards

def test_buttons_and_wizards_use_the_queue(server):
    Server = get(SERVER)
    assert tasks(lambda: Server.do_sync([Server(server)])) == [
        ('sync_server', server)]
    with transaction():
        Server.write([Server(server)], {'validated': True})
        Transaction().commit()
    assert ('sync_server', server) in tasks(lambda: run_wizard(
            'gnuhealth.imaging_orthanc.get_new_studies', 'update'))
    Queue = get('ir.queue')
    with transaction() as current:
        run_wizard(
            'gnuhealth.imaging_orthanc.full_synchronize', 'synchronize',
            servers=[server])
        data, = [Queue(id_).data for id_ in current.tasks]
        assert data['kwargs'] == {'full': True, 'started_by': 'wizard'}
        current.rollback()


def run_wizard(name, state, **start):
    "Execute a state of a wizard, return its session and what it says."
    Wizard = get(name, type='wizard')
    session, *_ = Wizard.create()
    return session, Wizard.execute(
        session, {'start': start} if start else {}, state)


def test_full_synchronize_offers_all_active_servers(server):
    with transaction():
        _, result = run_wizard(
            'gnuhealth.imaging_orthanc.full_synchronize', 'start')
        assert server in result['view']['defaults']['servers']


def add(**start):
    return run_wizard(ADD, 'connect', user='demo', **{
            'proxy_domain': None, 'password': SECRET, 'verify_tls': True,
            'ca_file': None, **start})


def session_data(session):
    return get('ir.session.wizard')(session).data


def test_server_is_added(proxy):
    def work():
        session, result = add(
            label="Added", domain=proxy.url.removeprefix('http://') + '/',
            proxy_domain='HTTPS://Images.Example/')
        assert_secret(session_data(session))
        return result['view']['defaults']
    found = with_queue(work)
    assert found == {
        'label': "Added", 'version': '1.10.1', 'number_of_studies': 2,
        'viewers': "Orthanc Explorer"}
    with transaction():
        server, = get(SERVER).search([('label', '=', "Added")])
        assert (server.domain, server.proxy_domain) == (
            proxy.url, 'https://images.example')
        assert server.validated and server.number_of_studies == 2
        assert [r.state for r in server.runs] == ['done']
        get(SERVER).write([server], {'label': f"Added {server.id}"})
        Transaction().commit()


@pytest.fixture(scope='module')
def silent():
    "The URL of a port that accepts no connection in time."
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(0)
        others = []
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
            others.append(other)
        url = 'http://127.0.0.1:%d' % listener.getsockname()[1]
        with transaction():
            free_address(url)
            Transaction().commit()
        yield url
        for other in others:
            other.close()


@pytest.mark.parametrize('start, part', [
        ({'domain': 'not a url'}, 'must not hold blanks'),
        ({'domain': 'gopher://x'}, 'must begin with http'),
        ({'domain': 'http://u:s3cret@x'}, 'user or a password'),
        ({'proxy_domain': 'javascript:alert(1)'}, '"Public URL" is not'),
        ({'domain': 'https://nohost.invalid'}, 'does not exist'),
        ({'domain': 'http://127.0.0.1:3'}, 'Nothing answers'),
        ({'password': 'wrong'}, 'refuses the user'),
        ({'label': "Taken"}, 'already'),
        ({'domain': 'HTTP://TAKEN/'}, 'already'),
        ])
def test_wizard_tells_problems_apart(proxy, start, part):
    with transaction() as current:
        Server = get(SERVER)
        taken, = Server.create([values('http://taken', label="Taken")])
        current.commit()
        session, result = add(
            **{'label': "New", 'domain': proxy.url, **start})
        assert part in result['view']['defaults']['reason']
        assert_secret(result)
        assert_secret(session_data(session))
        assert not Server.search([('label', '=', "New")])
        Server.delete([taken])


def test_wizard_keeps_what_was_typed():
    with transaction() as current:
        _, result = run_wizard(ADD, 'start')
        assert result['view']['defaults'] == {'verify_tls': True}
        typed = {
            'label': "New", 'domain': 'https://nohost.invalid',
            'verify_tls': False, 'proxy_domain': 'https://public',
            'ca_file': 'x.pem'}
        session, result = add(**typed)
        assert 'does not exist' in result['view']['defaults']['reason']
        result = get(ADD, type='wizard').execute(session, {}, 'start')
        assert result['view']['defaults'] == {'user': 'demo', **typed}
        current.rollback()


@pytest.mark.parametrize('fault, part', [
        (status(403), 'does not allow'),
        (status(404), 'not an Orthanc'),
        (html(), 'not an Orthanc'),
        (answer({'Name': 'x'}), 'not an Orthanc'),
        (hang(), 'stopped answering'),
        ])
def test_wizard_refuses_what_is_no_orthanc(proxy, monkeypatch, fault, part):
    monkeypatch.setattr(
        get(SERVER), 'default_read_timeout', staticmethod(lambda: 1))
    proxy.on('^/system', fault)
    with transaction() as current:
        _, result = add(label="New", domain=proxy.url)
        assert part in result['view']['defaults']['reason']
        current.rollback()


def test_wizard_tells_of_tls_and_of_silence(proxy, silent, monkeypatch):
    monkeypatch.setattr(
        get(SERVER), 'default_connect_timeout', staticmethod(lambda: 1))
    with transaction() as current:
        _, result = add(
            label="New", domain=proxy.url.replace('http', 'https'))
        assert 'certificate' in result['view']['defaults']['reason']
        _, result = add(label="New", domain=silent)
        assert 'in time' in result['view']['defaults']['reason']
        current.rollback()


def test_typing_makes_no_call(proxy):
    proxy.clear()
    with transaction() as current:
        for Model in [
                get(SERVER),
                get('gnuhealth.imaging_orthanc.orthanc_add_init_data')]:
            record = Model(domain=proxy.url, user='demo', password='x')
            names = ['domain', 'user', 'password', 'label']
            assert Model.fields_get(names)
            assert not any(
                Model._fields[name].on_change for name in names)
            record.on_change(names)
        assert not proxy.count()
        current.rollback()


# Rights: who is in no group reaches nothing

@pytest.fixture
def stranger():
    "The id of a user in no group."
    with transaction():
        User = get('res.user')
        found = User.search([('login', '=', 'stranger')])
        user = found[0] if found else User.create([{
                    'name': "Stranger", 'login': 'stranger',
                    'password': 'imaging-demo-5'}])[0]
        Transaction().commit()
        return user.id


@pytest.mark.parametrize('call', [
        lambda Server, id_: Server.read([id_], ['label']),
        lambda Server, id_: Server.search([]),
        lambda Server, id_: Server.write([Server(id_)], {'label': 'x'}),
        lambda Server, id_: Server.create([values('http://stranger')]),
        lambda Server, id_: Server.delete([Server(id_)]),
        lambda Server, id_: Server.export_data([Server(id_)], ['label']),
        lambda Server, id_: Server.do_sync([Server(id_)]),
        lambda Server, id_: Server.test_connection([Server(id_)]),
        lambda Server, id_: Server.remove_config_server([Server(id_)]),
        lambda Server, id_: Server.sync_now(),
        lambda Server, id_: get(RUN).search([]),
        lambda Server, id_: add(label="x", domain='http://127.0.0.1:1'),
        lambda Server, id_: run_wizard(
            'gnuhealth.imaging_orthanc.get_new_studies', 'update'),
        lambda Server, id_: run_wizard(
            'gnuhealth.imaging_orthanc.full_synchronize', 'synchronize',
            servers=[id_]),
        ])
@pytest.mark.parametrize('action', [None, 'other'])
def test_stranger_is_refused(server, proxy, stranger, call, action):
    proxy.clear()
    context = {'_check_access': True}
    if action:
        # A client says itself which action it runs.
        with transaction():
            context['action_id'] = get('ir.action.wizard').search(
                [('groups', '=', None)], limit=1)[0].action.id
    with transaction(stranger, **context) as current:
        # Where trytond itself refuses a wizard, its message lacks a name.
        with pytest.raises((AccessError, KeyError)):
            call(get(SERVER), server)
        current.rollback()
    assert not proxy.count()


GROUPS = {
    'health.group_health_frontdesk': False,
    'health.group_health_nursing': False,
    'health.group_health_doctor': False,
    'health_imaging.group_health_imaging': False,
    'health_imaging.group_health_imaging_reporting': False,
    'health_imaging.group_health_imaging_front_desk': False,
    'health_imaging.group_health_imaging_admin': False,
    'health_orthanc.group_imaging_orthanc': False,
    'health_orthanc.group_imaging_orthanc_admin': True,
    'health.group_health_admin': True,
    }


@pytest.mark.parametrize('group', GROUPS)
def test_only_administrators_manage_servers(server, proxy, group):
    with transaction() as current:
        login = f'member of {group}'
        user = make_user(login, group)
        proxy.clear()
        may, Server = GROUPS[group], get(SERVER)
        label = Server(server).label
        with current.set_user(user.id), current.set_context(
                _check_access=True):
            for call in [
                    lambda: add(label="New", domain='http://127.0.0.1:3'),
                    lambda: Server.write([Server(server)], {'label': "Mine"}),
                    lambda: Server.do_sync([Server(server)]),
                    lambda: Server.test_connection([Server(server)]),
                    lambda: run_wizard(
                        'gnuhealth.imaging_orthanc.full_synchronize',
                        'synchronize', servers=[server])]:
                if may:
                    assert call() is None or call()
                else:
                    with pytest.raises((UserError, KeyError)):
                        call()
        assert bool(proxy.count()) == may
        current.rollback()
        # The test of the connection ended a transaction.
        Server.write([Server(server)], {'label': label})


def test_internal_methods_are_not_reachable():
    rpc = get(SERVER).__rpc__
    for name in [
            'sync', 'full_sync', 'sync_server', 'sync_later', 'check_servers',
            'check_and_sync', 'rotate_passwords', 'client', 'get_password',
            'set_password']:
        assert name not in rpc


# For scripts

def test_sync_now(server):
    Server = get(SERVER)
    with transaction(_check_access=True):
        label = Server(server).label
        result, = Server.sync_now([label])
        assert (result['label'], result['state'], result['error']) == (
            label, 'done', None)
        assert result['run']['studies_new'] == 2
        assert label in {r['label'] for r in Server.sync_now()}
        assert Server.sync_now(["nobody's"]) == []
        table = Server.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.lease, table.lease_until],
                ['elsewhere 1 x 1', now() + dt.timedelta(hours=1)],
                where=table.id == server))
        result, = Server.sync_now([label])
        assert (result['state'], result['run']) == ('busy', {})
        assert label in result['error']
        json.dumps(result)


def test_user_errors_reach_the_user():
    with pytest.raises(UserError):
        with transaction():
            get(SERVER).create([values('http://x y')])


def test_key_of_the_command_seals(fernet_key, tmp_path):
    file = tmp_path / 'trytond.conf'
    script = (Path(__file__).parents[2] / 'his-utils' / 'scripts' / 'imaging'
        / 'make_key.py')
    keys = set()
    for _ in range(2):
        file.write_text('[web]\nlisten = 127.0.0.1:8000')
        with open(file, 'a') as output:
            subprocess.run([sys.executable, script], stdout=output, check=True)
        parser = configparser.ConfigParser()
        parser.read(file)
        assert parser['web']['listen'] == '127.0.0.1:8000'
        keys.add(parser['health_orthanc']['fernet_key'])
    assert len(keys) == 2
    fernet_key(keys.pop())
    sealed = password.seal("secret")
    assert sealed.startswith(password.SEALED) and "secret" not in sealed
    assert password.unseal(sealed) == "secret"
