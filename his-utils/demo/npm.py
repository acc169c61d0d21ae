# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of npm: downloaded in the versions of ``npm.lock.json``, compared
with the hashes there, and unpacked.  Nothing of them is run.

As a program it writes the file anew, with the newest versions of the series
that this file names::

    python3 his-utils/demo/npm.py
"""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LOCK = Path(__file__).with_name('npm.lock.json')
#: A modality for tests, and what it needs.
MODALITY = {
    'async-event-emitter2': '0.0',
    'dcmjs': '0.50',
    'dcmjs-codecs': '0.0',
    'dcmjs-dimse': '0.3',
    'loglevel': '1',
    'loglevel-plugin-prefix': '0.8',
    'memorystream': '0.3',
    'smart-buffer': '4',
    'ts-mixer': '6',
    }
#: The series of each package, by name.
SERIES = {
    # Version 3.13 shows images black whose PixelSpacing is 0.
    '@ohif/app': '3.12',
    'bootstrap': '3',
    'c3': '0.7',
    'd3': '5',
    'fullcalendar': '3',
    'gettext.js': '0.7',
    'jquery': '3',
    'moment': '2',
    'mousetrap': '1',
    'papaparse': '5',
    'sortablejs': '1',
    'tryton-sao': '7.0',
    **MODALITY,
    }


class NpmError(Exception):
    """A package cannot be fetched, or is not the one that is expected."""


def _locked(name):
    entry = json.loads(LOCK.read_text(encoding='utf-8'))[name]
    return entry['version'], entry['integrity']


def install(folder, names, assemble):
    """Make a folder of packages unless the same ones are there.

    :param names: of the packages
    :param assemble: function that makes the folder whose path it gets
    :return: whether it was made
    :raises NpmError: a package cannot be fetched, or is another one
    """
    folder = Path(folder)
    version, packages = folder / 'version', ''.join(
        f"{name} {' '.join(_locked(name))}\n" for name in sorted(names))
    if version.is_file() and version.read_text() == packages:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work, 'made')
        assemble(made)
        (made / 'version').write_text(packages)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return True


def fetch(name, folder):
    """Unpack a package into a new folder.

    :raises NpmError: npm fails, or the package is not the locked one
    """
    version, integrity = _locked(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        archive = _download(f'{name}@{version}', Path(work))
        if integrity_of(archive) != integrity:
            raise NpmError(
                f"npm gave another {name} {version} than the one in "
                f"{LOCK.name}. Nothing of it was used.")
        unpack(archive, folder)


def _download(package, work):
    try:
        result = subprocess.run(
            ['npm', 'pack', '--silent', '--ignore-scripts',
                '--pack-destination', work, package],
            cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
            text=True)
    except FileNotFoundError:
        raise NpmError("There is no npm: install the package npm.")
    archives = list(work.glob('*.tgz'))
    if result.returncode or len(archives) != 1:
        raise NpmError(f"npm cannot fetch {package}: {result.stderr.strip()}")
    return archives[0]


def integrity_of(archive):
    """Return the hash of a file as npm writes it, sha512- and Base64."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    return f'sha512-{base64.b64encode(digest).decode()}'


def unpack(archive, folder):
    """Unpack an archive without its outermost folder.

    :raises NpmError: it contains something else than files and folders, or a
        path outside of the folder
    """
    unpacked = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with tarfile.open(archive, 'r:gz') as tar:
            members = [_harmless(member) for member in tar]
            # Python has no filters before 3.11.4; what they refuse is
            # refused already.
            filters = (
                {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {})
            tar.extractall(unpacked, members, **filters)
        root, = unpacked.iterdir()
        root.rename(folder)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise NpmError(f"The archive {archive.name} is damaged: {error}")
    finally:
        shutil.rmtree(unpacked)


def _harmless(member):
    path = Path(member.name)
    if not (member.isreg() or member.isdir()):
        raise NpmError(f"The archive has something that is no file: {path}")
    if path.is_absolute() or '..' in path.parts or '\\' in member.name:
        raise NpmError(f"The archive has a file for elsewhere: {path}")
    member.mode = 0o755 if member.isdir() else 0o644
    member.uid, member.gid = os.getuid(), os.getgid()
    member.uname = member.gname = ''
    return member


def lock():
    """Write the versions and hashes of what npm gives now."""
    entries = {}
    for name, series in sorted(SERIES.items()):
        with tempfile.TemporaryDirectory() as work:
            archive = _download(f'{name}@{series}', Path(work))
            unpack(archive, Path(work, 'unpacked'))
            manifest = json.loads(
                Path(work, 'unpacked', 'package.json').read_text('utf-8'))
            entries[name] = {
                'version': manifest['version'],
                'integrity': integrity_of(archive),
                }
    LOCK.write_text(json.dumps(entries, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    sys.exit(lock())
