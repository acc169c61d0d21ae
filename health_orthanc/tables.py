# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows in bulk, compared and written with a few SQL statements."""
import csv
import functools
import io
from operator import itemgetter
from typing import NamedTuple

from sql import Column, Flavor, Select, Table
from sql.functions import CurrentTimestamp

from trytond import backend
from trytond.model import Index
from trytond.modules.health_imaging.tables import ROWS, execute, forget
from trytond.modules.health_imaging.told import Told
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

# Types of fields whose values every database takes as they are.
_AS_THEY_ARE = {'integer', 'many2one', 'selection'}


class Upsert(NamedTuple):
    """What an upsert did.

    :ivar ids: id of each row that was stored before, by its key
    :ivar new: id of each inserted row, by its key; None where they are copied
    :ivar changed: keys of the updated rows
    :ivar before: their former values, dict by key
    :ivar others: ids of all other rows of scopes that are complete
    """
    ids: dict
    new: dict
    changed: list
    before: dict
    others: list


def upsert(Model, scope, key, rows, complete=False, kept=(), names=None,
        copied=False):
    """Insert the rows that are new and update those that differ.

    :param str scope: name of the Many2One that the rows belong to
    :param str key: name of the text that is unique in the scope
    :param rows: list of dicts with the same names, scope and key among them;
        of tuples where names is given
    :param bool complete: whether the rows are all that their scopes have
    :param kept: names of values that stay where the row has none
    :param names: names of the values in the tuples
    :param bool copied: whether to insert them as copy does
    :rtype: Upsert
    """
    done = Upsert({}, {}, [], {}, [])
    if not rows:
        return done
    if names is None:
        names = tuple(rows[0])
        rows = map(itemgetter(*names), rows)
    identity = itemgetter(names.index(scope), names.index(key))
    wanted = {identity(row): row for row in rows}
    outdated, kept = [], [names.index(name) for name in kept]
    for id_, *stored in _stored(Model, scope, key, names, wanted, complete):
        k = identity(stored)
        if k not in wanted:
            done.others.append(id_)
            continue
        done.ids[k] = id_
        for i in kept:
            if wanted[k][i] is None:
                wanted[k] = (
                    *wanted[k][:i], stored[i], *wanted[k][i + 1:])
        if tuple(stored) != wanted[k]:
            done.changed.append(k)
            done.before[k] = dict(zip(names, stored))
            outdated.append((id_, wanted[k]))
    new = {k: row for k, row in wanted.items() if k not in done.ids}
    if copied:
        done.new.update(dict.fromkeys(new))
        copy(Model, names, list(new.values()))
    else:
        done.new.update(
            ((s, k), id_) for id_, s, k in _insert(
                Model, names, list(new.values()), ('id', scope, key)))
    update_each(Model, names, outdated)
    return done


def ids_of(Model, scope, key, wanted):
    """Return the id of rows by their key, of pairs of scope and key."""
    wanted = set(wanted)
    return {(s, k): id_
        for id_, s, k in _stored(Model, scope, key, (scope, key), wanted)
        if (s, k) in wanted}


def _stored(Model, scope, key, names, wanted, complete=False):
    "Yield id and values of the stored rows, others of the scopes among them."
    table = Model.__table__()
    columns = [table.id] + [Column(table, name) for name in names]
    scope_column, key_column = Column(table, scope), Column(table, key)
    scopes = {s for s, _ in wanted}
    if len(scopes) == 1 and not complete:
        (scope_id,) = scopes
        for sub in grouped_slice([k for _, k in wanted], ROWS):
            yield from execute(table.select(*columns,
                    where=(scope_column == scope_id)
                    & key_column.in_(list(sub))))
    else:
        for sub in grouped_slice(sorted(scopes), ROWS):
            yield from execute(table.select(*columns,
                    where=reduce_ids(scope_column, list(sub))))


def _insert(Model, names, rows, returned=()):
    "Insert rows, return the values of some columns of each."
    user, found, moment = Transaction().user, [], ()
    if rows and backend.name == 'sqlite':
        # It would compute it for each row, which takes a third of the time.
        moment = execute(Select([CurrentTimestamp()]))[0]
    for start in range(0, len(rows), ROWS):
        sub = rows[start:start + ROWS]
        text = _insert_text(
            Model._table, names, len(sub), returned,
            Flavor.get().paramstyle)
        found += execute((text, [
                    value for row in sub for value in (*row, user, *moment)]))
    return found


