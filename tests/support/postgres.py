# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster to throw away: made in a temporary folder, reached on
the loopback interface with a password of its own, gone afterwards.

As a program it runs a command with the address in ``POSTGRESQL_URI``:
``python tests/support/postgres.py pytest -k lock``.
"""
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[2] / 'his-utils' / 'demo'))

from services import (  # noqa: E402
    HOST, Process, ServiceError, free_port, wait_until)

ROLE = 'imaging'
# A test cluster may lose everything in a crash, it need not wait for a disk.
OPTIONS = {
    'fsync': 'off',
    'synchronous_commit': 'off',
    'full_page_writes': 'off',
    'wal_level': 'minimal',
    # It takes longer than most queries of tests.
    'jit': 'off',
    'max_wal_senders': '0',
    'max_wal_size': '1GB',
    'shared_buffers': '256MB',
    'listen_addresses': HOST,
    'unix_socket_directories': '',
    }


def find_programs():
    "Return the folder of the newest PostgreSQL server on this machine."
    folders = Path('/usr/lib/postgresql').glob('*/bin')
    found = [path for path in folders if (path / 'initdb').exists()]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    initdb = shutil.which('initdb')
    if not initdb:
        raise ServiceError("There is no PostgreSQL server: install the "
            "package postgresql-15.")
    return Path(initdb).parent


def find_owner():
    """Return the user who runs the server as a password database entry.

    PostgreSQL refuses to run as root.
    """
    if os.getuid():
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam('postgres')
    except KeyError:
        return pwd.getpwnam('nobody')


class Cluster:
    """A cluster in a new temporary folder, used with ``with``.

    ``uri`` is its address, as trytond takes it in its configuration.

    :param options: settings of PostgreSQL that win over those of tests
    """

    def __init__(self, **options):
        self.folder = None
        self._options = {**OPTIONS, **options}
        self.port = None
        self.password = secrets.token_urlsafe()
        self._owner = find_owner()
        self._programs = find_programs()
        self._process = None

    @property
    def uri(self):
        return f'postgresql://{ROLE}:{self.password}@{HOST}:{self.port}/'

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix='imaging-postgresql-'))
        try:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
            self._create()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if self._process:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_owner(self, command):
        if os.getuid():
            return command
        return ['setpriv', f'--reuid={self._owner.pw_uid}',
            f'--regid={self._owner.pw_gid}', '--clear-groups', '--', *command]

    def _create(self):
        secret = self.folder / 'password'
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        os.chown(secret, self._owner.pw_uid, self._owner.pw_gid)
        result = subprocess.run(self._as_owner([
                    self._programs / 'initdb', '-D', self.folder / 'data',
                    '-U', ROLE, '-A', 'scram-sha-256', f'--pwfile={secret}',
                    '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync']),
            cwd=self.folder, capture_output=True, text=True)
        if result.returncode:
            raise ServiceError(f"initdb failed: {result.stderr}")

    def restart(self):
        "Restart it as an administrator does: who is connected is thrown out."
        self._process.end = signal.SIGINT
        self._process.stop()
        self._start()

    def _start(self):
        self.port = self.port or free_port()
        options = [
            word for name, value in self._options.items()
            for word in ['-c', f'{name}={value}']]
        # The kernel forgets the wish to die with the parent when the user
        # changes, so it is told again.
        self._process = Process(
            self._as_owner(['setpriv', '--pdeathsig', 'QUIT', '--',
                    self._programs / 'postgres', '-D', self.folder / 'data',
                    '-p', str(self.port), *options]),
            self.folder / 'postgresql.log', end=signal.SIGQUIT)
        self._process.start()
        wait_until(self._ready, self._process, "PostgreSQL", 60)

    def _ready(self):
        return not subprocess.run(
            [self._programs / 'pg_isready', '-q', '-h', HOST,
                '-p', str(self.port)]).returncode


def main(command):
    "Run a command beside a cluster and return its exit status."
    try:
        with Cluster() as cluster:
            return subprocess.call(
                command, env={**os.environ, 'POSTGRESQL_URI': cluster.uri})
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
