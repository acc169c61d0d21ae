# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronisation by real trytond processes: several at once, killed, seen
from outside, asked by the script, upgraded.

What happens at the same time is shown by requests that are held until
something else has happened, never by how long it takes.
"""
import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import seed
from cryptography.fernet import Fernet, InvalidToken
from proteus import Model
from proteus import config as proteus
from services import (
    Orthanc, Trytond, trytond_command, write_trytond_configuration)
from support import archive
from support.databases import SEEDED
from support.fault_server import FaultServer, hang

SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
STUDY = 'gnuhealth.imaging_orthanc.study'
SCRIPT = (Path(__file__).parents[2]
    / 'his-utils' / 'scripts' / 'imaging' / 'sync_orthanc_server.py')
STUDIES, INSTANCES = 3, 12
DOCUMENTATION = (Path(__file__).parents[2]
    / 'health_orthanc' / 'doc' / 'configuration.rst')


@pytest.fixture(scope='module')
def orthanc(tmp_path_factory):
    "An Orthanc with three small studies, for all tests."
    orthanc = Orthanc(tmp_path_factory.mktemp('orthanc'))
    orthanc.start()
    archive.upload(orthanc, [
            archive.study(n, series=2, instances=2) for n in range(STUDIES)])
    yield orthanc
    orthanc.kill()


@pytest.fixture
def proxy(orthanc):
    "Another address of the Orthanc, where requests can be held."
    with FaultServer(orthanc.url) as proxy:
        yield proxy


@pytest.fixture(scope='module')
def shared(templates, copies, tmp_path_factory):
    "A copy of the seeded database, for all tests of servers."
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    yield database
    copies.drop(database)


@pytest.fixture(scope='module')
def running_trytond(shared, tmp_path_factory):
    trytond = Trytond(tmp_path_factory.mktemp('trytond'), **shared.options)
    trytond.start()
    yield trytond
    trytond.stop()


@pytest.fixture
def trytond(running_trytond):
    """A trytond without workers: it runs the task of a request when the
    request is committed."""
    connect(running_trytond)
    return running_trytond


@pytest.fixture(scope='module')
def running_workers(shared, tmp_path_factory):
    # One trytond-worker with two processes would do as well, but these share
    # nothing.
    trytond = Trytond(
        tmp_path_factory.mktemp('workers'), workers=2, **shared.options)
    trytond.start()
    yield trytond
    trytond.kill()


@pytest.fixture
def workers(running_workers, shared):
    "A trytond with two worker processes, which need PostgreSQL."
    connect(running_workers)
    return running_workers


def connect(trytond):
    return proteus.set_xmlrpc(trytond.rpc_url('admin', seed.PASSWORD))


def add_server(label, url, **values):
    "Make the record of a server."
    # The port may have been that of a server of another test.
    for other in Model.get(SERVER).find([
                ('domain', '=', url), ('active', 'in', [True, False])]):
        other.domain = f'http://gone-{other.id}'
        other.active = False
        other.save()
    server = Model.get(SERVER)(
        label=label, domain=url, user='demo', password='secret', **values)
    server.save()
    return server


def query(database, text, *parameters):
    "Return the rows of a query, on a connection of its own."
    mark = '?' if database.uri.startswith('sqlite') else '%s'
    with contextlib.closing(database.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(text.replace('?', mark), parameters)
        return cursor.fetchall()


def execute(database, text, *parameters):
    mark = '?' if database.uri.startswith('sqlite') else '%s'
    with contextlib.closing(database.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(text.replace('?', mark), parameters)
        connection.commit()


def wait_for(condition, seconds=60):
    "Wait until something is true, and return it."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it took too long")


def in_background(function, *arguments):
    "Call a function in a thread; it may fail, as its server may be killed."
    def work():
        with contextlib.suppress(Exception):
            function(*arguments)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def held(proxy, pattern, **options):
    """Hold some requests until the block ends; the caller may hang up.

    :param options: those of FaultServer.on
    """
    release = threading.Event()

    def hold(exchange):
        while not release.is_set() and exchange.wait(0.05):
            pass
        return exchange.forward()
    try:
        yield proxy.on(pattern, hold, **options)
    finally:
        release.set()


def runs_of(database, *servers):
    """Return the runs of servers, the oldest first: server, state, start,
    end, total and what was stored."""
    marks = ', '.join('?' * len(servers))
    return query(database, 'SELECT server, state, start, "end", total, '
        'instances_new, error FROM gnuhealth_orthanc_sync_run '
        f'WHERE server IN ({marks}) ORDER BY id', *servers)


def states(database, *servers):
    return [row[1] for row in runs_of(database, *servers)]


def unfinished(database):
    "Return how many tasks of the queue are not done."
    (count,), = query(database,
        'SELECT COUNT(*) FROM ir_queue WHERE finished_at IS NULL')
    return count


def test_progress_is_seen_and_kill_is_survived(
        shared, trytond, orthanc, proxy):
    server = add_server("Slow", proxy.url)
    with held(proxy, 'bulk-content', nth=2):
        in_background(server.click, 'do_sync')
        wait_for(lambda: [
                row for row in runs_of(shared, server.id) if row[4]])
        (_, state, _, end, total, *_), = runs_of(shared, server.id)
        assert (state, end, total) == ('running', None, STUDIES)
        trytond.kill()
        assert states(shared, server.id) == ['running']
    trytond.start()
    connect(trytond)
    server = Model.get(SERVER)(server.id)
    server.click('do_sync')
    last, first = Model.get(RUN).find([('server', '=', server.id)])
    assert (last.state, last.studies_new + first.studies_new) == (
        'done', STUDIES)
    assert first.state == 'interrupted' and first.end
    assert {
        s.orthanc_UID for s in Model.get(STUDY).find(
            [('orthanc_server', '=', server.id)])
        } == set(orthanc.rest('GET', '/studies'))
    server.reload()
    assert server.validated and server.since_sync


def script(trytond, *arguments, user='admin', **options):
    "Start the script, return its process."
    return subprocess.Popen(
        [sys.executable, SCRIPT, '-H', '127.0.0.1', '-p', str(trytond.port),
            '-d', trytond.database, '-u', user, *arguments],
        env={**os.environ, 'GNUHEALTH_PASSWORD': seed.PASSWORD}, **options)


def test_script(trytond, orthanc, proxy):
    add_server("Main PACS", orthanc.url)
    add_server("Dead PACS", 'http://127.0.0.1:1')
    add_server("Never named", proxy.url, active=False)

    def run(*arguments, **options):
        process = script(trytond, *arguments, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        output = process.communicate(timeout=120)
        return subprocess.CompletedProcess(
            process.args, process.returncode, *output)
    result = run('-l', "Main PACS")
    assert result.returncode == 0, result.stderr
    assert "Main PACS: done" in result.stdout + result.stderr
    assert "studies new 3" in result.stdout + result.stderr
    result = run('-l', "Main PACS", '-l', "Nobody's")
    assert result.returncode == 2
    assert "Nobody's" in result.stderr
    assert "Main PACS: " not in result.stdout
    result = run('-l', "Main PACS", '-l', "Dead PACS")
    assert result.returncode not in {0, 2}
    assert "Nothing answers" in result.stderr
    assert "Main PACS: done" in result.stdout + result.stderr
    result = run('--all')
    for label in ["Dead", "Never named"]:
        assert label not in result.stdout + result.stderr
    assert "Main PACS: done" in result.stdout + result.stderr
    result = run('--all', user='doctor')
    assert result.returncode not in {0, 2}
    for text in [result.stdout, result.stderr]:
        assert 'secret' not in text and 'Traceback' not in text


def read_until(terminal, text, seconds=60):
    "Read from the other end of a terminal until a text appears."
    end, found = time.monotonic() + seconds, b''
    while text not in found and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            found += os.read(terminal, 1000)
    assert text in found


def test_script_shows_progress_on_a_terminal(trytond, proxy):
    add_server("Watched", proxy.url)
    here, there = pty.openpty()
    with held(proxy, 'bulk-content', nth=2):
        process = script(
            trytond, '-l', "Watched", stdout=there, stderr=there)
        read_until(here, f'Watched 0/{STUDIES}'.encode())
    read_until(here, b'Watched: done')
    assert process.wait(60) == 0
    os.close(here)
    os.close(there)


# Commands of the administrator

def admin(database, folder, *arguments, program='trytond-admin',
        settings=None, **options):
    "Run a program of trytond on a database, return what it prints."
    configuration = folder / 'trytond.conf'
    write_trytond_configuration(
        configuration, database.uri, database.path, settings=settings)
    return subprocess.run(
        [*trytond_command(program), '-c', configuration,
            '-d', database.name, *arguments],
        check=True, capture_output=True, text=True, **options).stdout


def test_update_keeps_the_schedule_of_the_administrator(database, tmp_path):
    method = 'gnuhealth.orthanc.config|sync'
    execute(database, 'UPDATE ir_cron SET interval_number = 45, active = ? '
        'WHERE method = ?', False, method)
    execute(database, 'DELETE FROM ir_cron WHERE method = ?',
        f'{method.partition("|")[0]}|full_sync')
    admin(database, tmp_path, '-u', 'health_orthanc')
    rows = query(database, 'SELECT method, interval_number, active '
        'FROM ir_cron WHERE method LIKE ?', 'gnuhealth.orthanc.config%')
    assert [(r[0], r[1], bool(r[2])) for r in rows] == [(method, 45, False)]


def test_keys_are_rotated_by_the_documented_command(database, tmp_path):
    one, two = [Fernet.generate_key().decode() for _ in range(2)]

    command, = re.findall(
        r'echo "(.*?)" [|] trytond-console', DOCUMENTATION.read_text(), re.S)
    command = re.sub('^ +', '', command, flags=re.M)

    def rotate(*keys):
        printed = admin(database, tmp_path, program='trytond-console',
            settings={'health_orthanc': {'fernet_key': ' '.join(keys)}},
            input=f'{command}\n')
        assert printed.strip() == '1'
        (stored,), = query(
            database, 'SELECT password FROM gnuhealth_orthanc_config')
        return stored.partition('fernet:')[2].encode()
    execute(database, 'DELETE FROM gnuhealth_orthanc_config')
    execute(database, 'INSERT INTO gnuhealth_orthanc_config '
        '(label, domain, "user", password, connect_timeout, read_timeout, '
        "run_hours) VALUES ('PACS', 'http://pacs', 'demo', 'secret', 5, 60, "
        "6)")
    assert Fernet(one).decrypt(rotate(one)) == b'secret'
    stored = rotate(two, one)
    assert Fernet(two).decrypt(stored) == b'secret'
    with pytest.raises(InvalidToken):
        Fernet(one).decrypt(stored)


# Workers

@pytest.mark.postgresql
def test_two_workers_and_a_server_that_hangs(shared, workers, orthanc):
    with contextlib.ExitStack() as stack:
        proxies = [
            stack.enter_context(FaultServer(orthanc.url)) for _ in range(4)]
        dead, *good = [
            add_server(f"Server {n}", proxy.url)
            for n, proxy in enumerate(proxies)]
        wait_for(lambda: not unfinished(shared))
        proxies[0].on('', hang())
        dead.click('do_sync')
        wait_for(lambda: states(shared, dead.id) == ['running'])
        ids = [server.id for server in good]
        Model.get(SERVER).click(good, 'do_sync')
        wait_for(lambda: states(shared, *ids) == ['done'] * 3)
        # They are done while the dead one still keeps one worker.
        assert states(shared, dead.id) == ['running']
        proxies[0].stop()
        wait_for(lambda: states(shared, dead.id) == ['failed'])
        together(shared, good, proxies[1:])
        wait_for(lambda: not unfinished(shared))
    (_, _, begin, end, *_), = runs_of(shared, dead.id)
    rows = runs_of(shared, *ids)
    # One worker would have come to them after the dead one only.
    assert all(begin <= row[2] <= row[3] <= end for row in rows[:3])
    assert [row[5] for row in rows] == [INSTANCES] * 3 + [0] * 3
    for table, scope, key in [
            ('study', 'orthanc_server', '"orthanc_UID"'),
            ('study_series', 'study', '"series_UID"'),
            ('series_instances', 'series', '"sop_instance_UID"')]:
        assert not query(shared, 'SELECT 1 FROM '
            f'gnuhealth_imaging_orthanc_{table} GROUP BY {scope}, {key} '
            'HAVING COUNT(*) > 1')


def together(database, servers, proxies):
    """Synchronize three servers, of which any two that come first wait for
    each other: one worker alone would never end."""
    meeting = threading.Barrier(2)
    met = []

    def meet(exchange):
        if len(met) < 2:
            met.append(exchange)
            meeting.wait(60)
        return exchange.forward()
    for proxy in proxies:
        proxy.on('/system', meet)
    Model.get(SERVER).click(servers, 'do_sync')
    ids = [server.id for server in servers]
    wait_for(lambda: states(database, *ids) == ['done'] * 6)
    assert len(met) == 2


@pytest.mark.postgresql
def test_one_run_at_a_time_whoever_asks(
        shared, workers, trytond, proxy):
    server = add_server("Wanted", proxy.url)
    with held(proxy, 'bulk-content', nth=1):
        connect(workers)
        for _ in range(3):
            Model.get(SERVER)(server.id).click('do_sync')
        # Of the tasks only the one that is held is left.
        wait_for(lambda: unfinished(shared) == 1 and proxy.count('bulk'))
        # Another process finds the server taken, too.
        connect(trytond)
        Model.get(SERVER)(server.id).click('do_sync')
        assert states(shared, server.id) == ['running']
    wait_for(lambda: not unfinished(shared))
    assert states(shared, server.id) == ['done']
    assert not query(shared, 'SELECT id FROM ir_error')


@pytest.mark.postgresql
def test_worker_is_killed(shared, workers, proxy):
    server = add_server("Killed", proxy.url)
    wait_for(lambda: not unfinished(shared))
    with held(proxy, 'bulk-content', nth=2):
        server.click('do_sync')
        wait_for(lambda: proxy.count('bulk') == 2)
        workers.kill()
        assert states(shared, server.id) == ['running']
    workers.start()
    connect(workers)
    Model.get(SERVER)(server.id).click('do_sync')
    wait_for(lambda: states(shared, server.id) == ['interrupted', 'done'])
    assert sum(row[5] for row in runs_of(shared, server.id)) == INSTANCES
