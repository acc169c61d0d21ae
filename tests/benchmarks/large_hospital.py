# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes how long after ten years of a large hospital: each list and form,
decisions on studies, a corrected birth date, and a merge of patients.  The
floor of a screen is one statement that reads as many bare rows, that of a
decision one that reads the bare rows of the studies."""
import datetime as dt
import math

import pytest
from support.benchmarks import measure, show, tell
from support.large import Large
from support.records import make_institution, merge, settle
from support.screens import (
    bare_rows, dashboard, open_form, open_list, opened, windows)
from support.statements import counted
from support.synchronizing import transaction

from trytond import backend
from trytond.modules.health_orthanc.links import deciding, facts
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

pytestmark = pytest.mark.postgresql
BLOCK = 500
#: Most seconds of a screen, most statements of a list and of a form: that of
#: a result lists former exams.
LIMIT, MOST, MOST_OF_FORM = .3, 30, 48
#: The most seconds of a statement: those of former modules may take hours.
PATIENCE = 5
#: What PostgreSQL says of one that took longer (its Appendix A).
QUERY_CANCELED = '57014'


@pytest.fixture(scope='module')
def large(activated, full):
    "The hospital."
    with transaction():
        company = make_institution()
        with Transaction().set_context(company=company.id):
            patients, requests = (
                (int(300_000 * full), int(500_000 * full)) if full
                else (300, 1000))
            seconds, hospital = measure(lambda: Large(patients, requests), 1)
        show("requests, results, studies and steps made", 4 * requests,
            seconds)
        hospital.company = company.id
        return hospital


def patiently(large, user, work):
    "Return what `opened` does; no end where a statement was stopped."
    try:
        return opened(
            user.id, work, patience=PATIENCE, company=large.company)
    except backend.DatabaseOperationalError as error:
        if error.pgcode != QUERY_CANCELED:
            raise
        return [], math.inf, 0


def test_screens(large, full):
    slow = []

    def tell_of(what, work, floor, most=MOST):
        found, seconds, statements = patiently(large, large.user, work)
        show(what, len(found or [1]), seconds, f'{statements} SQL', floor)
        if seconds > LIMIT or statements > most:
            slow.append(what)
        return found

    for model, found in windows().items():
        Model = Pool(DB_NAME).get(model)
        _, floor, _ = opened(large.user.id, lambda: bare_rows(Model))
        ids = []
        for window in found:
            for number, (tab, _, _) in enumerate(window.tabs):
                what = f'{model}: {window.name} {tab}'.rstrip()
                ids = tell_of(what, lambda: open_list(
                        Model, window, {
                            'active_id': 1, 'active_ids': [1], 'groups': [],
                            '_user': large.user.id}, number), floor) or ids
        if ids:
            tell_of(f'{model}: form', lambda: open_form(Model, ids[0]), floor,
                MOST_OF_FORM)
    tell(f"slower than {LIMIT} s or more than {MOST} SQL "
        f"({MOST_OF_FORM} for a form): "
        f"{', '.join(slow) or 'none'}")
    assert not (full and slow)


def test_dashboards(large, full):
    "What stands on the dashboard of a person is asked for part by part."
    slow = []
    for person, user in large.people.items():
        with transaction(user.id):
            parts = dashboard()
        found = [patiently(large, user, lambda: open_list(
                    Pool(DB_NAME).get(model), window, {'_user': user.id}))
            for model, window in parts]
        seconds = sum(part for _, part, _ in found)
        show(f"dashboard of a {person}, {len(parts)} parts",
            sum(len(ids) for ids, _, _ in found), seconds,
            f'{sum(part for _, _, part in found)} SQL')
        # Who has all roles waits for the lists of all of them.
        if seconds > LIMIT and user != large.user:
            slow.append(person)
    assert not (full and slow)


def timed(work):
    "Return the seconds and the statements of some work that is undone."
    with counted() as statements:
        seconds, _ = measure(work, 1)
    Transaction().rollback()
    return seconds, f'{len(statements)} SQL'


def test_links(large, full):
    limits = {
        f"decisions on {BLOCK} studies": .15,
        "a corrected birth date": .05, "a merge of patients": .5}
    seconds = dict.fromkeys(limits, 9)
    for n in range(3):
        first = large.study.id + large.requests // 2 + n
        ids = range(first, first + BLOCK)
        with transaction(company=large.company):
            floor, _ = measure(lambda: facts.read_studies(ids))
            Party = Pool().get('party.party')
            Patient = Pool().get('gnuhealth.patient')
            one, other = Patient.browse(
                [large.patient.id + 3 * n + 7, large.patient.id + 3 * n + 8])
            for what, work in zip(limits, [
                    lambda: deciding.link_studies(ids),
                    lambda: (Party.write(
                            [one.party], {'dob': dt.date(1950, 2, 3)}),
                        settle()),
                    lambda: (merge(one.party, other.party), settle())]):
                taken, calls = timed(work)
                seconds[what] = min(seconds[what], taken)
                if n == 2:
                    show(what, BLOCK if floor else 1, seconds[what], calls,
                        floor)
                floor = None
    assert not full or all(
        seconds[what] <= limit for what, limit in limits.items())