def insert(Model, rows, *returned):
    """Insert rows in the name of the user, and nothing else.

    :param rows: list of dicts with the same names; Many2Ones are ids
    :param returned: names of columns
    :return: list of the values of these columns of each row, a tuple for each
    """
    if not rows:
        return []
    names = tuple(rows[0])
    # To format all values takes longer than to insert them.
    formats = {
        name: Model._fields[name].sql_format for name in names
        if Model._fields[name]._type not in _AS_THEY_ARE}
    found = _insert(Model, names, [
            [formats[name](row[name])
                if name in formats and row[name] is not None else row[name]
                for name in names]
            for row in rows], returned)
    Transaction().counter += 1
    return found


def copy(Model, names, rows):
    """Insert many rows, without telling their ids; an empty text becomes none.

    :param names: of the columns
    :param rows: list of tuples, whose values are texts, numbers or None
    """
    if backend.name != 'postgresql' or not rows:
        _insert(Model, names, rows)
        return
    # PostgreSQL takes such a text in half the time of statements.
    text, added = io.StringIO(), (Transaction().user, *execute(
            Select([CurrentTimestamp()]))[0])
    csv.writer(text, lineterminator='\n').writerows(
        (*row, *added) for row in rows)
    text.seek(0)
    columns = ', '.join(
        f'"{name}"' for name in (*names, 'create_uid', 'create_date'))
    Transaction().connection.cursor().copy_expert(
        f'COPY "{Model._table}" ({columns}) FROM STDIN (FORMAT csv)', text)


@functools.lru_cache(maxsize=32)
def _insert_text(table, names, count, returned, paramstyle):
    "Return the statement that inserts rows; to write it takes longest."
    table = Table(table)
    values = [''] * (len(names) + 1) + [
        '' if backend.name == 'sqlite' else CurrentTimestamp()]
    names = (*names, 'create_uid', 'create_date')
    text = str(table.insert(
            [Column(table, name) for name in names], [values] * count))
    if returned:
        # python-sql gives the columns an alias that SQLite does not know.
        text += ' RETURNING ' + ', '.join(f'"{name}"' for name in returned)
    return text


def update_each(Model, names, rows):
    """Update rows, given as pairs of id and values."""
    if not rows:
        return
    table = Model.__table__()
    columns = [Column(table, name) for name in (*names, 'write_uid')]
    text = str(table.update(
            columns + [table.write_date],
            [''] * len(columns) + [CurrentTimestamp()],
            where=table.id == 0))
    user = Transaction().user
    for id_, values in rows:
        execute((text, [*values, user, id_]))
    forget(Model, [id_ for id_, _ in rows])


def set_values(Model, ids, **values):
    """Write the same values to rows given by their ids."""
    ids = list(ids)
    table = Model.__table__()
    names = list(values)
    for sub in grouped_slice(ids, ROWS):
        execute(table.update(
                [Column(table, n) for n in names]
                + [table.write_uid, table.write_date],
                [_formatted(Model, n, values[n]) for n in names]
                + [Transaction().user, CurrentTimestamp()],
                where=reduce_ids(table.id, list(sub))))
    forget(Model, ids)


def _formatted(Model, name, value):
    field = Model._fields.get(name)
    return field.sql_format(value) if isinstance(field, Told) else value


def touch(Model, ids):
    """Let only one of two transactions pass that build at the same time on
    what is in or about some rows, and repeat the other one: PostgreSQL
    repeats none that only reads or locks.

    :param ids: ids of rows
    """
    if not Transaction().database.has_select_for():
        # SQLite has one transaction at a time.
        return
    table = Model.__table__()
    for sub in grouped_slice(sorted(ids), ROWS):
        execute(table.update([table.write_date], [table.write_date],
                where=reduce_ids(table.id, list(sub))))


def delete(Model, ids):
    """Delete rows given by their ids."""
    table = Model.__table__()
    for sub in grouped_slice(list(ids), ROWS):
        execute(table.delete(where=reduce_ids(table.id, list(sub))))


def leave_out_index(Model, name):
    """Have no index on a column with which that of a unique key begins: it
    would be written for each row and serve nothing else.

    trytond declares one on the target of each One2Many.

    :param str name: of the field
    """
    table = Model.__table__()
    Model._sql_indexes.discard(
        Index(table, (Column(table, name), Index.Range()), where=None))
