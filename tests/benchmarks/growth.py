# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large the rows of each table are that grows, with their indexes, and
what a hospital with 100 000 exams a year gets in a year.  The rows are made as
the modules make them, and have identifiers as long as real ones; PostgreSQL
says how large they are."""
import datetime as dt
import hashlib
import os

import pytest
from support.benchmarks import tell
from support.records import (
    as_user, make_exam, make_institution, make_patient, make_professional,
    make_user)
from support.synchronizing import new_server

from trytond import backend
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging.told import tell as sentence
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.archive.values import InstanceValues
from trytond.modules.health_orthanc.links import access_log, deciding
from trytond.modules.health_orthanc.sync import storage
from trytond.modules.health_orthanc.sync.rows import StudyRows
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

BLOCK = 100
NODE = '0c7b1a52-6c7e-4a9e-9d0c-5f1f6a0e0001'
MOMENT = dt.datetime(2026, 3, 2, 15, 12)
REQUEST = 'gnuhealth.imaging.test.request'
STEP = 'gnuhealth.imaging_worklist.performed_step'
ROOT = '1.2.840.113619.2.55.3.604688119.'
#: Rows that 100 000 exams bring in a year: 300 images in four series each, a
#: server that is asked every 15 minutes and tells of each exam.
YEAR = {
    REQUEST: 100_000,
    'gnuhealth.imaging.test.result': 100_000,
    'gnuhealth.imaging.safety.finding': 30_000,
    'gnuhealth.imaging.test.request.reschedule.log': 10_000,
    STEP: 100_000,
    'gnuhealth.orthanc.patient': 60_000,
    'gnuhealth.imaging_orthanc.study': 100_000,
    'gnuhealth.imaging_orthanc.study_series': 400_000,
    'gnuhealth.imaging_orthanc.series_instances': 30_000_000,
    'gnuhealth.orthanc.link_log': 120_000,
    'gnuhealth.orthanc.access_log': 600_000,
    'gnuhealth.orthanc.report': 100_000,
    'gnuhealth.orthanc.sync_run': 100_000,
    }


@pytest.fixture
def hospital(activated):
    "Who and what is needed; all of it is rolled back."
    with Transaction().start(DB_NAME, 1, context={
                '_skip_warnings': True}) as transaction:
        company = make_institution()
        server = new_server('http://127.0.0.1:1')
        make_professional()
        exam = make_exam("Head CT", question_optional=True)
        script = make_user(
            'script', 'health_imaging_worklist.group_worklist_script')
        with transaction.set_context(company=company.id):
            yield server, exam, script
        transaction.rollback()
        transaction.tasks.clear()


def blocks(rows):
    return [
        range(start, min(start + BLOCK, rows))
        for start in range(0, rows, BLOCK)]


def orthanc_id(text):
    "Return an id as Orthanc makes them."
    digest = hashlib.sha1(text.encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


def make_requests(exam, patients, rows):
    "Order exams, send them, and write their reports."
    pool = Pool()
    Request, Log = pool.get(REQUEST), pool.get(f'{REQUEST}.reschedule.log')
    Finding = pool.get('gnuhealth.imaging.safety.finding')
    doctor, = pool.get('gnuhealth.healthprofessional').search([], limit=1)
    for block in blocks(rows):
        requests = Request.create([{
                    'patient': patients[n % len(patients)],
                    'requested_test': exam, 'doctor': doctor,
                    'date': MOMENT + dt.timedelta(minutes=15 * n),
                    'comment': "Headache since yesterday, no trauma.",
                    'clinical_question': "Bleeding?",
                    } for n in block])
        Request.requested(requests)
        Finding.create([{
                    'request': r, 'kind': 'question', 'rule': 'kidney',
                    'finding': 'kidney_unknown', 'parameters': '{}',
                    'found_at': MOMENT,
                    'reason': "The creatinine was normal last year.",
                    } for r in requests])
        Log.create([{
                    'request': r, 'at': MOMENT, 'user': 1,
                    'from_date': MOMENT, 'to_date': MOMENT,
                    'reason': sentence(
                        'health_imaging_worklist.msg_moved_in_calendar'),
                    } for r in requests])
        Result = pool.get('gnuhealth.imaging.test.result')
        Result.write(Request.make_results(requests), {
                'comment': "The ventricles are of normal size. " * 12,
                'impression': "No bleeding. " * 5})


def make_studies(server, patients, rows):
    "Store studies of two series of two images, and link them."
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    for block in blocks(rows):
        tree = storage.Tree(server, MOMENT)
        tree.store([study_rows(n, patients[n % len(patients)]) for n in block])
        deciding.link_studies([s.id for s in Study.search([
                        ('orthanc_UID', 'in', [
                            orthanc_id(f's{n}') for n in block])])])


def study_rows(number, patient):
    person = {'name': 'Betz Barrenechea^Ana María', 'sex': 'F',
        'bd': patient.dob}
    item = StudyRows({
            **person, 'uuid': orthanc_id(patient.puid),
            'ident': patient.puid,
            }, {
            'orthanc_UID': orthanc_id(f's{number}'),
            'study_instance_UID': f'{ROOT}{number:012}.300',
            'patient_name': person['name'], 'patient_id': patient.puid,
            'patient_birth_date': patient.dob, 'patient_sex': 'F',
            'study_date': MOMENT.date(), 'description': "CT Head without",
            'accession_number': f'{number:08}', 'modalities': 'CT',
            'institution': "Hospital Santa Rosa",
            'referring_physician_name': 'Cordara^Marcela',
            'link_state': 'unlinked',
            }, [({
                    'orthanc_UID': orthanc_id(f'r{number}-{s}'),
                    'series_UID': f'{ROOT}{number:012}.{s}.301',
                    'series_number': str(s), 'modality': 'CT',
                    'series_description': "Head 5.0 H31s",
                    'body_part': 'HEAD', 'protocol_name': "Head routine",
                    }, [InstanceValues(
                        orthanc_id(f'i{number}-{s}-{i}'),
                        f'{ROOT}{number:012}.{s}.{i}.302', i,
                        '-125.000\\-125.000\\-87.500', None,
                        orthanc_id(f'r{number}-{s}')) for i in range(2)])
                for s in range(2)])
    item.add_totals()
    item.set_classes({})
    return item


def make_logs(server, rows):
    "Note who saw what, runs, and reports that were stored."
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Run = pool.get('gnuhealth.orthanc.sync_run')
    result, = pool.get('gnuhealth.imaging.test.result').search([], limit=1)
    studies = Study.search([], limit=rows, order=[('id', 'ASC')])
    counts = [n for n, f in Run._fields.items() if f._type == 'integer']
    for block in blocks(rows):
        some = [studies[n] for n in block]
        access_log.note('view', some, sentence(
                'health_orthanc.msg_viewed', count=12))
        tables.insert(Run, [{
                    'server': server, 'start': MOMENT, 'end': MOMENT,
                    'state': 'done', 'started_by': 'notice', 'full': False,
                    **{name: n for name in counts
                        if name not in {'id', 'folded'}},
                    } for n in block])
        pool.get('gnuhealth.orthanc.report').create([{
                    'result': result, 'revision': 0, 'study': s,
                    'state': 'stored', 'attempts': 1, 'stored_at': MOMENT,
                    'orthanc_UID': orthanc_id(f'd{s.id}'),
                    } for s in some])


def make_steps(script, rows):
    "Let a machine begin and end an exam for each request."
    pool = Pool()
    Step = pool.get(STEP)
    requests = pool.get(REQUEST).search([], order=[('id', 'ASC')])
    for block in blocks(rows):
        messages = []
        for n in block:
            for kind, values in [
                    ('create', begun(requests[n])), ('set', ended(n))]:
                messages.append({
                        'number': len(messages) + 2 * block.start + 1,
                        'kind': kind, 'uid': f'{ROOT}{n}.7',
                        'ae_title': 'CT1', 'address': '192.0.2.7',
                        'received': MOMENT.isoformat(
                            timespec='microseconds'),
                        'attributes': {
                            tag: {'vr': 'UN', 'Value': value}
                            for tag, value in values.items()}})
        with as_user(script):
            for half in [messages[:BLOCK], messages[BLOCK:]]:
                assert len(Step.receive(NODE, half)) == len(half)


def begun(request):
    return {
        '00400252': ['IN PROGRESS'], '00400244': ['20260302'],
        '00400245': ['101200.00'], '00400254': ["Head"],
        '00100020': [request.patient.puid],
        '00100010': [{'Alphabetic': 'BETZ^ANA'}],
        '00400270': [{
                '0020000D': {'vr': 'UI', 'Value': [request.merge_id]},
                '00080050': {'vr': 'SH', 'Value': [request.accession_number]},
                '00400009': {'vr': 'SH', 'Value': [request.step_id]}}]}


def ended(number):
    return {
        '00400252': ['COMPLETED'], '00400250': ['20260302'],
        '00400251': ['102000'],
        '00400340': [{
                '0020000E': {'vr': 'UI', 'Value': [f'{ROOT}{number}.{s}']},
                '0008103E': {'vr': 'LO', 'Value': ["Head 5.0 H31s"]},
                '00081140': {'vr': 'SQ', 'Value': [{}] * 20}}
            for s in range(4)]}


def size(Model):
    "Return the bytes of a table with its indexes, and how many rows it has."
    cursor = Transaction().connection.cursor()
    cursor.execute('SELECT pg_total_relation_size(%s)', [Model._table])
    (total,), = cursor.fetchall()
    return total, rows_of(Model)


def rows_of(Model):
    return Model.search([], count=True)


def test_growth(hospital, full):
    server, exam, script = hospital
    rows = int(os.environ.get('GROWTH_ROWS', 20_000)) if full else 100
    patients = [
        make_patient(f"Name{n}", f"Family{n}", 'f', dt.date(1970, 1, 1),
            ref=f'PAC{n:06}')
        for n in range(max(rows // 20, 1))]
    make_requests(exam, patients, rows)
    make_studies(server, patients, rows)
    make_steps(script, rows)
    make_logs(server, rows)
    pool, total = Pool(), 0
    tell(f"{'table':<48}{'bytes a row':>12}{'rows a year':>13}"
        f"{'MB a year':>11}")
    for name, year in YEAR.items():
        Model = pool.get(name)
        assert rows_of(Model), name
        if backend.name != 'postgresql':
            continue
        taken, count = size(Model)
        mb = taken / count * year / 1e6
        total += mb
        tell(f'{Model._table:<48}{taken / count:>12.0f}{year:>13}{mb:>11.0f}')
    tell(f"{'together':<73}{total:>11.0f}")
    assert execute(pool.get(STEP).__table__().select(limit=1))
