# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other Orthancs than that of this computer: those of a newer Debian whose
packages were unpacked in a folder, which ``ORTHANC_ROOT`` names.

They run with the libraries of their folder and see the files of the computer.
On PostgreSQL they have their index there, where the tests have theirs.

As a program it runs a command with such an Orthanc:
``python tests/support/orthancs.py sid pytest -k live``.
"""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

sys.path.insert(
    0, str(Path(__file__).parents[2] / 'his-utils' / 'demo'))

from services import Orthanc  # noqa: E402

# Somebody may be looking at the usual template.
_NEW = 'CREATE DATABASE {} TEMPLATE template0'


def root():
    "Return the folder of the Orthanc to test, None for the usual one."
    folder = os.environ.get('ORTHANC_ROOT')
    return Path(folder) if folder else None


def prepare():
    "Let each Orthanc of this process be the one to test."
    folder = root()
    if not folder:
        return
    loader, = folder.glob('usr/lib/*/ld-linux*.so.?')
    libraries = f"{loader.parent}:{folder / 'usr/lib'}"
    dictionaries = [
        folder / 'usr/share/dcmtk' / f'{name}.dic'
        for name in ['dicom', 'private']]
    Orthanc.program = [
        loader, '--library-path', libraries, folder / 'usr/sbin/Orthanc']
    Orthanc.environment = {
        **os.environ, 'DCMDICTPATH': ':'.join(map(str, dictionaries)),
        'GCONV_PATH': str(loader.parent / 'gconv'),
        'PYTHONHOME': str(folder / 'usr')}
    Orthanc.folder_of_plugins = folder / 'usr/share/orthanc/plugins'
    # One of them, for GDCM ends the Orthanc of Debian 13: doc/operation.rst.
    indexed = bool(os.environ.get('POSTGRESQL_URI'))
    Orthanc.plugins = [
        *Orthanc.plugins,
        'OrthancPostgreSQLIndex' if indexed else 'OrthancGdcm']
    if indexed:
        Orthanc.more = staticmethod(_index)


def wipe(orthanc):
    "Let a running Orthanc lose all that it has."
    orthanc.kill()
    shutil.rmtree(orthanc.folder / 'storage')
    index = orthanc.extra.get('PostgreSQL')
    if index:
        _execute(f"DROP DATABASE {index['Database']} WITH (FORCE)")
        _execute(_NEW.format(index['Database']))
    orthanc.start()


def _index(folder):
    "Return the options of an index on PostgreSQL, for an Orthanc in a folder."
    cluster = urlsplit(os.environ['POSTGRESQL_URI'])
    name = 'orthanc_' + hashlib.sha1(str(folder).encode()).hexdigest()
    try:
        _execute(_NEW.format(name))
    except psycopg2.errors.DuplicateDatabase:
        pass
    return {
        'PostgreSQL': {
            'EnableIndex': True, 'EnableStorage': False,
            'Host': cluster.hostname, 'Port': cluster.port, 'Database': name,
            'Username': cluster.username, 'Password': cluster.password,
            # Servers that were killed do not unlock.
            'Lock': False, 'IndexConnectionsCount': 3}}


def _execute(statement):
    connection = psycopg2.connect(f"{os.environ['POSTGRESQL_URI']}postgres")
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


def main(suite, *command):
    "Run a command with the Orthanc of a suite and return its exit status."
    folder = Path(os.environ['ORTHANCS'], suite)
    return subprocess.call(
        command, env={**os.environ, 'ORTHANC_ROOT': str(folder)})


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
