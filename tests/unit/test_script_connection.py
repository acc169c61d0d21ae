# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options, exit statuses and connections of the imaging scripts, with a
real trytond and with servers that misbehave.
"""
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from services import Trytond, create_database, free_port
from support.fault_server import FaultServer, answer, drop

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / 'his-utils' / 'scripts' / 'imaging'
WORKLISTS = SCRIPTS / 'update_worklists_database.py'
SYNC = SCRIPTS / 'sync_orthanc_server.py'
sys.path.insert(0, str(SCRIPTS))

import command_line  # noqa: E402
import connection  # noqa: E402
import sync_orthanc_server  # noqa: E402
import update_worklists_database  # noqa: E402

DATABASE = 'health'
PASSWORD = 'p\xe4:s @/?#[]%41"\'<&>\\ \u738b'

# What the scripts call, for a trytond without GNU Health: the answers come
# from a file that the test writes.
STAND_IN = '''
import base64, json, os, time
from trytond.exceptions import UserError
from trytond.model import Model, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.rpc import RPC


def answer(name, arguments):
    with open(os.environ['STAND_IN'] + '.calls', 'a') as file:
        file.write(json.dumps([name, arguments]) + '\\\\n')
    with open(os.environ['STAND_IN']) as file:
        value = json.load(file)[name]
    if isinstance(value, str):
        raise UserError(value)
    if isinstance(value, float):
        time.sleep(value)
        value = []
    if isinstance(value, int):
        raise RuntimeError("secret of the server")
    return value


class Request(Model):
    "Request"
    __name__ = 'gnuhealth.imaging.test.request'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__['get_worklist_entries'] = RPC()
        cls.__rpc__['get_worklist_exams'] = RPC()

    @classmethod
    def get_worklist_exams(cls):
        return answer('exams', [])

    @classmethod
    def get_worklist_entries(cls, since, filters):
        value = answer('entries', [since, filters])
        for entry in value['entries']:
            if entry.get('dicom'):
                entry['dicom'] = base64.b64decode(entry['dicom'])
        return value


class Config(ModelSQL, ModelView):
    "Config"
    __name__ = 'gnuhealth.orthanc.config'
    label = fields.Char("Label")
    active = fields.Boolean("Active")
    validated = fields.Boolean("Validated")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__['sync_now'] = RPC(readonly=False)

    @classmethod
    def sync_now(cls, labels):
        return answer('sync', [labels])


class Run(ModelSQL, ModelView):
    "Run"
    __name__ = 'gnuhealth.orthanc.sync_run'
    server = fields.Many2One('gnuhealth.orthanc.config', "Server")
    state = fields.Char("State")
    done = fields.Integer("Done")
    total = fields.Integer("Total")


class Machine(Model):
    "Machine"
    __name__ = 'gnuhealth.imaging_worklist.machine'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__['get_machines'] = RPC()
        cls.__rpc__['note_asked'] = RPC(readonly=False)

    @classmethod
    def get_machines(cls):
        return answer('machines', [])

    @classmethod
    def note_asked(cls, node, asked):
        answer('asked', [node, asked])


class PerformedStep(Model):
    "Performed Step"
    __name__ = 'gnuhealth.imaging_worklist.performed_step'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__['receive'] = RPC(readonly=False)

    @classmethod
    def receive(cls, node, messages):
        refused = answer('receive', [node, messages])
        if set(refused) & {message['uid'] for message in messages}:
            raise RuntimeError("secret of the server")
        return [message['number'] for message in messages
            if message['number'] not in refused]


def register():
    Pool.register(
        Request, Config, Run, Machine, PerformedStep, module='stand_in',
        type_='model')
'''


# The stand-in is quick, and does not depend on the other modules.
ALONE = '''
from importlib import metadata


def entry_points(**parameters):
    return metadata.EntryPoints(
        point for distribution in metadata.distributions()
        for point in distribution.entry_points
        if point.group != 'trytond.modules' or point.name == 'stand_in'
        ).select(**parameters)


metadata.entry_points = entry_points
'''


def make_stand_in(folder):
    "Make a module that trytond finds on PYTHONPATH."
    folder.joinpath('sitecustomize.py').write_text(ALONE)
    module = folder / 'stand_in'
    module.mkdir()
    module.joinpath('__init__.py').write_text(
        STAND_IN.replace('\\\\n', '\\n'))
    module.joinpath('tryton.cfg').write_text(
        '[tryton]\nversion=7.0.0\ndepends:\n    ir\n    res\nxml:\n')
    metadata = folder / 'stand_in-7.0.0.dist-info'
    metadata.mkdir()
    metadata.joinpath('METADATA').write_text(
        'Metadata-Version: 2.1\nName: stand_in\nVersion: 7.0.0\n')
    metadata.joinpath('entry_points.txt').write_text(
        '[trytond.modules]\nstand_in = stand_in\n')


def make_database(folder, modules):
    """Make the database of a stand-in, or copy the one that was made before:
    six files need one, and it takes longer than most of their tests."""
    key = hashlib.sha256((STAND_IN + ALONE + sys.version).encode()).hexdigest()
    kept = Path(os.environ['DB_CACHE'], f'{"-".join(modules)}-{key[:12]}')
    with open(f'{kept}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            shutil.copyfile(kept, folder / f'{DATABASE}.sqlite')
            return
        create_database(folder, DATABASE, list(modules), PASSWORD)
        # It is there as a whole or not at all.
        shutil.copyfile(folder / f'{DATABASE}.sqlite', f'{kept}.new')
        os.rename(f'{kept}.new', kept)


class StandIn:
    """A real trytond with a module that answers as told.

    ``say`` sets the answers, ``calls`` tells what was asked.
    """

    def __init__(self, folder, modules=('res', 'stand_in')):
        self.file = folder / 'answers.json'
        self.folder = folder
        make_stand_in(folder)
        path = os.pathsep.join(
            [str(folder), os.environ.get('PYTHONPATH', '')])
        environment = {
            'PYTHONPATH': path,
            'STAND_IN': str(self.file),
            'TRYTOND_DATABASE_URI': 'sqlite://',
            }
        with _environment(environment):
            make_database(folder, modules)
        self.server = Trytond(
            folder, 'sqlite://', DATABASE, environment=environment)
        self.say(entries=worklist([]), exams=[], sync=[], machines=[],
            asked=[], receive=[])
        self.server.start()

    def say(self, **answers):
        "Set answers by name, the others stay."
        told = {}
        if self.file.exists():
            told = json.loads(self.file.read_text())
        told.update(answers)
        new = self.file.with_suffix('.new')
        new.write_text(json.dumps(told))
        new.replace(self.file)

    def calls(self):
        "Return what was called since the last time, and forget it."
        file = Path(f'{self.file}.calls')
        if not file.exists():
            return []
        calls = [json.loads(line) for line in file.read_text().splitlines()]
        file.unlink()
        return calls

    def add_servers(self, *servers):
        "Add Orthanc servers, (label, active) each."
        from proteus.config import XmlrpcConfig
        config = XmlrpcConfig(self.server.rpc_url('admin', PASSWORD))
        config.get_proxy('gnuhealth.orthanc.config').create([
                {'label': label, 'active': active, 'validated': True}
                for label, active in servers], {})

    @property
    def options(self):
        "The options that name this server."
        return ['-H', '127.0.0.1', '-p', str(self.server.port),
            '-d', DATABASE]


@contextlib.contextmanager
def _environment(values):
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def worklist(entries, removed=(), full=True, cursor='1'):
    "Return an answer of get_worklist_entries that fits into JSON."
    def plain(entry):
        dicom = entry.get('dicom')
        if isinstance(dicom, bytes):
            dicom = base64.b64encode(dicom).decode()
        return dict(entry, dicom=dicom)
    return {
        'cursor': cursor,
        'full': full,
        'entries': [plain(entry) for entry in entries],
        'removed': list(removed),
        }


def environment(**values):
    "Return an environment without the variables of the scripts."
    clean = {name: value for name, value in os.environ.items()
        if not name.startswith(('GNUHEALTH_', 'ORTHANC_'))}
    clean.update(values)
    return clean


def run(script, *arguments, stdin=subprocess.DEVNULL, timeout=60, **values):
    """Run a script; return its CompletedProcess.

    It never shows a traceback.
    """
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], stdin=stdin,
        capture_output=True, text=True, timeout=timeout,
        env=environment(**values))
    assert 'Traceback' not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done


def assert_one_sentence(done, status, *words):
    "Check how a script failed."
    assert done.returncode == status, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ''


@pytest.fixture(scope='module')
def stand_in(tmp_path_factory):
    "A running trytond with the stand-in."
    stand_in = StandIn(tmp_path_factory.mktemp('trytond'))
    yield stand_in
    stand_in.server.stop()


@pytest.fixture
def folder(tmp_path):
    "An empty worklist folder."
    folder = tmp_path / 'worklists'
    folder.mkdir()
    return folder


class Misbehaving:
    """A TCP server whose answer to each connection is a function of the
    socket."""

    def __init__(self, behave, context=None, host='127.0.0.1'):
        self.behave = behave
        self.context = context
        self.socket = socket.create_server((host, 0))
        self.port = self.socket.getsockname()[1]
        self.asked = 0
        self._open = []

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.socket.close()
        for client in self._open:
            client.close()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(
                target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client):
        try:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            self.asked += 1
            if self.behave(client) is None:
                client.close()
        except OSError:
            pass


def answering(text, read=True):
    "Return a behaviour: the same bytes for every request."
    def behave(client):
        if read:
            read_request(client)
        client.sendall(text.encode())
    return behave


def read_request(client):
    "Return the bytes of one HTTP request."
    data = b''
    while b'\r\n\r\n' not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b'\r\n\r\n')
    for line in head.lower().split(b'\r\n'):
        if line.startswith(b'content-length:'):
            while len(body) < int(line.split(b':')[1]):
                body += client.recv(65536)
    return head + b'\r\n\r\n' + body


def http(status, body='', headers=''):
    "Return the text of an HTTP answer."
    return (f'HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n'
        f'\r\n{body}')


# Connecting

def test_password_with_any_character(stand_in, folder):
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD=PASSWORD)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == "Worklist: nothing.\n"


def test_password_file(stand_in, folder, tmp_path):
    file = tmp_path / 'password'
    file.touch(mode=0o600)
    file.write_text(f'{PASSWORD}\r\nnot this\n')
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        '--password-file', file)
    assert (done.returncode, done.stderr) == (0, '')
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD_FILE=str(file))
    assert (done.returncode, done.stderr) == (0, '')


def test_password_on_standard_input(stand_in, folder, tmp_path):
    file = tmp_path / 'password'
    file.write_text(f'{PASSWORD}\n')
    with open(file) as stdin:
        done = run(WORKLISTS, *stand_in.options, '-w', folder,
            '--password-file', '-', stdin=stdin)
    assert (done.returncode, done.stderr) == (0, '')


def test_password_on_the_command_line_warns(stand_in, folder):
    arguments = [*stand_in.options, '-w', folder, '-P', PASSWORD]
    done = run(WORKLISTS, *arguments)
    assert done.returncode == 0 and done.stdout == "Worklist: nothing.\n"
    assert len(done.stderr.splitlines()) == 1
    assert "--password-file" in done.stderr
    done = run(WORKLISTS, *arguments, '-q')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_prompt_on_a_terminal(stand_in, folder):
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, WORKLISTS, *stand_in.options, '-w', folder],
        stdin=end, stdout=end, stderr=end, start_new_session=True,
        env=environment())
    os.close(end)
    read = b''
    while b'Password of admin: ' not in read:
        read += os.read(terminal, 1000)
    os.write(terminal, f'{PASSWORD}\n'.encode())
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1000):
            read += data
    os.close(terminal)
    assert process.wait(20) == 0
    assert b'Worklist: nothing.' in read
    assert PASSWORD.encode() not in read


@pytest.mark.parametrize('typed, status', [(b'\x03', 2), (b'\x04', 2)])
def test_prompt_is_left(folder, typed, status):
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        ['setsid', '-c', sys.executable, WORKLISTS, '-d', DATABASE, '-w',
            folder],
        stdin=end, stdout=end, stderr=end, env=environment())
    os.close(end)
    read = b''
    while b'Password of admin: ' not in read:
        read += os.read(terminal, 1000)
    time.sleep(0.2)
    os.write(terminal, typed)
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1000):
            read += data
    os.close(terminal)
    assert process.wait(20) == status
    assert b'No password was given.' in read
    assert b'Traceback' not in read


def test_no_password_and_no_terminal(folder):
    assert_one_sentence(
        run(WORKLISTS, '-d', DATABASE, '-w', folder), 2, "no password")


@pytest.mark.parametrize('script, options', [
        (WORKLISTS, ['-w', '{folder}']), (SYNC, ['--all'])])
def test_wrong_password(stand_in, folder, script, options):
    options = [option.format(folder=folder) for option in options]
    assert_one_sentence(
        run(script, *stand_in.options, *options,
            GNUHEALTH_PASSWORD='wrong'), 4,
        "Wrong user or password", f'"{DATABASE}"')
    # trytond answers a repeated failure later and later: use another login.
    assert_one_sentence(
        run(script, *stand_in.options, *options,
            '-u', f'nobody{script.stem}', GNUHEALTH_PASSWORD=PASSWORD), 4,
        "Wrong user or password")
    assert not list(folder.glob('[!.]*'))


@pytest.mark.parametrize('script, options', [
        (WORKLISTS, ['-w', '{folder}']), (SYNC, ['--all'])])
def test_unknown_database(stand_in, folder, script, options):
    options = [option.format(folder=folder) for option in options]
    assert_one_sentence(
        run(script, '-p', stand_in.server.port, '-d', 'no/such one',
            *options, GNUHEALTH_PASSWORD=PASSWORD), 3,
        'no database "no/such one"')


def test_server_down(folder):
    assert_one_sentence(
        run(WORKLISTS, '-p', free_port(), '-d', DATABASE, '-w', folder,
            GNUHEALTH_PASSWORD='x'), 3, "nothing listens")


def test_unknown_host(folder):
    assert_one_sentence(
        run(WORKLISTS, '-H', 'no-such-host.invalid', '-d', DATABASE, '-w',
            folder, GNUHEALTH_PASSWORD='x'), 3,
        'no host "no-such-host.invalid"')


@pytest.mark.parametrize('text, word', [
        (http(200, '<html>Welcome</html>'), "no trytond"),
        (http(200, '{"result": 5}'), "no trytond"),
        (http(200, '[]'), "no trytond"),
        (http(404), "no trytond"),
        (http(403), "no trytond"),
        (http(405), "no trytond"),
        (http(400), "no trytond"),
        (http(502), "HTTP 502"),
        (http(429), "Too many failed logins"),
        (http(301, headers='Location: https://elsewhere.invalid/\r\n'),
            "https://elsewhere.invalid/"),
        ('SSH-2.0-OpenSSH\r\n', "cannot be understood"),
        ('', "closed the connection"),
        ])
def test_no_trytond(folder, text, word):
    with Misbehaving(answering(text)) as server:
        done = run(WORKLISTS, '-H', '127.0.0.1', '-p', server.port, '-d',
            DATABASE, '-w', folder, GNUHEALTH_PASSWORD=PASSWORD)
    assert_one_sentence(done, 4 if '429' in text else 3, word)


def test_redirection_gets_no_password(folder):
    with Misbehaving(answering(http(200))) as other:
        location = f'Location: http://127.0.0.1:{other.port}/health/\r\n'
        with Misbehaving(answering(http(307, headers=location))) as server:
            run(WORKLISTS, '-H', '127.0.0.1', '-p', server.port, '-d',
                DATABASE, '-w', folder, GNUHEALTH_PASSWORD=PASSWORD)
        assert server.asked and not other.asked


def test_silent_server(folder):
    with Misbehaving(lambda client: True) as server:
        done = run(WORKLISTS, '-H', '127.0.0.1', '-p', server.port, '-d',
            DATABASE, '-w', folder, '--timeout', '0.5',
            GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 3, "does not answer in time")


def drip(client):
    read_request(client)
    client.sendall(b'HTTP/1.1 200 X\r\n\r\n')
    while True:
        client.sendall(b' ')
        time.sleep(0.05)


def test_dripping_server_ends(folder, monkeypatch):
    server = command_line.Server(
        '', DATABASE, 'admin', PASSWORD, timeout=0.2)
    monkeypatch.setattr(connection, 'CONNECT_SECONDS', 0.1)
    with Misbehaving(drip) as dripping:
        server.url = f'http://127.0.0.1:{dripping.port}'
        trytond = connection.Trytond(server, 'x')
        start = time.monotonic()
        with pytest.raises(command_line.Unreachable, match="in time"):
            trytond.call('a', 'b')
    assert time.monotonic() - start < 5


def test_endless_answer_ends(monkeypatch):
    monkeypatch.setattr(connection, 'LARGEST_ANSWER', 100_000)

    def flood(client):
        read_request(client)
        client.sendall(b'HTTP/1.1 200 X\r\n\r\n')
        while True:
            client.sendall(b'x' * 65536)
    with Misbehaving(flood) as server, pytest.raises(
            command_line.Unreachable, match="cannot be understood"):
        connection.Orthanc(
            f'http://127.0.0.1:{server.port}').request('GET', '/system')


@pytest.mark.parametrize('method, times, heard', [
        ('GET', 1, 2), ('GET', 2, 2), ('PUT', 1, 1), ('POST', 1, 1)])
def test_reading_is_tried_again_when_the_connection_is_closed(
        method, times, heard):
    with FaultServer() as server:
        server.on('/system', drop(), times=times)
        server.on('/system', answer({'Version': '1'}))
        orthanc = connection.Orthanc(server.url)
        if times < heard:
            assert orthanc.request(method, '/system') == {'Version': '1'}
        else:
            with pytest.raises(command_line.Unreachable, match="closed"):
                orthanc.request(method, '/system')
        assert server.count() == heard


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    "Return a file with a self-signed certificate for localhost and its key."
    file = tmp_path_factory.mktemp('tls') / 'both.pem'
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days',
            '2', '-subj', '/CN=localhost', '-addext',
            'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', file,
            '-out', file.with_suffix('.crt')],
        check=True, capture_output=True)
    with open(file, 'ab') as both:
        both.write(file.with_suffix('.crt').read_bytes())
    return file


def proxy_to(port, prefix):
    "Return a behaviour: what a reverse proxy with a path prefix does."
    def behave(client):
        request = read_request(client)
        assert request.startswith(f'POST {prefix}/'.encode())
        request = request.replace(f'POST {prefix}'.encode(), b'POST ', 1)
        with socket.create_connection(('127.0.0.1', port)) as server:
            server.sendall(request.replace(b'POST  ', b'POST '))
            while data := server.recv(65536):
                client.sendall(data)
    return behave


def test_https_with_path_prefix(stand_in, folder, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    behave = proxy_to(stand_in.server.port, '/his/tryton')
    with Misbehaving(behave, context) as server:
        options = ['--url', f'https://localhost:{server.port}/his/tryton/',
            '-d', DATABASE, '-w', folder]
        trusted = run(WORKLISTS, *options, '--ca-file',
            certificate.with_suffix('.crt'), GNUHEALTH_PASSWORD=PASSWORD)
        untrusted = run(WORKLISTS, *options, GNUHEALTH_PASSWORD=PASSWORD)
    assert (trusted.returncode, trusted.stderr) == (0, '')
    assert_one_sentence(untrusted, 3, "certificate", "--ca-file")


def test_certificate_of_another_host(folder, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with Misbehaving(answering(http(200)), context, '127.0.0.2') as server:
        done = run(WORKLISTS, '--url', f'https://127.0.0.2:{server.port}',
            '-d', DATABASE, '-w', folder, '--ca-file',
            certificate.with_suffix('.crt'), GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 3, "certificate")


def test_https_asked_of_http(stand_in, folder):
    done = run(WORKLISTS, '--url', f'https://127.0.0.1:{stand_in.server.port}',
        '-d', DATABASE, '-w', folder, GNUHEALTH_PASSWORD='x')
    assert_one_sentence(done, 3, "TLS")


# After connecting

def test_server_refuses(stand_in, folder):
    stand_in.say(entries="You are not allowed.")
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD=PASSWORD)
    stand_in.say(entries=worklist([]))
    assert_one_sentence(done, 4, "You are not allowed.")


def test_server_fails(stand_in, folder):
    stand_in.say(entries=1)
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD=PASSWORD)
    stand_in.say(entries=worklist([]))
    assert_one_sentence(done, 3, "The server failed")


@pytest.mark.parametrize('answer', [[], {}, {'cursor': '1', 'full': True}])
def test_answer_of_another_version(stand_in, folder, answer):
    stand_in.say(entries={'entries': []} if answer == {} else answer)
    done = run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD=PASSWORD)
    stand_in.say(entries=worklist([]))
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_module_is_not_activated(tmp_path, folder):
    bare = tmp_path / 'bare'
    bare.mkdir()
    stand_in = StandIn(bare, ['res'])
    try:
        worklists = run(WORKLISTS, *stand_in.options, '-w', folder,
            GNUHEALTH_PASSWORD=PASSWORD)
        sync = run(SYNC, *stand_in.options, '--all',
            GNUHEALTH_PASSWORD=PASSWORD)
    finally:
        stand_in.server.stop()
    assert_one_sentence(
        worklists, 3, "activate the module health_imaging_worklist")
    assert_one_sentence(sync, 3, "activate the module health_orthanc")


def test_older_module(stand_in):
    server = command_line.Server(
        stand_in.server.url, DATABASE, 'admin', PASSWORD)
    trytond = connection.Trytond(server, 'some_module')
    with pytest.raises(command_line.Unreachable, match="some_module is older"):
        trytond.call('res.user', 'not_yet_there')
    trytond.close()


def test_session_that_ended_is_renewed(stand_in):
    server = command_line.Server(
        stand_in.server.url, DATABASE, 'admin', PASSWORD)
    trytond = connection.Trytond(server, 'x')
    assert trytond.call('res.user', 'search_count', [], 0, None) == 1
    trytond._post(server.path, 'common.db.logout')
    assert trytond.call('res.user', 'search_count', [], 0, None) == 1
    trytond.close()


def test_no_session_stays(stand_in, folder):
    def sessions():
        file = stand_in.folder / f'{DATABASE}.sqlite'
        with contextlib.closing(sqlite3.connect(file)) as database:
            return database.execute(
                'SELECT "key" FROM ir_session').fetchall()
    before = sessions()
    run(WORKLISTS, *stand_in.options, '-w', folder,
        GNUHEALTH_PASSWORD=PASSWORD)
    assert sessions() == before
    run(WORKLISTS, *stand_in.options, '-w', '/proc',
        GNUHEALTH_PASSWORD=PASSWORD)
    run(SYNC, *stand_in.options, '-l', 'Nowhere', GNUHEALTH_PASSWORD=PASSWORD)
    assert sessions() == before


# Options

MAINS = [(update_worklists_database, []), (sync_orthanc_server, ['--all'])]


@pytest.mark.parametrize('arguments, word', [
        ([], "database"),
        (['-d', 'x', '--url', 'his.example.org'], "--url"),
        (['-d', 'x', '--url', 'ftp://his.example.org'], "--url"),
        (['-d', 'x', '--url', 'http://'], "--url"),
        (['-d', 'x', '--url', 'http://a b'], "--url"),
        (['-d', 'x', '--url', 'http://[::1'], "--url"),
        (['-d', 'x', '--url', 'http://a..b'], "--url"),
        (['-d', 'x', '--url', 'http://host:99999'], "--url"),
        (['-d', 'x', '--url', 'http://me:secret7@host'], "without a user"),
        (['-d', 'x', '--url', 'http://host/?db=x'], "without ?"),
        (['-d', 'x', '--url', 'http://host', '-H', 'other'], "not both"),
        (['-d', 'x', '-H', 'http://host'], "--url"),
        (['-d', 'x', '-p', 'http'], "port number"),
        (['-d', 'x', '-p', '0'], "port number"),
        (['-d', 'x', '--password-file', '/no/such/file'], "/no/such/file"),
        (['-d', 'x', '--password-file', '/dev/null'], "a device"),
        (['-d', 'x', '--password-file', '/'], "cannot be read"),
        (['-d', 'x', '--url', 'https://host', '--ca-file', '/no/such/file'],
            "/no/such/file"),
        (['-d', 'x', '--url', 'https://host', '--ca-file', str(SYNC)],
            "authorities"),
        ])
@pytest.mark.parametrize('script, more', MAINS)
def test_wrong_options(script, more, arguments, word, capsys, monkeypatch):
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    assert script.main([*arguments, *more]) == 2
    output, errors = capsys.readouterr()
    assert output == '' and len(errors.splitlines()) == 1
    assert word in errors and 'secret7' not in errors


@pytest.mark.parametrize('arguments', [
        ['--seconds', '0'], ['-s', '-1'], ['-s', 'nan'], ['-s', 'inf'],
        ['-s', 'soon'], ['--timeout', '0'], ['--no-such-option'], ['-v', '-q'],
        ])
@pytest.mark.parametrize('script, more', MAINS)
def test_refused_by_argparse(script, more, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        script.main(['-d', 'x', '-P', 'x', *arguments, *more])
    assert ended.value.code == 2
    assert 'usage:' in capsys.readouterr().err


@pytest.mark.parametrize('script', [WORKLISTS, SYNC])
def test_help_and_version(script):
    text = run(script, '-h').stdout
    for words in ["exit status:", "examples:", "GNUHEALTH_PASSWORD"]:
        assert words in text
    done = run(script, '--version')
    assert done.stdout == f'{script.name} {command_line.VERSION}\n'


def test_version_is_that_of_the_package():
    import configparser
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    assert parser['metadata']['version'] == command_line.VERSION


def read(arguments, **environ):
    "Return the Server of some options."
    options = command_line.make_parser('', '').parse_args(arguments)
    return command_line.read_server(options, environ)


def test_defaults_and_environment():
    server = read(['-d', 'x y', '-P', ''])
    assert server.url + server.path == 'http://localhost:8000/x%20y/'
    assert (server.user, server.password) == ('admin', '')
    environ = {
        'GNUHEALTH_HOSTNAME': '::1',
        'GNUHEALTH_PORT': '81',
        'GNUHEALTH_USER': 'me',
        'GNUHEALTH_DATABASE': 'his',
        'GNUHEALTH_PASSWORD': ' word ',
        }
    server = read([], **environ)
    assert server.url + server.path == 'http://[::1]:81/his/'
    assert (server.user, server.password) == ('me', ' word ')
    assert 'word' not in repr(server)
    environ['GNUHEALTH_URL'] = 'https://his.example.org/a b/'.replace(
        ' ', '%20')
    assert read([], **environ).url == 'https://his.example.org/a%20b'
    assert read(['-H', 'here'], **environ).url == 'http://here:81'


# Signals

def test_a_deadline_that_a_library_swallows_comes_again():
    with pytest.raises(command_line.TooLate):
        with command_line.deadline(0.05):
            with contextlib.suppress(Exception):
                time.sleep(5)
            time.sleep(5)


def test_deadline():
    start = time.monotonic()
    with pytest.raises(command_line.TooLate):
        with command_line.deadline(0.05):
            time.sleep(5)
    assert time.monotonic() - start < 1
    with command_line.deadline(0.05):
        pass
    time.sleep(0.1)


@pytest.fixture
def stopping():
    "Signals raise Stopped during the test."
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    former = {number: signal.getsignal(number) for number in numbers}
    command_line.stop_on_signals()
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_signals_interrupt_what_waits_only(stopping):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(command_line.Stopped) as stopped:
        command_line.check_signals()
    assert stopped.value.number == signal.SIGTERM
    command_line.check_signals()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(command_line.Stopped):
        with command_line.interruptible():
            pytest.fail("It began to wait.")
    start = time.monotonic()
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGHUP]).start()
    with pytest.raises(command_line.Stopped) as stopped:
        with command_line.deadline(20):
            time.sleep(20)
    assert stopped.value.number == signal.SIGHUP
    assert time.monotonic() - start < 5


def test_repeat_backs_off_and_tells_once():
    waits = []

    class Told(command_line.Messages):
        errors = []

        def error(self, text):
            self.errors.append(str(text))

    messages = Told()
    outcomes = [command_line.Unreachable("No server.")] * 8 + [None] + [
        command_line.Unreachable("Still none.", True), None]

    def work():
        if not outcomes:
            raise command_line.Stopped(signal.SIGTERM)
        outcome = outcomes.pop(0)
        if outcome:
            outcome.temporary = True
            raise outcome
    with pytest.raises(command_line.Stopped):
        command_line.repeat(work, 1, messages, waits.append)
    assert waits[:9] == [2, 4, 8, 16, 30, 30, 30, 30, 1]
    assert messages.errors == [
        "No server. Trying again until it works.", "It works again.",
        "Still none. Trying again until it works.", "It works again."]


def test_repeat_ends_when_it_cannot_get_better():
    def work():
        raise command_line.Refused("Wrong password.")
    with pytest.raises(command_line.Refused):
        command_line.repeat(work, 1, command_line.Messages())


def wait_for(test, seconds=20):
    "Wait until test() is true."
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('poll, status', [(True, 0), (False, None)])
def test_signal_ends_a_hanging_call(folder, number, poll, status):
    with Misbehaving(lambda client: True) as server:
        process = subprocess.Popen(
            [sys.executable, WORKLISTS, '-H', '127.0.0.1', '-p',
                str(server.port), '-d', DATABASE, '-w', folder,
                *(['-s', '1'] if poll else [])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(GNUHEALTH_PASSWORD='x'))
        wait_for(lambda: server.asked)
        start = time.monotonic()
        process.send_signal(number)
        output = process.communicate(timeout=20)
    assert time.monotonic() - start < 1
    assert output == ('', '')
    assert process.returncode == (128 + number if status is None else status)


# sync_orthanc_server.py

@pytest.fixture(scope='module')
def orthancs(stand_in):
    "The stand-in with three Orthanc servers."
    stand_in.add_servers(('Main', True), ('CT "1"', True), ('Old', False))
    return stand_in


def sync(stand_in, *arguments):
    "Run the script; return its CompletedProcess."
    return run(SYNC, *stand_in.options, *arguments,
        GNUHEALTH_PASSWORD=PASSWORD)


def test_sync_tells_what_was_done(orthancs):
    orthancs.say(sync=[{
                'label': 'Main', 'state': 'done', 'error': None,
                'run': {'id': 7, 'studies_new': 3, 'studies_gone': 0}}])
    orthancs.calls()
    done = sync(orthancs, '-l', 'Main')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == "Main: done (studies new 3)\n"
    assert orthancs.calls() == [['sync', [['Main']]]]


def test_sync_all(orthancs):
    orthancs.say(sync=[])
    orthancs.calls()
    done = sync(orthancs, '--all')
    assert (done.returncode, done.stderr) == (0, '')
    assert "no active" in done.stdout
    assert orthancs.calls() == [['sync', [None]]]


def test_sync_label_not_found(orthancs):
    orthancs.calls()
    done = sync(orthancs, '-l', 'Main', '-l', 'Nowhere')
    assert_one_sentence(done, 2, '"Nowhere"', '"CT "1"", "Main", "Old"')
    assert orthancs.calls() == []


def test_sync_as_the_module_tells_it(orthancs):
    orthancs.say(sync=[
            {'label': 'Main', 'found': True, 'state': 'done', 'error': None,
                'full': True, 'studies_new': 3, 'skipped_reasons': ''},
            {'label': 'CT "1"', 'found': True, 'state': 'busy',
                'error': 'It runs already.'},
            {'label': 'Third', 'found': True, 'state': 'interrupted'}])
    done = sync(orthancs, '--all')
    assert done.returncode == 1
    assert done.stdout == "Main: done (studies new 3)\n"
    assert done.stderr.splitlines() == [
        'CT "1": busy: It runs already.', 'Third: interrupted']
    orthancs.say(sync=[{'label': 'Old', 'found': False}])
    assert_one_sentence(sync(orthancs, '-l', 'Old'), 2, '"Old"')


def test_sync_one_server_fails(orthancs):
    orthancs.say(sync=[
            {'label': 'Main', 'state': 'done', 'run': {}, 'error': None},
            {'label': 'CT "1"', 'state': 'failed', 'run': None,
                'error': 'refused\nby server'}])
    done = sync(orthancs, '-l', 'Main', '-l', 'CT "1"', '-l', 'Old')
    assert done.returncode == 1
    assert done.stdout == "Main: done\n"
    assert done.stderr.splitlines() == [
        'CT "1": failed: refused by server',
        'Old: not synchronised, is it active?']


def test_sync_needs_a_choice():
    done = run(SYNC, '-d', 'x', '-P', 'x')
    assert done.returncode == 2


def test_sync_again_and_again(orthancs):
    orthancs.say(sync=[
            {'label': 'Main', 'state': 'done', 'run': {}, 'error': None}])
    orthancs.calls()
    process = subprocess.Popen(
        [sys.executable, SYNC, *orthancs.options, '-l', 'Main', '-s', '0.2'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(GNUHEALTH_PASSWORD=PASSWORD))
    for _ in range(3):
        assert process.stdout.readline() == "Main: done\n"
    start = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - start < 1
    assert (process.returncode, errors) == (0, '')


def test_sync_shows_progress_on_a_terminal(orthancs):
    from proteus.config import XmlrpcConfig
    config = XmlrpcConfig(orthancs.server.rpc_url('admin', PASSWORD))
    server, = config.get_proxy('gnuhealth.orthanc.config').search(
        [('label', '=', 'Main')], 0, None, None, {})
    config.get_proxy('gnuhealth.orthanc.sync_run').create([{
                'server': server, 'state': 'running', 'done': 12,
                'total': 345}], {})
    orthancs.say(sync=2.5)
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, SYNC, *orthancs.options, '--all'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=end,
        env=environment(GNUHEALTH_PASSWORD=PASSWORD))
    os.close(end)
    shown = b''
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1000):
            shown += data
    os.close(terminal)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert b'12/345' in shown
