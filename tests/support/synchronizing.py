# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers for tests that synchronize Orthanc servers in the test process.

A run ends transactions on its own, so what it stores stays in the database
until the next test module gets a fresh one. Tests look at their own server
only.
"""
import contextlib
import itertools

from trytond.pool import Pool
from trytond.transaction import Transaction

_numbers = itertools.count(1)


@contextlib.contextmanager
def transaction(user=1, **context):
    """Run a transaction in the database of the test process, of a user who
    goes on where the server warns, and drop what is queued in it."""
    from trytond.tests.test_tryton import DB_NAME
    with Transaction().start(DB_NAME, user, context={
                '_skip_warnings': True, **context}) as transaction:
        yield transaction
        transaction.tasks.clear()


def with_queue(work, user=1, **context):
    """Call a function in a transaction of its own, commit, and run what it
    put into the queue, as trytond does for a request without workers.

    :return: what the function returned
    """
    from trytond.tests.test_tryton import DB_NAME
    from trytond.worker import run_task
    with Transaction().start(DB_NAME, user, context=context) as transaction:
        result = work()
    while transaction.tasks:
        run_task(DB_NAME, transaction.tasks.pop())
    return result


def free_address(url):
    """Take an address from the server that another test had at its port."""
    Server = Pool().get('gnuhealth.orthanc.config')
    for server in Server.search([
                ('domain', '=', url), ('active', 'in', [True, False])]):
        Server.write([server], {'domain': f'http://gone-{server.id}'})


def new_server(url, user='demo', password='secret', **values):
    """Make the record of a server and return its id.

    :param url: its address, or a services.Orthanc
    """
    Server = Pool().get('gnuhealth.orthanc.config')
    number, url = next(_numbers), getattr(url, 'url', url)
    free_address(url)
    server, = Server.create([{
                'label': f'PACS {number}',
                'domain': url,
                'user': user,
                'password': password,
                **values,
                }])
    Transaction().commit()
    Transaction().tasks.clear()
    return server.id


def synchronize(server, **options):
    """Synchronize a server and return the record of the run.

    :param int server: id of the server
    """
    pool = Pool()
    Server = pool.get('gnuhealth.orthanc.config')
    run = Server.sync_server(Server(server), **options)
    return pool.get('gnuhealth.orthanc.sync_run')(run)


def studies(server):
    """Return the records of the studies of a server."""
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    return Study.search(
        [('orthanc_server', '=', server)], order=[('id', 'ASC')])


def count_rows(server):
    """Return how many studies, series and instances of a server are stored,
    those that are marked as missing included."""
    names = ['study', 'study_series', 'series_instances']
    paths = ['', 'study.', 'series.study.']
    return tuple(
        Pool().get(f'gnuhealth.imaging_orthanc.{name}').search_count(
            [(f'{path}orthanc_server', '=', server)])
        for name, path in zip(names, paths))


def stored_tree(server):
    """Return the Orthanc ids that are stored and not marked as missing, of
    the instances by series by study."""
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    tree = {
        study.orthanc_UID: {} for study in studies(server)
        if not study.missing_since}
    for series in Series.search([
                ('study.orthanc_server', '=', server),
                ('study.missing_since', '=', None),
                ('missing_since', '=', None)]):
        tree[series.study.orthanc_UID][series.orthanc_UID] = set()
    for instance in Instance.search([
                ('series.study.orthanc_server', '=', server)]):
        series = tree.get(instance.series.study.orthanc_UID, {})
        if instance.series.orthanc_UID in series:
            series[instance.series.orthanc_UID].add(instance.orthanc_UID)
    return tree


def orthanc_tree(orthanc):
    """Return the ids that an Orthanc has, of the instances by series by
    study."""
    tree = {}
    for series in orthanc.rest('GET', '/series?expand'):
        tree.setdefault(series['ParentStudy'], {})[series['ID']] = set(
            series['Instances'])
    return tree
