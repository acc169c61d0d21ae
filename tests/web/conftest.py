# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital whose people sit at the web client: the seeded database, a user
for each role, trytond, Orthanc, and Chromium."""
import os
import sys
from pathlib import Path

import ohif
import pytest
import seed
from playwright.sync_api import sync_playwright
from run import cache_folder
from support.busy import busy_hospital
from support.hospital import make_roles, running, shots_folder
from webclient import make_web_client

sys.path.insert(0, str(Path(__file__).parent))

from sao import ARGUMENTS, PATIENCE, Person  # noqa: E402

CHROMIUM = os.environ.get('CHROMIUM', '/usr/bin/chromium')


@pytest.fixture(scope='session')
def web_client():
    "The folder of the web client, made from npm packages at first."
    folder = cache_folder() / 'web-client'
    make_web_client(folder)
    return folder


@pytest.fixture(scope='session')
def viewer():
    "The options of Orthanc that serve OHIF, made from npm at first."
    folder = cache_folder() / 'ohif'
    ohif.make_viewer(folder)
    return ohif.serve(folder)


@pytest.fixture(scope='module')
def world(templates, copies, web_client, viewer, tmp_path_factory):
    "The hospital with its servers."
    templates.need_seeded()
    folder = tmp_path_factory.mktemp('world')
    database = copies.make('seeded', tmp_path_factory.mktemp('database'))
    with running(database, folder, web_client, viewer) as world:
        make_roles(world)
        yield world
    copies.drop(database)


@pytest.fixture(scope='module')
def busy_world(templates, copies, web_client, viewer, tmp_path_factory):
    "The hospital with the work of two months, and its servers."
    with busy_hospital(templates, copies, tmp_path_factory.mktemp('busy'),
            web_client, viewer) as world:
        yield world


@pytest.fixture(scope='session')
def shots():
    "The folder for screenshots, IMAGING_WEB_SHOTS or .tox/web/shots."
    return shots_folder('web')


@pytest.fixture(scope='session')
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def person(world, browser, shots):
    """Return a function that logs a user in and gives the person at the web
    client.  At the end no error may have been shown."""
    people = []

    def come(login):
        person = Person(
            browser, world.server.url, world.server.database, shots)
        people.append(person)
        person.log_in(login, seed.PASSWORD)
        return person
    yield come
    for person in people:
        person.page.screenshot(path=shots / f'{person.login}-end.png')
        person.settle()
        person.check()
        person.close()
