# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the lists of requests and results open, how fast one is found, and
how fast results are made.  The floor is one statement that reads as many bare
rows, or inserts them."""
import pytest
from support.benchmarks import measure, show
from support.imaging_lists import REQUEST, RESULT, fill, read_page
from support.records import as_user, make_institution, make_user
from support.statements import columns, counted

from trytond.pool import Pool
from trytond.transaction import Transaction

PAGE = 100
RESULTS = 10
TIMES = 5


@pytest.fixture
def rows(transaction, full):
    "How many requests and results there are."
    rows = 10_000 if full else 1000
    make_institution()
    seconds, _ = measure(lambda: fill(rows), 1)
    show("requests and results inserted", 2 * rows, seconds)
    return rows


def bare_page(model, offset=0, limit=PAGE):
    "Return the rows of a page as the database gives them."
    table = Pool().get(model).__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            order_by=table.id.desc, limit=limit, offset=offset))
    return cursor.fetchall()


def insert_bare(Result):
    "Insert results by one statement, with what each must have."
    table, cursor = Result.__table__(), Transaction().connection.cursor()
    names = ['patient', 'requested_test', 'doctor', 'date', 'state']
    cursor.execute(*table.insert(
            [getattr(table, name) for name in names],
            table.select(
                *[getattr(table, name) for name in names], limit=RESULTS)))


def counting(action):
    "Return the number of statements of an action."
    with counted() as statements:
        action()
    return f'{len(statements)} SQL'


def test_lists(rows):
    user = make_user(
        'radiologist', 'health_imaging.group_health_imaging_reporting')
    Request = Pool().get(REQUEST)
    with as_user(user):
        for model in [REQUEST, RESULT]:
            names = columns(model, 'tree')
            for offset in [0, rows // 2]:
                floor, _ = measure(lambda: bare_page(model, offset), TIMES)
                seconds, (queries, _) = measure(
                    lambda: read_page(model, names, offset, PAGE), TIMES)
                show(f"{model}, a page from {offset}", PAGE, seconds,
                    f'{len(queries)} SQL', floor)
        floor, _ = measure(lambda: bare_page(REQUEST), TIMES)
        for what, action in [
                ("search by patient and exam", lambda: Request.search([
                            ('rec_name', 'ilike', '%family7 exam%')],
                        0, PAGE)),
                ("search by line number", lambda: Request.search([
                            ('rec_name', 'ilike', f'%{rows - 1}-01-01%')],
                        0, PAGE)),
                ("counts of the tabs", lambda: [
                        Request.search_count(
                            [('state', '=', state)] if state else [])
                        for state in [
                            'draft', 'requested', 'done', 'canceled', '']]),
                ]:
            seconds, _ = measure(action, TIMES)
            show(what, rows, seconds, counting(action), floor)


def test_results_are_made(rows):
    Request, Result = Pool().get(REQUEST), Pool().get(RESULT)
    waiting = Request.search([('state', '=', 'requested')],
        limit=RESULTS * TIMES)
    parts = iter(
        waiting[i:i + RESULTS] for i in range(0, len(waiting), RESULTS))
    floor, _ = measure(lambda: insert_bare(Result), 1)
    with counted() as statements:
        seconds, results = measure(
            lambda: Request.make_results(next(parts)), TIMES)
    show("results of requests made", RESULTS, seconds,
        f'{len(statements) // TIMES} SQL', floor)
    assert len(results) == RESULTS
