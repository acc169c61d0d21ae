# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a synchronization in a process of its own, which can be killed at any
time: ``python -m support.killed_runs DATABASE SERVER``, with the address of
the cluster in the environment, as trytond takes it."""
import os
import subprocess
import sys
from pathlib import Path


def start(server):
    """Start a synchronization of a server of the test database in a process,
    and return the process.

    :param int server: id of the server
    """
    from trytond.tests.test_tryton import DB_NAME
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'support.killed_runs', DB_NAME,
            str(server)],
        cwd=Path(__file__).parents[1], env={
            **os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))
            })


def main(name, server):
    """Synchronize a server of a database.

    :param str name: of the database
    :param int server: id of the server
    """
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with Transaction().start(name, 0, readonly=True):
        Pool(name).init()
    with Transaction().start(name, 1):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.sync_server(Server(server))


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
