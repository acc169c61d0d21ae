# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of fifty servers, one of which hangs, one is down and one is wiped:
how far the others are behind each other, and who waits for whom.

Cron's method runs in two threads at once, as two trytond-cron would; the
tasks are done by real trytond-worker processes, and support.fake_pacs stands
for the servers.  A day has a tick of cron every quarter of an hour.  What is
left of it when each healthy server was looked at is not waited for: a moment
of the day is that of its tick, and the seconds that passed since.  So a server
that hangs keeps its worker for a far greater part of the day than it would.
BENCHMARK_TICKS in the environment makes the day of --full shorter."""
import contextlib
import datetime as dt
import json
import os
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

import pytest
from services import Process, trytond_command, write_trytond_configuration
from sql import Null
from support.benchmarks import show, tell
from support.copied_servers import copy_rows
from support.fake_pacs import fakes, id_of
from support.floor import BLOCK, LEVEL, Floor, seconds
from support.synchronizing import new_server, synchronize, transaction

from trytond import backend
from trytond.config import config
from trytond.ir import queue_
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.transaction import Transaction

#: Between two runs of the scheduled task, in seconds.
TICK = 15 * 60
SERVER = 'gnuhealth.orthanc.config'
#: A server gets a study at each of so many ticks.
RATE = 3

pytestmark = pytest.mark.postgresql


class Size(NamedTuple):
    """How large all is.

    :ivar servers: that are healthy, and the three that are not
    :ivar ticks: of the day; one server is wiped in the middle
    :ivar silence: for how many seconds one waits for a server that hangs
    :ivar more: how many more hang in the last quarter
    :ivar images: in each study of a server that is new in the second quarter
    """
    servers: int
    studies: int
    workers: int
    ticks: int
    silence: int
    more: int
    images: int


# A healthy one is not that silent, however busy the machine is.
SMALL = Size(6, 20, 2, 4, 10, 0, 10)
HOSPITAL = Size(
    50, 20_000, 4, int(os.environ.get('BENCHMARK_TICKS', 96)), 60, 4, 5)


@pytest.fixture(autouse=True)
def in_transaction(activated, monkeypatch):
    monkeypatch.setattr(queue_, 'has_worker', True)
    with transaction():
        yield


@pytest.fixture
def size(full):
    return HOSPITAL if full else SMALL


@pytest.fixture
def workers(size, tmp_path):
    "Processes of trytond-worker, each of which does one task at once."
    workers = [
        Worker(tmp_path / f'{n}.conf') for n in range(size.workers)]
    for worker in workers:
        worker.start()
    yield workers
    for worker in workers:
        worker.kill()


class Worker(Process):
    def __init__(self, path):
        from trytond.tests.test_tryton import DB_NAME
        write_trytond_configuration(
            path, config.get('database', 'uri'), path.parent,
            settings={'queue': {'worker': True}})
        super().__init__(
            [*trytond_command('trytond-worker'), '-v', '-c', path,
                '-d', DB_NAME, '-n', '1', '-t', '2'],
            path.with_suffix('.log'))


def test_a_day_of_many_servers(size, workers):
    settings = [
        {'studies': size.studies, 'seed': seed, 'series': 1, 'instances': 1}
        for seed in range(1, size.servers)]
    settings.append({
            'studies': size.studies, 'seed': 999, 'series': 1,
            'instances': size.images})
    with fakes(*settings) as pacs:
        day = Day(size, pacs, workers)
        day.prepare()
        for tick in range(size.ticks):
            day.tick(tick)
        # Such as servers that hang, and the new one.
        wait(lambda: day.unfinished(('id', 'not in', list(day.lost))))
        day.note(tick, day.begin)
        day.tell()
        tell_floor(size, pacs, day)
    day.check()


class Look(NamedTuple):
    """A synchronization of a server.

    :ivar at: when it was over, in simulated seconds
    :ivar server: id
    :ivar tick: number
    :ivar waited: seconds in the queue
    :ivar took: seconds of a worker
    :ivar patient: whether it had been asked before
    """
    at: float
    server: int
    tick: int
    waited: float
    took: float
    patient: bool


class Day:
    "A simulated day, and what was seen of it."

    def __init__(self, size, pacs, workers):
        self.size, self.workers = size, workers
        *self.pacs, self.large = pacs
        self.ids, self.new = [], None
        self.begin, self.looks, self.ended = None, [], []
        # From when to when servers were asked whether they answer
        self.asked = []
        # Tasks of a worker that was killed, their servers, and how many
        # seconds later these were read
        self.lost, self.behind_by, self.again = set(), {}, []
        self.killed = set()
        self.waiting, self.says = 0, None

    def prepare(self):
        "Let all servers be known as they were the day before."
        self.ids = [
            new_server(one, read_timeout=self.size.silence)
            for one in [*self.pacs, 'http://127.0.0.1:1']]
        # Workers ask new servers whether they answer.
        wait(self.unfinished)
        show("studies of a server, read the first time", self.size.studies,
            seconds(lambda: synchronize(self.ids[0])))
        took = seconds(self.copy)
        tell(f"rows of {len(self.ids)} servers made of them in {took:.0f} s")
        fill_queue(self.size.servers)
        Cron = Pool().get('ir.cron')
        Cron.write(Cron.search([
                    ('method', '!=', f'{SERVER}|sync')]), {'active': False})
        Transaction().commit()
        *_, self.wiped, self.hanging, self.down = self.ids
        self.pacs[-1].set(hangs=True)
        self.healthy = dict(zip(self.ids[:-3], self.pacs))
        self.beside = [self.hanging, self.down]

    def copy(self):
        Transaction().commit()
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(self.copy_to, range(2, 1 + len(self.ids))))
        Transaction().connection.cursor().execute('ANALYZE')
        Transaction().commit()

    def copy_to(self, seed):
        with transaction():
            cursor = Transaction().connection.cursor()
            # They fit where those of the first server did.
            cursor.execute('SET session_replication_role = replica')
            copy_rows(self.ids[0], self.ids[seed - 1], seed)
            cursor.execute('SET session_replication_role = DEFAULT')
            Transaction().commit()

    def tick(self, number):
        "Let cron run, and wait until all healthy servers were looked at."
        self.happen(number)
        for n, pacs in enumerate(self.healthy.values()):
            if (number + n) % RATE == 0:
                pacs.set(studies=pacs.ask()['studies'] + 1)
        victim = killed = None
        if number == self.size.ticks * 5 // 8:
            *_, victim = self.healthy
            self.healthy[victim].set(hangs=True)
        self.begin = begin = dt.datetime.now()
        run_cron()
        self.waiting = max(self.waiting, self.most_waiting())
        if victim:
            killed = self.kill(victim)
        wait(lambda: self.at_work(begin))
        self.note(number, begin)
        if killed:
            killed.start()
        behind = {
            id_: (index, self.page(id_)) for id_, index in self.known().items()
            if id_ not in self.behind_by
            and index != self.healthy[id_].ask()['studies']}
        assert not behind

    def happen(self, number):
        "Do what happens to servers before a tick."
        if number == self.size.ticks // 4:
            self.new = new_server(self.large)
            self.beside.append(self.new)
        if number == self.size.ticks // 2:
            self.pacs[-2].set(studies=0)
        if number == self.size.ticks * 3 // 4:
            self.says = self.page(self.wiped)
            # They are not those that it had.
            self.pacs[-2].set(first=10 ** 6, studies=2)
            for id_ in list(self.healthy)[:self.size.more]:
                self.healthy.pop(id_).set(hangs=True)
                self.beside.append(id_)

    def kill(self, server):
        """Kill the worker that waits for a server which hangs, let that answer
        again, and return the worker."""
        wait(lambda: server not in self.leases() and self.unfinished())
        task, = [t.id for t in self.unfinished() if server in servers_of(t)]
        group = os.getpgid(int(self.leases()[server].split()[1]))
        worker, = [w for w in self.workers if w.pid == group]
        worker.kill()
        assert task in [t.id for t in self.unfinished()]
        self.killed.add(server)
        self.lost.add(task)
        self.behind_by[server] = dt.datetime.now()
        self.healthy[server].set(hangs=False)
        return worker

    def leases(self):
        "Return what holds healthy servers, by id."
        table = Pool().get(SERVER).__table__()
        return dict(rows(table.select(table.id, table.lease,
                    where=table.id.in_(list(self.healthy))
                    & (table.lease != Null))))

    def known(self):
        "Return how far healthy servers were read, by id."
        table = Pool().get(SERVER).__table__()
        return dict(rows(table.select(table.id, table.last_changed_index,
                    where=table.id.in_(list(self.healthy)))))

    def tasks(self, *domain):
        Transaction().rollback()
        return Pool().get('ir.queue').search(list(domain))

    def unfinished(self, *domain):
        return self.tasks(('finished_at', '=', None), *domain)

    def most_waiting(self):
        """Return how many tasks that do the same wait for one server at the
        most."""
        return max(Counter(
                (id_, task.data['kwargs'].get('full'))
                for task in self.tasks(('dequeued_at', '=', None))
                if task.data['method'] in {'sync_server', 'check_and_sync'}
                for id_ in servers_of(task)).values(), default=0)

    def at_work(self, since):
        "Return the tasks of servers that are waited for."
        return [
            task for task in self.unfinished(
                ('enqueued_at', '>=', since),
                ('id', 'not in', list(self.lost)))
            if {*servers_of(task)} - {*self.beside}]

    def note(self, number, begin):
        "Keep what was done since a tick."
        for task in self.tasks(
                ('finished_at', '>=', begin), ('id', 'not in', self.ended)):
            self.ended.append(task.id)
            if task.data['method'] == 'check_and_sync':
                self.asked.append((task.dequeued_at, task.finished_at))
                continue
            look = Look(
                number * TICK + (task.finished_at - begin).total_seconds(),
                servers_of(task)[0], number,
                (task.dequeued_at - task.enqueued_at).total_seconds(),
                (task.finished_at - task.dequeued_at).total_seconds(),
                bool(task.data['kwargs'].get('patient')))
            self.looks.append(look)
            killed = self.behind_by.pop(look.server, None)
            if killed:
                self.again.append((task.finished_at - killed).total_seconds())

    def asking(self):
        """Return for how many seconds workers asked servers that had not
        answered, and how many workers did so at once at the most. A task
        that another one took over ends right before that."""
        times = [
            (begin, end) for begin, end in self.asked if not any(
                first < begin and end <= last < end + dt.timedelta(seconds=1)
                for first, last in self.asked)]
        return (
            sum((end - begin).total_seconds() for begin, end in times),
            max((sum(begin <= at < end for begin, end in times)
                for at, _ in times), default=0))

    def of_healthy(self):
        "Return the looks at servers that are healthy until the end."
        return [look for look in self.looks if look.server in self.healthy]

    def lengths(self):
        "Return after how many seconds of each tick all were looked at."
        return [
            max(look.at for look in some) - tick * TICK
            for tick, some in groupby(
                self.of_healthy(), lambda look: look.tick)]

    def behind(self):
        """Return how many seconds a server was behind another one at any
        moment, and at the end of a tick, at the most. That of the worker that
        was killed may come at the next tick only."""
        last, at_any, at_end = {}, 0, 0
        others = {*self.healthy} - self.killed
        for look in sorted(self.of_healthy()):
            last[look.server] = look.at
            if others <= {*last}:
                at_any = max(
                    at_any, look.at - min(last[id_] for id_ in others))
        for tick in range(self.size.ticks):
            found = [at for at, _, n, *_ in self.of_healthy() if n == tick]
            at_end = max(at_end, max(found) - min(found))
        return at_any, at_end

    def tell(self):
        "Add to the table what was seen."
        looks, size = self.of_healthy(), self.size
        counts = sorted(Counter(look.server for look in looks).values())
        waited = sorted(look.waited for look in looks)
        took = sum(look.took for look in looks)
        lengths = self.lengths()
        at_any, at_end = self.behind()
        tell(f"{len(self.ids)} servers of {size.studies} studies, "
            f"{size.workers} workers, {size.ticks} ticks of 15 minutes")
        tell(f"a tick took {min(lengths):.1f} to {max(lengths):.1f} s, "
            f"{statistics.median(lengths):.1f} s in the middle; workers were "
            f"busy for {took:.0f} s of {size.ticks * TICK * size.workers} s")
        tell(f"runs of a healthy server: {counts[0]} to {counts[-1]}, "
            f"{statistics.median(counts):.0f} in the middle")
        tell(f"a server was behind another one by {at_any / 60:.1f} minutes "
            f"at the most, by {at_end / 60:.1f} when a tick was done")
        tell(f"in the queue: {statistics.median(waited):.2f} s in the middle, "
            f"{waited[-1]:.2f} s at the most; {self.waiting} task a server")
        asked, most = self.asking()
        tell("to ask servers that did not answer kept workers for "
            f"{asked:.0f} s, {most} at once at the most")
        tell("the server of a worker that was killed was read again after "
            f"{self.again[0]:.1f} s")
        Run = Pool().get('gnuhealth.orthanc.sync_run')
        runs = Run.search([('server', '=', self.new), ('full', '=', True)])
        tell(f"a new server of {size.studies * size.images} images: "
            f"{sum(run.instances_new or 0 for run in runs)} were read in "
            f"{len(runs)} turns, the last one {runs[0].state}")
        tell(f"wiped: {self.says}")
        for what, id_ in [("wiped, and two other studies came", self.wiped),
                ("hangs", self.hanging), ("down", self.down)]:
            tell(f"{what}: {self.page(id_)}")

    @staticmethod
    def page(id_):
        "Return what the form of a server says."
        Transaction().rollback()
        server = Pool().get(SERVER)(id_)
        return (f"{server.number_of_studies} studies, {len(server.runs)} runs,"
            f" {server.last_error!r}")

    def check(self):
        at_any, at_end = self.behind()
        assert at_end <= TICK
        # The next tick may take longer than this one.
        assert at_any <= TICK + max(self.lengths())
        assert len(self.again) == 1 and not self.behind_by
        failed = {
            server.id for server in Pool().get(SERVER).search([])
            if server.last_error}
        assert {self.hanging, self.down} <= failed
        assert not failed & {*self.healthy}
        # Workers may have been faster.
        assert self.waiting <= 1
        runs = Counter(
            (look.server, look.tick, look.patient)
            for look in self.of_healthy() if look.server not in self.killed)
        assert max(runs.values()) == 1, runs.most_common(3)
        looks = {(look.server, look.tick) for look in self.of_healthy()}
        assert len(looks) >= len(self.healthy) * self.size.ticks - 1


def fill_queue(servers):
    """Put what was done for servers in the last month into the queue, and
    nothing else. Of one that PostgreSQL believes to be empty trytond takes
    tasks without telling of them."""
    cursor = Transaction().connection.cursor()
    cursor.execute('DELETE FROM ir_queue')
    cursor.execute(
        'INSERT INTO ir_queue (name, data, enqueued_at, expected_at, '
        "dequeued_at, finished_at) SELECT 'default', %s, at, at, at, at "
        "FROM (SELECT now() - n * interval '15 minutes' AS at "
        'FROM generate_series(1, %s) AS n, generate_series(1, %s)) AS past',
        [json.dumps({'model': SERVER, 'method': 'sync_server', 'instances': 1,
                    'args': [], 'kwargs': {'full': False}}),
            30 * 96, servers])
    cursor.execute('ANALYZE ir_queue')


def wait(work):
    "Wait until a function does not return any more what is to be done."
    end = time.monotonic() + TICK
    while left := work():
        assert time.monotonic() < end, left
        time.sleep(0.1)


def servers_of(task):
    "Return the ids of the servers of a task, list."
    ids = task.data['instances']
    return [ids] if isinstance(ids, int) else ids


def rows(query):
    "Return what a query finds that other processes committed."
    Transaction().rollback()
    return execute(query)


def run_cron():
    "Let two programs do what is to be done by the clock, at once."
    Cron = Pool().get('ir.cron')
    table = Cron.__table__()
    execute(table.update([table.next_call], [Null]))
    Transaction().commit()
    threads = [threading.Thread(target=run_crons) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_crons():
    from trytond.tests.test_tryton import DB_NAME

    # As trytond-cron does when another one is at it.
    with contextlib.suppress(backend.DatabaseOperationalError):
        Pool(DB_NAME).get('ir.cron').run(DB_NAME)


def tell_floor(size, pacs, day):
    """Compare what the looks cost with the least that the same calls and rows
    can cost."""
    looks = day.of_healthy()
    news = sum(
        one.ask()['studies'] - size.studies for one in day.healthy.values())
    some = list(day.healthy.values())
    floors = [Floor(one) for one in some]
    floors[0].create()
    idle = seconds(lambda: [look_at(floor) for floor in floors]) / len(some)
    new = seconds(lambda: [
            store(floor, 1 + day.ids.index(id_))
            for id_, floor in zip(day.healthy, floors)]) / len(some)
    show("looks of workers at healthy servers", len(looks),
        sum(look.took for look in looks), f'{news} new',
        len(looks) * idle + news * new)


def look_at(floor):
    "Ask what a run asks that finds nothing."
    for path in ['system', 'changes?since=20000&limit=1', 'statistics']:
        floor.session.get(f'{floor.url}/{path}').json()


def store(floor, seed):
    "Read a new study and insert its rows."
    cursor = Transaction().connection.cursor()
    for level in BLOCK:
        item, = floor.session.post(f'{floor.url}/tools/bulk-content', json={
                'Resources': [id_of(seed, 0)],
                'Level': LEVEL[level], 'Metadata': False}).json()
        row = floor.row(level, item)
        cursor.execute(
            f'INSERT INTO bare_{level} VALUES '
            f'({", ".join(["%s"] * len(row))})', row)
    Transaction().commit()
