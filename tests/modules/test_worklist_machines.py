# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the hospital: which does an exam, what it is told of, who
asks and is not known, and what follows when one is broken."""
import datetime as dt
from io import BytesIO

import pytest
from pydicom import dcmread
from support.records import (
    as_asked, as_user, make_exam, make_institution, make_patient,
    make_patients, make_professional, make_requested, make_user, on,
    run_wizard)
from support.statements import counted

from trytond.model.exceptions import (
    AccessError, DomainValidationError, SQLConstraintError)
from trytond.modules.health_imaging.exceptions import (
    RequestNotReadyError, SafetyWarning)
from trytond.modules.health_imaging_worklist.exceptions import (
    ApplicationEntityError, CharsetError)
from trytond.pool import Pool
from trytond.transaction import Transaction

MACHINE = 'gnuhealth.imaging_worklist.machine'
UNKNOWN = f'{MACHINE}.unknown'
IMAGING = 'health_imaging.group_health_imaging'
ADMIN = 'health_imaging.group_health_imaging_admin'
SCRIPT = 'health_imaging_worklist.group_worklist_script'
NODE = '0c7b1a52-6c7e-4a9e-9d0c-5f1f6a0e0001'


@pytest.fixture
def hospital(transaction):
    company = make_institution(timezone='America/Lima')
    with Transaction().set_context(company=company.id):
        yield company


@pytest.fixture
def exam(hospital):
    return make_exam("Head CT", aetitle='OLD')


@pytest.fixture
def machines(exam):
    return [make_machine(f"CT {n}", f'CT{n}', exam) for n in (1, 2)]


def make_machine(name, aetitle, *exams, **values):
    Machine = Pool().get(MACHINE)
    machine, = Machine.create([{
                'name': name, 'aetitle': aetitle,
                'exams': [('add', [e.id for e in exams])], **values}])
    return machine


def entry(request, since=None):
    Request = Pool().get('gnuhealth.imaging.test.request')
    return next((e for e in Request.get_worklist_entries(since)['entries']
            if e['id'] == request.id), None)


def station(request):
    step, = dcmread(BytesIO(
            entry(request)['dicom'])).ScheduledProcedureStepSequence
    return step.ScheduledStationAETitle


def test_a_request_has_the_first_active_machine_of_its_exam(exam, machines):
    request = make_requested(exam=exam)
    assert request.machine == machines[0] and station(request) == 'CT1'
    assert request.aetitle == entry(request)['aetitle'] == 'CT1'
    machines[0].active = False
    machines[0].save()
    assert make_requested(exam=exam).machine == machines[1]
    # One that has it keeps it until somebody moves it.
    assert request.machine == machines[0]
    of_exam = make_requested(exam=make_exam("Knee", aetitle='DX'))
    assert (of_exam.machine, of_exam.side) == (None, None)
    assert of_exam.aetitle == station(of_exam) == 'DX'


def test_another_exam_has_its_own_machine(exam, machines):
    Request = Pool().get('gnuhealth.imaging.test.request')
    knee = make_exam("Knee", aetitle='DX')
    request = make_requested(exam=exam)
    Request.cancel_for([request], "Wrong")
    Request.draft([request])
    Request.write([request], {'requested_test': knee.id})
    assert request.machine is None and request.aetitle == 'DX'
    with pytest.raises(DomainValidationError):
        Request.write([request], {'machine': machines[0].id})


def test_a_click_brings_it_to_the_other_machine_at_once(exam, machines):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, alone = make_requested(exam=exam), make_requested(
        exam=make_exam("Knee"))
    since = Request.get_worklist_entries()['cursor']
    with as_user(make_user('technician', IMAGING)):
        assert not Request(alone.id).other_machine
        Request.next_machine([request])
        assert Request(request.id).machine == machines[1]
    assert station(request) == 'CT2' and entry(request, since)
    assert Request.search([('aetitle', '=', 'CT2')]) == [request]
    assert Request.get_worklist_entries(
        None, {'aetitles': ['CT1']})['entries'] == []
    with as_user(make_user('stranger')), pytest.raises(AccessError):
        Request.next_machine([request])


def test_a_machine_does_not_bear_everybody(exam, machines):
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    machines[1].weight_limit = 200
    machines[1].save()
    heavy = make_patient("Heavy", "Man", 'm')
    doctor = make_user('doctor', 'health.group_health_doctor')
    professional = make_professional(doctor)
    with as_user(doctor):
        pool.get('gnuhealth.patient.evaluation').create([{
                    'patient': heavy.id, 'weight': 210,
                    'evaluation_start': dt.datetime.now()}])
        result = run_wizard('gnuhealth.patient.imaging.test.request', [
                ('order_and_request', {'start': {
                            'patient': heavy.id, 'tests': [exam.id],
                            'doctor': professional.id,
                            'date': dt.datetime.now(), 'urgent': False,
                            'machine': machines[1].id, 'free_time': None}})])
    assert "210 kg" in result['view']['defaults']['findings']
    request = make_requested(exam=exam, patient=heavy)
    assert not request.safety
    with as_asked(make_user('technician', IMAGING)), \
            pytest.raises(SafetyWarning, match="210 kg"):
        Request.next_machine([request])


def test_a_title_belongs_to_one_active_machine(exam, machines):
    make_machine("Former", 'CT1', active=False)
    with pytest.raises(ApplicationEntityError):
        make_machine("Long", 'CT' * 9)
    with pytest.raises(CharsetError):
        make_machine("Odd", 'CT9', charset='LATIN-1')
    assert not machines[0].copy([machines[0]])[0].active
    # PostgreSQL ends the transaction.
    with pytest.raises(SQLConstraintError):
        make_machine("Again", 'CT1')


@pytest.mark.parametrize('switch_off', [True, False])
def test_a_broken_machine_is_switched_off(exam, machines, switch_off):
    Request = Pool().get('gnuhealth.imaging.test.request')
    lonely = make_exam("Angiography")
    machines[0].exams = [exam, lonely]
    machines[0].save()
    moved, stays = make_requested(exam=exam), make_requested(exam=lonely)
    with as_user(make_user('technician', IMAGING)):
        result = run_wizard('gnuhealth.imaging_worklist.move_requests', [
                ('start', {}),
                ('move', {'start': {
                            'to': None, 'switch_off': switch_off}}),
                ], **on(machines[0]))
        told = result['view']['defaults']
    assert told['left'] == [stays.id] and '1' in told['text']
    assert Request(moved.id).machine == machines[1]
    assert Request(stays.id).machine == machines[0]
    assert machines[0].active is not switch_off
    with as_user(make_user('doctor', 'health.group_health_doctor')), \
            pytest.raises(AccessError):
        run_wizard('gnuhealth.imaging_worklist.move_requests', [
                ('start', {})], **on(machines[1]))


def test_entries_are_counted_as_the_node_gives_them(exam, machines):
    ctscan = exam.test_type
    machines[1].modality = ctscan
    machines[1].save()
    make_requested(exam=exam)
    # Of none and of the modality.
    make_requested(exam=make_exam("Any CT"))
    make_requested(exam=make_exam("Old CT", aetitle='OLD'))
    with counted() as statements:
        # Without a modality it gets what is of any.
        assert [m.entries for m in machines] == [2, 1]
    assert len(statements) < 8


def test_the_script_is_told_of_the_machines(hospital, exam, machines):
    Machine = Pool().get(MACHINE)
    make_machine("Off", 'OFF', active=False)
    machines[0].modality, machines[0].charset = exam.test_type, 'ISO_IR 100'
    machines[0].save()
    with as_user(make_user('script', SCRIPT)):
        assert Machine.get_machines() == [
            {'ae_title': 'CT1', 'name': "CT 1", 'modality': 'CT',
                'charset': 'ISO_IR 100'},
            {'ae_title': 'CT2', 'name': "CT 2", 'modality': '',
                'charset': ''}]
    with as_user(make_user('stranger')), pytest.raises(AccessError):
        Machine.get_machines()


def asked(title, address='192.0.2.7', known=False, hour=8):
    return {
        'ae_title': title, 'address': address, 'known': known, 'entries': 3,
        'age': 3600 * hour, 'at': f'2026-03-02T{hour:02}:30:00'}


def test_who_asked_and_is_not_known_becomes_a_machine(hospital, machines):
    pool = Pool()
    Machine, Unknown = pool.get(MACHINE), pool.get(UNKNOWN)
    with as_user(make_user('script', SCRIPT)):
        Machine.note_asked(NODE, [
                asked('CT1', known=True), asked('CT1', known=True, hour=7),
                asked('NEW'), asked('NEW', hour=9), asked('X' * 999),
                {'ae_title': 7}, "nonsense"])
        Machine.note_asked(NODE, [asked('NEW', '192.0.2.8', hour=1)])
        Machine.note_asked(NODE, [
                {**asked('CT2', known=True), 'age': age} for age in ['7', -1]])
    assert Machine(machines[0].id).last_asked == dt.datetime(
        2026, 3, 2, 8, 30)
    assert [m.worklist_age for m in Machine.browse(machines)] == [
        dt.timedelta(hours=8), None]
    # For the node nothing changed, nor for who edits the machine.
    assert not any(m.write_date for m in Machine.browse(machines))
    with as_user(make_user('it', ADMIN)):
        unknown = Unknown.search([('aetitle', '=', 'NEW')])
        assert [(u.address, u.at.hour) for u in unknown] == [
            ('192.0.2.7', 9), ('192.0.2.8', 1)]
        Unknown.make_machine(unknown[:1])
        made, = Machine.search([('aetitle', '=', 'NEW')])
        other, = Unknown.search([])
    assert len(other.aetitle) <= 64
    with as_user(make_user('technician', IMAGING)), \
            pytest.raises(AccessError):
        Unknown.make_machine([other])


def test_many_that_ask_cost_few_statements(hospital, machines, monkeypatch):
    pool = Pool()
    Machine, Unknown = pool.get(MACHINE), pool.get(UNKNOWN)
    monkeypatch.setattr(
        'trytond.modules.health_imaging_worklist.machine_unknown.KEPT', 300)
    costs, script = [], make_user('script', SCRIPT)
    for many in [5, 400]:
        with as_user(script), counted() as statements:
            Machine.note_asked(NODE, [
                    asked(f'A{n}', hour=n % 20) for n in range(many)])
        # SQLite needs one for each new row.
        costs.append(sum(not s.startswith('INSERT') for s in statements))
    assert costs[1] < costs[0] + 20
    assert Unknown.search_count([]) == 300


def test_opening_hours(hospital, machines):
    pool = Pool()
    Machine = pool.get(MACHINE)
    Day = pool.get('ir.calendar.day')
    monday, = Day.search([('index', '=', 0)])
    Machine.write([machines[0]], {'hours': [('create', [{
                            'day': monday.id, 'begin': dt.time(8),
                            'end': dt.time(18)}])]})
    zone = dt.timezone(dt.timedelta(hours=-5))
    for day, hour, is_open in [
            (2, 13, True), (2, 12, False), (2, 23, False), (3, 14, False)]:
        begin = dt.datetime(2026, 3, day, hour)
        assert machines[0].is_open(
            begin, begin + dt.timedelta(minutes=20), zone) is is_open
        assert machines[1].is_open(begin, begin, zone)
    with pytest.raises(DomainValidationError):
        Machine.write([machines[0]], {'hours': [('create', [{
                            'day': monday.id, 'begin': dt.time(8),
                            'end': dt.time(7)}])]})


# The calendar

def at(hour, minute=0, day=2):
    return dt.datetime(2027, 3, day, hour, minute)


@pytest.fixture
def planned(exam, machines):
    exam.duration = dt.timedelta(minutes=40)
    exam.save()
    return [
        make_requested(exam=exam, date=at(14, minute))
        for minute in (0, 30)] + [make_requested(exam=exam, date=at(16))]


def test_the_calendar_shows_what_overlaps_and_when_it_is_closed(
        exam, machines, planned):
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert planned[0].slot_end == at(14, 40)
    assert [r.slot_note for r in planned] == [
        "overlaps another exam", "overlaps another exam", ""]
    Request.write([planned[1]], {'machine': machines[1].id})
    assert [r.slot_note for r in Request.browse(planned)] == ["", "", ""]
    Day = Pool().get('ir.calendar.day')
    tuesday, = Day.search([('index', '=', 1)])
    machines[0].hours = [{
            'day': tuesday.id, 'begin': dt.time(8), 'end': dt.time(10)}]
    machines[0].save()
    assert [r.slot_note for r in Request.browse(planned)] == [
        "", "", "outside the opening hours"]
    assert [r.slot_color for r in Request.browse(planned)] == [
        'steelblue', 'steelblue', 'darkorange']
    assert Request.search([('slot_start', '>=', at(15))]) == [planned[2]]


def test_what_is_dragged_is_rescheduled(exam, planned):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, done = planned[0], planned[2]
    technician = make_user('technician', IMAGING)
    with as_user(technician):
        Request.write([request], {
                'slot_start': at(9), 'slot_end': at(9, 40)})
    request = Request(request.id)
    assert request.date == at(9) and request.state == 'requested'
    log, = request.reschedules
    assert (log.from_date, log.to_date, log.user.name) == (
        at(14), at(9), 'technician')
    Request.make_results([done])
    with as_user(technician):
        # The same time is no change.
        Request.write([request], {'slot_start': at(9)})
        with pytest.raises(RequestNotReadyError):
            Request.write([done], {'slot_start': at(10)})
    # Who only plans has the button; a doctor moves what he ordered.
    for login, group in [
            ('desk', 'health_imaging.group_health_imaging_front_desk'),
            ('doctor', 'health.group_health_doctor')]:
        with as_user(make_user(login, group)), pytest.raises(AccessError):
            Request.write([planned[1]], {'slot_start': at(10)})
    assert len(Request(request.id).reschedules) == 1


def test_the_calendar_costs_few_statements(exam, machines):
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    doctor = make_professional()
    requests = Request.create([{
                'patient': patient.id, 'requested_test': exam.id,
                'doctor': doctor.id,
                'date': at(8) + n * dt.timedelta(minutes=20),
                'machine': machines[n % 2].id}
            for n, patient in enumerate(make_patients(60))])
    costs = []
    for some in [requests[:5], requests]:
        with counted() as statements:
            Request.read([r.id for r in some], [
                    'slot_start', 'slot_end', 'slot_note', 'slot_color'])
        costs.append(len(statements))
    assert costs[1] <= costs[0] + 2


def test_the_calendar_has_a_tab_for_each_machine(machines):
    pool = Pool()
    ActWindow = pool.get('ir.action.act_window')
    action = ActWindow(pool.get('ir.model.data').get_id(
            'health_imaging_worklist', 'act_calendar'))
    assert [name for name, *_ in action.get_domains('domains')][1:] == [
        "CT 1", "CT 2"]
    view = pool.get('gnuhealth.imaging.test.request').fields_view_get(
        pool.get('ir.model.data').get_id(
            'health_imaging_worklist', 'calendar_view_calendar'))
    assert {'slot_start', 'slot_end', 'slot_color'} <= view['fields'].keys()


def test_the_order_offers_free_times(exam, machines, planned):
    pool = Pool()
    Start = pool.get('gnuhealth.patient.imaging.test.request.start')
    Request = pool.get('gnuhealth.imaging.test.request')
    start = Start(tests=[exam], machine=machines[0], date=at(13, 31),
        free_time=None)
    offered = [key for key, _ in start.get_free_times()]
    # 13:35 would last until 14:15.
    assert offered == [
        None, '2027-03-02 15:10', '2027-03-02 16:40', '2027-03-02 17:20']
    start.free_time = offered[1]
    start.on_change_free_time()
    assert start.date == at(15, 10)
    start.tests = [make_exam("Knee")]
    start.on_change_tests()
    assert start.machine is None
    doctor = make_user('doctor', 'health.group_health_doctor')
    ids = {r.id for r in Request.search([])}
    with as_user(doctor):
        run_wizard('gnuhealth.patient.imaging.test.request', [
                ('request', {'start': {
                            'patient': make_patient().id,
                            'doctor': make_professional().id,
                            'date': at(15, 10), 'tests': [exam.id],
                            'urgent': False, 'machine': machines[1].id,
                            'free_time': None}})])
    made, = Request.search([('id', 'not in', sorted(ids))])
    assert made.machine == machines[1]
