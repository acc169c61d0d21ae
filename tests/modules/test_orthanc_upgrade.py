# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables as former releases left them: without the new columns, with values
that are none any more."""
import datetime as dt

import pytest
from support.records import make_result

from trytond.modules.health_orthanc.links import ledger
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
PATIENT = 'gnuhealth.orthanc.patient'
REPORT = 'gnuhealth.orthanc.report'


@pytest.fixture
def server(transaction):
    server, = Pool().get('gnuhealth.orthanc.config').create([{
                'label': "PACS", 'domain': 'http://127.0.0.1:9',
                'user': 'u', 'password': 'p'}])
    return server


def make(model, **values):
    record, = Pool().get(model).create([values])
    return record


def register_again(model, column):
    "Upgrade a table from before it had a column."
    Model = Pool().get(model)
    Transaction().connection.cursor().execute(
        f'ALTER TABLE "{Model._table}" DROP COLUMN "{column}"')
    Model.__register__('health_orthanc')
    for cache in Transaction().cache.values():
        cache.clear()


ODD = [dt.date(1, 1, 1), dt.date(1400, 1, 1), dt.date(2523, 5, 6)]
RIGHT = [None, dt.date(1850, 1, 1), dt.date(2004, 1, 19)]


def test_odd_dates_of_studies_become_texts(server):
    studies = [
        make(STUDY, orthanc_server=server.id, orthanc_UID=f's{number}',
            study_instance_UID=f'1.2.{number}', study_date=date,
            patient_birth_date=date,
            date=date and date.isoformat().replace('-', '.'))
        for number, date in enumerate(ODD + RIGHT)]
    register_again(STUDY, 'patient_birth_date_text')
    found = Pool().get(STUDY).browse([s.id for s in studies])
    assert [s.study_date for s in found] == [None] * 3 + RIGHT
    assert [s.patient_birth_date for s in found] == [None] * 3 + RIGHT
    assert [s.date for s in found] == [
        '0001.01.01', '1400.01.01', '2523.05.06',
        None, '1850.01.01', '2004.01.19']
    assert [s.patient_birth_date_text for s in found] == [
        '00010101', '14000101', '25230506', None, None, None]


def test_odd_dates_of_patients_become_texts(server):
    patients = [
        make(PATIENT, server=server.id, uuid=f'p{number}', bd=date)
        for number, date in enumerate(ODD + RIGHT)]
    register_again(PATIENT, 'bd_text')
    found = Pool().get(PATIENT).browse([p.id for p in patients])
    assert [p.bd for p in found] == [None] * 3 + RIGHT
    assert [p.bd_text for p in found] == [
        '00010101', '14000101', '25230506', None, None, None]


def test_a_date_that_nobody_wrote_is_kept(server):
    "Where there is no raw date, the date itself becomes the text."
    study = make(STUDY, orthanc_server=server.id, orthanc_UID='s',
        study_instance_UID='1.2', study_date=dt.date(2523, 5, 6))
    register_again(STUDY, 'patient_birth_date_text')
    study = Pool().get(STUDY)(study.id)
    assert (study.study_date, study.date) == (None, '25230506')


def test_reports_that_failed_are_tried_again(server):
    study = make(STUDY, orthanc_server=server.id, orthanc_UID='s',
        study_instance_UID='1.2')
    result = make_result(comment="No fracture.")
    ledger.choose([study], {'imaging_test': result.id})
    reports = [
        make(REPORT, result=result.id, revision=number, study=study.id,
            state=state, attempts=20)
        for number, state in enumerate(['failed', 'stored', 'superseded'])]
    register_again(REPORT, 'refusals')
    found = Pool().get(REPORT).browse([r.id for r in reports])
    assert [r.state for r in found] == ['waiting', 'stored', 'superseded']
    assert found[0].attempts == 0


def test_servers_from_before_runs_were_limited(server):
    register_again('gnuhealth.orthanc.config', 'run_hours')
    assert Pool().get('gnuhealth.orthanc.config')(server.id).run_hours == 6


@pytest.mark.sqlite
def test_servers_with_the_same_address_keep_one_that_is_active(server):
    "SQLite knows no constraint that would have refused them."
    Server = type(server)
    servers = [server] + Server.create([{
                'label': f"PACS {n}", 'domain': f'http://127.0.0.1:{n}',
                'user': 'u', 'password': 'p'} for n in range(1, 6)])
    ids = [s.id for s in servers]
    table = Server.__table__()
    cursor = Transaction().connection.cursor()
    for id_, domain in zip(ids[1:], [
                'HTTP://127.0.0.1:9//', 'HTTP://127.0.0.1:9//',
                'http://127.0.0.1:9', 'http://u:secret@127.0.0.1:9',
                'http://127.0.0.1:9/']):
        cursor.execute(*table.update([table.domain], [domain],
                where=table.id == id_))
    for _ in range(2):
        Server.__register__('health_orthanc')
        cursor.execute(*table.select(
                table.id, table.domain, table.active, order_by=table.id))
        rows = cursor.fetchall()
        assert [tuple(row) for row in rows] == [
            (ids[0], 'http://127.0.0.1:9', 1),
            (ids[1], 'HTTP://127.0.0.1:9//', 0),
            (ids[2], f'http://127.0.0.1:9#{ids[2]}', 0),
            (ids[3], f'http://127.0.0.1:9#{ids[3]}', 0),
            (ids[4], f'http://127.0.0.1:9#{ids[4]}', 0),
            (ids[5], 'http://127.0.0.1:9/', 0)]
