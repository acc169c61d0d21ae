# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only grows: how long runs, logs and reasons are kept, and who deletes
them."""
import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.records import (
    as_user, make_institution, make_requested, make_user)
from support.synchronizing import new_server, transaction

from trytond.config import config
from trytond.modules.health_imaging import retention
from trytond.modules.health_imaging.exceptions import LedgerError
from trytond.modules.health_orthanc import server as servers
from trytond.modules.health_orthanc import sync_run, tables
from trytond.pool import Pool
from trytond.transaction import Transaction

RUN = 'gnuhealth.orthanc.sync_run'
SERVER = 'gnuhealth.orthanc.config'
ACCESS = 'gnuhealth.orthanc.access_log'
LINKS = 'gnuhealth.orthanc.link_log'
FINDING = 'gnuhealth.imaging.safety.finding'
RESCHEDULED = 'gnuhealth.imaging.test.request.reschedule.log'
SETTINGS = 'gnuhealth.imaging.configuration'
# Day and option of each log, and its task.
LOGS = {
    ACCESS: ('at', 'health_orthanc', 'access_log_years', f'{ACCESS}|forget'),
    LINKS: ('at', 'health_orthanc', 'link_log_years', f'{LINKS}|forget'),
    FINDING: ('found_at', 'health_imaging', 'reasons_years',
        f'{SETTINGS}|forget_reasons'),
    RESCHEDULED: ('at', 'health_imaging', 'reasons_years',
        f'{SETTINGS}|forget_reasons'),
    }


@pytest.fixture(scope='module')
def users(activated):
    "The ids of users who see it."
    with transaction():
        make_institution()
        users = [
            make_user('keeper', 'health_orthanc.group_imaging_orthanc_admin'),
            make_user('head', 'health_imaging.group_health_imaging_admin')]
        Transaction().commit()
        return [u.id for u in users]


@pytest.fixture
def server(users):
    with transaction():
        return new_server('http://127.0.0.1:9')


@pytest.fixture
def setting():
    "A function that sets an option for this test."
    done = []

    def set_option(section, name, value):
        if not config.has_section(section):
            config.add_section(section)
        config.set(section, name, str(value))
        done.append((section, name))
    yield set_option
    for section, name in done:
        config.remove_option(section, name)


@pytest.fixture
def small(monkeypatch):
    "Blocks are of two."
    for module in [retention, sync_run]:
        monkeypatch.setattr(module, 'BLOCK', 2)


def add(server, start, **values):
    "Add a run of five minutes, return its id."
    run, = Pool().get(RUN).create([{
                'server': server, 'start': start, 'state': 'done',
                'end': start + dt.timedelta(minutes=5), 'calls': 3,
                'started_by': 'cron', 'full': False, **values}])
    return run.id


def run_task(method):
    with transaction():
        Cron = Pool().get('ir.cron')
        Cron.run_once(Cron.search([('method', '=', method)]))


def tidy():
    run_task(f'{RUN}|tidy')


def seen(server):
    "Return start, end, count and calls of the runs of a server."
    with transaction():
        return [
            (r.start, r.end, r.folded, r.calls)
            for r in Pool().get(RUN).search(
                [('server', '=', server)],
                order=[('start', 'ASC'), ('id', 'ASC')])]


def day(number, hour=12, minute=0):
    "Return a time of Lima (UTC-5) so many days ago, as stored."
    today = dt.datetime.now() - dt.timedelta(hours=5)
    return dt.datetime(
        today.year, today.month, today.day, hour, minute) + dt.timedelta(
            days=-number, hours=5)


def test_runs_without_news_become_one_a_day(server, small):
    with transaction():
        for minute in [0, 15, 30, 45]:
            add(server, day(9, 0, minute))
        # In UTC it is the same day as the four.
        add(server, day(10, 23, 59), started_by='notice')
        add(server, day(8, 23, 45))
        add(server, day(7, 0, 0))
        add(server, day(0, 0, 0))
        kept = [
            add(server, day(9, 1), **values) for values in [
                {'studies_new': 1}, {'instances_gone': 1}, {'skipped': 1},
                {'studies_undecided': 1}, {'state': 'failed'},
                {'state': 'interrupted'}, {'error': "It was empty."}]]
    tidy()
    expected = [
        (day(10, 23, 59), day(9, 0, 4), 1, 3),
        (day(9, 0, 0), day(9, 0, 50), 4, 12),
        *[(day(9, 1), day(9, 1, 5), None, 3)] * len(kept),
        (day(8, 23, 45), day(8, 23, 50), 1, 3),
        (day(7, 0, 0), day(7, 0, 5), None, 3),
        (day(0, 0, 0), day(0, 0, 5), None, 3),
        ]
    assert seen(server) == expected
    tidy()
    assert seen(server) == expected
    with transaction():
        folded, = Pool().get(RUN).search(
            [('server', '=', server), ('folded', '=', 4)])
        assert folded.outcome == "Runs that found nothing new: 4"
        assert (folded.started_by, folded.full) == (None, None)
        # One that was still open when the others were folded.
        add(server, day(8, 23, 50))
    tidy()
    assert (day(8, 23, 45), day(8, 23, 55), 2, 6) in seen(server)


def test_runs_are_kept_for_a_year(server, setting, small):
    old, young = day(367), day(300)
    with transaction():
        for start in [old, young]:
            add(server, start, state='failed')
            add(server, start, skipped=2)
            add(server, start, studies_new=2)
            add(server, start)
    setting('health_orthanc', 'sync_runs_years', 0)
    tidy()
    assert [start for start, *_ in seen(server)] == [old] * 4 + [young] * 4
    setting('health_orthanc', 'sync_runs_years', 1)
    tidy()
    assert [start for start, *_ in seen(server)] == [young] * 4


def test_folding_that_is_killed_changed_nothing(server, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt
    with transaction():
        for minute in range(3):
            add(server, day(20, 0, minute))
    before = seen(server)
    with monkeypatch.context() as patch:
        patch.setattr(tables, 'delete', kill)
        with pytest.raises(KeyboardInterrupt), transaction():
            Pool().get(RUN).tidy()
    assert seen(server) == before
    tidy()
    assert [folded for *_, folded, _ in seen(server)] == [3]


def test_folding_hides_no_complete_comparison(server):
    with transaction():
        for minute, full in enumerate([False, True, False]):
            add(server, day(9, 0, minute), full=full)
    tidy()
    with transaction():
        folded, = Pool().get(RUN).search([('server', '=', server)])
        assert folded.full and folded.folded == 3


def test_folding_opens_no_old_run_again(server):
    """What was interrupted before others were done is not gone on with, which
    would match all again that changed since."""
    with transaction():
        add(server, day(9, 1), studies_new=1)
        add(server, day(9, 2))
        add(server, day(9, 3), studies_new=1)
        add(server, day(9, 4), state='interrupted')
        add(server, day(9, 5))
        Run = Pool().get(RUN)
        assert not Run.unfinished(server)
        Transaction().commit()
    tidy()
    with transaction():
        assert not Pool().get(RUN).unfinished(server)
        open_ = add(server, day(0), state='interrupted')
        assert [r.id for r in Pool().get(RUN).unfinished(server)] == [open_]


def test_a_task_ends_and_goes_on_the_next_day(server, small, monkeypatch):
    with transaction():
        for minute in range(5):
            add(server, day(20, 0, minute))
    for module in [retention, sync_run]:
        monkeypatch.setattr(module, 'SECONDS', 0)
    counts = []
    for _ in range(4):
        tidy()
        counts.append([folded for *_, folded, _ in seen(server)])
    assert counts == [[2, None, None, None], [4, None], [5], [5]]


def test_the_form_of_a_server_has_the_last_runs(server, users, monkeypatch):
    monkeypatch.setattr(servers, 'SHOWN_RUNS', 2)
    with transaction():
        first = add(server, day(3))
        last = [add(server, day(1)), add(server, day(2))]
        running = add(server, day(0), state='running')
        broken = add(server, day(0), state='interrupted')
        unfinished = Pool().get(RUN).unfinished(server)
        assert {r.id for r in unfinished} == {running, broken}
        assert first not in last
    with transaction(users[0], _check_access=True):
        row, = Pool().get(SERVER).read([server], ['runs'])
        assert row['runs'] == [broken, running]
        Server = Pool().get(SERVER)
        copy, = Server.copy([Server(server)], {
                'label': "Copy", 'domain': 'http://127.0.0.1:8'})
        assert not copy.runs
        Transaction().rollback()


# Logs

def fill(name, *moments):
    "Add a line of a log for each moment, return their ids."
    dated, *_ = LOGS[name]
    Model = Pool().get(name)
    values = {
        ACCESS: lambda: {'user': 1, 'action': 'view'},
        LINKS: lambda: {'action': 'link'},
        FINDING: lambda: {
            'request': make_requested().id, 'kind': 'warning',
            'rule': 'allergy', 'finding': 'allergy', 'reason': "It is safe."},
        RESCHEDULED: lambda: {
            'request': make_requested().id, 'to_date': day(1),
            'reason': "He asked."},
        }[name]()
    with Transaction().set_context(_check_access=False):
        Model.delete(Model.search([]))
        return [r.id for r in Model.create(
                [{**values, dated: moment} for moment in moments])]


def left(name):
    with transaction():
        return {r.id for r in Pool().get(name).search([])}


@pytest.mark.parametrize('name', LOGS)
def test_logs_are_kept_for_ever_unless_the_configuration_says_otherwise(
        users, name, setting, small):
    _, section, option, method = LOGS[name]
    with transaction():
        *old, young, now = fill(
            name, *[day(3 * 366)] * 5, day(700), day(0))
    for years, kept in [
            *[(odd, {*old, young, now}) for odd in [
                    '0', '-1', '', 'abc', '1.5', '9999', '99999999999999']],
            ('5', {*old, young, now}), ('2', {young, now}), ('1', {now})]:
        setting(section, option, years)
        run_task(method)
        assert left(name) == kept


@pytest.mark.parametrize('name', [*LOGS, RUN])
def test_nobody_else_deletes_lines(users, server, name):
    with transaction():
        Model = Pool().get(name)
        id_, = [add(server, day(3000))] if name == RUN else fill(
            name, day(3000))
        for user in [1, *users]:
            with as_user(Pool().get('res.user')(user)):
                with pytest.raises(LedgerError):
                    Model.delete([Model(id_)])
        assert not {'forget', 'tidy', 'delete'} & Model.__rpc__.keys()
        Transaction().rollback()


def test_the_settings_say_how_long(users, setting):
    setting('health_orthanc', 'access_log_years', 10)
    _, head = users
    with transaction(head, _check_access=True):
        assert Pool().get(SETTINGS)(1).kept.splitlines() == [
            "Link of a Study: for ever",
            "Orthanc Access Log: 10 years",
            "Orthanc Synchronization: 1 year",
            "Rescheduling of an Imaging Request: for ever",
            "Safety Finding of an Imaging Request: for ever",
            ]
    # The form opens nevertheless.
    setting('health_orthanc', 'access_log_years', "ten")
    with transaction(head, _check_access=True):
        assert "Orthanc Access Log: for ever" in Pool().get(SETTINGS)(1).kept


@pytest.mark.parametrize('language, texts', [
        ('ar', ["سنة", "سنتان", "3 سنوات", "11 سنة"]),
        ('de', ["1 Jahr", "2 Jahre", "3 Jahre", "11 Jahre"]),
        ('es', ["1 año", "2 años", "3 años", "11 años"]),
        ('fr', ["1\xa0an", "2 ans", "3 ans", "11 ans"]),
        ('it', ["1 anno", "2 anni", "3 anni", "11 anni"]),
        ('pt_BR', ["1 ano", "2 anos", "3 anos", "11 anos"]),
        ('zh_CN', ["1年", "2年", "3年", "11年"]),
        # No language that Babel knows.
        ('xx', ["1 year", "2 years", "3 years", "11 years"]),
        ])
def test_the_settings_count_as_the_language_does(
        users, setting, language, texts):
    for years, text in zip([1, 2, 3, 11], texts):
        setting('health_orthanc', 'access_log_years', years)
        with transaction(1, language=language):
            assert text in [
                line.rpartition(': ')[2]
                for line in Pool().get(SETTINGS)(1).kept.splitlines()]


# Several workers, on PostgreSQL

def plan(query):
    "Return how PostgreSQL answers a query when it may choose an index."
    cursor = Transaction().connection.cursor()
    cursor.execute('SET LOCAL enable_seqscan = off')
    text, values = tuple(query)
    cursor.execute(f'EXPLAIN {text}', values)
    return '\n'.join(line for line, in cursor.fetchall())


@pytest.mark.postgresql
@pytest.mark.parametrize('name', [*LOGS, RUN])
def test_old_lines_are_found_by_an_index(users, name):
    with transaction():
        Model = Pool().get(name)
        table = Model.__table__()
        column = getattr(table, Model._dated)
        found = plan(table.select(table.id, where=column < day(1),
                order_by=column, limit=retention.BLOCK))
        assert 'Index Scan' in found and 'Sort' not in found, found


@pytest.mark.postgresql
def test_what_is_folded_is_found_by_an_index(server, monkeypatch):
    "Ten years that were never folded are not read for each block of them."
    with transaction() as started:
        # PostgreSQL takes any index of a table that is nearly empty.
        tables.insert(Pool().get(RUN), [{
                    'server': server, 'state': 'done', 'calls': 3,
                    'start': day(number), 'end': day(number)}
                for number in range(3650)])
        started.connection.cursor().execute('ANALYZE')
        asked = []

        def watch(query):
            asked.append(plan(query))
            return []
        monkeypatch.setattr(tables, 'execute', watch)
        Pool().get(RUN)._to_fold(server, day(7))
        newest, found = asked
        for text in asked:
            assert 'Index Scan' in text and 'Sort' not in text, text
        assert 'Filter' not in newest, newest
        started.rollback()


@pytest.mark.postgresql
def test_two_workers_do_it_at_once(server, setting, monkeypatch):
    "What one has the other leaves, and both together do all of it once."
    for module in [retention, sync_run]:
        monkeypatch.setattr(module, 'BLOCK', 50)
    setting('health_orthanc', 'access_log_years', 1)
    with transaction():
        tables.insert(Pool().get(RUN), [{
                    'server': server, 'state': 'done', 'start': day(20, 1),
                    'end': day(20, 1), 'calls': 1}] * 400)
        fill(ACCESS, *[day(1000)] * 400, day(0))

    def work(_):
        with transaction():
            Pool().get(RUN).tidy()
        with transaction():
            Pool().get(ACCESS).forget()
    with ThreadPoolExecutor(3) as workers:
        list(workers.map(work, range(3)))
    assert [row[2:] for row in seen(server)] == [(400, 400)]
    assert len(left(ACCESS)) == 1


@pytest.mark.postgresql
def test_what_another_worker_holds_is_left_to_it(server, setting):
    setting('health_orthanc', 'access_log_years', 1)
    with transaction():
        add(server, day(20)), add(server, day(20, 13))
        held, other = fill(ACCESS, day(1000), day(1001))
    with ThreadPoolExecutor(1) as worker, transaction():
        log = Pool().get(ACCESS).__table__()
        of = Pool().get(SERVER).__table__()
        tables.execute(log.select(
                log.id, where=log.id == held, for_=retention.unlocked()))
        tables.execute(of.select(
                of.id, where=of.id == server, for_=retention.unlocked()))
        worker.submit(tidy).result(30)
        worker.submit(run_task, f'{ACCESS}|forget').result(30)
    assert left(ACCESS) == {held}
    assert [folded for *_, folded, _ in seen(server)] == [None, None]
