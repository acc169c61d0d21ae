# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronisation by real trytond processes: several at once, killed, seen
from outside, asked by the script, upgraded."""
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import seed
from cryptography.fernet import Fernet
from proteus import Model
from proteus import config as proteus
from services import Orthanc, trytond_command
from support import archive
from support.fault_server import FaultServer, delay, hang

SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
STUDY = 'gnuhealth.imaging_orthanc.study'
SCRIPT = (Path(__file__).parents[2]
    / 'his-utils' / 'scripts' / 'imaging' / 'sync_orthanc_server.py')
# One request of a slow server, and how much of this a synchronisation needs.
PAUSE = 0.25


@pytest.fixture(scope='module')
def orthanc(tmp_path_factory):
    "An Orthanc with three small studies, for all tests."
    orthanc = Orthanc(tmp_path_factory.mktemp('orthanc'))
    orthanc.start()
    archive.upload(orthanc, [
            archive.study(n, series=2, instances=2) for n in range(3)])
    yield orthanc
    orthanc.kill()


@pytest.fixture
def slow(orthanc):
    "A slow address of the Orthanc."
    with FaultServer(orthanc.url) as proxy:
        proxy.on('', delay(PAUSE))
        yield proxy


def connect(trytond):
    return proteus.set_xmlrpc(trytond.rpc_url('admin', seed.PASSWORD))


def add_server(label, url, **values):
    "Make the record of a server."
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


def wait_for(condition, seconds=30):
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


def running(database):
    return query(database, 'SELECT id, done, total, calls '
        "FROM gnuhealth_orthanc_sync_run WHERE state = 'running'")


def ended(database, count):
    "Return the runs when as many have ended."
    rows = query(database, 'SELECT server, start, "end", state, error '
        "FROM gnuhealth_orthanc_sync_run WHERE state != 'running' "
        'ORDER BY id')
    return rows if len(rows) >= count else None


def test_progress_is_seen_and_kill_is_survived(
        database, make_trytond, orthanc, slow):
    trytond = make_trytond(database)
    connect(trytond)
    server = add_server("Slow", slow.url)
    # trytond without workers runs the task when the request is committed.
    in_background(server.click, 'do_sync')
    shown = wait_for(lambda: [r for r in running(database) if r[2]])
    assert shown[0][2] == 3
    trytond.kill()
    assert running(database)
    slow.clear()
    trytond.start()
    connect(trytond)
    server = Model.get(SERVER)(server.id)
    server.click('do_sync')
    last, first = Model.get(RUN).find([('server', '=', server.id)])
    assert (last.state, last.studies_new + first.studies_new) == ('done', 3)
    assert first.state == 'interrupted' and first.end
    assert {s.orthanc_UID for s in Model.get(STUDY).find([])} == set(
        orthanc.rest('GET', '/studies'))
    server.reload()
    assert server.validated and server.since_sync


def test_script(database, make_trytond, orthanc):
    trytond = make_trytond(database)
    connect(trytond)
    add_server("Main PACS", orthanc.url)
    add_server("Dead PACS", 'http://127.0.0.1:1')
    with FaultServer(orthanc.url) as proxy:
        add_server("Never named", proxy.url, active=False)

    def run(*arguments, user='admin'):
        return subprocess.run(
            [sys.executable, SCRIPT, '-H', '127.0.0.1',
                '-p', str(trytond.port), '-d', trytond.database, '-u', user,
                *arguments],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, 'GNUHEALTH_PASSWORD': seed.PASSWORD})
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
    assert result.returncode == 0
    assert "Dead" not in result.stdout + result.stderr
    result = run('--all', user='doctor')
    assert result.returncode not in {0, 2}
    for text in [result.stdout, result.stderr]:
        assert 'secret' not in text and 'Traceback' not in text


def admin(trytond, *arguments, program='trytond-admin', **options):
    return subprocess.run(
        [*trytond_command(program), '-c', trytond.configuration,
            '-d', trytond.database, *arguments],
        check=True, capture_output=True, text=True, **options)


def test_update_keeps_the_schedule_of_the_administrator(
        database, make_trytond):
    trytond = make_trytond(database)
    method = 'gnuhealth.orthanc.config|sync'
    execute(database, 'UPDATE ir_cron SET interval_number = 45, active = ? '
        'WHERE method = ?', False, method)
    execute(database, 'DELETE FROM ir_cron WHERE method = ?',
        f'{method.partition("|")[0]}|full_sync')
    admin(trytond, '-u', 'health_orthanc')
    rows = query(database, 'SELECT method, interval_number, active '
        'FROM ir_cron WHERE method LIKE ?', 'gnuhealth.orthanc.config%')
    assert [(r[0], r[1], bool(r[2])) for r in rows] == [(method, 45, False)]


def test_keys_are_rotated_by_the_documented_command(
        database, make_trytond, orthanc):
    one, two = [Fernet.generate_key().decode() for _ in range(2)]

    def passwords():
        return [text for text, in query(
                database, 'SELECT password FROM gnuhealth_orthanc_config')]

    def start(*keys):
        trytond = make_trytond(database, settings={
                'health_orthanc': {'fernet_key': ' '.join(keys)}})
        connect(trytond)
        return trytond

    def rotate(trytond):
        # As in health_orthanc/doc/configuration.rst
        return admin(trytond, program='trytond-console', input=(
                "print(pool.get('gnuhealth.orthanc.config')"
                ".rotate_passwords())\n"
                "transaction.commit()\n")).stdout
    trytond = start()
    server = add_server("Main PACS", orthanc.url)
    assert passwords() == ['secret']
    trytond.stop()
    trytond = start(one)
    assert rotate(trytond).strip() == '1'
    first, = passwords()
    assert 'secret' not in first
    trytond.stop()
    trytond = start(two, one)
    rotate(trytond)
    assert passwords() != [first]
    trytond.stop()
    trytond = start(two)
    Model.get(SERVER)(server.id).click('test_connection')
    assert Model.get(SERVER)(server.id).validated


# Workers, which need PostgreSQL

@pytest.fixture
def make_workers(database, make_trytond):
    "Return a function that starts a trytond with worker processes."
    def make(count):
        # One trytond-worker with several processes would do as well, but
        # these share nothing.
        trytond = make_trytond(database, workers=count, settings={
                'queue': {'worker': True}})
        connect(trytond)
        return trytond
    return make


def quiet(database):
    "Whether all tasks of the queue are done."
    return not query(
        database, 'SELECT id FROM ir_queue WHERE finished_at IS NULL')


@pytest.mark.postgresql
def test_two_workers_and_a_server_that_hangs(
        database, make_workers, orthanc):
    make_workers(2)
    with contextlib.ExitStack() as stack:
        proxies = [
            stack.enter_context(FaultServer(orthanc.url)) for _ in range(4)]
        servers = [
            add_server(f"Server {n}", proxy.url, read_timeout=4)
            for n, proxy in enumerate(proxies)]
        wait_for(lambda: quiet(database))
        for proxy in proxies:
            proxy.clear()
            proxy.on('', delay(PAUSE))
        proxies[0].clear()
        proxies[0].on('', hang())
        bad = servers[0].id
        start = time.monotonic()
        Model.get(SERVER).click(servers, 'do_sync')
        rows = wait_for(lambda: [
                r for r in ended(database, 3) or () if r[0] != bad][2:])
        good = time.monotonic() - start
        rows = wait_for(lambda: ended(database, 4), 60)
    states = {row[0]: row[3] for row in rows}
    assert states.pop(bad) == 'failed'
    assert set(states.values()) == {'done'}
    # One worker would have needed as long as the sum of the runs.
    took = sum((end - begin).total_seconds() for _, begin, end, *_ in rows)
    hanging, = [r for r in rows if r[0] == bad]
    assert any(
        row[1] < hanging[2] and row[2] > hanging[1]
        for row in rows if row[0] != bad)
    assert good < 0.65 * took
    doubles = query(database, 'SELECT orthanc_server, "orthanc_UID" '
        'FROM gnuhealth_imaging_orthanc_study GROUP BY 1, 2 '
        'HAVING COUNT(*) > 1')
    assert not doubles
    assert query(database, 'SELECT COUNT(*) '
        'FROM gnuhealth_imaging_orthanc_series_instances') == [(36,)]


@pytest.mark.postgresql
def test_one_run_at_a_time_whoever_asks(database, make_workers, slow):
    make_workers(3)
    server = add_server("Wanted", slow.url)
    for _ in range(3):
        server.click('do_sync')
    wait_for(lambda: quiet(database))
    rows = ended(database, 1)
    assert {row[3] for row in rows} == {'done'}
    for before, after in zip(rows, rows[1:]):
        assert before[2] <= after[1]
    assert len(rows) < 3
    assert not query(database, 'SELECT id FROM ir_error')


@pytest.mark.postgresql
def test_worker_is_killed(database, make_workers, make_trytond, slow):
    trytond = make_workers(1)
    server = add_server("Slow", slow.url)
    wait_for(lambda: quiet(database))
    server.click('do_sync')
    wait_for(lambda: [r for r in running(database) if r[2]])
    trytond.kill()
    slow.clear()
    other = make_trytond(database, workers=1)
    connect(other)
    Model.get(SERVER)(server.id).click('do_sync')
    rows = wait_for(lambda: ended(database, 2))
    assert [row[3] for row in rows] == ['interrupted', 'done']
