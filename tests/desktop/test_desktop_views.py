# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton's desktop client opens every view of the modules, on records of the
main job, without an error."""
import json
import os
import subprocess
from pathlib import Path

import pytest
import seed
from proteus import Model
from proteus.config import set_xmlrpc_session
from services import HOST, Orthanc, Trytond
from sources import MODULES
from story import Story

ROOT = Path(__file__).parents[2]
#: Where the client was installed for the Python of the system.
CLIENT = Path(os.environ.get('IMAGING_DESKTOP_CLIENT')
    or ROOT / '.tox' / 'desktop' / 'client')
PYTHON = '/usr/bin/python3'


@pytest.fixture(scope='module')
def hospital(templates, copies, tmp_path_factory):
    "A server with the records that the story leaves."
    templates.need_seeded()
    folder = tmp_path_factory.mktemp('desktop')
    database = copies.make('seeded', tmp_path_factory.mktemp('database'))
    orthanc = Orthanc(
        folder / 'orthanc', users={'gnuhealth': seed.PASSWORD},
        modalities={exam.aetitle: exam.aetitle for exam in seed.EXAMS})
    server = Trytond(folder / 'trytond', **database.options,
        environment={'HOME': str(folder)})
    with orthanc, server:
        story = Story(server, orthanc, folder, lambda line: None)
        assert story.run(), story.wrong
        yield server
    copies.drop(database)


def views(config):
    "Return what the client has to open, each as a dictionary."
    View = Model.get('ir.ui.view', config)
    found = View.find([('module', 'in', MODULES), ('inherit', '=', None)])
    return [
        {
            'id': view.id, 'name': f'{view.model} {view.name}',
            'model': view.model, 'type': view.type,
            **(of_board(view) if view.type == 'board'
                else of_model(view, config)),
            }
        for view in found]


def of_board(view):
    "What the administrator has on the dashboard."
    return {'parts': 5}


def of_model(view, config):
    """Return the ids of records to show, none for what is only typed in."""
    Class = Model.get(view.model, config)
    if 'rec_name' not in Class._fields:
        return {'ids': None}
    return {'ids': [record.id for record in Class.find([], limit=20)]}


def open_in_client(server, views, folder):
    "Return the problems of each view by its name."
    job = folder / 'job.json'
    job.write_text(json.dumps({
                'host': HOST, 'port': server.port,
                'database': server.database, 'login': 'admin',
                'views': views}))
    result = subprocess.run(
        ['xvfb-run', '-a', '-s', '-screen 0 1400x900x24', PYTHON,
            Path(__file__).parent / 'client.py', job],
        capture_output=True, text=True, timeout=600, cwd=folder,
        env={**os.environ, 'HOME': str(folder), 'PYTHONPATH': str(CLIENT),
            'TRYTON_PASSWORD': seed.PASSWORD, 'GDK_BACKEND': 'x11'})
    assert result.returncode == 0, result.stderr
    return dict(json.loads(line) for line in result.stdout.splitlines())


def test_the_desktop_client_opens_every_view(hospital, tmp_path):
    with set_xmlrpc_session(
            f'{hospital.url}/{hospital.database}/', 'admin',
            seed.PASSWORD) as config:
        todo = views(config)
    assert len(todo) > 40
    problems = open_in_client(hospital, todo, tmp_path)
    assert set(problems) == {view['name'] for view in todo}
    wrong = {name: found for name, found in problems.items() if found}
    assert not wrong, '\n'.join(
        f'{name}: {problem}' for name, found in wrong.items()
        for problem in found)
