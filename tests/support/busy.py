# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The busy hospital of the demonstration for tests of the clients: made once,
kept with the images of its Orthanc, and copied for whoever needs it."""
import hashlib
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import busy
import seed
from proteus import Model
from support.databases import SEEDED
from support.hospital import make_roles, running

_MADE_BY = sorted(Path(busy.__file__).parent.glob('busy*.py'))


def _name():
    """Return the name of the kept database: its work ends on one day."""
    digest = hashlib.sha256(b''.join(p.read_bytes() for p in _MADE_BY))
    return f'busy-{busy.moment(0, 12, 0):%Y%m%d}-{digest.hexdigest()[:16]}'


def _need(templates, copies):
    """Make the hospital unless it is kept, and return its name."""
    name = _name()
    templates.need_seeded()
    with templates.locked('busy-lock'):
        if not templates.path(name).exists():
            with tempfile.TemporaryDirectory() as folder:
                _make(templates, copies, name, Path(folder))
    return name


def _make(templates, copies, name, folder):
    database = copies.make(SEEDED, folder)
    with running(database, folder) as world:
        lines = []
        story = busy.Busy(
            world.server, world.orthanc, folder, lines.append,
            connect=database.connect)
        assert story.run(), '\n'.join(lines)
        make_roles(world)
    for former in templates.folder.glob('busy-*-images'):
        shutil.rmtree(former)
    shutil.copytree(
        folder / 'orthanc' / 'storage', _images(templates, name))
    copies.keep(database, name)
    copies.drop(database)


def _images(templates, name):
    return templates.folder / f'{name}-images'


@contextmanager
def busy_hospital(templates, copies, folder, *options):
    """Start the servers on a copy of the busy hospital and give the world.

    :param folder: for the database and what the servers write
    :param options: as support.hospital.running takes them
    """
    name = _need(templates, copies)
    shutil.copytree(
        _images(templates, name), folder / 'orthanc' / 'storage')
    database = copies.make(name, folder)
    with running(database, folder, *options) as world:
        with world.session() as config:
            server, = Model.get('gnuhealth.orthanc.config', config).find([])
            server.domain = world.orthanc.url
            server.password = seed.PASSWORD
            server.save()
        yield world
    copies.drop(database)
