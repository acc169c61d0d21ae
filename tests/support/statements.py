# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the SQL statements of what clients do, and says what they read."""
from contextlib import contextmanager

from trytond.pool import Pool
from trytond.transaction import Transaction


class Statement(str):
    """The text of a statement.

    :ivar params: the values that were given with it
    """

    params = ()


class _Spy:
    "A connection, or a cursor, that notes what is executed."

    def __init__(self, target, statements):
        self._target = target
        self._statements = statements

    def __getattr__(self, name):
        return getattr(self._target, name)

    def __iter__(self):
        return iter(self._target)

    def __enter__(self):
        self._target.__enter__()
        return self

    def __exit__(self, *exception):
        return self._target.__exit__(*exception)

    def cursor(self, *args, **options):
        return _Spy(self._target.cursor(*args, **options), self._statements)

    def execute(self, text, *args):
        statement = text
        if isinstance(text, str):
            statement = Statement(text)
            statement.params = args[0] if args else ()
        self._statements.append(statement)
        return self._target.execute(text, *args)


@contextmanager
def counted():
    """Return the list of the statements that the transaction executes
    meanwhile, each a Statement."""
    transaction = Transaction()
    connection, statements = transaction.connection, []
    transaction.connection = _Spy(connection, statements)
    try:
        yield statements
    finally:
        transaction.connection = connection


def columns(model, kind, view=None):
    """Return what a client reads for a list or a form, of all modules.

    :param str model: its name
    :param kind: 'tree' or 'form'
    :param int view: id of the view, the first one by default
    """
    fields = Pool().get(model).fields_view_get(view, kind)['fields']
    names = [n for n, f in fields.items() if f['type'] != 'binary']
    return [
        *names,
        *(f'{n}.rec_name' for n in names if fields[n]['type'] == 'many2one'),
        'rec_name', '_timestamp', '_write', '_delete']
