# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that the demonstration and the tests run on: Orthanc, trytond and
its database.  They live in a folder of the caller's, listen on the loopback
interface, and end with the process that started them.
"""
import base64
import configparser
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from contextlib import closing
from pathlib import Path

HOST = '127.0.0.1'
ORTHANC = '/usr/sbin/Orthanc'
PLUGINS = '/usr/share/orthanc/plugins'
DICOMWEB = f'{PLUGINS}/libOrthancDicomWeb.so'
ATTEMPTS = 3


class ServiceError(Exception):
    """A server that does not start, or a command that fails."""


def prefer_system_programs():
    """Let programs of the system be found before those beside Python.

    pynetdicom brings some that have the names of dcmtk's.
    """
    beside = Path(sys.prefix, 'bin')
    folders = os.environ.get('PATH', os.defpath).split(os.pathsep)
    os.environ['PATH'] = os.pathsep.join(
        sorted(folders, key=lambda folder: Path(folder) == beside))


def free_port():
    """Return the number of a loopback TCP port that is free now.

    It is not reserved: a server that starts on it may find it taken.
    """
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def free_ports(count):
    """Return as many different free loopback ports as asked for."""
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def tail(path, lines=15):
    """Return the last lines of a text file, nothing when there is no file."""
    path = Path(path)
    if not path.is_file():
        return ''
    text = path.read_text(encoding='utf-8', errors='replace')
    return '\n'.join(text.splitlines()[-lines:])


class Process:
    """A command in the background, with its output in a file.

    It has a session of its own, so that Ctrl-C in the caller does not end it.
    The kernel ends it when the thread that started it dies.
    """

    def __init__(self, command, log, environment=None, end=signal.SIGTERM):
        self.command = [str(word) for word in command]
        self.log = Path(log)
        self.environment = environment
        self.end = end
        self._popen = None

    @property
    def pid(self):
        """The process id, None when nothing runs."""
        return self._popen.pid if self._popen else None

    @property
    def running(self):
        """Whether the command was started and has not ended."""
        return bool(self._popen) and self._popen.poll() is None

    def start(self):
        """Start the command; the output is appended to the log."""
        with open(self.log, 'ab') as log:
            try:
                self._popen = subprocess.Popen(
                    ['setpriv', '--pdeathsig', 'KILL', '--', *self.command],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=self.environment, start_new_session=True)
            except FileNotFoundError:
                raise ServiceError(
                    "There is no setpriv, the package util-linux has it.")

    def stop(self, timeout=10):
        """Terminate the command, and kill it after a timeout.

        :param float timeout: seconds
        """
        if self.running:
            self._popen.send_signal(self.end)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        """Kill the command and the processes that it started."""
        if not self._popen:
            return
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()
        self._popen = None


def wait_until(ready, process, what, timeout):
    """Wait until a condition holds.

    :param ready: function that returns whether it holds
    :param process: the Process that must stay alive
    :param str what: name of the server, for the message
    :param float timeout: seconds
    :raises ServiceError: the process ended, or the time is over
    """
    end = time.monotonic() + timeout
    while not (ready() and process.running):
        if not process.running or time.monotonic() > end:
            process.kill()
            raise ServiceError(
                f"{what} did not start, its log ends with:\n"
                f"{tail(process.log)}")
        time.sleep(0.05)


def _answers(port, method, path, body=None, headers=None):
    """Return whether an HTTP server on loopback answers with status 200."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as http_:
        try:
            http_.request(method, path, body, headers or {})
            return http_.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


class _Service:
    """Base of the servers: start, stop, kill, context manager."""

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def _start_on_free_ports(self):
        """Start on free ports.

        The ports stay the same at later starts; at the first start others are
        tried when they are taken meanwhile.
        """
        if self._has_ports():
            return self._start()
        for left in reversed(range(ATTEMPTS)):
            self._choose_ports()
            try:
                return self._start()
            except ServiceError:
                if not left:
                    raise


