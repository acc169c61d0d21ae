# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that the demonstration and the tests run on: Orthanc, trytond and
its database.  They live in a folder of the caller's, listen on the loopback
interface, and end with the process that started them."""
import configparser
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from contextlib import ExitStack, suppress
from pathlib import Path

import requests

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
    return _free_ports(1)[0]


def _free_ports(count):
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]


def _tail(path):
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    return '\n'.join(lines[-15:])


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

    def stop(self):
        """Terminate the command, and kill it after ten seconds."""
        if self.running:
            self._popen.send_signal(self.end)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(10)
        self.kill()

    def kill(self):
        """Kill the command and the processes that it started."""
        if self._popen:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            self._popen = None


def wait_until(ready, process, what, timeout):
    """Wait until ready() holds, some seconds at the most.

    :param process: the Process that must stay alive
    :raises ServiceError: it ended, or the time is over
    """
    end = time.monotonic() + timeout
    while not (ready() and process.running):
        if not process.running or time.monotonic() > end:
            process.kill()
            raise ServiceError(
                f"{what} did not start, its log ends with:\n"
                f"{_tail(process.log)}")
        time.sleep(0.05)


class Service:
    """Base of the servers, which are contexts.  Their ports stay the same at
    later starts; at the first one others are tried when they are taken.

    :ivar processes: the server itself first
    """
    ports = None

    def __init__(self, folder):
        self.folder = Path(folder).absolute()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    @property
    def url(self):
        """The base address of its REST API or RPC, and of its web pages."""
        return f'http://{HOST}:{self.ports[0]}'

    @property
    def pid(self):
        """The process id, None when it does not run."""
        return self.processes[0].pid

    @property
    def running(self):
        """Whether it was started and has not ended."""
        return self.processes[0].running

    def start(self):
        """Start it and wait until it answers; ServiceError if it does not."""
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        attempts = 1 if self.ports else ATTEMPTS
        while not self.running:
            attempts -= 1
            if not self.ports:
                self.ports = _free_ports(self.port_count)
            self._configure()
            self.processes[0].start()
            try:
                wait_until(self._ready, self.processes[0],
                    type(self).__name__, self.patience)
            except ServiceError:
                if not attempts:
                    raise
                self.ports = None
        for helper in self.processes[1:]:
            helper.start()

    def _ready(self):
        try:
            return self._ask(5).ok
        except OSError:
            return False

    def stop(self):
        """Stop it as an administrator would; its data and ports stay."""
        for process in reversed(self.processes):
            process.stop()

    def kill(self):
        """Kill it, as a power cut would."""
        for process in reversed(self.processes):
            process.kill()


def request(method, url, **options):
    """Return the answer of a server; see requests.Session.request."""
    with requests.Session() as session:
        # No proxy of the environment, no password of .netrc.
        session.trust_env = False
        return session.request(method, url, **options)


class Orthanc(Service):
    """An Orthanc server with its storage, configuration and log in a folder.

    :param folder: a second start in the same one finds the same images
    :param users: passwords by login; empty: everyone may use the server
    :param worklists: the folder of the worklist files, default one in folder
    :param default_encoding: the character set of its DICOM answers
    :param modalities: modalities it talks to, AE titles by symbolic name.
        When given, only these are listened to, and from this machine only.
        (The DICOM port of Orthanc cannot be bound to one interface.)
    :param extra: options that win over those written here
    :cvar program: the command that runs an Orthanc, before its arguments
    :cvar environment: variables that it needs, None for those of the caller
    :cvar folder_of_plugins: where its plugins are
    :cvar plugins: names of those to load, where they are installed
    :cvar more: function of the folder that returns more options
    """
    aet = 'ORTHANC'
    port_count, patience = 2, 30
    program, environment, folder_of_plugins = [ORTHANC], None, PLUGINS
    plugins = ['ModalityWorklists', 'ServeFolders', 'OrthancDicomWeb']
    more = staticmethod(lambda folder: {})

    def __init__(self, folder, users={'demo': 'secret'}, worklists=None,
            default_encoding='Utf8', modalities=None, extra=None):
        super().__init__(folder)
        self.users = users
        self.worklists = Path(worklists or self.folder / 'worklists')
        self.default_encoding = default_encoding
        self.modalities = modalities
        self.extra = {**self.more(self.folder), **(extra or {})}
        self.user, self.password = next(iter(users.items()), (None, None))
        self.processes = [Process(
                [*self.program, self.folder / 'orthanc.json'],
                self.folder / 'orthanc.log', self.environment)]

    @property
    def http_port(self):
        """The port of its REST API and web pages."""
        return self.ports[0]

    @property
    def dicom_port(self):
        """The port that modalities use."""
        return self.ports[1]

    def configuration(self):
        """Return what Orthanc reads from its JSON file."""
        strict = self.modalities is not None
        plugins = [f'{self.folder_of_plugins}/lib{name}.so'
            for name in self.plugins]
        return {
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
                name: {'AET': aet, 'Host': HOST, 'Port': 104,
                    'AllowFindWorklist': True}
                for name, aet in (self.modalities or {}).items()},
            'StableAge': 1,
            'Plugins': [path for path in plugins if os.path.exists(path)],
            'Worklists': {'Enable': True, 'Database': str(self.worklists)},
            **self.extra,
            }

    def _configure(self):
        self.worklists.mkdir(parents=True, exist_ok=True)
        path = self.folder / 'orthanc.json'
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.configuration(), indent=2))

    def _ask(self, timeout, method='GET', path='/system', body=None):
        auth = self.user and (self.user.encode(), self.password.encode())
        return request(method, self.url + path, data=body, auth=auth,
            timeout=timeout)

    def rest(self, method, path, body=None):
        """Call its REST API.

        :param body: bytes as they are, anything else is sent as JSON
        :return: the parsed JSON answer, bytes when it is no JSON
        :raises ServiceError: it answers with an error
        """
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        answer = self._ask(60, method, path, body)
        if answer.status_code != 200:
            raise ServiceError(
                f"Orthanc answered {answer.status_code} to {method} {path}")
        try:
            return json.loads(answer.content)
        except ValueError:
            return answer.content


def write_trytond_configuration(path, database_uri, database_path,
        listen='localhost:8000', web_root=None, settings=None):
    """Write a configuration file for trytond; see `Trytond`.

    :param listen: ``host:port`` of the web server
    :param settings: more options, by section and name
    """
    parser = configparser.RawConfigParser()
    parser.read_dict({
            'database': {'uri': database_uri, 'path': database_path},
            'web': {'listen': listen,
                **({'root': web_root} if web_root else {})},
            # See "Memory" in doc/operation.rst.
            'cache': {'ir.model.get_names': 32},
            **(settings or {})})
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


class Trytond(Service):
    """A trytond server on an existing database.

    :param folder: for its configuration and logs; it is made when missing
    :param database_uri: such as ``sqlite://`` or ``postgresql://user@host``
    :param database_path: of SQLite databases and stored files, default folder
    :param web_root: the folder of the web client
    :param workers: how many trytond-worker processes run the queue
    :param environment: variables added to the environment
    """
    port_count, patience = 1, 120

    def __init__(self, folder, database_uri, database, database_path=None,
            web_root=None, workers=0, environment=None):
        super().__init__(folder)
        self.database = database
        self._environment = {**os.environ, **(environment or {})}
        self._settings = {
            'database_uri': database_uri,
            'database_path': database_path or self.folder,
            'web_root': web_root,
            'settings': {'queue': {'worker': True}} if workers else None}
        self._configuration = self.folder / 'trytond.conf'
        self.log = self.folder / 'trytond.log'
        self.processes = [self._process('trytond', self.log), *(
                self._process(
                    'trytond-worker', self.folder / f'worker-{number}.log',
                    '-t', '2')
                for number in range(workers))]

    def _process(self, program, log, *arguments):
        return Process(
            [*trytond_command(program), '-v', '-c', self._configuration,
                '-d', self.database, *arguments],
            log, self._environment)

    @property
    def port(self):
        """The port of its web server."""
        return self.ports[0]

    def rpc_url(self, user, password):
        """Return the address that proteus takes for XML-RPC."""
        user, password = [
            urllib.parse.quote(text, safe='') for text in [user, password]]
        return f'http://{user}:{password}@{HOST}:{self.port}/{self.database}/'

    def _configure(self):
        write_trytond_configuration(
            self._configuration, listen=f'{HOST}:{self.port}',
            **self._settings)

    def _ask(self, timeout):
        return request('POST', f'{self.url}/', timeout=timeout, json={
                'id': 0, 'method': 'common.server.version', 'params': []})


def create_database(folder, database, modules, password):
    """Make a database of SQLite in a folder, and activate modules with what
    they depend on.

    :param password: of the user ``admin``; no command line shows it
    :raises ServiceError: trytond-admin fails
    """
    folder = Path(folder).absolute()
    folder.joinpath(f'{database}.sqlite').touch(exist_ok=False)
    configuration = folder / 'trytond-admin.conf'
    write_trytond_configuration(configuration, 'sqlite://', folder)
    secret, log = folder / 'password', folder / 'trytond-admin.log'
    secret.touch(mode=0o600)
    secret.write_text(password)
    command = [*trytond_command('trytond-admin'), '-v', '-c', configuration,
        '-d', database, '--email', 'admin@localhost',
        '--activate-dependencies', '-u', *modules]
    try:
        with open(log, 'ab') as output:
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output,
                env={**os.environ, 'TRYTONPASSFILE': secret}).returncode
    finally:
        secret.unlink()
    if status:
        raise ServiceError(
            f"trytond-admin failed with status {status}, its log ends "
            f"with:\n{_tail(log)}")
