# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person at Tryton's desktop client: says to client.py what to do, and tells
what went wrong."""
import json
import os
import select
import subprocess
from functools import partial
from pathlib import Path

PYTHON = '/usr/bin/python3'
#: How long to wait for an answer of the client, in seconds.
PATIENCE = 120


class Person:
    """A user at the desktop client.  It has the methods of Hands in
    hands.py.

    :param client: the folder where the client is installed
    :param display: the name of the X display
    :param folder: the home of the user
    :param shots: the folder for screenshots
    """

    def __init__(self, client, display, folder, shots):
        self.client = client
        self.display = display
        self.folder = folder
        self.shots = shots
        self.login = None
        self._process = None

    def log_in(self, server, login, password):
        "Start the client, which asks for the password only."
        self.login = login
        address = f'127.0.0.1:{server.port}'
        (self.folder / 'tryton.conf').write_text(
            '[client]\ncheck_version = False\nlang = en\n'
            '[login]\nprofile =\n')
        with open(self.folder / 'client.log', 'w') as log:
            self._process = subprocess.Popen(
                [PYTHON, Path(__file__).parent / 'client.py', '--no-thread',
                    '-c', self.folder / 'tryton.conf', '-u', login,
                    '-s', address, f'tryton://{address}/{server.database}/'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, cwd=self.folder, env=self._environment(password))
        assert self.arrive().startswith(login)

    def _environment(self, password):
        return {
            **os.environ,
            'HOME': str(self.folder),
            'XDG_CONFIG_HOME': str(self.folder),
            'PYTHONPATH': str(self.client),
            'DISPLAY': self.display,
            'TRYTON_PASSWORD': password,
            'GDK_BACKEND': 'x11',
            # On a bus there would be one client only.
            'DBUS_SESSION_BUS_ADDRESS': 'disabled:',
            'NO_AT_BRIDGE': '1',
            'LC_ALL': 'C.UTF-8',
            'LANGUAGE': 'en',
            }

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return partial(self._ask, name)

    def _ask(self, name, *arguments):
        "Let the client do something, and return what it answers."
        value, problems = self.attempt(name, *arguments)
        assert not problems, '\n'.join(problems)
        return value

    def attempt(self, name, *arguments):
        "As the method, but return the answer and what the client told."
        self._process.stdin.write(json.dumps([name, arguments]) + '\n')
        self._process.stdin.flush()
        value, error, problems = json.loads(self._answer(name))
        assert not error, '\n'.join([error, *problems])
        return value, problems

    def _answer(self, name):
        "Return the line that the client answers."
        stdout = self._process.stdout
        ready, *_ = select.select([stdout], [], [], PATIENCE)
        line = ready and stdout.readline()
        assert line, f'{name}: ' + (self.folder / 'client.log').read_text()
        return line

    def shoot(self, name):
        "Keep a picture of the screen."
        self._ask('shoot', str(self.shots / f'{self.login}-{name}.png'))

    def leave(self):
        "End the client."
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
