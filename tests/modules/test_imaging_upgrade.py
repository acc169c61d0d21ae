# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables as former releases left them: without the new columns, with rows
that the new constraints would refuse."""
import datetime as dt

import pytest
from support.records import (
    as_user, make_exam, make_patient, make_professional, make_request,
    make_requested, make_result, make_user)

from trytond.modules.health_imaging.exceptions import KeptValueError
from trytond.pool import Pool
from trytond.transaction import Transaction

MODULE = 'health_imaging'
NEW_COLUMNS = [
    'former_request', 'state', 'revision', 'signed_by', 'signed_at',
    'amend_reason']


def execute(query, *parameters):
    cursor = Transaction().connection.cursor()
    cursor.execute(query, parameters)
    return cursor


def drop_constraints(*names):
    """Drop them where the database knows constraints."""
    if Transaction().database.has_constraint(None):
        for table, name in names:
            execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')


def forget():
    """Let no record remember its values."""
    for cache in Transaction().cache.values():
        cache.clear()


def update(record, **values):
    table = type(record).__table__()
    Transaction().connection.cursor().execute(*table.update(
            [getattr(table, name) for name in values], list(values.values()),
            where=table.id == record.id))
    forget()


@pytest.fixture
def old_results(transaction):
    """Results as 5.0.4 made them, two of one request among them."""
    Result = Pool().get('gnuhealth.imaging.test.result')
    read = make_result(comment="No fracture.")
    unread = make_result()
    blank = make_result(comment=" \n\t")
    walk_in, = Result.create([{
                'patient': make_patient().id, 'comment': "No fracture.",
                'requested_test': make_exam().id,
                'doctor': make_professional().id}])
    reopened = make_result(comment="No fracture.")
    update(reopened.request, state='requested')
    table = Result._table
    drop_constraints((table, f'{table}_request_unique'))
    for name in NEW_COLUMNS:
        if not Transaction().database.has_constraint(None):
            execute(f'DROP INDEX IF EXISTS "idx_{table}_{name}"')
            drop_sqlite_indexes(table, name)
        execute(f'ALTER TABLE "{table}" DROP COLUMN "{name}"')
    return read, unread, blank, walk_in, reopened


def drop_sqlite_indexes(table, column):
    rows = execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' "
        "AND tbl_name = ?", table).fetchall()
    for name, sql in rows:
        if sql and f'"{column}"' in sql:
            execute(f'DROP INDEX "{name}"')


def share_request(first, second):
    """Give a result the request of another; return its id and its order."""
    table = type(first)._table
    request, order = execute(
        f'SELECT request, "order" FROM "{table}" WHERE id = {first.id}'
        ).fetchone()
    execute(f'UPDATE "{table}" SET request = {request}, '
        f"\"order\" = '{order}' WHERE id = {second.id}")
    return request, order


def register(model):
    pool = Pool()
    pool.get(model).__register__(MODULE)
    forget()
    return pool.get(model)


def test_results_are_final_when_they_were_read(old_results):
    Result = register('gnuhealth.imaging.test.result')
    states = [Result(r.id).state for r in old_results]
    assert states == ['final', 'draft', 'draft', 'draft', 'draft']
    for result in Result.browse([r.id for r in old_results]):
        assert result.revision == 0
        assert result.signed_by is None and result.signed_at is None
        assert result.amend_reason is None


def test_upgrade_twice_changes_nothing(old_results):
    Result = register('gnuhealth.imaging.test.result')
    unread = Result(old_results[1].id)
    Result.write([unread], {'comment': "Read since."})
    before = Result.search_read([], fields_names=['state', 'request'])
    Result = register('gnuhealth.imaging.test.result')
    assert Result.search_read(
        [], fields_names=['state', 'request']) == before
    assert Result(unread.id).state == 'draft'


def test_one_of_several_results_keeps_the_request(old_results, caplog):
    """The one that was read, though it is not the first."""
    read, unread, *_ = old_results
    table = type(read)._table
    request, order = share_request(read, unread)
    execute(f'UPDATE "{table}" SET comment = NULL WHERE id = {read.id}')
    execute(f'UPDATE "{table}" SET comment = \'x\' WHERE id = {unread.id}')
    Result = register('gnuhealth.imaging.test.result')
    first, second = Result.browse([read.id, unread.id])
    assert second.request.id == request and second.state == 'final'
    assert first.request is None and first.state == 'draft'
    assert first.order == second.order == order
    assert first.former_request.id == request
    assert second.former_request is None
    assert first.patient and first.requested_test
    assert f'gnuhealth.imaging.test.result {first.id}' in caplog.text


def test_a_reader_sees_which_request_a_result_answered(old_results):
    read, unread, *_ = old_results
    share_request(read, unread)
    Result = register('gnuhealth.imaging.test.result')
    reader = make_user('reader', 'health_imaging.group_health_imaging')
    names = ['former_request.rec_name', 'former_request_note']
    with as_user(reader):
        second, = Result.read([unread.id], names)
        label = second['former_request.']['rec_name']
        assert label in second['former_request_note']
        first, = Result.read([read.id], names)
        assert first['former_request_note'] is None
        with pytest.raises(KeptValueError):
            Result.write([Result(unread.id)], {'former_request': None})
    copy, = Result.copy([Result(unread.id)])
    assert copy.former_request is None
    form = Result.fields_view_get(view_type='form')
    assert {'former_request', 'former_request_note'} <= form['fields'].keys()


def test_former_requests_of_an_earlier_upgrade_are_found(old_results):
    "They are told by order, patient and exam."
    read, unread, _, walk_in, _ = old_results
    Result = type(read)
    request, order = share_request(read, unread)
    copied = ', '.join(
        f'{name} = (SELECT {name} FROM "{Result._table}" '
        f'WHERE id = {read.id})' for name in ['patient', 'requested_test'])
    execute(f'UPDATE "{Result._table}" SET request = NULL, {copied} '
        f'WHERE id = {unread.id}')
    # The same order, another patient.
    execute(f'UPDATE "{Result._table}" SET "order" = \'{order}\' '
        f'WHERE id = {walk_in.id}')
    Result = register('gnuhealth.imaging.test.result')
    found = Result.browse([r.id for r in old_results])
    assert [r.former_request and r.former_request.id for r in found] == [
        None, request, None, None, None]
    assert Result(unread.id).request is None


def test_first_of_several_results_that_were_read_keeps_the_request(
        old_results):
    read, unread, *_ = old_results
    share_request(read, unread)
    execute(f'UPDATE "{type(read)._table}" SET comment = \'x\' '
        f'WHERE id = {unread.id}')
    Result = register('gnuhealth.imaging.test.result')
    first, second = Result.browse([read.id, unread.id])
    assert first.request and first.state == 'final'
    assert second.request is None and second.state == 'final'
    assert Result.search([('request', '=', first.request.id)]) == [first]


def test_copied_line_numbers_are_told_apart(transaction, caplog):
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = [make_request() for _ in range(4)]
    drop_constraints((Request._table, f'{Request._table}_request_line_unique'))
    for request in requests[:3]:
        update(request, request='7', request_line='7-01-01')
    update(requests[3], request_line='7-01-01-2')
    register('gnuhealth.imaging.test.request')
    assert [Request(r.id).request_line for r in requests] == [
        '7-01-01', '7-01-01-3', '7-01-01-4', '7-01-01-2']
    assert [Request(r.id).request for r in requests[:3]] == ['7'] * 3
    assert "'7-01-01' was taken" in caplog.text


def test_requests_without_numbers_stay_so(transaction):
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = [make_request() for _ in range(2)]
    for request in requests:
        update(request, request=None, request_line=None)
    register('gnuhealth.imaging.test.request')
    assert [Request(r.id).request_line for r in requests] == [None] * 2


def test_repeated_exam_codes_are_told_apart(transaction):
    Exam = Pool().get('gnuhealth.imaging.test')
    exams = [make_exam() for _ in range(3)]
    old = make_exam(active=False)
    drop_constraints((Exam._table, f'{Exam._table}_code_exclude'))
    for exam in [*exams, old]:
        update(exam, code='HEAD')
    register('gnuhealth.imaging.test')
    assert [Exam(e.id).code for e in [*exams, old]] == [
        'HEAD', 'HEAD-2', 'HEAD-3', 'HEAD']


@pytest.mark.postgresql
def test_constraints_hold_afterwards(old_results):
    from psycopg2.errors import UniqueViolation
    read, unread, *_ = old_results
    register('gnuhealth.imaging.test.result')
    with pytest.raises(UniqueViolation):
        share_request(read, unread)


def test_urgent_of_old_requests_may_be_unknown(transaction):
    request = make_requested(date=dt.datetime(2026, 5, 4))
    update(request, urgent=None)
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert Request.search([]) == [request]
    assert Request(request.id).urgent is None