class Orthanc(_Service):
    """An Orthanc server with its storage, configuration and log in a folder.

    :param folder: where everything is kept; it is made when missing. A second
        start in the same folder finds the same images.
    :param users: passwords by login; empty: everyone may use the server
    :param worklists: the folder of the worklist files, default
        ``folder/worklists``
    :param default_encoding: the character set of its DICOM answers
    :param aet: its application entity title
    :param modalities: modalities it talks to, AE titles by symbolic name.
        When given, only these are listened to, and from this machine only.
        (The DICOM port of Orthanc cannot be bound to one interface.)
    :param extra: options that win over those written here
    """

    def __init__(self, folder, users={'demo': 'secret'}, worklists=None,
            default_encoding='Utf8', aet='ORTHANC', modalities=None,
            extra=None):
        self.folder = Path(folder).absolute()
        self.users = dict(users or {})
        self.worklists = Path(worklists or self.folder / 'worklists')
        self.default_encoding = default_encoding
        self.aet = aet
        self.modalities = modalities
        self.extra = extra or {}
        self.log = self.folder / 'orthanc.log'
        self.http_port = self.dicom_port = None
        self._process = Process(
            [ORTHANC, self.folder / 'orthanc.json'], self.log)

    @property
    def url(self):
        """The base address of its REST API and web pages."""
        return f'http://{HOST}:{self.http_port}'

    @property
    def user(self):
        """The first login, None when none is needed."""
        return next(iter(self.users), None)

    @property
    def password(self):
        """The password of the first login."""
        return self.users.get(self.user)

    @property
    def pid(self):
        """The process id, None when it does not run."""
        return self._process.pid

    @property
    def running(self):
        """Whether it was started and has not ended."""
        return self._process.running

    def _has_ports(self):
        return bool(self.http_port)

    def _choose_ports(self):
        self.http_port, self.dicom_port = free_ports(2)

    def configuration(self):
        """Return what Orthanc reads from its JSON file."""
        strict = self.modalities is not None
        options = {
            'Name': self.aet,
            'StorageDirectory': str(self.folder / 'storage'),
            'HttpPort': self.http_port,
            'RemoteAccessAllowed': False,
            'AuthenticationEnabled': bool(self.users),
            'RegisteredUsers': self.users,
            'DicomAet': self.aet,
            'DicomPort': self.dicom_port,
            'DefaultEncoding': self.default_encoding,
            'DicomCheckModalityHost': strict,
            'DicomAlwaysAllowEcho': not strict,
            'DicomAlwaysAllowStore': not strict,
            'DicomAlwaysAllowFind': not strict,
            'DicomAlwaysAllowFindWorklist': not strict,
            'DicomModalities': {
                name: {
                    'AET': aet,
                    'Host': HOST,
                    'Port': 104,
                    'AllowFindWorklist': True,
                    }
                for name, aet in (self.modalities or {}).items()},
            'StableAge': 1,
            'Plugins': self._plugins(),
            'Worklists': {
                'Enable': True,
                'Database': str(self.worklists),
                },
            }
        options.update(self.extra)
        return options

    def _plugins(self):
        """Return the plugins; DICOMweb is left out when not installed."""
        paths = [f'{PLUGINS}/{name}' for name in [
                'libModalityWorklists.so', 'libServeFolders.so']]
        if os.path.exists(DICOMWEB):
            paths.append(DICOMWEB)
        return paths

    def start(self):
        """Start it and wait until its REST API answers.

        :raises ServiceError: it does not
        """
        if self._process.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.worklists.mkdir(parents=True, exist_ok=True)
        self._start_on_free_ports()

    def _start(self):
        path = self.folder / 'orthanc.json'
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.configuration(), indent=2))
        self._process.start()
        wait_until(self._ready, self._process, "Orthanc", 30)

    def _ready(self):
        return _answers(
            self.http_port, 'GET', '/system', headers=self._headers())

    def _headers(self):
        if not self.users:
            return {}
        token = base64.b64encode(f'{self.user}:{self.password}'.encode())
        return {'Authorization': f'Basic {token.decode()}'}

    def stop(self):
        """Stop it as an administrator would; images and ports stay."""
        self._process.stop()

    def kill(self):
        """Kill it, as a power cut would."""
        self._process.kill()

    def rest(self, method, path, body=None):
        """Call its REST API.

        :param str method: of HTTP
        :param str path: below the address of the server
        :param body: bytes as they are, anything else is sent as JSON
        :return: the parsed JSON answer, bytes when it is no JSON
        """
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection(
            HOST, self.http_port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, self._headers())
            response = connection.getresponse()
            answer = response.read()
        if response.status != 200:
            raise ServiceError(
                f"Orthanc answered {response.status} to {method} {path}")
        try:
            return json.loads(answer)
        except ValueError:
            return answer


def write_trytond_configuration(path, database_uri, database_path=None,
        listen=None, web_root=None, settings=None):
    """Write a configuration file for trytond.

    :param database_uri: such as ``sqlite://`` or ``postgresql://user@host``
    :param database_path: the folder of SQLite databases and of stored files
    :param listen: ``host:port`` of the web server
    :param web_root: the folder of the web client
    :param settings: more options, by section and name
    """
    parser = configparser.RawConfigParser()
    parser['database'] = {
        'uri': database_uri,
        'path': str(database_path or Path(path).parent),
        }
    parser['web'] = {}
    if listen:
        parser['web']['listen'] = listen
    if web_root:
        parser['web']['root'] = str(web_root)
    for section, options in (settings or {}).items():
        if not parser.has_section(section):
            parser.add_section(section)
        for name, value in options.items():
            parser[section][name] = str(value)
    Path(path).touch(mode=0o600)
    with open(path, 'w', encoding='utf-8') as file:
        parser.write(file)


def trytond_command(name):
    """Return how to run a program of trytond with this Python."""
    script = Path(sys.executable).parent / name
    if not script.exists():
        script = shutil.which(name)
    if not script:
        raise ServiceError(f"There is no program {name}.")
    return [sys.executable, str(script)]


