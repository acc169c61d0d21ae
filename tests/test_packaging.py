# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sdist, the wheel and the editable install: nothing of the checkout is
missing in them, and the modules are loaded from where they should be."""
import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from test_house import FILES, ROOT

DISTRIBUTION = 'gnuhealth-imaging-suite'
MODULES = ['health_imaging', 'health_imaging_worklist', 'health_orthanc']
# Files for those who work on the project, of no use in an archive.
PRIVATE = {'.gitignore', '.ci/run'}
# Wheels of GNU Health that bring modules of the same names.
RIVALS = ['gnuhealth-imaging', 'gnuhealth-imaging-worklist',
    'gnuhealth-orthanc']
LOCATE = """
import json
from importlib import import_module
from trytond.modules import get_modules
from trytond.pool import Pool
from trytond.tools import file_open
Pool.start()
names = json.loads(input())
places = {}
for name in names:
    assert name in get_modules(), name
    module = import_module('trytond.modules.' + name)
    with file_open(name + '/tryton.cfg') as file:
        places[name] = [module.__file__, file.name]
print(json.dumps(places))
"""


def checkout_names():
    return {str(path.relative_to(ROOT)) for path in FILES}


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """The sdist, and the wheel that is made from it.

    Made of a copy: the checkout stays as it is, and so does its build folder.
    """
    source = tmp_path_factory.mktemp('source')
    for path in FILES:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    target = tmp_path_factory.mktemp('dist')
    subprocess.run(
        [sys.executable, '-m', 'build', '--no-isolation', '--outdir', target,
            source],
        check=True)
    sdist, = target.glob('*.tar.gz')
    wheel, = target.glob('*.whl')
    return sdist, wheel


def test_sdist_has_the_checkout(built):
    with tarfile.open(built[0]) as archive:
        names = {
            member.name.split('/', 1)[1] for member in archive.getmembers()
            if member.isfile()}
    made = {
        name for name in names
        if name == 'PKG-INFO' or '.egg-info/' in name}
    assert names - made == checkout_names() - PRIVATE


def test_wheel_has_the_modules(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = {
            name for name in archive.namelist()
            if '.dist-info/' not in name}
    assert names == {
        f'trytond/modules/{name}' for name in checkout_names()
        if name.split('/')[0] in MODULES}


def test_wheel_says_what_it_is(built):
    with zipfile.ZipFile(built[1]) as archive:
        info, = {name.split('/')[0] for name in archive.namelist()
            if '.dist-info/' in name}
        text = archive.read(f'{info}/METADATA').decode()
        entries = archive.read(f'{info}/entry_points.txt').decode()
        assert any(
            name.startswith(f'{info}/') and name.endswith('LICENSE')
            for name in archive.namelist())
    message = email.message_from_string(text)
    assert message['Name'] == DISTRIBUTION
    assert 'GPL-3.0-or-later' in {
        message['License'], message['License-Expression']}
    assert message.get_payload().strip()
    for module in MODULES:
        assert f'{module} = trytond.modules.{module}' in entries


def locate(python):
    "Return the files from which an interpreter takes the modules."
    environment = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('PYTHON', 'TRYTOND'))}
    result = subprocess.run(
        [str(python), '-c', LOCATE], input=json.dumps(MODULES),
        capture_output=True, text=True, env=environment, cwd='/')
    assert not result.returncode, result.stderr
    return {
        name: [Path(file).resolve() for file in files]
        for name, files in json.loads(result.stdout).items()}


def test_modules_are_loaded_from_the_checkout():
    for name, files in locate(sys.executable).items():
        assert files == [
            ROOT / name / '__init__.py', ROOT / name / 'tryton.cfg']


@pytest.fixture
def other_environment(tmp_path):
    """A virtual environment with the packages of this one, but for the suite
    itself: links, and trytond as a copy, since the suite is installed in it.
    """
    venv.create(tmp_path, with_pip=False, symlinks=True)
    here = Path(sysconfig.get_path('purelib'))
    there = tmp_path / here.relative_to(sys.prefix)
    for path in here.iterdir():
        if path.name == 'trytond':
            shutil.copytree(path, there / path.name)
        elif 'gnuhealth_imaging_suite' not in path.name:
            (there / path.name).symlink_to(path)
    return tmp_path / 'bin' / 'python', there


def install(python, what):
    subprocess.run(
        [str(python), '-m', 'pip', 'install', '--quiet', '--no-deps',
            '--no-index', '--no-build-isolation',
            '--disable-pip-version-check', str(what)],
        check=True)


@pytest.mark.parametrize('kind', ['wheel', 'sdist'])
def test_modules_are_loaded_from_the_installation(
        built, other_environment, kind):
    sdist, wheel = built
    python, packages = other_environment
    install(python, wheel if kind == 'wheel' else sdist)
    for name, files in locate(python).items():
        folder = packages / 'trytond' / 'modules' / name
        assert files == [folder / '__init__.py', folder / 'tryton.cfg']


def test_no_rival_is_installed():
    installed = {
        (distribution.metadata['Name'] or '').lower().replace('_', '-')
        for distribution in metadata.distributions()}
    assert DISTRIBUTION in installed
    assert not installed & set(RIVALS)
