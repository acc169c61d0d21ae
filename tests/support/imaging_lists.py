# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills the lists of requests and results, reads them page by page as clients
do, and counts the SQL queries that it takes."""
import datetime as dt

from support.records import (
    make_exam, make_patients, make_professional, make_user)
from support.statements import counted

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
PATIENTS = 200


def fill(rows):
    """Insert requests and results, a third of the requests is done."""
    patients = [patient.id for patient in make_patients(PATIENTS)]
    doctors = [make_professional(name=f"Doctor{n}").id for n in range(20)]
    exams = [
        make_exam(f"Exam {n}", type_=type_).id for n, type_ in enumerate(
            ['ctscan', 'mri', 'ultrasound', 'cr', 'mg'] * 4)]
    users = [make_user(f'user{n}').id for n in range(10)]
    start = dt.datetime(2026, 1, 1)
    insert(REQUEST, [
            'id', 'request', 'request_line', 'date', 'patient',
            'requested_test', 'doctor', 'urgent', 'state', 'requested_by'],
        [[
            n + 1, f'{n}', f'{n}-01-01', start + dt.timedelta(minutes=n),
            patients[n % PATIENTS], exams[n % 20], doctors[n % 19],
            n % 50 == 0, ['draft', 'requested', 'done'][n % 3],
            users[n % 10]]
            for n in range(rows)])
    insert(RESULT, [
            'id', 'number', 'request', 'order', 'request_date', 'date',
            'patient', 'requested_test', 'doctor', 'state', 'comment',
            'revision'],
        [[
            n + 1, f'T{n}', n + 1 if n % 3 == 2 else None, f'{n}', start,
            start + dt.timedelta(minutes=n), patients[n % PATIENTS],
            exams[n % 20], doctors[n % 19], 'draft', "No fracture.", 0]
            for n in range(rows)])


def fill_studies(rows, server):
    """Insert a study of each request that is done, and a picture of each
    result.

    :param int rows: as for fill, before this
    :param int server: id of a gnuhealth.orthanc.config
    """
    done = range(2, rows, 3)
    insert(STUDY, [
            'orthanc_server', 'orthanc_UID', 'study_instance_UID', 'request',
            'imaging_test', 'number_of_instances', 'link_state'],
        [[server, f's{n}', f'2.999.{n}', n + 1, n + 1, n % 7 + 1, 'linked']
            for n in done])
    insert('ir.attachment',
        ['name', 'type', 'resource', 'link', 'create_uid',
            'create_date'],
        [[f'{n}.png', 'link', f'{RESULT},{n + 1}', 'http://example.com', 1,
            dt.datetime(2026, 1, 1)]
            for n in range(rows)])


def insert(model, names, rows):
    """Insert rows, as fast as the database takes them.

    :param str model: its name
    :param names: of the columns
    :param rows: list of lists of values
    """
    Model, transaction = Pool().get(model), Transaction()
    table = Model.__table__()
    columns = [getattr(table, name) for name in names]
    cursor = transaction.connection.cursor()
    for block in grouped_slice(rows, 100):
        cursor.execute(*table.insert(columns, list(block)))
    if 'id' in names:
        transaction.database.setnextid(
            transaction.connection, Model._table, len(rows) + 1)


def read_page(model, names, offset, rows, domain=(), order=None):
    """Read a page as a client does; return the queries and the rows."""
    Model = Pool().get(model)
    for cache in Transaction().cache.values():
        cache.clear()
    with counted() as queries:
        ids = [r.id for r in Model.search(
                list(domain), offset, rows, order)]
        found = Model.read(ids, names)
    assert len(found) == rows
    return queries, found
