# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of many servers with few workers: one of the servers hangs, one is
down, one is wiped, and one is new and large; at night all are compared.

The servers are support.fake_pacs, whose clock runs fast: what the schedule
does every 15 minutes is done every few seconds, and what a server is waited
for and how long a turn is are as much shorter.  The queue, trytond-worker and
PostgreSQL are those of a hospital."""
import datetime as dt
import time
from typing import NamedTuple

import pytest
from services import Process, trytond_command, write_trytond_configuration
from support.benchmarks import show, tell
from support.copied_servers import copy_rows
from support.fake_pacs import fakes
from support.records import make_patient
from support.synchronizing import new_server, synchronize, transaction

from trytond.config import config
from trytond.ir import queue_
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.transaction import Transaction

pytestmark = pytest.mark.postgresql

SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
QUARTER = 15 * 60


class Size(NamedTuple):
    "The numbers of a run, and how long a quarter of an hour takes."
    servers: int
    studies: int
    workers: int
    ticks: int
    tick: int

    def short(self, seconds):
        "Return how many seconds stand for some seconds of the day."
        return max(round(seconds * self.tick / QUARTER), 1)


@pytest.fixture
def size(full):
    if full:
        return Size(50, 20_000, 4, 96, 15)
    return Size(6, 40, 2, 3, 4)


@pytest.fixture(autouse=True)
def in_transaction(activated, monkeypatch):
    monkeypatch.setattr(queue_, 'has_worker', True)
    with transaction():
        yield


@pytest.fixture
def workers(activated, size, tmp_path):
    "The command of the workers of the test database."
    from trytond.tests.test_tryton import DB_NAME
    configuration = tmp_path / 'trytond.conf'
    write_trytond_configuration(
        configuration, config.get('database', 'uri'), tmp_path, settings={
            'queue': {'worker': True},
            'health_orthanc': {'turn_seconds': size.short(300)}})
    process = Process([
            *trytond_command('trytond-worker'), '-v', '-c', configuration,
            '-d', DB_NAME, '-n', str(size.workers), '-t', '1'],
        tmp_path / 'worker.log')
    process.start()
    yield process
    process.kill()


def read(query):
    "Return what a query finds that other processes committed."
    Transaction().rollback()
    return execute(query)


def is_idle():
    table = Pool().get('ir.queue').__table__()
    return not read(table.select(
            table.id, where=table.finished_at == None, limit=1))  # noqa: E711


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)


def make_servers(pacs, size):
    """Make the servers, of which all but the new one are known, and return
    their ids; the studies of the wiped one are linked."""
    values = {'read_timeout': size.short(60), 'connect_timeout': 1}
    ids = [new_server(each, **values) for each in pacs]
    took = time.monotonic()
    assert synchronize(ids[0]).studies_new == size.studies
    took = time.monotonic() - took
    for seed, id_ in enumerate(ids[1:-1], 2):
        copy_rows(ids[0], id_, seed)
    patient = make_patient("Ana", "Betz").id
    table = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    execute(table.update(
            [table.link_state, table.link_rule, table.patient],
            ['linked', 'person', patient],
            where=table.orthanc_server == ids[1]))
    Queue = Pool().get('ir.queue')
    Queue.delete(Queue.search([]))
    Transaction().commit()
    Transaction().connection.cursor().execute('ANALYZE')
    Transaction().commit()
    return ids, took


def lags(ids, ticks):
    """Return the seconds after each tick at which the last of some servers
    was read, of those ticks that all of them had time for."""
    table = Pool().get(RUN).__table__()
    found = {id_: [] for id_ in ids}
    for id_, start, end in read(table.select(
                table.server, table.start, table.end,
                where=table.server.in_(ids) & (table.state == 'done'),
                order_by=table.end)):
        found[id_].append((start, end))
    return [
        max((next(end for start, end in runs if start >= tick) - tick
                ).total_seconds() for runs in found.values())
        for tick in ticks]


def test_a_day_of_many_servers(full, size, workers):
    Server, normal = Pool().get(SERVER), {'series': 1, 'instances': 1}
    settings = [
        {'studies': size.studies, 'seed': n + 1, 'pause': size.tick / 2,
            **normal} for n in range(size.servers - 1)]
    settings.append({
            'studies': size.studies, 'seed': size.servers, 'series': 2,
            'instances': 10})
    with fakes(*[{**each, 'pause': None} for each in settings]) as pacs:
        ids, took = make_servers(pacs, size)
        tell(f"{size.studies} studies read in {took:.0f} s")
        wiped, hangs, down, new = ids[1], ids[2], ids[3], ids[-1]
        healthy = [
            id_ for id_ in ids if id_ not in {wiped, hangs, down, new}]
        Server.write([Server(down)], {'domain': 'http://127.0.0.1:1'})
        # The test of a changed server is the workers' start, too.
        Transaction().commit()
        wait_until(is_idle, 120)
        for each, values in zip(pacs[:-1], settings):
            each.set(pause=values['pause'])
        pacs[1].set(first=size.studies, studies=1)
        pacs[2].set(hangs=True)
        ticks = a_day(size)
        for each in pacs:
            each.set(pause=None)
        wait_until(is_idle, 600)
        Server.sync()
        Transaction().commit()
        wait_until(is_idle, 600)
        there = [each.ask()['studies'] for each in (pacs[0], pacs[-1])]
    check(ids, there, size)
    late = lags(healthy, ticks[:-1])
    show(f"servers read after each tick of {size.tick} s, by {size.workers} "
        "workers: median", len(healthy), sorted(late)[len(late) // 2])
    show("the longest", len(healthy), max(late))
    # Runs are kept to the second.
    assert not full or max(late) <= size.tick + 1


def a_day(size):
    "Do what the schedule does, return when it did."
    Server, ticks, begin = Pool().get(SERVER), [], time.monotonic()
    for number in range(size.ticks):
        ticks.append(dt.datetime.now().replace(microsecond=0))
        if number == size.ticks // 3:
            Server.full_sync()
        Server.sync()
        Transaction().commit()
        time.sleep(max(
                begin + (number + 1) * size.tick - time.monotonic(), 0))
    return ticks


def check(ids, there, size):
    "Look at what is known of the servers at the end of the day."
    wiped, hangs, down, new = ids[1], ids[2], ids[3], ids[-1]
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Transaction().rollback()

    def count(server, *domain):
        return Study.search_count([('orthanc_server', '=', server), *domain])

    def states(server):
        return {run.state for run in Pool().get(RUN).search([
                    ('server', '=', server)])}
    gone = ('missing_since', '!=', None)
    assert count(ids[0], ('missing_since', '=', None)) == there[0]
    assert count(new) == there[1]
    assert count(ids[0], gone) == 0
    assert count(wiped, gone, ('link_rule', '=', 'person'),
        ('patient', '!=', None)) == size.studies
    for server in [hangs, down]:
        assert not Pool().get(SERVER)(server).validated
        assert count(server, gone) == 0
    assert states(new) <= {'done', 'interrupted'} and 'done' in states(new)
