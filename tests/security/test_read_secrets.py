# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An administrator of GNU Health prints the password of a server with a report
of his own, or has it sent to a server of his own."""
import base64

import pytest
from support.everything import make_user_of_all
from support.fault_server import FaultServer, answer
from support.records import Rpc, RpcError, commit

from trytond.modules.health_orthanc.connection import connect
from trytond.modules.health_orthanc.server import MASK
from trytond.pool import Pool

SERVER = 'gnuhealth.orthanc.config'
REPORT = 'ir.action.report'
SECRET = 's3cr3t of the hospital'


@pytest.fixture(scope='module')
def administrator(activated):
    commit(lambda: make_user_of_all('administrator'))
    return Rpc('administrator')


@pytest.fixture
def thief():
    "A web server of the attacker's, who writes down what he is asked."
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(administrator):
    "The id of a server whose password somebody else typed."
    def make():
        Server = Pool().get(SERVER)
        number = Server.search([('active', 'in', [True, False])], count=True)
        server, = Server.create([{
                    'label': f"PACS {number}", 'user': 'u',
                    'password': SECRET, 'active': False,
                    'domain': f'https://pacs{number}.invalid',
                    'connect_timeout': 1, 'read_timeout': 1}])
        return server.id
    return commit(make)


@pytest.fixture
def printed(administrator):
    "Return a function that prints a template of a server, or what it raises."
    def run(server, template):
        name = 'thief.report'
        id_, = administrator(f'model.{REPORT}.create', [{
                    'name': "Thief", 'report_name': name, 'model': SERVER,
                    'template_extension': 'txt', 'extension': '',
                    'report_content_custom': template.encode()}])
        try:
            _, content, *_ = administrator(
                f'report.{name}.execute', [server],
                {'model': SERVER, 'action_id': id_})
            return str(content)
        except RpcError as error:
            return str(error)
        finally:
            administrator(f'model.{REPORT}.delete', [id_])
    return run


def test_reports_can_be_printed(printed, server):
    "The attack below does what it says."
    assert "PACS" in printed(server, '${record.label}')


@pytest.mark.parametrize('way', [
        'record.client()',
        'record.connect()',
        'record.new_client()',
        'record.get_password([record], None)[record.id]',
        'record.password',
        'record.stored_passwords([record])',
        ])
@pytest.mark.parametrize('form', [
        '${%s}',
        "${'{0._session.auth.password}'.format(%s)}",
        "${'{0._secrets}'.format(%s)}",
        ])
def test_print_the_password(printed, server, form, way):
    text = printed(server, form % way)
    assert SECRET not in text
    assert base64.b64encode(f'u:{SECRET}'.encode()).decode() not in text


@pytest.mark.parametrize('change', [
        {'domain': None},
        {'domain': None, 'password': MASK},
        {'domain': None, 'password': ''},
        {'verify_tls': False},
        {'ca_file': '/tmp/thief.pem'},
        ], ids=str)
def test_send_the_password_elsewhere(administrator, server, thief, change):
    thief.on('.*', answer({}))
    change = {
        n: thief.url if n == 'domain' else v for n, v in change.items()}
    with pytest.raises(RpcError, match="Type the password"):
        administrator(f'model.{SERVER}.write', [server], change)
    with pytest.raises(RpcError, match="Type the password"):
        names = sorted(change.keys() - {'password'})
        administrator(f'model.{SERVER}.import_data', ['id', *names], [
                [str(server), *(str(change[n]) for n in names)]])
    assert_kept(administrator, server, thief)


def assert_kept(administrator, server, thief):
    try:
        administrator(f'model.{SERVER}.test_connection', [server])
    except RpcError as error:
        assert error.kind == 'UserError'
    secret = base64.b64encode(f'u:{SECRET}'.encode()).decode()
    assert not [c for c in thief.calls if secret in str(c.headers)]


def test_copy_the_server_to_ones_own_address(administrator, server, thief):
    copy, = administrator(f'model.{SERVER}.copy', [server], {
            'label': "Copy", 'domain': thief.url})
    thief.on('.*', answer({}))
    assert_kept(administrator, copy, thief)
    administrator(f'model.{SERVER}.delete', [copy])


def test_who_knows_the_password_may(administrator, server, thief):
    administrator(f'model.{SERVER}.write', [server], {
            'domain': thief.url, 'password': 'another'})
    administrator(f'model.{SERVER}.write', [server], {
            'domain': thief.url + '/', 'label': "Moved", 'verify_tls': True})
    with_password = commit(
        lambda: connect(Pool().get(SERVER)(server))._secrets)
    assert with_password[-1] == 'another'
