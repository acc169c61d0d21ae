# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody reads the network, the disk or a backup: what would be there in
the clear is told to who administers the servers, and to nobody else."""
import re
import socket
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support.fault_server import FaultServer
from support.records import PASSWORD, Rpc, RpcError, make_user

from trytond.config import config
from trytond.modules.health_orthanc.in_the_clear import is_in_the_clear
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

ROOT = Path(__file__).parents[2]
SERVER = 'gnuhealth.orthanc.config'
ADD = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'
KEY = Fernet.generate_key().decode()
GROUPS = {
    'clear-admin': 'health_orthanc.group_imaging_orthanc_admin',
    'clear-user': 'health_orthanc.group_imaging_orthanc',
    'clear-doctor': 'health.group_health_doctor',
    }


def committed():
    "A transaction without access checks, which others see afterwards."
    return Transaction().start(DB_NAME, 1)


@pytest.fixture(scope='module')
def people(activated):
    "A user of each group, over RPC."
    with committed() as transaction:
        for login, group in GROUPS.items():
            make_user(login, group, password=PASSWORD)
        transaction.commit()
    return {login: Rpc(login) for login in GROUPS}


@pytest.fixture
def admin(people):
    return people['clear-admin']


@pytest.fixture(autouse=True)
def leave_nothing(people):
    yield
    with committed() as transaction:
        Server = Pool().get(SERVER)
        Server.delete(Server.search([
                    ('label', 'like', 'clear %'),
                    ('active', 'in', [True, False])]))
        Warning = Pool().get('res.user.warning')
        Warning.delete(Warning.search([]))
        transaction.commit()


def values(**changes):
    return {
        'label': 'clear 1', 'domain': 'https://pacs.example', 'user': 'u',
        'password': 's3cret', 'connect_timeout': 1, 'read_timeout': 1,
        'active': False, **changes}


def create(user, **changes):
    return user(f'model.{SERVER}.create', [values(**changes)])[0]


# The network

@pytest.mark.parametrize('url, told', [
        ('http://pacs.example', True),
        ('http://192.0.2.10:8042/a', True),
        ('http://[2001:db8::1]:8042', True),
        ('http://127.0.0.1.example', True),
        ('http://localhost.example', True),
        ('http://127.example', True),
        ('http://0x7f.1', True),
        ('https://pacs.example', False),
        ('http://localhost:8042', False),
        ('http://127.0.0.1', False),
        ('http://127.1.2.3', False),
        ('http://[::1]:8042', False),
        (f'http://{socket.gethostname().lower()}:8042', False),
        ])
def test_which_addresses_are_in_the_clear(url, told):
    assert is_in_the_clear(url) is told


@pytest.mark.parametrize('changes', [
        {'domain': 'http://pacs.example'}, {'domain': 'PACS.example:8042'},
        {'proxy_domain': 'http://pacs.example'}])
def test_a_new_server_in_the_clear_is_confirmed(admin, changes):
    with pytest.raises(RpcError) as error:
        create(admin, **changes)
    assert error.value.kind == 'UserWarning'
    assert not admin(
        f'model.{SERVER}.search',
        [('label', '=', 'clear 1'), ('active', '=', False)])


def test_who_confirms_goes_on(admin):
    with pytest.raises(RpcError) as error:
        create(admin, domain='http://pacs.example')
    # As the clients do.
    admin('model.res.user.warning.skip', error.value.name, False)
    assert create(admin, domain='http://pacs.example')
    # For this address only, and once.
    for domain in ['http://other.example', 'http://pacs.example']:
        with pytest.raises(RpcError):
            create(admin, label='clear 2', domain=domain)


def test_a_server_here_or_with_https_needs_no_word(admin):
    assert create(admin)
    assert create(admin, label='clear 2', domain='http://127.0.0.1:3')


@pytest.mark.parametrize('name', ['domain', 'proxy_domain'])
def test_a_server_that_moves_into_the_clear_is_confirmed(admin, name):
    server = create(admin)
    with pytest.raises(RpcError) as error:
        admin(f'model.{SERVER}.write', [server], {
                name: 'http://pacs.example', 'password': "typed again"})
    assert error.value.kind == 'UserWarning'
    assert 'http://pacs.example' in str(error.value)


def test_what_stays_as_it_is_is_not_asked_again(admin):
    with committed() as transaction:
        server, = Pool().get(SERVER).create(
            [values(domain='http://old.example')])
        transaction.commit()
    for changes in [
            {'label': 'clear 3'},
            {'label': 'clear 3', 'domain': 'http://old.example/'}]:
        admin(f'model.{SERVER}.write', [server.id], changes)
    # Another field is another matter.
    with pytest.raises(RpcError):
        admin(f'model.{SERVER}.write', [server.id],
            {'proxy_domain': 'http://old.example'})


def test_who_has_no_rights_is_told_so_first(people):
    with pytest.raises(RpcError) as error:
        create(people['clear-doctor'], domain='http://pacs.example')
    assert error.value.kind == 'UserError'


def test_the_wizard_asks_before_it_sends_the_password(admin, orthanc,
        monkeypatch):
    from trytond.modules.health_orthanc import in_the_clear
    with FaultServer(orthanc.url) as proxy:
        # The only other computer that tests have.
        monkeypatch.setattr(in_the_clear, '_is_here', lambda host: False)
        start = {
            'label': 'clear 4', 'domain': proxy.url, 'user': orthanc.user,
            'password': orthanc.password, 'verify_tls': True}
        with pytest.raises(RpcError) as error:
            admin.run_wizard(ADD, [('connect', {'start': start})])
        assert error.value.kind == 'UserWarning'
        assert not proxy.count()


@pytest.mark.parametrize('value', [[], {}, 0, False, '', None])
def test_no_address_at_all_is_nothing_to_confirm(admin, value):
    server = create(admin)
    admin(f'model.{SERVER}.write', [server], {'proxy_domain': value})
    with pytest.raises(RpcError) as error:
        admin(f'model.{SERVER}.write', [server], {'domain': value})
    assert error.value.kind == 'UserError'


# The disk

def warning_of(user, server):
    row, = user(f'model.{SERVER}.read', [server], ['password_warning'])
    return row['password_warning']


@pytest.fixture
def key(monkeypatch):
    "A function that sets the key of the configuration."
    def set_key(value):
        if not config.has_section('health_orthanc'):
            config.add_section('health_orthanc')
        config.set('health_orthanc', 'fernet_key', value)
    yield set_key
    set_key('')


@pytest.mark.parametrize('secret', ['s3cret', 'plain:x', 'fernet:x'])
def test_a_password_in_the_clear_is_told_to_administrators(
        people, admin, secret, key):
    server = create(admin, password=secret)
    assert 'not encrypted' in warning_of(admin, server)
    for login in ['clear-user', 'clear-doctor']:
        assert not warning_of(people[login], server)
    # It is still there when a key comes, until it is sealed.
    key(KEY)
    assert warning_of(admin, server)
    admin(f'model.{SERVER}.write', [server], {'password': secret})
    assert not warning_of(admin, server)
    key('')
    assert not warning_of(admin, server)


def test_the_page_of_a_server_tells_it(admin):
    view = admin(f'model.{SERVER}.fields_view_get', None, 'form')
    assert 'name="password_warning"' in view['arch']
    assert 'invisible' in view['fields']['password_warning']['states']


# What the documents say

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding='utf-8')
    for pattern in ['*.rst', 'doc/*.rst', 'health_*/doc/*.rst']
    for path in ROOT.glob(pattern)}


def test_services_make_no_files_for_everybody():
    units = [
        (name, unit) for name, page in PAGES.items()
        for unit in re.findall(r'(?s)\[Service\](.+?)\[Install\]', page)]
    assert len(units) == 4
    for name, unit in units:
        mask, = re.findall(r'UMask=(\d+)', unit)
        assert int(mask, 8) & 0o027 == 0o027, name


def test_backups_are_for_nobody_else():
    dumps = [
        (name, page[:match.start()]) for name, page in PAGES.items()
        for match in re.finditer(r'(?m)^ +pg_dump', page)]
    assert len(dumps) == 2
    for name, before in dumps:
        assert re.search(r'(?m)^ +umask 077$', before), name


def test_the_installation_encrypts_passwords():
    page = PAGES['README.rst']
    assert '[postgresql,encryption]' in page and 'make_key.py' in page
    assert '-o root -g gnuhealth -m 640 /dev/null /etc/trytond.conf' in page
