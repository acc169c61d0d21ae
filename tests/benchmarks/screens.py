# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the server needs to open each list and each form of the modules,
in a hospital with years of images: a list as a client opens it (its tabs
counted, 100 rows read), and the form of its first record (with what its tabs
show).  The floor is one statement that reads as many bare rows."""
import datetime as dt

import pytest
from support.archive_rows import store_studies
from support.benchmarks import measure, show, tell
from support.imaging_lists import fill, fill_studies
from support.records import (
    make_exam, make_institution, make_patient, make_professional, make_user)
from support.screens import bare_rows, open_form, open_list, opened, windows
from support.synchronizing import new_server

from trytond import backend
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

FORMER = 200
RESULT = 'gnuhealth.imaging.test.result'
LIMIT = .3
SHAPE = [9, 8, 8]
# No server answers: who waits for pictures is measured elsewhere.
NOWHERE = 'http://127.0.0.1:1'


@pytest.fixture
def user(activated, full):
    "The id of a user who sees all of a filled database."
    return prepare(*((10_000, 20_000) if full else (500, 200)))


def prepare(requests, studies):
    "Fill the database, return the id of a user who sees all of it."
    with Transaction().start(DB_NAME, 1) as transaction:
        make_institution()
        fill(requests)
        user = make_user('reader', 'health_imaging.group_health_imaging_admin',
            'health_orthanc.group_imaging_orthanc_admin')
        servers = [new_server(f'{NOWHERE}/{n}') for n in range(4)]
        seconds, _ = measure(
            lambda: store_studies(servers[:3], studies, SHAPE), 1)
        show("images stored, in studies of 25", studies * sum(SHAPE), seconds)
        fill_studies(requests, servers[3])
        transaction.commit()
        if backend.name == 'postgresql':
            transaction.connection.cursor().execute('ANALYZE')
        return user.id


def make_former():
    "Make a patient with former reports; return the id of the last result."
    with Transaction().start(DB_NAME, 1) as transaction:
        patient, exam, doctor = (
            make_patient(), make_exam("CT head"), make_professional())
        results = Pool().get(RESULT).create([{
                    'patient': patient.id, 'requested_test': exam.id,
                    'doctor': doctor.id, 'impression': "Fine.",
                    'date': dt.datetime(2025, 1, 1) + dt.timedelta(n),
                    } for n in range(FORMER + 1)])
        transaction.commit()
        return results[-1].id


def test_screens(user, full):
    slow = []
    for model, found in windows().items():
        Model = Pool(DB_NAME).get(model)
        _, floor, _ = opened(user, lambda: bare_rows(Model))
        ids = []
        for window in found:
            ids, seconds, statements = opened(user, lambda: open_list(
                    Model, window,
                    {'active_id': 1, 'active_ids': [1], 'groups': []}))
            show(f"{model}: {window.name}", len(ids), seconds,
                f'{statements} SQL', floor)
            slow += [window.name] * (seconds > LIMIT)
        if ids:
            _, seconds, statements = opened(
                user, lambda: open_form(Model, ids[0]))
            show(f"{model}: form", 1, seconds, f'{statements} SQL', floor)
            slow += [f"{model}: form"] * (seconds > LIMIT)
    last = make_former()
    _, seconds, statements = opened(
        user, lambda: open_form(Pool().get(RESULT), last, FORMER))
    show(f"{RESULT}: form with former exams", FORMER, seconds,
        f'{statements} SQL')
    slow += ["former exams"] * (seconds > LIMIT)
    tell(f"slower than {LIMIT} s: {', '.join(slow) or 'none'}")
    assert not (full and slow)
