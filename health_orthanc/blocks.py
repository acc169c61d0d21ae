# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads rows that have one of many values, some hundred in a statement."""
from itertools import zip_longest

from sql import Union

from trytond.modules.health_imaging.tables import In
from trytond.tools import grouped_slice

from .tables import execute

_VALUES = 1000


def rows(query, columns, column, values, where=None, **clauses):
    """Return the rows of which a column has one of some values.

    :param query: table or join of python-sql
    :param columns: what to read of each row
    :param column: what has one of the values
    :param values: ids or texts
    :param where: further condition
    :param clauses: further clauses of each statement, such as order_by
    """
    return [
        row for part in _parts(
            query, columns, column, values, where, **clauses)
        for row in execute(part)]


def ids(query, id_, column, values, where=None):
    """Return a set of the ids of such rows.

    :param query: table or join of python-sql
    :param id_: column to read
    :param column: what has one of the values
    :param values: ids or texts
    :param where: further condition
    """
    return {found for found, in rows(query, [id_], column, values, where)}


def union(*wanted):
    """Return the set of the rows of several queries, with the statements that
    the one of them with the most values takes.

    :param wanted: positional arguments of ``rows``, a tuple for each
    """
    return {
        row for parts in zip_longest(*(_parts(*some) for some in wanted))
        for row in execute(Union(*filter(None, parts)))}


def _parts(query, columns, column, values, where=None, **clauses):
    for sub in grouped_slice(sorted(values), _VALUES):
        has_one = In(column, list(sub))
        yield query.select(
            *columns, **clauses,
            where=has_one if where is None else has_one & where)
