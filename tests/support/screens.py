# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the lists and forms of the modules as clients do."""
import datetime as dt
import xml.etree.ElementTree as ET
from typing import NamedTuple, Optional

from sources import MODULES
from support.benchmarks import measure
from support.statements import counted

from trytond.model import ModelSQL, ModelStorage
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

#: How many rows clients read of a list.
PAGE = 100
REPEAT = 3


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


def shown(view):
    "Return the domain of what a calendar shows at first: a month."
    arch = ET.fromstring(view['arch'])
    if view['type'] != 'calendar':
        return []
    first = dt.datetime.now().replace(day=1, hour=0)
    name = arch.get('dtstart')
    return [(name, '>=', first), (name, '<', first + dt.timedelta(31))]


def dashboard():
    "Return the models and Windows of what the user's dashboard shows."
    pool = Pool()
    Data, Action = pool.get('ir.model.data'), pool.get('ir.action.act_window')
    View = pool.get('ir.ui.view')
    context = pool.get('res.user').get_preferences(context_only=True)
    with Transaction().set_context(context):
        board = View(Data.get_id('health_imaging', 'dashboard_view_board'))
        parts = ET.fromstring(board.view_get()['arch'])
        found = [
            Action(Data.get_id(*part.get('name').split('.')))
            for part in parts]
        return [(action.res_model, Window.of(action)) for action in found]


class Window(NamedTuple):
    """What a client knows of a list before it opens it: the server keeps what
    menus open.

    :ivar domain, context, order: texts of PYSON
    :ivar tabs: name, domain and whether what is in it is counted, of each;
        one that shows all where the action has none
    :ivar int view: id of the list's view, or None
    """
    name: str
    domain: str
    context: str
    order: str
    limit: Optional[int]
    tabs: tuple
    view: Optional[int]

    @classmethod
    def of(cls, action):
        views = [v.view.id for v in action.act_window_views]
        return cls(
            action.name, action.pyson_domain, action.pyson_context,
            action.pyson_order, action.limit,
            tuple(map(tuple, action.domains)) or (('', '[]', False),),
            views[0] if views else None)


def open_list(Model, window, context, tab=0):
    """Open a list at one of its tabs; return the ids of a page.

    Clients count afterwards what is in each tab that has a number.
    """
    Transaction().set_context(decoded(window.context, context) or {})
    domain = decoded(window.domain, context)
    order = decoded(window.order, context) or None
    view = Model.fields_view_get(window.view, 'tree')
    tabs = [decoded(domain, context) for _, domain, _ in window.tabs]
    first = [tabs[tab], shown(view)]
    limit = window.limit or PAGE
    ids = [r.id for r in Model.search([domain, first], 0, limit, order)]
    if len(ids) == limit:
        Model.search_count([domain, first], 0, 100 * limit)
    read(Model, ids, view)
    for other, (_, _, count) in zip(tabs, window.tabs):
        if count:
            Model.search_count([domain, other], 0, 1000)
    return ids


def open_form(Model, id_, page=PAGE):
    "Open a form with the lists that stand in it, of so many rows at most."
    view = Model.fields_view_get(view_type='form')
    values, = read(Model, [id_], view)
    for name, field in view['fields'].items():
        if field['type'] in {'one2many', 'many2many'} and values.get(name):
            Target = Pool().get(field['relation'])
            read(Target, list(values[name])[:page],
                Target.fields_view_get(view_type='tree'))


def opened(user, action, times=REPEAT, patience=0, **context):
    """Return what an action gave, its least seconds and its statements.

    :param times: how often it is done; caches are filled the first time, and
        what takes more than a second is not done again
    :param patience: the most seconds of a statement, 0 for any; on PostgreSQL
    """
    best = None
    for _ in range(times):
        with Transaction().start(DB_NAME, user, readonly=True,
                context={'_check_access': True, **context}) as transaction:
            if patience:
                transaction.connection.cursor().execute(
                    f"SET LOCAL statement_timeout = '{patience}s'")
            with counted() as statements:
                seconds, result = measure(action, 1)
        best = min(best or seconds, seconds)
        if best > 1:
            break
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


def windows(user=1):
    "Return the Windows of what a user may read, by model."
    with Transaction().start(DB_NAME, 1, readonly=True) as transaction:
        found = {
            model: list(map(Window.of, some))
            for model, some in sorted(actions().items())}
        with transaction.set_user(user), transaction.set_context(
                _check_access=True):
            Access = Pool().get('ir.model.access')
            return {
                model: some for model, some in found.items()
                if Access.check(model, 'read', raise_exception=False)}
