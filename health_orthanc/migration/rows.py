# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps share: columns, and rows that stand for the same thing."""
from collections import defaultdict

from sql import Column, Literal, Null
from sql.aggregate import Count, Min

from trytond import backend
from trytond.model import ModelSQL, fields
from trytond.modules.health_imaging.migration import set_by_id, set_where, warn
from trytond.pool import Pool

from .. import tables

# How texts of merged rows are joined; of other columns the first value stays.
_SEPARATORS = {'notes': '\n', 'merge_comment': '; '}


def is_former(Model, module, column, new):
    """Return whether a table has a column and not yet a new one."""
    table_h = Model.__table_handler__(module)
    return table_h.column_exist(column) and not table_h.column_exist(new)


def add_columns(Model, module, names):
    "Add columns before trytond does, which fills them with defaults."
    table_h = Model.__table_handler__(module)
    for name in names:
        table_h.add_column(name, Model._fields[name]._sql_type)


def repeated(Model, key, names):
    """Yield the rows that have the same key, lists of dicts by column.

    :param list key: names of the columns that together identify one thing
    :param list names: names of further columns to read
    """
    table, other = Model.__table__(), Model.__table__()
    columns = [Column(other, name) for name in key]
    first = other.select(
        *columns, Min(other.id).as_('first'), group_by=columns,
        having=Count(Literal(1)) > 1)
    condition = Literal(True)
    for name in key:
        condition &= Column(table, name) == Column(first, name)
    names = ['id', *key, *names]
    groups = defaultdict(list)
    for group, *row in tables.execute(
            table.join(first, condition=condition).select(
                first.first, *[Column(table, name) for name in names],
                order_by=table.id)):
        groups[group].append(dict(zip(names, row)))
    yield from groups.values()


class Merge:
    "Rows of a model that are merged, and removed at the end."

    def __init__(self, Model):
        self._Model = Model
        self._kept = {}

    def add(self, rows, names, **values):
        """Merge rows, dicts by column, into the first of them.

        :param list names: columns that the first row takes over from others
            if it has no value
        :param values: further values for the first row, by column
        """
        first, *others = rows
        values = {**_joined(rows, names), **values}
        if values:
            table = self._Model.__table__()
            set_where(table, table.id == first['id'], **values)
        self.replace(first['id'], [o['id'] for o in others])
        warn(self._Model, first['id'],
            "merged with %s, which had the same UID",
            ', '.join(str(o['id']) for o in others))

    def replace(self, id_, others):
        "Let a row take the place of others, all given by their ids."
        self._kept.update(dict.fromkeys(others, id_))

    def finish(self):
        """Point everything that points to replaced rows to what stays, and
        delete them."""
        if self._kept:
            for Other, field in _relations():
                self._move(Other, field)
            tables.delete(self._Model, self._kept)

    def _move(self, Other, field):
        "Write the rows that stay to a field that points to the others."
        table = Other.__table__()
        column = Column(table, field.name)
        if isinstance(field, fields.Reference):
            prefix = f'{self._Model.__name__},'
            where = column.like(f'{prefix}%')
        elif field.model_name == self._Model.__name__:
            prefix, where = '', column != Null
        else:
            return
        targets = {
            f'{prefix}{i}': f'{prefix}{j}' for i, j in self._kept.items()}
        set_by_id(table, field.name, {
                id_: targets[str(value)]
                for id_, value in tables.execute(
                    table.select(table.id, column, where=where))
                if str(value) in targets})


def _joined(rows, names):
    "Return what the first row takes over from the others, by column."
    values, first = {}, rows[0]
    for name in names:
        found = dict.fromkeys(row[name] for row in rows if row[name])
        if name in _SEPARATORS:
            value = _SEPARATORS[name].join(found) or None
        else:
            value = next(iter(found), first[name])
        if value != first[name]:
            values[name] = value
    return values


def _relations():
    "Yield class and field of each column that points to a record."
    for _, Model in Pool().iterobject():
        if (not issubclass(Model, ModelSQL) or callable(Model.table_query)
                or not backend.TableHandler.table_exist(Model._table)):
            continue
        table_h = Model.__table_handler__()
        for field in Model._fields.values():
            if (isinstance(field, (fields.Many2One, fields.Reference))
                    and table_h.column_exist(field.name)):
                yield Model, field
