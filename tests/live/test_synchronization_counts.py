# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server counts and what it lists: a list that is shorter than the
truth is no deletion, and whoever looks at a run learns that they differ."""
from types import SimpleNamespace

import pytest
from support import archive
from support.fault_server import FaultServer, answer, change
from support.records import commit, make_user
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, transaction, with_queue)

from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME

SERVER = 'gnuhealth.orthanc.config'


def get(name):
    return Pool(DB_NAME).get(name)


@pytest.fixture(scope='module')
def keeper(activated):
    "A user who may administer servers."
    def make():
        return make_user(
            'keeper', 'health_orthanc.group_imaging_orthanc_admin').id
    return commit(make)


@pytest.fixture
def orthanc(orthanc):
    archive.upload(orthanc, [small(number) for number in range(3)])
    return orthanc


@pytest.fixture
def proxy(orthanc):
    with FaultServer(orthanc.url) as proxy:
        yield proxy


def small(number, **changes):
    return archive.study(number, **{'series': 2, 'instances': 2, **changes})


@pytest.fixture
def started(proxy, keeper):
    """Return a function that synchronizes a new server as people and the
    scheduler do, and gives the run as a dict with what is stored then."""
    def start(how):
        Server = get(SERVER)
        with_queue({
                'button': lambda: Server.do_sync([Server(server)]),
                'cron': lambda: Server.sync([Server(server)]),
                'nightly': lambda: Server.full_sync([Server(server)]),
                }[how], keeper, _check_access=True)
        with transaction():
            run, *_ = Server(server).runs
            assert (run.state, run.started_by) == ('done', how)
            assert run.error == Server(server).last_error
            return SimpleNamespace(
                tree=stored_tree(server), error=run.error, calls=run.calls,
                **{name: getattr(run, name) for name in [
                        'studies_new', 'studies_changed', 'studies_gone',
                        'series_gone', 'instances_new']})
    with transaction():
        server = new_server(proxy.url)
    return start


def hide(proxy, *hidden):
    "Let the server not list some studies, but count them."
    def some(items):
        return [item for item in items if not hidden_uid(item) & {*hidden}]

    def hidden_uid(item):
        return {item} if isinstance(item, str) else {
            item['ID'], item.get('ParentStudy')}
    proxy.clear()
    proxy.on('^/studies$', change(some))
    proxy.on('bulk-content', change(some))


def test_list_that_is_shorter_than_the_count_is_no_deletion(
        orthanc, proxy, started):
    first, second, third = orthanc.rest('GET', '/studies')
    hide(proxy, third)
    # A study that the user never saw
    for how in ['nightly', 'button', 'cron']:
        run = started(how)
        assert "counts 3 studies, but lists only 2" in run.error
        assert run.tree.keys() == {first, second}
    assert run.calls == 6
    proxy.clear()
    run = started('cron')
    assert (run.error, run.studies_new) == (None, 1)
    # Studies that the user sees no more, and one that comes meanwhile
    hide(proxy, first, third)
    archive.upload(orthanc, [small(9)])
    assert started('cron').studies_new == 1
    for how in ['nightly', 'button', 'cron']:
        run = started(how)
        assert "counts 4 studies, but lists only 2" in run.error
        assert not (run.studies_gone or run.series_gone)
        assert run.tree == orthanc_tree(orthanc)
    # One of those that are hidden goes, and is marked when all are seen.
    orthanc.rest('DELETE', f'/studies/{first}')
    run = started('cron')
    assert "counts 3 studies, but lists only 2" in run.error
    assert not run.studies_gone
    proxy.clear()
    run = started('cron')
    assert (run.error, run.studies_gone) == (None, 1)
    assert run.tree == orthanc_tree(orthanc)
    assert started('cron').calls == 3


def test_server_that_lists_nothing_of_what_it_counts(orthanc, proxy, started):
    started('button')
    proxy.on('^/studies$', answer([]))
    for how in ['nightly', 'cron']:
        run = started(how)
        assert "counts 3 studies, but lists only 0" in run.error
        assert run.tree == orthanc_tree(orthanc)
    proxy.clear()
    assert not started('cron').error


def test_counts_that_differ_after_a_run_are_told(proxy, started):
    proxy.on('bulk-content', change(lambda items: [
                item for item in items if item['Type'] != 'Instance']))
    for how in ['nightly', 'button', 'cron', 'cron']:
        run = started(how)
        assert "counts 3 / 6 / 12 studies" in run.error
        assert "but 3 / 6 / 0 are known" in run.error
    assert run.calls == 3
    proxy.clear()
    run = started('nightly')
    assert (run.error, run.instances_new) == (None, 12)


def test_change_that_is_written_after_those_that_were_read(
        orthanc, proxy, started):
    """Several writers of an index write changes in another order than they
    number them."""
    started('button')
    archive.upload(orthanc, [small(9, instances=1, series=1), small(10)])
    proxy.on('/changes.since', change(
            lambda log: {**log, 'Changes': log['Changes'][5:]}), times=1)
    run = started('cron')
    assert (run.error, run.studies_new) == (None, 2)
    assert run.tree == orthanc_tree(orthanc)
    assert started('cron').calls == 3


def test_correction_whose_change_was_not_read_comes_in_the_night(
        orthanc, proxy, started):
    "The counts tell nothing of it."
    orthanc.kill()
    orthanc.extra['OverwriteInstances'] = True
    orthanc.start()
    archive.upload(orthanc, [small(9, instances=1, series=1)])
    started('button')
    archive.upload(orthanc, [
            small(9, instances=1, series=1, accession_number='RIGHT')])
    proxy.on('/changes.since', change(
            lambda log: {**log, 'Changes': []}), times=1)
    assert [started(how).studies_changed for how in ['cron', 'nightly']] == [
        0, 1]
