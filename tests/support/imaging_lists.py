# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the lists of requests and results, reads them page by page as clients
do, and counts the SQL queries that it takes."""
import datetime as dt
from contextlib import contextmanager

from support.records import (
    make_exam, make_patient, make_professional, make_user)

from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
PATIENTS = 200


class _Connection:
    """A connection that counts what is executed."""

    def __init__(self, connection, queries):
        self._connection = connection
        self._queries = queries

    def cursor(self, *args, **kwargs):
        return _Cursor(self._connection.cursor(*args, **kwargs),
            self._queries)

    def __getattr__(self, name):
        return getattr(self._connection, name)


class _Cursor:

    def __init__(self, cursor, queries):
        self._cursor = cursor
        self._queries = queries

    def execute(self, query, *args):
        self._queries.append(query)
        return self._cursor.execute(query, *args)

    def __iter__(self):
        return iter(self._cursor)

    def __enter__(self):
        self._cursor.__enter__()
        return self

    def __exit__(self, *args):
        return self._cursor.__exit__(*args)

    def __getattr__(self, name):
        return getattr(self._cursor, name)


@contextmanager
def counted():
    """Return the list of the queries that are executed meanwhile."""
    transaction = Transaction()
    queries = []
    connection = transaction.connection
    transaction.connection = _Connection(connection, queries)
    try:
        yield queries
    finally:
        transaction.connection = connection


def fill(rows):
    """Insert requests and results, as fast as the database takes them."""
    pool = Pool()
    patients = [
        make_patient(f"Name{n}", f"Family{n}").id for n in range(PATIENTS)]
    doctors = [make_professional(name=f"Doctor{n}").id for n in range(20)]
    exams = [
        make_exam(f"Exam {n}", type_=type_).id for n, type_ in enumerate(
            ['ctscan', 'mri', 'ultrasound', 'cr', 'mg'] * 4)]
    users = [make_user(f'user{n}').id for n in range(10)]
    start = dt.datetime(2026, 1, 1)
    cursor = Transaction().connection.cursor()

    def insert(model, names, make):
        table = pool.get(model).__table__()
        columns = [getattr(table, name) for name in names]
        for block in range(0, rows, 100):
            cursor.execute(*table.insert(columns, [
                        make(n) for n in range(block, block + 100)]))
    insert(REQUEST, [
            'id', 'request', 'request_line', 'date', 'patient',
            'requested_test', 'doctor', 'urgent', 'state', 'requested_by'],
        lambda n: [
            n + 1, f'{n}', f'{n}-01-01', start + dt.timedelta(minutes=n),
            patients[n % PATIENTS], exams[n % 20], doctors[n % 19],
            n % 50 == 0, ['draft', 'requested', 'done'][n % 3],
            users[n % 10]])
    insert(RESULT, [
            'number', 'request', 'order', 'request_date', 'date', 'patient',
            'requested_test', 'doctor', 'state', 'comment', 'revision'],
        lambda n: [
            f'T{n}', n + 1 if n % 3 == 2 else None, f'{n}', start,
            start + dt.timedelta(minutes=n), patients[n % PATIENTS],
            exams[n % 20], doctors[n % 19], 'draft', "No fracture.", 0])


def columns(model, kind):
    """Return what a client reads of this module for a list or a form."""
    ModelField = Pool().get('ir.model.field')
    own = {f.name for f in ModelField.search([
                ('model.model', '=', model),
                ('module', '=', 'health_imaging')])}
    fields = Pool().get(model).fields_view_get(view_type=kind)['fields']
    single = {
        name: field for name, field in fields.items()
        if name in own and field['type'] not in {'one2many', 'many2many'}}
    return [
        *single,
        *(f'{name}.rec_name' for name, field in single.items()
            if field['type'] == 'many2one'),
        'rec_name']


def read_page(model, names, offset, rows, domain=()):
    """Read a page as a client does; return the queries and the rows."""
    Model = Pool().get(model)
    for cache in Transaction().cache.values():
        cache.clear()
    with counted() as queries:
        ids = [r.id for r in Model.search(list(domain), offset, rows)]
        found = Model.read(ids, names)
    assert len(found) == rows
    return queries, found
