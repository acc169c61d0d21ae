# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare the rows of former releases for the constraints of this one.

Where several rows share a value that only one may have, one row keeps it and
the others keep everything else.  Each step can run again and then changes
nothing.
"""
import itertools
import logging
from collections import defaultdict

from sql import Column, Literal, Null
from sql.aggregate import Count, Min
from sql.conditionals import Case, Coalesce
from sql.functions import CurrentTimestamp, Trim

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from .tables import execute

_BLANK = ' \t\r\n'

logger = logging.getLogger(__name__)


# What the steps of all modules share

def set_where(table, where, **values):
    """Set columns of the rows that a condition selects.

    :param sql.Table table: the table
    :param where: condition of python-sql
    :param values: values or expressions of python-sql by name of column
    """
    execute(table.update(
            [Column(table, name) for name in values],
            list(values.values()), where=where))


def set_by_id(table, name, values):
    """Set a column of many rows, with one statement for rows of one value.

    :param sql.Table table: the table
    :param str name: name of the column
    :param dict values: values by id of the row
    """
    ids = defaultdict(list)
    for id_, value in values.items():
        ids[value].append(id_)
    for value, same in ids.items():
        for some in grouped_slice(same, 1000):
            set_where(table, reduce_ids(table.id, list(some)), **{name: value})


def insert_row(table, **values):
    """Insert a row in the name of the system.

    :param sql.Table table: the table
    :param values: values by name of column
    """
    values.update(create_uid=0, create_date=CurrentTimestamp())
    execute(table.insert(
            [Column(table, name) for name in values],
            [list(values.values())]))


def warn(Model, ids, text, *args):
    """Log what was decided on rows.

    :param ids: id of the row, or list of ids, of which 20 are named
    :param str text: what was decided, with % formats
    :param args: values for the text
    """
    if isinstance(ids, list):
        more = f' and {len(ids) - 20} more' if len(ids) > 20 else ''
        ids = ', '.join(map(str, ids[:20])) + more
    logger.warning(f'%s %s: {text}', Model.__name__, ids, *args)


def _every(table):
    return Literal(True)


def _repeated(Model, name, where=_every, first=None):
    """Find the rows whose value another row before them has.

    :param str name: name of the column
    :param where: function of the table that selects the rows to compare
    :param first: function of the table that sorts the rows; without it, and
        among equal ones, the lowest id is first
    :return: list of (id, value)
    """
    table, other = Model.__table__(), Model.__table__()
    value, column = Column(other, name), Column(table, name)
    shared = other.select(value,
        where=where(other) & (value != Null), group_by=value,
        having=Count(Literal(1)) > 1)
    rows = execute(table.select(table.id, column,
            where=where(table) & column.in_(shared),
            order_by=([first(table)] if first else []) + [table.id]))
    seen = set()
    return [(id_, value) for id_, value in rows
        if value in seen or seen.add(value)]


def number_repeated(Model, name, where=_every):
    """Append a number to values that another row before has.

    :param str name: name of a column of texts
    :param where: function of the table that selects the rows to compare
    """
    repeated = _repeated(Model, name, where)
    if not repeated:
        return
    table = Model.__table__()
    taken = {v for v, in execute(table.select(Column(table, name)))}
    for id_, value in repeated:
        free = next(free
            for free in (f'{value}-{n}' for n in itertools.count(2))
            if free not in taken)
        taken.add(free)
        set_where(table, table.id == id_, **{name: free})
        warn(Model, id_, "the %s %r was taken, it is now %r",
            name, value, free)


# Exams and requests

def number_exam_codes(Exam):
    """Give each active exam a code of its own."""
    number_repeated(Exam, 'code', lambda table: table.active)


def number_request_lines(Request):
    """Give each request a line number of its own.

    The first statement always writes: SQLite commits a change of a table that
    comes before the first write of a transaction.
    """
    table = Request.__table__()
    set_where(table, table.request_line == '', request_line=Null)
    number_repeated(Request, 'request_line')


def set_request_states(Request):
    """Set the state of requests that have none: done with a result, else
    draft."""
    Result = Pool().get('gnuhealth.imaging.test.result')
    table, result = Request.__table__(), Result.__table__()
    reported = result.select(result.request, where=result.request != Null)
    set_where(table, (table.state == Null) | (table.state == ''),
        state=Case((table.id.in_(reported), 'done'), else_='draft'))


# Results

def _is_read(table):
    "Return the condition that a result has an interpretation."
    return Trim(Coalesce(table.comment, ''), 'BOTH', _BLANK) != ''


def keep_one_result(Result, module):
    """Leave each request one result, one with an interpretation if there is.

    The others become results without a request; they keep the order number
    and the request as the former one.
    """
    table_h = Result.__table_handler__(module)
    if not table_h.column_exist('former_request'):
        table_h.add_column('former_request', 'INTEGER')
        _find_former_requests(Result)
    table = Result.__table__()
    for id_, request in _repeated(
            Result, 'request',
            first=lambda table: Case((_is_read(table), 0), else_=1)):
        set_where(table, table.id == id_, request=None, former_request=request)
        warn(Result, id_,
            "another result of the request %s is kept as its result", request)


def _find_former_requests(Result):
    """Set the former request of results that an earlier release took from
    their request: the only one of the same order, patient and exam that has
    another result."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    table, request, other = (
        Result.__table__(), Request.__table__(), Result.__table__())
    set_by_id(table, 'former_request', dict(execute(table.join(
                    request, condition=(request.request == table.order)
                    & (request.patient == table.patient)
                    & (request.requested_test == table.requested_test)).join(
                    other, condition=other.request == request.id).select(
                    table.id, Min(request.id), group_by=table.id,
                    where=(table.request == Null) & (table.order != ''),
                    having=Count(request.id, distinct=True) == 1))))


def set_result_states(Result, Request):
    """Set the state of all results: final with an interpretation and a
    request that is done, else draft.

    Who signed them is not known and stays empty.
    """
    table, request = Result.__table__(), Request.__table__()
    done = request.select(request.id, where=request.state == 'done')
    final = table.request.in_(done) & _is_read(table)
    set_where(table, Literal(True),
        state=Case((final, 'final'), else_='draft'), revision=0)