class Trytond(_Service):
    """A trytond server on an existing database.

    :param folder: for its configuration and logs; it is made when missing
    :param database_uri: such as ``sqlite://`` or ``postgresql://user@host``
    :param database: the name of the database
    :param database_path: the folder of SQLite databases and of stored files,
        default the folder
    :param web_root: the folder of the web client
    :param workers: how many trytond-worker processes run the queue
    :param cron: whether trytond-cron runs beside it
    :param settings: more options, by section and name
    :param environment: variables added to the environment
    """

    def __init__(self, folder, database_uri, database, database_path=None,
            web_root=None, workers=0, cron=False, settings=None,
            environment=None):
        self.folder = Path(folder).absolute()
        self.database_uri = database_uri
        self.database = database
        self.database_path = Path(database_path or self.folder)
        self.web_root = web_root
        self.workers = workers
        self.cron = cron
        self.settings = {
            section: dict(options)
            for section, options in (settings or {}).items()}
        if workers:
            self.settings.setdefault('queue', {})['worker'] = True
        self.environment = {**os.environ, **(environment or {})}
        self.configuration = self.folder / 'trytond.conf'
        self.log = self.folder / 'trytond.log'
        self.port = None
        self._server = self._process('trytond')
        self._helpers = [
            self._process('trytond-worker', f'worker-{i}')
            for i in range(workers)]
        if cron:
            self._helpers.append(self._process('trytond-cron'))

    def _process(self, program, name=None):
        return Process(
            [*trytond_command(program), '-v', '-c', self.configuration,
                '-d', self.database],
            self.folder / f'{name or program}.log', self.environment)

    @property
    def url(self):
        """The base address of the server."""
        return f'http://{HOST}:{self.port}'

    @property
    def pid(self):
        """The process id, None when it does not run."""
        return self._server.pid

    @property
    def running(self):
        """Whether it was started and has not ended."""
        return self._server.running

    def rpc_url(self, user, password):
        """Return the address that proteus takes for XML-RPC."""
        user, password = [
            urllib.parse.quote(text, safe='') for text in [user, password]]
        return f'http://{user}:{password}@{HOST}:{self.port}/{self.database}/'

    def _has_ports(self):
        return bool(self.port)

    def _choose_ports(self):
        self.port = free_port()

    def start(self):
        """Start it and wait until it answers.

        :raises ServiceError: it does not
        """
        if self._server.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start_on_free_ports()
        for helper in self._helpers:
            helper.start()

    def _start(self):
        write_trytond_configuration(
            self.configuration, self.database_uri, self.database_path,
            f'{HOST}:{self.port}', self.web_root, self.settings)
        self._server.start()
        wait_until(self._ready, self._server, "trytond", 120)

    def _ready(self):
        return _answers(
            self.port, 'POST', '/', json.dumps({
                    'id': 0, 'method': 'common.server.version',
                    'params': []}),
            {'Content-Type': 'application/json'})

    def stop(self):
        """End the server, its workers and its scheduler."""
        for process in [*self._helpers, self._server]:
            process.stop()

    def kill(self):
        """Kill the server, its workers and its scheduler."""
        for process in [*self._helpers, self._server]:
            process.kill()


def create_database(folder, database_uri, database, modules, password,
        database_path=None, languages=(), settings=None):
    """Make a database and activate modules in it, with what they depend on.

    :param folder: for the configuration, the log and the password file
    :param password: of the user ``admin``; no command line shows it
    :raises ServiceError: trytond-admin fails
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database_path = Path(database_path or folder)
    _create_empty(database_uri, database, database_path)
    configuration = folder / 'trytond-admin.conf'
    write_trytond_configuration(
        configuration, database_uri, database_path, settings=settings)
    secret = folder / 'password'
    secret.touch(mode=0o600)
    secret.write_text(password)
    try:
        _run_admin(folder, secret, [
                '-c', configuration, '-d', database,
                '--email', 'admin@localhost', '--activate-dependencies',
                *(['-l', *languages] if languages else []),
                '-u', *modules])
    finally:
        secret.unlink()


def _create_empty(database_uri, database, database_path):
    if database_uri.startswith('sqlite'):
        database_path.mkdir(parents=True, exist_ok=True)
        (database_path / f'{database}.sqlite').touch(exist_ok=False)
        return
    import psycopg2
    from psycopg2 import sql
    connection = psycopg2.connect(f'{database_uri.rstrip("/")}/postgres')
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(sql.SQL('CREATE DATABASE {}').format(
                sql.Identifier(database)))


def _run_admin(folder, secret, arguments):
    log = folder / 'trytond-admin.log'
    with open(log, 'ab') as output:
        status = subprocess.run(
            [*trytond_command('trytond-admin'), '-v',
                *[str(argument) for argument in arguments]],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, 'TRYTONPASSFILE': str(secret)}).returncode
    if status:
        raise ServiceError(
            f"trytond-admin failed with status {status}, its log ends "
            f"with:\n{tail(log)}")
