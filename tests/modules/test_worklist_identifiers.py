# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines know an order, a request and a patient by: whole, or refused,
or short numbers of its own, and never the same for two."""
import datetime as dt
from collections import defaultdict
from io import BytesIO

import pytest
from pydicom import dcmread
from support.hospitals import with_company
from support.records import (
    as_user, make_exam, make_patient, make_professional, make_request,
    make_user, run_wizard)

from trytond.model.exceptions import AccessError, SQLConstraintError
from trytond.modules.health_imaging.exceptions import KeptValueError
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging_worklist import attributes, migration
from trytond.modules.health_imaging_worklist.exceptions import OrderNumberError
from trytond.pool import Pool
from trytond.transaction import Transaction

hospital = with_company

REQUEST = 'gnuhealth.imaging.test.request'
ADMIN = 'health_imaging.group_health_imaging_admin'


@pytest.fixture
def doctor(hospital):
    user = make_user('doctor', 'health.group_health_doctor')
    make_professional(user)
    return user


@pytest.fixture
def admin(hospital):
    return make_user('administrator', ADMIN)


def sequence_type():
    return Pool().get('ir.model.data').get_id(
        'health_imaging', 'seq_type_gnuhealth_imaging_test_request')


def shipped_sequence():
    return Pool().get('ir.sequence')(Pool().get('ir.model.data').get_id(
            'health_imaging', 'seq_gnuhealth_imaging_test_request'))


def left_by_an_upgrade(**values):
    "Set values of the sequence as no one can set them any more."
    table = Pool().get('ir.sequence').__table__()
    execute(table.update(
            [getattr(table, name) for name in values],
            list(values.values()), where=table.id == shipped_sequence().id))


def order(*exams, patient=None):
    "Order exams as the wizard does, and return the requests."
    run_wizard('gnuhealth.patient.imaging.test.request', [
            ('order_and_request', {'start': {
                        'patient': (patient or make_patient()).id,
                        'date': dt.datetime(2026, 3, 2, 15),
                        'doctor': Pool().get(
                            'gnuhealth.healthprofessional').search([])[0].id,
                        'urgent': False,
                        'tests': [exam.id for exam in exams]}})])
    Request = Pool().get(REQUEST)
    return Request.search(
        [], order=[('id', 'DESC')], limit=len(exams))[::-1]


def told():
    "Return the data sets of the worklist, by request."
    Request = Pool().get(REQUEST)
    entries = Request.get_worklist_entries()['entries']
    assert not [e['error'] for e in entries if e['error']]
    return {e['id']: dcmread(BytesIO(e['dicom'])) for e in entries}


@pytest.mark.parametrize('prefix', ['RADIOLOGY-2026-', 'RADIOLOGY12', ''])
def test_orders_never_share_what_machines_know_them_by(doctor, prefix):
    left_by_an_upgrade(prefix=prefix)
    exams = [make_exam(aetitle='CT1'), make_exam(aetitle='CT2')]
    with as_user(doctor):
        orders = [order(*exams) for _ in range(3)]
        datasets = told()
    accessions = defaultdict(set)
    for requests in orders:
        for request in requests:
            dataset = datasets[request.id]
            step, = dataset.ScheduledProcedureStepSequence
            accessions[request.request].add(dataset.AccessionNumber)
            assert dataset.AccessionNumber == request.accession_number
            assert dataset.RequestedProcedureID == request.step_id
            assert step.ScheduledProcedureStepID == request.step_id
            assert attributes.is_identifier(request.step_id)
            fits = len(request.request_line) <= 16
            assert (request.step_id == request.request_line) == fits
            fits = len(request.request) <= 16
            assert (request.accession_number == request.request) == fits
    assert len(accessions) == 3
    assert all(len(of_order) == 1 for of_order in accessions.values())
    assert len(set().union(*accessions.values())) == 3
    assert len({d.RequestedProcedureID for d in datasets.values()}) == 6


@pytest.mark.parametrize('number', [
        'A' * 17, 'A' * 60, 'A\\B', 'A\u200eB', 'A\x7f'])
def test_numbers_that_are_given(doctor, number):
    exam, patient = make_exam(aetitle='CT1'), make_patient()
    with as_user(doctor):
        first = make_request(patient, exam, request=number)
        # A line of the same order, which comes later.
        second = make_request(
            patient, exam, request=number, request_line=f'{number}-b')
        other = make_request(patient, exam, request=f'{number}x')
        Pool().get(REQUEST).requested([first, second, other])
        datasets = told()
    assert first.request == number
    assert first.accession_number == second.accession_number
    assert first.accession_number != other.accession_number
    assert len({first.step_id, second.step_id, other.step_id}) == 3
    for request in [first, second, other]:
        dataset = datasets[request.id]
        assert attributes.is_identifier(dataset.AccessionNumber)
        assert dataset.AccessionNumber == request.accession_number
        assert dataset.RequestedProcedureID == request.step_id


def test_requests_are_found_by_what_machines_show(doctor):
    Request = Pool().get(REQUEST)
    exam, patient = make_exam(), make_patient()
    request, line, other = (
        make_request(patient, exam, request=number, request_line=line)
        for number, line in [
            ('A' * 20, 'A' * 21), ('A' * 20, 'A' * 22), ('B' * 20, 'B')])
    with as_user(doctor):
        assert set(Request.search([
                    ('rec_name', 'ilike', f'%{line.accession_number}%')])) == {
            request, line}
        assert Request.search(
            [('rec_name', 'ilike', f'%{line.step_id}%')]) == [line]
        assert set(Request.search([
                    ('rec_name', 'not ilike', f'%{line.step_id}%')])) == {
            request, other}


def test_every_entry_has_a_file_of_its_own(doctor):
    Request = Pool().get(REQUEST)
    exam, patient = make_exam(), make_patient()
    requests = [
        make_request(patient, exam, request_line=number)
        for number in ['A/1', 'A_1', 'A 1', 'A-1']]
    Request.requested(requests)
    names = [e['filename'] for e in Request.get_worklist_entries()['entries']]
    assert len(set(names)) == 4
    assert {'A_1', 'A-1'} < set(names)


def test_a_short_number_that_is_taken_is_not_given_again(doctor):
    exam = make_exam()
    with as_user(doctor):
        first = make_request(exam=exam, request='A' * 20)
        thief = make_request(
            exam=exam, patient=make_patient("Other"),
            request=first.accession_number, request_line=first.step_id)
    assert thief.request == first.accession_number
    assert thief.accession_number != first.accession_number
    assert thief.step_id != first.step_id
    # And the other way round.
    with as_user(doctor):
        type(first).delete([first])
        again = make_request(
            exam=exam, patient=make_patient("Other"), request='A' * 20)
    assert attributes.is_identifier(again.accession_number)


def test_a_taken_short_number_the_other_way_round(doctor):
    exam = make_exam()
    with as_user(doctor):
        first = make_request(exam=exam, request='A' * 20)
        accession, step = first.accession_number, first.step_id
        type(first).delete([first])
        thief = make_request(exam=exam, request=accession, request_line=step)
        first = make_request(
            exam=exam, patient=make_patient("Other"), request='A' * 20)
    assert (thief.accession_number, thief.step_id) == (accession, step)
    assert first.accession_number != accession and first.step_id != step


def test_two_requests_never_have_one_step(doctor):
    request, other = make_request(), make_request()
    with pytest.raises(SQLConstraintError):
        type(request).write([other], {'step_id': request.step_id})


@pytest.mark.parametrize('name', [
        'accession_number', 'step_id', 'former_merge_id'])
def test_nobody_changes_them(doctor, name):
    Request = Pool().get(REQUEST)
    with as_user(doctor):
        request = make_request()
        with pytest.raises(KeptValueError):
            Request.write([request], {name: 'MINE'})
    # What is given to a new one does not count.
    if name != 'former_merge_id':
        with as_user(doctor):
            request = make_request(**{name: 'MINE'})
        assert getattr(request, name) != 'MINE'


def test_a_copy_has_its_own(doctor):
    Request = Pool().get(REQUEST)
    with as_user(doctor):
        request = make_request(request='A' * 20)
        table = Request.__table__()
        execute(table.update([table.former_merge_id], ['1.2.3']))
        copy, = Request.copy([request])
    assert copy.accession_number == copy.request
    assert copy.step_id == copy.request_line
    assert not copy.former_merge_id


def test_another_number_of_a_draft_is_another_number_for_machines(doctor):
    Request = Pool().get(REQUEST)
    request, other = make_request(), make_request()
    Request.write([request], {
            'request': other.request, 'request_line': 'B' * 20})
    assert request.accession_number == other.accession_number
    assert len(request.step_id) <= 16
    Request.write([request], {'request': 'NEW', 'request_line': 'NEW-1'})
    assert (request.accession_number, request.step_id) == ('NEW', 'NEW-1')


# Sequences

LONG = [
    {'prefix': 'RADIOLOGY-2026-'}, {'prefix': 'RAD-${year}-'},
    {'prefix': '${date_B}'}, {'suffix': '-${date_Y}${date_m}${date_d}'},
    {'padding': 11}, {'padding': 10, 'prefix': 'R'},
    {'prefix': 'R', 'number_next': 10 ** 9},
    {'prefix': 'R', 'number_next': 10 ** 9 - 10},
    {'number_increment': 10 ** 8},
    {'type': 'decimal timestamp', 'prefix': 'CT-'},
    {'type': 'hexadecimal timestamp', 'prefix': 'CT-', 'suffix': '.'},
    {'type': 'decimal timestamp', 'timestamp_rounding': 1e-3},
    ]
FITTING = [
    {}, {'prefix': 'RAD-'}, {'prefix': 'R${year}-', 'padding': 4},
    {'padding': 10}, {'type': 'hexadecimal timestamp'},
    {'type': 'decimal timestamp'}, {'prefix': '${month}', 'suffix': '-A'},
    {'prefix': 'ÅÄ'},
    ]


def label(values):
    return ','.join(f'{key}={value}' for key, value in values.items())


def make_sequence(**values):
    Sequence = Pool().get('ir.sequence')
    sequence, = Sequence.create([{
                'name': "Orders", 'sequence_type': sequence_type(),
                'padding': 3, **values}])
    return sequence


@pytest.mark.parametrize('values', LONG, ids=label)
def test_a_sequence_that_makes_long_numbers_is_refused(admin, values):
    Sequence = Pool().get('ir.sequence')
    with as_user(admin):
        sequence = make_sequence()
        with pytest.raises(OrderNumberError, match='at most 10 characters'):
            Sequence.write([sequence], values)
    with as_user(admin):
        with pytest.raises(OrderNumberError, match='at most 10 characters'):
            make_sequence(**values)


@pytest.mark.parametrize('prefix', ['A\\', 'A\u200e'])
def test_a_sequence_of_other_characters_is_refused(admin, prefix):
    with as_user(admin), pytest.raises(OrderNumberError):
        make_sequence(prefix=prefix)


@pytest.mark.parametrize('values', FITTING, ids=label)
def test_a_sequence_that_fits(admin, values):
    Sequence = Pool().get('ir.sequence')
    with as_user(admin):
        sequence = make_sequence(**values)
        Sequence.write([sequence], {'name': "New"})
        Sequence.write([sequence], values)
        request = sequence.get()
    assert len(request) <= 10


def test_other_sequences_are_not_concerned(admin):
    type_ = Pool().get('ir.model.data').get_id(
        'health_imaging', 'seq_type_gnuhealth_imaging_test')
    with as_user(admin):
        assert make_sequence(sequence_type=type_, prefix='RADIOLOGY-2026-')


def test_the_shipped_sequence_makes_numbers_that_fit(admin):
    Sequence = Pool().get('ir.sequence')
    Sequence.check_order_numbers([shipped_sequence()])


def test_a_long_sequence_cannot_be_chosen(admin):
    pool = Pool()
    Sequences, Sequence = pool.get('gnuhealth.sequences'), pool.get(
        'ir.sequence')
    long, short = make_sequence(), make_sequence()
    table = Sequence.__table__()
    execute(table.update(
            [table.prefix], ['RADIOLOGY-2026-'], where=table.id == long.id))
    configuration = Sequences.__table__()
    execute(configuration.insert([configuration.id], [[1]]))
    administrator = make_user('chief', 'health.group_health_admin', ADMIN)
    with as_user(administrator):
        configuration = Sequences(1)
        configuration.imaging_req_seq = short
        configuration.save()
        configuration.imaging_req_seq = long
        with pytest.raises(OrderNumberError, match='RADIOLOGY-2026-'):
            configuration.save()


def test_a_sequence_that_grew_too_long_stops_nobody(doctor):
    left_by_an_upgrade(prefix='RADIOLOGY', padding=8)
    with as_user(doctor):
        first, second = make_request(), make_request()
    assert len(first.request) > 16
    assert first.accession_number != second.accession_number
    with as_user(make_user('other admin', ADMIN)):
        # It can be put right, or out of use.
        Sequence = Pool().get('ir.sequence')
        Sequence.write([shipped_sequence()], {'active': False})
        Sequence.write([shipped_sequence()], {'prefix': 'R', 'padding': 3})


# Former releases

def rows():
    table = Pool().get(REQUEST).__table__()
    return execute(table.select(
            table.id, table.request, table.request_line,
            table.accession_number, table.step_id, order_by=table.id))


def test_requests_of_former_releases_get_identifiers(doctor):
    Request = Pool().get(REQUEST)
    table = Request.__table__()
    patient, exam = make_patient(), make_exam()
    requests = Request.create([{
                'patient': patient.id, 'requested_test': exam.id,
                'doctor': make_professional().id,
                'request': number} for number in [
                'SHORT', 'SHORT', 'L' * 20, 'L' * 20, 'L' * 19, 'M' * 14]])
    nameless, taken = make_request(), make_request()
    execute(table.update([table.request, table.request_line], [None, None],
            where=table.id == nameless.id))
    execute(table.update([table.accession_number], [None],
            where=table.id == taken.id))
    before = rows()
    migration.set_identifiers(Request)
    assert rows()[:-2] == before[:-2]
    execute(table.update(
            [table.accession_number, table.step_id], [None, None]))
    execute(table.update(
            [table.accession_number, table.step_id], ['', ''],
            where=table.id == taken.id))
    migration.set_identifiers(Request)
    after = rows()
    assert [row for row in after if row[0] != nameless.id] == [
        row for row in before if row[0] not in {nameless.id, taken.id}] + [
        (taken.id, taken.request, taken.request_line, taken.request,
            taken.request_line)]
    assert all(attributes.is_identifier(n) for row in after for n in row[3:])
    assert len({row[4] for row in after}) == len(after)
    assert len({r.accession_number for r in requests}) == 4
    migration.set_identifiers(Request)
    assert rows() == after


def test_many_requests_get_identifiers_with_few_statements(doctor):
    from support.statements import counted
    Request = Pool().get(REQUEST)
    table = Request.__table__()
    make_request(request='L' * 20)
    columns = ['patient', 'requested_test', 'doctor', 'date', 'state',
        'request', 'request_line', 'merge_id', 'urgent']
    (row,) = execute(table.select(*(getattr(table, c) for c in columns[:5])))
    execute(table.insert([getattr(table, c) for c in columns], [
                [*row, f'{"L" * 18}{n // 2}', f'{"L" * 18}{n}-x', f'1.2.{n}',
                    False] for n in range(2000)]))
    with counted() as statements:
        migration.set_identifiers(Request)
    assert len(statements) <= 8
    after = rows()
    assert len({row[4] for row in after}) == 2001
    assert len({row[3] for row in after}) == 1001


def test_a_shared_uid_is_kept_as_the_former_one(doctor):
    Request = Pool().get(REQUEST)
    table = Request.__table__()
    patient = make_patient()
    groups = {
        '1.2.3': [make_request(patient) for _ in range(3)],
        '1.2.4': [make_request(patient), make_request(make_patient("B"))]}
    alone = make_request()
    Request.__table_handler__('health_imaging_worklist').drop_constraint(
        'merge_id_unique')
    for uid, requests in groups.items():
        execute(table.update([table.merge_id], [uid],
                where=table.id.in_([r.id for r in requests])))
    uids = (attributes.generate_uid() for _ in range(10))
    for _ in range(2):
        migration.separate_merge_ids(Request, uids.__next__)
        kept = dict(execute(table.select(table.id, table.former_merge_id)))
        for uid, requests in groups.items():
            assert {kept[r.id] for r in requests} == {uid}
        assert kept[alone.id] is None
    own = [uid for uid, in execute(table.select(table.merge_id))]
    assert len(set(own)) == len(own)


# People

@pytest.mark.parametrize('puid, charset, reason', [
        ('P' * 65, 'ISO_IR 192', 'longer than 64'),
        ('P\\1', 'ISO_IR 192', 'longer than 64 characters or holds'),
        ('P\u200e1', 'ISO_IR 192', 'characters'),
        ('ПАЦ-1', 'ISO_IR 100', 'ISO_IR 100'),
        ('P’1', 'ISO_IR 100', 'P’1'),
        ('É1', '', 'ISO 2022 IR 6'),
        ])
def test_a_patient_id_goes_out_as_it_is_or_not(
        doctor, puid, charset, reason):
    Request = Pool().get(REQUEST)
    exam = make_exam(aetitle='CT1')
    exam.imaging_worklist_template.charset = charset
    exam.imaging_worklist_template.save()
    party = Pool().get('party.party').__table__()
    bad, good = (
        make_request(make_patient(name), exam) for name in ["Bad", "Good"])
    execute(party.update([party.ref], [puid],
            where=party.id == bad.patient.party.id))
    with as_user(doctor):
        Request.requested([bad, good])
        entries = {
            e['id']: e for e in Request.get_worklist_entries()['entries']}
        text, = Request.read([bad.id], ['worklist_text'])
    assert entries[bad.id]['dicom'] is None
    assert reason in entries[bad.id]['error']
    assert puid in entries[bad.id]['error']
    assert text['worklist_text'] == entries[bad.id]['error']
    assert entries[good.id]['dicom']


def test_the_title_of_a_machine_is_not_mended(doctor):
    exam = make_exam()
    table = exam.__table__()
    execute(table.update([table.aetitle], ['TITLE THAT IS TOO LONG'],
            where=table.id == exam.id))
    for cache in Transaction().cache.values():
        cache.clear()
    exam = type(exam)(exam.id)
    request = make_request(exam=exam)
    Request = type(request)
    Request.requested([request])
    entry, = Request.get_worklist_entries()['entries']
    assert 'TITLE THAT IS TOO LONG' in entry['error']


def test_the_script_reads_them_only(doctor):
    request = make_request()
    script = make_user(
        'script', 'health_imaging_worklist.group_worklist_script')
    with as_user(script), pytest.raises(AccessError):
        type(request).write([request], {'step_id': 'X'})
