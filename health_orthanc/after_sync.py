# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows a run of synchronization: one list of steps."""
from trytond.pool import Pool

from . import protection
from .sync.balance import Balance
from .sync.transactions import transact


def follow(server, run):
    """Do what follows a run. It ends transactions.

    :param int server: id of the server
    :param int run: id of the run
    """
    pool = Pool()
    Run = pool.get('gnuhealth.orthanc.sync_run')
    Server = pool.get('gnuhealth.orthanc.config')
    for step in STEPS:
        step(Server(server), Run(run))


def settle_deletions(server, run):
    """Finish the deletions that the server did not confirm."""
    # What a failed run marks says nothing.
    if run.state == 'done':
        whole = not run.error or Balance(server.compared).is_whole()
        transact(lambda: _settle(server.id, run.start, whole))


def _settle(server, since, believed):
    pool = Pool()
    for name in ['study_series', 'study']:
        Model = pool.get(f'gnuhealth.imaging_orthanc.{name}')
        Model.settle_deletions(server, since, believed)


def store_reports(server, run):
    """Store the reports that the server does not have yet."""
    StoredReport = Pool().get('gnuhealth.orthanc.report')
    if server.store_reports and server.validated:
        StoredReport.catch_up(server, whole=run.full)


STEPS = [settle_deletions, store_reports, protection.follow]
