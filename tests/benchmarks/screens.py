# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the server needs to open each list and each form of the modules,
in a hospital with years of images.

    python tests/support/postgres.py python tests/benchmarks/screens.py

It prints the best of some times in milliseconds and the number of SQL
queries, of a list as a client opens it (its tabs counted, 100 rows read) and
of the form of its first record (with what its tabs show), and ends with 1
when one takes longer than the limit.
"""
import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'his-utils' / 'demo')]
os.environ['TRYTOND_DATABASE_URI'] = os.environ.get(
    'POSTGRESQL_URI', 'sqlite://')

from sources import MODULES  # noqa: E402
from support.archive_rows import store_studies  # noqa: E402
from support.imaging_lists import fill, fill_studies  # noqa: E402
from support.records import make_institution, make_user  # noqa: E402
from support.statements import counted  # noqa: E402
from support.synchronizing import new_server  # noqa: E402

from trytond import backend  # noqa: E402
from trytond.model import ModelStorage  # noqa: E402
from trytond.pool import Pool  # noqa: E402
from trytond.pyson import PYSONDecoder  # noqa: E402
from trytond.tests.test_tryton import DB_NAME, activate_module  # noqa: E402
from trytond.transaction import Transaction  # noqa: E402

PAGE = 100
REPEAT = 3
LIMIT = 300
SHAPE = [9, 8, 8]
# No server answers: who waits for pictures is measured elsewhere.
NOWHERE = 'http://127.0.0.1:1'


def prepare(requests, studies):
    "Fill the database, return the id of a user who sees all of it."
    with Transaction().start(DB_NAME, 1) as transaction:
        make_institution()
        fill(requests)
        user = make_user('reader', 'health_imaging.group_health_imaging_admin',
            'health_orthanc.group_imaging_orthanc_admin')
        servers = [new_server(f'{NOWHERE}/{n}') for n in range(4)]
        begin = time.perf_counter()
        store_studies(servers[:3], studies, SHAPE)
        fill_studies(requests, servers[3])
        transaction.commit()
        print(f"{studies} studies, {studies * sum(SHAPE)} images in "
            f"{time.perf_counter() - begin:.0f} s")
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


def open_form(Model, id_):
    "Open a form with the lists that stand in it."
    view = Model.fields_view_get(view_type='form')
    values, = read(Model, [id_], view)
    for name, field in view['fields'].items():
        if field['type'] in {'one2many', 'many2many'} and values.get(name):
            Target = Pool().get(field['relation'])
            read(Target, list(values[name])[:PAGE],
                Target.fields_view_get(view_type='tree'))


def measure(user, action):
    "Return the best time of an action in milliseconds, and its queries."
    best = None
    for _ in range(REPEAT):
        with Transaction().start(DB_NAME, user, readonly=True,
                context={'_check_access': True}):
            with counted() as queries:
                begin = time.perf_counter()
                result = action()
                took = (time.perf_counter() - begin) * 1000
        best = min(best or took, took)
    return result, best, len(queries)


def run(user):
    "Open all screens, return whether each was quick enough."
    quick = True
    with Transaction().start(DB_NAME, 1, readonly=True):
        windows = {
            model: [(a.id, a.name) for a in found]
            for model, found in actions().items()}
    for model, found in sorted(windows.items()):
        Model = Pool(DB_NAME).get(model)
        Action = Pool(DB_NAME).get('ir.action.act_window')
        ids = []
        for action, name in found:
            ids, *numbers = measure(user, lambda: open_list(
                    Model, Action(action),
                    {'active_id': 1, 'active_ids': [1], 'groups': []}))
            quick &= tell(f"{model}: {name}", *numbers)
        if ids:
            _, *numbers = measure(user, lambda: open_form(Model, ids[0]))
            quick &= tell(f"{model}: form", *numbers)
    return quick


def tell(what, took, queries):
    quick = took < LIMIT
    print(f"{what:78} {took:7.1f} ms {queries:4} queries"
        f"{'' if quick else '  TOO SLOW'}")
    return quick


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--requests', type=int, default=10000)
    parser.add_argument('--studies', type=int, default=20000)
    arguments = parser.parse_args()
    activate_module(list(MODULES))
    user = prepare(arguments.requests, arguments.studies)
    sys.exit(not run(user))


if __name__ == '__main__':
    main()
