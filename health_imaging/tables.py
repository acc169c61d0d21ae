# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL in the current transaction."""
import datetime as dt
import functools
from contextlib import nullcontext

from sql import Cast, Column, Expression, Flavor, Table, Values, With
from sql.functions import CurrentTimestamp

from trytond import backend
from trytond.transaction import Transaction

# SQLite takes 32 766 parameters in one statement.
ROWS = 500


def execute(query):
    """Run a python-sql query in the current transaction.

    :param query: of python-sql
    :return: list of rows, empty when the query returns none
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []


class In(Expression):
    """As column.in_(values), without looking at each value, which takes
    longer; to PostgreSQL they are one value."""
    __slots__ = ('_column', '_values')

    def __init__(self, column, values):
        self._column, self._values = column, values

    def __str__(self):
        param = Flavor.get().param
        if backend.name == 'postgresql':
            return f'({self._column} = ANY({param}))'
        marks = ', '.join([param] * len(self._values))
        return f'({self._column} IN ({marks}))'

    @property
    def params(self):
        """The parameters of the statement, tuple."""
        values = self._values
        if backend.name == 'postgresql':
            values = [values]
        return (*self._column.params, *values)


class LookUp(In):
    """As In, for ids that an index finds: PostgreSQL would read a whole table
    rather than look up thousands."""
    __slots__ = ()

    def __str__(self):
        if backend.name != 'postgresql':
            return super().__str__()
        # It takes what a subquery gives for ten.
        ids = f'(SELECT {Flavor.get().param}::integer[])::integer[]'
        return f'({self._column} = ANY({ids}))'


def once(function):
    """Return a function that looks up what it returns once, until something
    is written or the transaction ends: a list asks for it at each of its tabs.

    :param function: its arguments can be keys of a dict
    :return: the function; its ``known`` says whether it has looked that up
    """
    def look(*args):
        transaction = Transaction()
        # Of the user; a rollback clears it.
        values = transaction.get_cache().setdefault(__name__, {})
        return values, (
            function, args, transaction.check_access, transaction.counter)

    @functools.wraps(function)
    def kept(*args):
        values, key = look(*args)
        if key not in values:
            values[key] = function(*args)
        return values[key]

    def known(*args):
        values, key = look(*args)
        return key in values
    kept.known = known
    return kept


def moment(value):
    """Return a datetime that a query computed: SQLite gives it as a text.

    :param value: datetime.datetime, str in ISO format, or None
    :rtype: datetime.datetime or None
    """
    return dt.datetime.fromisoformat(value) \
        if isinstance(value, str) else value


def writing():
    """Return a context manager for writing: what is written in a read-only
    transaction, such as that of a report, gets one of its own."""
    transaction = Transaction()
    return transaction.new_transaction() if transaction.readonly \
        else nullcontext()


def write_each(Model, names, rows, stamp=True):
    """Write values of their own to many rows, in a few statements.

    :param Model: class of the rows
    :param names: of the columns
    :param rows: values in the order of names, by the id of the row
    :param bool stamp: whether to note who wrote, and when
    """
    user, items = [Transaction().user] * stamp, list(rows.items())
    # SQLite would make numbers of dates.
    types = None if backend.name == 'sqlite' else (
        'INTEGER', *(Model._fields[n].sql_type().base for n in names))
    for start in range(0, len(items), ROWS):
        sub = items[start:start + ROWS]
        text = _write_text(Model._table, tuple(names), types, len(sub),
            Flavor.get().paramstyle, stamp)
        execute((text, [
                    *(value for id_, values in sub
                        for value in (id_, *values)), *user]))
    forget(Model, list(rows))


@functools.lru_cache(maxsize=32)
def _write_text(table, names, types, count, paramstyle, stamp):
    "Return the statement that writes to rows; to make it takes longest."
    table, row = Table(table), [''] * (1 + len(names))
    # PostgreSQL takes the types from the first row.
    first = [Cast('', type_) for type_ in types] if types else row
    new = With('id', *names, query=Values([first, *[row] * (count - 1)]))
    return str(table.update(
            [Column(table, name) for name in names]
            + [table.write_uid, table.write_date] * stamp,
            [Column(new, name) for name in names]
            + ['', CurrentTimestamp()] * stamp,
            from_=[new], where=table.id == new.id, with_=[new]))


def forget(Model, ids):
    """Let records read rows again that were written behind their back.

    :param Model: class of the rows
    :param ids: ids of the rows
    """
    transaction = Transaction()
    transaction.counter += 1
    for cache in transaction.cache.values():
        for id_ in ids if Model.__name__ in cache else ():
            cache[Model.__name__].pop(id_, None)
