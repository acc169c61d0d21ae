# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital whose people sit at the desktop client: the seeded database, a
user for each role, trytond, Orthanc, and a display."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import seed
from support.busy import busy_hospital
from support.hospital import make_roles, running, shots_folder

sys.path.insert(0, str(Path(__file__).parent))

from person import Person  # noqa: E402

ROOT = Path(__file__).parents[2]
#: Where the client was installed for the Python of the system.
CLIENT = Path(os.environ.get('IMAGING_DESKTOP_CLIENT')
    or ROOT / '.tox' / 'desktop' / 'client')


@pytest.fixture(scope='module')
def servers(templates, copies, tmp_path_factory):
    "The hospital with its servers, without the users of the roles."
    templates.need_seeded()
    database = copies.make('seeded', tmp_path_factory.mktemp('database'))
    with running(database, tmp_path_factory.mktemp('world')) as world:
        yield world
    copies.drop(database)


@pytest.fixture(scope='module')
def busy_world(templates, copies, tmp_path_factory):
    "The hospital with the work of two months, and its servers."
    with busy_hospital(
            templates, copies, tmp_path_factory.mktemp('busy')) as world:
        yield world


@pytest.fixture(scope='module')
def world(servers):
    "The hospital with its servers."
    make_roles(servers)
    return servers


@pytest.fixture(scope='session')
def shots():
    "The folder for screenshots, IMAGING_DESKTOP_SHOTS or that of tox."
    return shots_folder('desktop')


@pytest.fixture(scope='session')
def display():
    "The name of an X display as large as the screen of a common laptop."
    reading, writing = os.pipe()
    process = subprocess.Popen(
        ['Xvfb', '-displayfd', str(writing), '-screen', '0', '1366x768x24',
            '-nolisten', 'tcp'],
        pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as number:
        name = number.readline().strip()
    assert name, "Xvfb does not start."
    yield f':{name}'
    process.terminate()
    process.wait()


@pytest.fixture(scope='module')
def person(world, display, shots, tmp_path_factory):
    """Return a function that gives the person of a login at the desktop
    client; it starts the client when the person is not there yet."""
    people = {}

    def come(login):
        if login not in people:
            people[login] = Person(
                CLIENT, display, tmp_path_factory.mktemp(login), shots)
            people[login].log_in(world.server, login, seed.PASSWORD)
        return people[login]
    yield come
    for someone in people.values():
        someone.leave()
