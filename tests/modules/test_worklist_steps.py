# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines tell of the exams that they do: of which request a step is,
what follows for it, and what a person is asked."""
import datetime as dt
import itertools
import random

import pytest
from support.archive_rows import have_images
from support.records import (
    RpcError, as_asked, as_user, make_exam, make_institution, make_patient,
    make_professional, make_request, make_requested, make_user, merge, on,
    run_wizard)
from support.statements import counted

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.exceptions import (
    ArgumentsError, KeptValueError)
from trytond.modules.health_imaging_worklist import performed
from trytond.modules.health_imaging_worklist.exceptions import (
    StepPatientWarning)
from trytond.modules.health_orthanc.links import effects
from trytond.pool import Pool
from trytond.transaction import Transaction

STEP = 'gnuhealth.imaging_worklist.performed_step'
REQUEST = 'gnuhealth.imaging.test.request'
IMAGING = 'health_imaging.group_health_imaging'
SCRIPT = 'health_imaging_worklist.group_worklist_script'
NODE = '0c7b1a52-6c7e-4a9e-9d0c-5f1f6a0e0001'
BEGIN = dt.datetime(2026, 3, 2, 15, 12)


@pytest.fixture
def hospital(transaction):
    company = make_institution(timezone='America/Lima')
    make_user('script', SCRIPT)
    with Transaction().set_context(company=company.id):
        yield company


@pytest.fixture
def patient(hospital):
    return make_patient(
        "José", "Ñúñez", 'm', dt.date(1984, 2, 29), ref='PUID-1')


@pytest.fixture
def exam(hospital):
    exam = make_exam("Head CT")
    Machine = Pool().get('gnuhealth.imaging_worklist.machine')
    Machine.create([{
                'name': "CT 1", 'aetitle': 'CT1',
                'exams': [('add', [exam.id])]}])
    return exam


@pytest.fixture
def request_(patient, exam):
    return make_requested(patient=patient, exam=exam, date=BEGIN)


class Console:
    """A machine, and the node that brings what it says."""

    def __init__(self, node=NODE):
        self.node = node
        self.numbers = itertools.count(1)

    def message(self, uid, kind, received=None, **attributes):
        received = received or dt.datetime.now()
        return {
            'number': next(self.numbers), 'kind': kind, 'uid': uid,
            'ae_title': 'CT1', 'address': '192.0.2.7',
            'received': received.isoformat(timespec='microseconds'),
            'attributes': {
                tag: {'vr': 'UN', 'Value': value}
                for tag, value in attributes.items()}}

    def begin(self, uid, *requests, **attributes):
        """A step of requests as a machine begins it: local time, no zone."""
        patient = requests[0].patient if requests else None
        scheduled = [{
                '0020000D': {'vr': 'UI', 'Value': [r.merge_id]},
                '00080050': {'vr': 'SH', 'Value': [r.accession_number]},
                '00400009': {'vr': 'SH', 'Value': [r.step_id]},
                } for r in requests]
        return self.message(uid, 'create', **{
                '_00400252': ['IN PROGRESS'], '_00400244': ['20260302'],
                '_00400245': ['101200.00'], '_00400254': ["Head"],
                '_00400270': scheduled or [{}],
                **({
                    '_00100020': [patient.party.ref],
                    '_00100010': [{'Alphabetic': 'NUNEZ^JOSE'}],
                    '_00100030': ['19840229'], '_00100040': ['M'],
                    } if patient else {}),
                **attributes})

    def end(self, uid, state='COMPLETED', images=(), **attributes):
        return self.message(uid, 'set', **{
                '_00400252': [state], '_00400250': ['20260302'],
                '_00400251': ['102000'],
                '_00400340': [{
                        '0020000E': {'vr': 'UI', 'Value': [f'{uid}.{n}']},
                        '0008103E': {'vr': 'LO', 'Value': [f"Series {n}"]},
                        '00081140': {'vr': 'SQ', 'Value': [{}] * count},
                        } for n, count in enumerate(images)],
                **attributes})

    def tell(self, *messages):
        Step = Pool().get(STEP)
        for message in messages:
            message['attributes'] = {
                tag.lstrip('_'): value
                for tag, value in message['attributes'].items()}
        user, = Pool().get('res.user').search([('login', '=', 'script')])
        with as_user(user):
            return Step.receive(self.node, list(messages))


def step(uid):
    found, = Pool().get(STEP).search([('uid', '=', uid)])
    return found


def fresh(record):
    return type(record)(record.id)


def without_inserts(statements):
    "Return how many there are. SQLite needs one for each new row."
    return sum(not s.startswith('INSERT') for s in statements)


def listed(request):
    """Return whether a request is on the list of the radiographer, and told
    to machines."""
    Request = Pool().get(REQUEST)
    entries = Request.get_worklist_entries()['entries']
    return (
        request in Request.search([('to_examine', '=', True)]),
        request.id in {e['id'] for e in entries})


def test_on_the_table_and_done(request_):
    console = Console()
    assert listed(request_) == (True, True)
    now = dt.datetime.now()
    assert console.tell(console.begin('1.2', request_)) == [1]
    request = fresh(request_)
    assert (request.step_state, request.step_note, request.started_at) == (
        'in_progress', "On the table since 10:12", BEGIN)
    assert request.waiting is None and listed(request) == (True, True)
    console.tell(console.end('1.2', images=[200, 20], **{
                '_0018115E': [12.5], '_00400301': [3],
                '_0040030E': [{'00189345': {'vr': 'FD', 'Value': [41.2]}}],
                '_00400310': ["CTDIvol=44,1 mGy DLP: 812.5 mGy*cm"]}))
    request = fresh(request_)
    assert (request.step_state, request.step_note) == (
        'completed', "Completed at 10:20")
    assert request.state == 'requested' and listed(request) == (False, False)
    made = step('1.2')
    assert (made.state, made.machine.name, made.start, made.end) == (
        'completed', "CT 1", BEGIN, BEGIN + dt.timedelta(minutes=8))
    assert (made.images, made.dap, made.exposures, made.ctdivol, made.dlp) == (
        220, 12.5, 3, 44.1, 812.5)
    assert "Series 0: 200" in made.series_lines and made.protocol == "Head"
    assert made.problem is None and list(made.requests) == [request]
    assert made.machine.last_step == BEGIN and made.received >= now.replace(
        second=0, microsecond=0)


def test_broken_off_is_to_do_again(request_):
    Request = Pool().get(REQUEST)
    console = Console()
    console.tell(console.begin('1.2', request_), console.end('1.2'))
    assert listed(request_) == (False, False)
    # A second try, in one call.
    console.tell(console.begin('1.3', request_), console.end(
            '1.3', 'DISCONTINUED', **{'_00400281': [{
                        '00080100': {'vr': 'SH', 'Value': ['110513']},
                        '00080104': {'vr': 'LO', 'Value': [
                            "Equipment failure"]}}]}))
    assert listed(request_) == (False, False)
    other = make_requested(
        patient=request_.patient, exam=request_.requested_test)
    console.tell(console.begin('1.4', other))
    Request.write([other], {'worklist_status': 'done'})
    console.tell(console.end('1.4', 'DISCONTINUED', **{'_00400281': [{
                        '00080104': {'vr': 'LO', 'Value': [
                            "Equipment failure"]}}]}))
    assert listed(other) == (True, True)
    assert fresh(other).step_note == (
        "Discontinued at 10:20: Equipment failure")
    assert Request.search([('step_state', '=', 'discontinued')]) == [other]


def test_what_was_reported_stays_reported(request_):
    Request = Pool().get(REQUEST)
    console = Console()
    console.tell(console.begin('1.2', request_), console.end('1.2'))
    result, = Request.make_results([request_])
    console.tell(console.begin('1.3', request_))
    console.tell(console.end('1.3', 'DISCONTINUED'))
    assert fresh(request_).state == 'done'
    assert fresh(request_).worklist_status == 'done'
    # The result goes: what was done is not done again.
    type(result).delete([result])
    assert fresh(request_).state == 'requested'
    assert listed(request_) == (False, False)


def test_a_silent_machine_stops_nothing(request_):
    console = Console()
    message = console.begin('1.2', request_)
    message['received'] = '2026-03-02T15:12:00'
    console.tell(message)
    assert fresh(request_).step_state is None
    assert listed(request_) == (True, True)


def test_one_step_of_several_requests(patient, exam, request_):
    console = Console()
    other = make_requested(patient=patient, exam=exam)
    console.tell(console.begin('1.2', request_, other), console.end('1.2'))
    assert set(step('1.2').requests) == {request_, other}
    assert {fresh(r).step_state for r in [request_, other]} == {'completed'}


def test_the_same_again_changes_nothing(request_):
    Step = Pool().get(STEP)
    console, other = Console(), Console('another')
    messages = [console.begin('1.2', request_), console.end('1.2')]
    for _ in range(2):
        assert console.tell(*messages) == [1, 2]
    late = console.end('1.2', 'DISCONTINUED')
    assert console.tell(late, *messages) == [3, 1, 2]
    assert other.tell(other.begin('1.2', request_)) == [1]
    made = step('1.2')
    assert made.state == 'completed' and len(made.requests) == 1
    assert Step.search_count([]) == 1


def test_messages_come_in_pieces(request_):
    """The first is lost, and comes later; one says nothing of its state."""
    console = Console()
    begin = console.begin('1.2', request_)
    console.tell(console.message('1.2', 'set', **{'_00400254': ["Neck"]}))
    assert (step('1.2').state, step('1.2').problem) == (
        'in_progress', 'unscheduled')
    console.tell(begin)
    made = step('1.2')
    assert (made.problem, made.patient_id) == (None, 'PUID-1')
    assert list(made.requests) == [request_] and made.protocol == "Neck"
    console.tell(console.end('1.2', images=[3]), console.message(
            '1.2', 'set', **{'_00400252': ['IN PROGRESS']}))
    assert step('1.2').state == 'completed'


@pytest.mark.parametrize('change, problem', [
        ({'_00100020': ['PUID-2']}, 'patient_differs'),
        ({'_00100030': ['19840228']}, 'patient_differs'),
        ({'_00100040': ['F']}, 'patient_differs'),
        ({'_00100030': ['unknown'], '_00100040': ['O']}, None),
        ({'_00100020': ['puid-1 ']}, None),
        ({'_00400270': [{}]}, 'unscheduled'),
        ({'_00400270': [{}], '_00100020': ['EMERGENCY']}, 'unknown_patient'),
        ({'_00400270': "nonsense"}, 'unscheduled'),
        ])
def test_of_whom_a_step_is(request_, change, problem):
    make_patient("Other", "Person", ref='PUID-2')
    console = Console()
    assert console.tell(console.begin('1.2', request_, **change)) == [1]
    assert step('1.2').problem == problem
    assert bool(step('1.2').requests) is (problem is None)


def test_a_patient_who_was_merged_since_the_machine_read_its_list(
        patient, request_):
    console = Console()
    begun = console.begin('1.2', request_)
    second, third = [
        make_patient("José", "Núñez", 'm', dt.date(1984, 2, 29), ref=puid)
        for puid in ['PUID-2', 'PUID-3']]
    merge(patient.party, second.party)
    merge(second.party, third.party)
    console.tell(begun, console.begin(
            '1.3', request_, **{'_00100020': ['PUID-4']}))
    assert fresh(request_).patient == third
    assert (step('1.2').problem, *step('1.2').requests) == (None, request_)
    assert step('1.3').problem == 'patient_differs'


@pytest.mark.parametrize('puid, linked', [
        (['PUID-1'], True), (['PUID-2'], False), ([], False)])
def test_an_accession_number_alone_names_nobody(request_, puid, linked):
    make_patient("Other", "Person", ref='PUID-2')
    console = Console()
    console.tell(console.begin('1.2', request_, **{
                '_00100020': puid, '_00400270': [{'00080050': {
                            'vr': 'SH', 'Value': [
                                request_.accession_number]}}]}))
    assert bool(step('1.2').requests) is linked


def test_a_canceled_request_is_shown(request_):
    Request = Pool().get(REQUEST)
    Request.cancel_for([request_], "Late")
    console = Console()
    console.tell(console.begin('1.2', request_))
    assert step('1.2').problem == 'request_state'
    assert fresh(request_).worklist_status == 'canceled'


@pytest.mark.parametrize('broken', [
        {'uid': None}, {'uid': 'x; drop'}, {'kind': 'get'},
        {'attributes': []}, {'attributes': None}])
def test_what_cannot_be_read_is_kept_and_shown(request_, broken):
    Step = Pool().get(STEP)
    console = Console()
    message = {**console.begin('1.2', request_), **broken}
    for _ in range(2):
        with as_user(Pool().get('res.user').search(
                    [('login', '=', 'script')])[0]):
            assert Step.receive(NODE, [message, {}, 7, None]) == [1]
    kept, = Step.search([('problem', '!=', None)])
    assert kept.problem == 'unreadable' and kept.aetitle == 'CT1'
    with as_user(make_user('technician', IMAGING)):
        Step.of_none([kept])
    assert fresh(kept).problem is None and kept.decided_by.name == 'technician'


def test_odd_values_make_no_error(request_):
    """Whatever stands where a value should be."""
    console, dice = Console(), random.Random(5)
    odd = [
        None, [], [None], [[]], [{}], ["\0" * 3], ["x" * 9999], [1e999], [-1],
        ['99999999'], [{'Alphabetic': 7}], "text", [{'00189345': 7}],
        [True], [{'00081140': {'Value': 'x'}}], ['+9900'], [float('nan')]]
    tags = [
        '00080201', '00400244', '00400245', '00400250', '00400251',
        '00400252', '00400254', '00400281', '0018115E', '00400301',
        '00400310', '0040030E', '00400340', '00400270', '00100010',
        '00100020', '00100030', '00100040']
    messages = [
        console.begin(f'1.{n}', request_, **{
                f'_{tag}': dice.choice(odd) for tag in dice.sample(tags, 6)})
        for n in range(90)]
    assert len(console.tell(*messages)) == 90


def test_times_with_an_offset_and_without_a_day():
    def read(**values):
        return performed.read({
                tag.lstrip('_'): {'Value': [value]}
                for tag, value in values.items()}, dt.timezone.utc).values
    assert read(_00400244='20260302', _00400245='0012')['start'] == (
        dt.datetime(2026, 3, 2, 0, 12))
    assert read(_00400244='20260302', _00400245='001230',
        _00080201='+0545')['start'] == dt.datetime(2026, 3, 1, 18, 27, 30)
    assert 'start' not in read(_00400245='001230')


def assign(user, step, *requests):
    with as_asked(user):
        return run_wizard(f'{STEP}.assign', [
                ('start', {}),
                ('assign', {'start': {'requests': [r.id for r in requests]}}),
                ], **on(step))


def test_a_person_assigns_a_step(request_):
    console = Console()
    technician = make_user('technician', IMAGING)
    console.tell(console.begin('1.2', request_, **{'_00400270': [{}]}))
    with as_user(technician):
        told = run_wizard(f'{STEP}.assign', [('start', {})],
            **on(step('1.2')))['view']['defaults']
    # The only one that the patient has there.
    assert told['requests'] == [request_.id] and 'PUID-1' in told['told']
    assign(technician, step('1.2'), request_)
    made = step('1.2')
    assert made.problem is None and made.decided_by == technician
    assert fresh(request_).step_state == 'in_progress'
    console.tell(console.end('1.2'))
    assert listed(request_) == (False, False)


def test_who_assigns_is_asked_about_another_patient(request_):
    console = Console()
    technician = make_user('technician', IMAGING)
    console.tell(console.begin(
            '1.2', request_, **{'_00100020': ['EMERGENCY']}))
    assert step('1.2').problem == 'patient_differs'
    with pytest.raises(StepPatientWarning, match='EMERGENCY') as asked:
        assign(technician, step('1.2'), request_)
    assert 'PUID-1' in asked.value.message
    with as_user(make_user('doctor', 'health.group_health_doctor')), \
            pytest.raises(AccessError):
        run_wizard(f'{STEP}.assign', [('start', {})], **on(step('1.2')))


def test_only_the_script_brings_steps(request_):
    Step = Pool().get(STEP)
    ModelAccess = Pool().get('ir.model.access')
    console = Console()
    console.tell(console.begin('1.2', request_))
    made = step('1.2')
    for login, *groups in [
            ('technician', IMAGING), ('stranger',),
            ('admin_', 'health_imaging.group_health_imaging_admin')]:
        with as_user(make_user(login, *groups)):
            with pytest.raises(AccessError):
                Step.receive(NODE, [])
            with pytest.raises(AccessError):
                Step.write([made], {'state': 'completed'})
            with pytest.raises(AccessError):
                ModelAccess.check(STEP, 'delete')
    script, = Pool().get('res.user').search([('login', '=', 'script')])
    with as_user(script), pytest.raises(KeptValueError):
        Step.create([{'received': BEGIN, 'state': 'completed'}])
    with as_user(make_user('nurse', 'health.group_health_doctor')):
        assert Step.read([made.id], ['state'])[0]['state'] == 'in_progress'


@pytest.mark.parametrize('args', [
        (None, []), ('', []), (NODE, None), (NODE, [{}] * 101), (NODE, 'x'),
        ('x' * 999, [])])
def test_a_call_that_is_none_is_refused(hospital, args):
    Step = Pool().get(STEP)
    call = Step.__rpc__['receive'].decorate(Step.receive)
    script, = Pool().get('res.user').search([('login', '=', 'script')])
    with as_user(script), pytest.raises((ArgumentsError, RpcError)):
        call(*args)


def test_many_steps_cost_few_statements(patient, exam):
    """Twice a hundred messages of as many requests, begun and ended."""
    Request = Pool().get(REQUEST)
    doctor = make_professional()
    requests = Request.create([{
                'patient': patient.id, 'requested_test': exam.id,
                'doctor': doctor.id} for _ in range(110)])
    Request.requested(requests)
    console, costs = Console(), []
    for some in [requests[:5], requests[5:105]]:
        for kind in [console.begin, console.end]:
            messages = [
                kind(f'1.{r.id}', *([r] if kind == console.begin else []))
                for r in some]
            with counted() as statements:
                assert len(console.tell(*messages)) == len(some)
            costs.append(without_inserts(statements))
    assert costs[2] < costs[0] + 15 and costs[3] < costs[1] + 15, costs
    assert Request.search_count([('step_state', '=', 'completed')]) == 105
    with counted() as statements:
        assert all(r.step_note for r in Request.browse(requests[:105]))
    assert len(statements) < 20
    assert make_request(patient=patient, exam=exam).step_note is None


# Images, as the PACS has them

def ago(minutes):
    """Values of the end of an exam so many minutes ago, in local time."""
    at = dt.datetime.now() - dt.timedelta(hours=5, minutes=minutes)
    return {'_00400244': [f'{at:%Y%m%d}'], '_00400245': ['000000'],
        '_00400250': [f'{at:%Y%m%d}'], '_00400251': [f'{at:%H%M%S}']}


@pytest.mark.parametrize('images, minutes, text, is_missing', [
        ([3], 40, "3 of 3 images arrived", False),
        ([3, 4], 40, "3 of 7 images arrived", True),
        ([3, 4], 20, "3 of 7 images arrived", False),
        ([2], 40, "3 of 2 images arrived", False),
        ([], 40, None, False)])
def test_images_that_are_missing(
        request_, images, minutes, text, is_missing):
    Request = Pool().get(REQUEST)
    console = Console()
    console.tell(console.begin('1.2', request_), console.end(
            '1.2', images=images, **ago(minutes)))
    have_images(request_)
    with as_user(make_user('technician', IMAGING)):
        row, = Request.read(
            [request_.id], ['images_arrived', 'images_missing'])
        assert (row['images_arrived'], row['images_missing']) == (
            text, is_missing)
        for wanted in [True, False]:
            found = Request.search([('images_missing', '=', wanted)])
            assert (request_ in found) is (wanted is is_missing)
    study, = request_.orthanc_studies
    assert study.images_arrived == text


def test_images_of_one_step_of_several_requests(patient, exam, request_):
    """They come with one of them."""
    console = Console()
    other = make_requested(patient=patient, exam=exam)
    console.tell(console.begin('1.2', request_, other), console.end(
            '1.2', images=[3], **ago(60)))
    have_images(request_)
    assert {fresh(r).images_arrived for r in [request_, other]} == {
        "3 of 3 images arrived"}
    assert not fresh(other).images_missing


def test_images_alone_end_no_exam_that_goes_on(request_):
    """They do where no machine says anything, and for who is silent."""
    Step = Pool().get(STEP)
    console = Console()
    plain = make_requested(
        patient=request_.patient, exam=request_.requested_test)
    console.tell(console.begin('1.2', request_))
    for one in [request_, plain]:
        have_images(one)
        effects.count_images({one.id})
    assert listed(fresh(request_)) == (True, True)
    assert listed(fresh(plain)) == (False, False)
    assert request_ in Pool().get(REQUEST).search([('to_read', '=', True)])
    console.tell(console.end('1.2', 'DISCONTINUED'))
    assert listed(fresh(request_)) == (True, True)
    console.tell(console.begin('1.3', plain))
    Step.write([step('1.3')], {
            'received': dt.datetime.now() - dt.timedelta(hours=25)})
    console.tell(console.begin('1.4'))
    assert listed(fresh(plain)) == (False, False)


def test_turnaround_gains_the_wait_and_the_exam(request_):
    Turnaround = Pool().get('gnuhealth.imaging.statistics.turnaround')
    Request = Pool().get(REQUEST)
    Request.write([request_], {
            'arrived_at': BEGIN - dt.timedelta(minutes=30)})
    console = Console()
    console.tell(console.begin('1.2', request_), console.end('1.2'))
    make_requested(patient=request_.patient, exam=request_.requested_test)
    row, = Turnaround.search([])
    assert (row.number, row.waiting_median, row.performing_median) == (
        2, .5, pytest.approx(8 / 60))
