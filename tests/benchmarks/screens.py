# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the server needs to open each list and each form of the modules,
in a hospital with years of images: a list as a client opens it (its tabs
counted, 100 rows read), and the form of its first record (with what its tabs
show).  The floor is one statement that reads as many bare rows."""
import datetime as dt

import pytest
from sources import MODULES
from support.archive_rows import store_studies
from support.benchmarks import measure, show, tell
from support.imaging_lists import fill, fill_studies
from support.records import (
    make_exam, make_institution, make_patient, make_professional, make_user)
from support.statements import counted
from support.synchronizing import new_server

from trytond import backend
from trytond.model import ModelSQL, ModelStorage
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

PAGE = 100
FORMER = 200
RESULT = 'gnuhealth.imaging.test.result'
REPEAT = 3
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


def actions():
    "Return the windows of the modules that show what is stored."
    pool = Pool()
    Data, Action = pool.get('ir.model.data'), pool.get('ir.action.act_window')
    ids = [d.db_id for d in Data.search([
                ('module', 'in', MODULES),
                ('model', '=', 'ir.action.act_window')])]
    found = {}
    for action in Action.browse(ids):
        model = action.res_model
        if model and issubclass(pool.get(model), ModelStorage):
            found.setdefault(model, []).append(action)
    return found


def decoded(text, context):
    return PYSONDecoder(context).decode(text) if text else []


def read(Model, ids, view):
    "Read records as a client does for a view."
    names = [
        name for name, field in view['fields'].items()
        if field['type'] != 'binary']
    names += [
        f'{name}.rec_name' for name, field in view['fields'].items()
        if field['type'] == 'many2one']
    return Model.read(ids, [*names, 'rec_name', '_timestamp'])


def open_list(Model, action, context):
    "Open a list with its tabs; return the ids of a page."
    domain = decoded(action.pyson_domain, context)
    order = decoded(action.pyson_order, context) or None
    view = Model.fields_view_get(view_type='tree')
    tabs = [decoded(tab.domain, context) for tab in action.act_window_domains]
    for tab in tabs:
        Model.search_count([domain, tab])
    first = tabs[0] if tabs else []
    ids = [r.id for r in Model.search([domain, first], 0, PAGE, order)]
    read(Model, ids, view)
    return ids or [r.id for r in Model.search([], limit=PAGE)]


def open_form(Model, id_, page=PAGE):
    "Open a form with the lists that stand in it, of so many rows at most."
    view = Model.fields_view_get(view_type='form')
    values, = read(Model, [id_], view)
    for name, field in view['fields'].items():
        if field['type'] in {'one2many', 'many2many'} and values.get(name):
            Target = Pool().get(field['relation'])
            read(Target, list(values[name])[:page],
                Target.fields_view_get(view_type='tree'))


def opened(user, action):
    "Return what an action gave, its least seconds and its statements."
    best = None
    for _ in range(REPEAT):
        with Transaction().start(DB_NAME, user, readonly=True,
                context={'_check_access': True}):
            with counted() as statements:
                seconds, result = measure(action, 1)
        best = min(best or seconds, seconds)
    return result, best, len(statements)


def bare_rows(Model, limit=PAGE):
    "Return rows of a model as the database gives them."
    if not issubclass(Model, ModelSQL):
        return []
    query = Model.table_query() if callable(Model.table_query) else None
    table = query or Model.__table__()
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(limit=limit))
    return cursor.fetchall()


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


def windows():
    "Return the ids and names of the windows by model."
    with Transaction().start(DB_NAME, 1, readonly=True):
        return {
            model: [(a.id, a.name) for a in found]
            for model, found in sorted(actions().items())}


def test_screens(user, full):
    slow = []
    for model, found in windows().items():
        Model = Pool(DB_NAME).get(model)
        Action = Pool(DB_NAME).get('ir.action.act_window')
        _, floor, _ = opened(user, lambda: bare_rows(Model))
        ids = []
        for action, name in found:
            ids, seconds, statements = opened(user, lambda: open_list(
                    Model, Action(action),
                    {'active_id': 1, 'active_ids': [1], 'groups': []}))
            show(f"{model}: {name}", len(ids), seconds, f'{statements} SQL',
                floor)
            slow += [f"{model}: {name}"] * (seconds > LIMIT)
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
