# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast one of many requests is found, results are made, and the form of a
result opens whose patient has many former ones.  The floor is one statement
that reads as many bare rows, or inserts them."""
import datetime as dt

import pytest
from support.benchmarks import measure, show
from support.imaging_lists import REQUEST, RESULT, fill
from support.records import (
    as_user, make_exam, make_institution, make_patient, make_professional,
    make_user)
from support.screens import PAGE, bare_rows, open_form
from support.statements import counted

from trytond.pool import Pool
from trytond.transaction import Transaction

RESULTS = 10
FORMER = 200
TIMES = 5
#: Most seconds of a form.
LIMIT = .3


@pytest.fixture
def rows(transaction, full):
    "How many requests and results there are."
    rows = int(10_000 * full) or 1000
    make_institution()
    seconds, _ = measure(lambda: fill(rows), 1)
    show("requests and results inserted", 2 * rows, seconds)
    return rows


@pytest.fixture
def user(transaction):
    return make_user(
        'radiologist', 'health_imaging.group_health_imaging_reporting')


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


def test_one_is_found(rows, user):
    Request = Pool().get(REQUEST)
    with as_user(user):
        floor, _ = measure(lambda: bare_rows(Request), TIMES)
        for what, text in [
                ("patient and exam", '%family7 exam%'),
                ("line number", f'%{rows - 1}-01-01%')]:
            def search():
                Request.search([('rec_name', 'ilike', text)], 0, PAGE)
            seconds, _ = measure(search, TIMES)
            show(f"search by {what}", rows, seconds, counting(search), floor)


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


def test_form_with_former_results(user, full):
    make_institution()
    patient, exam, doctor = (
        make_patient(), make_exam("CT head"), make_professional())
    Result = Pool().get(RESULT)
    *_, last = Result.create([{
                'patient': patient.id, 'requested_test': exam.id,
                'doctor': doctor.id, 'impression': "Fine.",
                'date': dt.datetime(2025, 1, 1) + dt.timedelta(n),
                } for n in range(FORMER + 1)])

    def form():
        for cache in Transaction().cache.values():
            cache.clear()
        open_form(Result, last.id, FORMER)
    with as_user(user):
        floor, _ = measure(lambda: bare_rows(Result, FORMER))
        seconds, _ = measure(form)
        show("form of a result with former ones", FORMER, seconds,
            counting(form), floor)
    assert not full or seconds < LIMIT
