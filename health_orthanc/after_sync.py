# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows a run of synchronization."""
from trytond.pool import Pool

from .sync.transactions import transact


def follow(server, run):
    """Do what follows a run. It ends transactions.

    :param int server: id of the server
    :param int run: id of the run
    """
    pool = Pool()
    Run = pool.get('gnuhealth.orthanc.sync_run')
    Server = pool.get('gnuhealth.orthanc.config')
    StoredReport = pool.get('gnuhealth.orthanc.report')
    run = Run(run)
    # What a failed run marks as missing says nothing.
    if run.state == 'done':
        transact(lambda: _settle_deletions(server, run.start, not run.error))
    server = Server(server)
    if server.store_reports and server.validated:
        StoredReport.catch_up(server)


def _settle_deletions(server, since, believed):
    pool = Pool()
    for name in ['study_series', 'study']:
        Model = pool.get(f'gnuhealth.imaging_orthanc.{name}')
        # A warning says that its list was not believed.
        Model.settle_deletions(server, since, believed)
