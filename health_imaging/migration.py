# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrates rows of former releases to the constraints of this one.

Only the value that several rows shared is changed."""
import itertools
import logging

from sql import Literal, Null
from sql.aggregate import Count, Min
from sql.conditionals import Case, Coalesce
from sql.functions import Trim

from trytond.pool import Pool

from .tables import execute

_BLANK = ' \t\r\n'

logger = logging.getLogger(__name__)


def _repeated(Model, name, where=lambda table: Literal(True), first=None):
    """Return the rows whose value an earlier row already has.

    :param Model: the model
    :param str name: name of the column
    :param where: function of the table: which rows count
    :param first: function of the table: sort order, by default the id
    :return: rows of id and value
    """
    table, other = Model.__table__(), Model.__table__()
    column = getattr(other, name)
    shared = other.select(column,
        where=where(other) & (column != Null), group_by=column,
        having=Count(Literal(1)) > 1)
    rows = execute(table.select(table.id, getattr(table, name),
            where=where(table) & getattr(table, name).in_(shared),
            order_by=([first(table)] if first else []) + [table.id]))
    seen = set()
    return [(id_, value) for id_, value in rows
        if value in seen or seen.add(value)]


def _set(Model, id_, name, value):
    table = Model.__table__()
    execute(table.update(
            [getattr(table, name)], [value], where=table.id == id_))


def number_repeated(Model, name, where=lambda table: Literal(True)):
    """Append a number to values that an earlier row already has.

    :param Model: the model
    :param str name: name of a column of texts
    :param where: function of the table: which rows count
    """
    repeated = _repeated(Model, name, where)
    if not repeated:
        return
    table = Model.__table__()
    taken = {v for v, in execute(table.select(getattr(table, name)))}
    for id_, value in repeated:
        free = next(free
            for free in (f'{value}-{n}' for n in itertools.count(2))
            if free not in taken)
        taken.add(free)
        _set(Model, id_, name, free)
        logger.warning(
            "%s %s: the %s %r was taken, it is now %r",
            Model.__name__, id_, name, value, free)


def number_exam_codes(Exam):
    """Make the codes of active exams unique.

    :param Exam: the model
    """
    number_repeated(Exam, 'code', lambda table: table.active)


def number_request_lines(Request):
    """Make the numbers of requests unique.

    A row is always written: SQLite changes tables only after a write.

    :param Request: the model
    """
    table = Request.__table__()
    execute(table.update(
            [table.request_line], [Null], where=table.request_line == ''))
    number_repeated(Request, 'request_line')


def set_request_states(Request):
    """Set the state of requests that have none, from their results.

    :param Request: the model
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    table, result = Request.__table__(), Result.__table__()
    reported = result.select(result.request, where=result.request != Null)
    execute(table.update(
            [table.state],
            [Case((table.id.in_(reported), 'done'), else_='draft')],
            where=(table.state == Null) | (table.state == '')))


def _is_read(table):
    return Trim(Coalesce(table.comment, ''), 'BOTH', _BLANK) != ''


def keep_one_result(Result, module):
    """Leave each request one result, a written one if there is any.

    The other results keep order number and former request, and lose their
    request.

    :param Result: the model
    :param str module: name of the module
    """
    table_h = Result.__table_handler__(module)
    if not table_h.column_exist('former_request'):
        table_h.add_column('former_request', 'INTEGER')
        _find_former_requests(Result)

    def unread(table):
        return Case((_is_read(table), 0), else_=1)

    for id_, request in _repeated(Result, 'request', first=unread):
        _set(Result, id_, 'request', None)
        _set(Result, id_, 'former_request', request)
        logger.warning(
            "%s %s: another result of the request %s is kept as its result",
            Result.__name__, id_, request)


def _find_former_requests(Result):
    """Set the former request of results that lost their request before.

    It is the request of the same order, patient and exam that has another
    result.

    :param Result: the model
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    table, request, other = (
        Result.__table__(), Request.__table__(), Result.__table__())
    rows = execute(table.join(request, condition=(
                request.request == table.order)
            & (request.patient == table.patient)
            & (request.requested_test == table.requested_test)).join(
            other, condition=other.request == request.id).select(
            table.id, Min(request.id), group_by=table.id,
            where=(table.request == Null) & (table.order != ''),
            having=Count(request.id, distinct=True) == 1))
    for id_, former in rows:
        _set(Result, id_, 'former_request', former)


def set_result_states(Result, Request):
    """Set the state of results: final when they are read, else draft.

    Who signed them is unknown, so the signature stays empty.

    :param Result: the model
    :param Request: the model
    """
    table, request = Result.__table__(), Request.__table__()
    done = request.select(request.id, where=request.state == 'done')
    final = table.request.in_(done) & _is_read(table)
    execute(table.update(
            [table.state, table.revision],
            [Case((final, 'final'), else_='draft'), 0]))
