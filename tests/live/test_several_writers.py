# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several Orthancs that write to one index in PostgreSQL and one storage, of
which GNU Health asks one: ``test.sh -e orthancs`` runs it, for the Orthanc of
Debian 12 cannot share an index."""
from concurrent.futures import ThreadPoolExecutor

import pytest
from services import Orthanc
from support import archive
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, transaction, with_queue)

from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME

STUDIES = range(60)


@pytest.fixture
def writers(tmp_path):
    "Three Orthancs with one index and one storage."
    with Orthanc(tmp_path / 'first') as first:
        shared = {
            'PostgreSQL': first.extra['PostgreSQL'],
            'StorageDirectory': str(first.folder / 'storage')}
        with Orthanc(tmp_path / 'second', extra=shared) as second, \
                Orthanc(tmp_path / 'third', extra=shared) as third:
            yield [first, second, third]


def test_nothing_of_several_writers_is_lost(writers, activated):
    """Runs that end while all write may meet a later number of the change log
    before an earlier one: the next one has it all, by the counts."""
    Server = Pool(DB_NAME).get('gnuhealth.orthanc.config')
    with transaction():
        server = new_server(writers[0])

    def upload(writer):
        for number in STUDIES[writer::len(writers)]:
            # One after the other, as modalities send.
            archive.upload(writers[writer], [archive.study(
                        number, series=2, instances=3)])

    runs = 0
    with ThreadPoolExecutor() as threads:
        sent = [threads.submit(upload, n) for n in range(len(writers))]
        while not all(future.done() for future in sent):
            with_queue(lambda: Server.sync([Server(server)]))
            runs += 1
        for future in sent:
            future.result()
    assert runs > 2
    with_queue(lambda: Server.sync([Server(server)]))
    with transaction():
        run, *_ = Server(server).runs
        assert (run.state, run.started_by, run.error) == (
            'done', 'cron', None)
        stored = stored_tree(server)
    assert len(stored) == len(STUDIES)
    assert stored == orthanc_tree(writers[0]) == orthanc_tree(writers[2])
