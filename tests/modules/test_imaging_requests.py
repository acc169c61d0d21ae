# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests: their numbers, their way from draft to done, what may change on
it, and how they are found and listed."""
import datetime as dt

import pytest
from lxml import etree
from support.records import (
    as_user, make_exam, make_final, make_patient, make_professional,
    make_request, make_requested, make_result, on, run_wizard, shipped_reason,
    user)

from trytond.model.exceptions import (
    AccessError, ForeignKeyError, RequiredValidationError, SQLConstraintError)
from trytond.modules.health_imaging import dashboard
from trytond.modules.health_imaging import request as request_module
from trytond.modules.health_imaging.exceptions import (
    InactiveExamError, KeptValueError, MissingSequenceError, NotDraftError,
    NothingSelectedError, OrderPatientError, ReasonMissingError,
    RequestNotReadyError, StateError)
from trytond.modules.health_imaging.request_list import once_each
from trytond.pool import Pool
from trytond.transaction import Transaction

STAMPS = ['requested_by', 'requested_at', 'done_at', 'canceled_by',
    'canceled_at', 'canceled_for', 'cancel_reason']


@pytest.fixture
def doctor(hospital, transaction):
    return user('doctor')


def requests():
    return Pool().get('gnuhealth.imaging.test.request')


def cancel(details, *records):
    return run_wizard('gnuhealth.imaging.test.request.cancel',
        [('start', {}), ('cancel', {'start': {
                        'choice': shipped_reason(), 'reason': details}})],
        **on(*records))


# Numbers


def test_requests_without_number_are_orders_of_their_own(transaction):
    first, second = make_request(), make_request()
    assert first.request != second.request
    assert first.request_line == f'{first.request}-01-01'
    assert second.request_line == f'{second.request}-01-01'


@pytest.mark.parametrize('blank', [None, '', ' '])
def test_blank_number_is_none(transaction, blank):
    request = make_request(request=blank, request_line=blank)
    assert request.request.strip()
    assert request.request_line == f'{request.request}-01-01'


def test_requests_made_together_have_orders_of_their_own(transaction):
    values = {
        'patient': make_patient().id, 'doctor': make_professional().id,
        'requested_test': make_exam().id}
    first, second = requests().create([values, values])
    assert first.request != second.request
    assert second.request_line == f'{second.request}-01-01'


def test_requests_of_one_order_are_counted(transaction):
    values = {
        'patient': make_patient().id, 'doctor': make_professional().id,
        'requested_test': make_exam().id, 'request': 'ORD7'}
    made = requests().create([values] * 12)
    assert [r.request_line for r in made[:2]] == ['ORD7-12-01', 'ORD7-12-02']
    assert made[-1].request_line == 'ORD7-12-12'


def test_line_numbers_are_unique(transaction):
    request = make_request()
    with pytest.raises(SQLConstraintError) as error:
        make_request(patient=request.patient, request=request.request,
            request_line=request.request_line)
    assert "same number" in error.value.message


def test_order_is_for_one_patient(transaction):
    request = make_request(patient=make_patient("Ana"))
    with pytest.raises(OrderPatientError) as error:
        make_request(patient=make_patient("Eva"), request=request.request,
            request_line='other')
    assert request.request in error.value.message
    assert "Betz" in error.value.message


def test_patient_of_one_line_of_an_order_cannot_change(transaction):
    request = make_request()
    make_request(patient=request.patient, request=request.request,
        request_line='second')
    with pytest.raises(OrderPatientError):
        requests().write([request], {'patient': make_patient("Eva").id})


def test_missing_sequence_has_its_message(transaction):
    ModelData = Pool().get('ir.model.data')
    ModelData.delete(ModelData.search([
                ('module', '=', 'health_imaging'),
                ('fs_id', '=', 'seq_gnuhealth_imaging_test_request'),
                ]))
    with pytest.raises(MissingSequenceError) as error:
        make_request()
    assert "Imaging Order Sequence" in error.value.message


def test_inactive_exam_is_refused_before_a_number_is_used(transaction):
    Sequence = Pool().get('ir.sequence')
    sequence = Pool().get('gnuhealth.sequences')(1).imaging_req_seq
    exam = make_exam(active=False)
    before = Sequence(sequence.id).number_next
    with pytest.raises(InactiveExamError) as error:
        make_request(exam=exam)
    assert "Head CT" in error.value.message
    assert Sequence(sequence.id).number_next == before


def test_request_without_exam_is_refused_before_a_number_is_used(
        transaction, monkeypatch):
    monkeypatch.setattr(
        request_module, 'next_numbers', lambda *args: pytest.fail(
            "a number is used"))
    values = {'patient': make_patient().id, 'doctor': make_professional().id}
    with pytest.raises(RequiredValidationError):
        requests().create([values])


def test_exam_of_a_draft_cannot_become_an_inactive_one(transaction):
    request = make_request()
    with pytest.raises(InactiveExamError):
        requests().write(
            [request], {'requested_test': make_exam(active=False).id})


# The way from draft to done


def test_new_request_is_a_draft(doctor):
    with as_user(doctor):
        request, = requests().create([{
                    'patient': make_patient().id,
                    'requested_test': make_exam().id}])
    assert request.state == 'draft'
    assert request.doctor.party.internal_user == doctor
    assert not request.urgent
    assert abs(request.date - dt.datetime.now()) < dt.timedelta(minutes=2)
    assert not any(getattr(request, name) for name in STAMPS)


def test_sending_stamps_who_and_when(doctor):
    request = make_request()
    with as_user(doctor):
        requests().requested([requests()(request.id)])
    request = requests()(request.id)
    assert request.state == 'requested'
    assert request.requested_by == doctor
    assert abs(request.requested_at - dt.datetime.now()) < dt.timedelta(0, 120)


def test_request_of_an_exam_that_became_inactive_is_not_sent(transaction):
    request = make_request()
    request.requested_test.active = False
    request.requested_test.save()
    with pytest.raises(InactiveExamError):
        requests().requested([request])


def test_result_makes_the_request_done(transaction):
    request = make_requested()
    with as_user(user('radiologist')):
        action = requests().generate_results([requests()(request.id)])
    request = requests()(request.id)
    result, = request.results
    assert request.state == 'done'
    assert request.done_at
    assert action['res_model'] == 'gnuhealth.imaging.test.result'
    assert str(result.id) in action['pyson_domain']


@pytest.mark.parametrize('make', [make_request, make_requested])
def test_cancel_keeps_who_when_and_why(doctor, make):
    request = make()
    with as_user(doctor):
        cancel(" Patient did not come. ", request)
    request = requests()(request.id)
    assert request.state == 'canceled'
    assert request.canceled_by == doctor
    assert request.canceled_at
    assert request.canceled_for.name == "Patient did not come"
    assert request.cancel_reason == "Patient did not come."


@pytest.mark.parametrize('start', [{}, {'reason': None}, {'reason': ' \n'}])
def test_cancel_needs_a_reason(transaction, start):
    request = make_request()
    with pytest.raises(ReasonMissingError):
        run_wizard('gnuhealth.imaging.test.request.cancel',
            [('cancel', {'start': start})], **on(request))
    assert request.state == 'draft'


def test_cancel_several_at_once_and_one_twice(transaction):
    first, second = make_request(), make_requested()
    cancel("Machine out of order", first, second, first)
    assert {requests()(r.id).state for r in [first, second]} == {'canceled'}


def test_done_request_cannot_be_canceled(transaction):
    request = make_result().request
    other = make_request()
    with pytest.raises(RequestNotReadyError) as error:
        cancel("Too late", other, request)
    assert request.rec_name in error.value.message
    assert requests()(other.id).state == 'draft'


def test_canceled_request_goes_back_to_draft(transaction):
    request = make_requested()
    cancel("By mistake", request)
    request = requests()(request.id)
    requests().draft([request])
    request = requests()(request.id)
    assert request.state == 'draft'
    assert not any(getattr(request, name) for name in STAMPS)


@pytest.mark.parametrize('make', [make_requested, lambda: (
            make_result().request)])
def test_only_canceled_requests_go_back_to_draft(transaction, make):
    request = make()
    state = request.state
    requests().draft([request])
    assert requests()(request.id).state == state


def test_canceled_request_cannot_be_sent(transaction):
    request = make_request()
    cancel("By mistake", request)
    requests().requested([requests()(request.id)])
    assert requests()(request.id).state == 'canceled'


@pytest.mark.parametrize('wizard, state', [
        ('gnuhealth.imaging.test.request.cancel', 'cancel'),
        ('wizard.generate.result', 'open_'),
        ])
def test_wizards_need_a_selection(transaction, wizard, state):
    other = make_patient()
    data = {'start': {'reason': "x"}} if state == 'cancel' else {}
    for context in [{}, {'active_model': 'gnuhealth.imaging.test.request'}]:
        with pytest.raises(NothingSelectedError) as error:
            run_wizard(wizard, [(state, data)], **context)
        assert "Select at least one" in error.value.message
    # A client that names no action gets past the check of the model.
    with pytest.raises((NothingSelectedError, AccessError)):
        run_wizard(wizard, [(state, data)], **on(other))


@pytest.mark.parametrize('before', ['draft', 'requested', 'canceled', 'done'])
def test_users_cannot_write_the_state(doctor, before):
    request = make_request()
    if before != 'draft':
        requests().requested([request])
    if before == 'canceled':
        cancel("x", request)
    elif before == 'done':
        make_result(request)
    with as_user(doctor):
        request = requests()(request.id)
        requests().write([request], {'state': before})
        for after in {'draft', 'requested', 'canceled', 'done'} - {before}:
            with pytest.raises(StateError) as error:
                requests().write([request], {'state': after})
            assert "Use the buttons" in error.value.message
    assert requests()(request.id).state == before


@pytest.mark.parametrize('before, after', [
        ('done', 'draft'), ('done', 'requested'), ('done', 'canceled'),
        ('requested', 'draft'), ('draft', 'done')])
def test_nobody_leaves_the_workflow(transaction, before, after):
    request = make_request()
    if before != 'draft':
        requests().requested([request])
    if before == 'done':
        make_result(request)
    with pytest.raises(StateError):
        requests().write([requests()(request.id)], {'state': after})


@pytest.mark.parametrize('state', ['requested', 'done', 'canceled'])
def test_users_cannot_create_beyond_draft(doctor, state):
    with as_user(doctor), pytest.raises(StateError) as error:
        make_request(state=state)
    assert "first state" in error.value.message


def test_no_state_is_draft(doctor):
    with as_user(doctor):
        assert make_request(state=None).state == 'draft'


@pytest.mark.parametrize('name', STAMPS)
def test_users_cannot_fill_in_stamps(doctor, name):
    value = {'by': doctor.id, 'at': dt.datetime(2020, 1, 1)}.get(
        name[-2:], "x")
    request = make_requested()
    with as_user(doctor):
        with pytest.raises(KeptValueError) as error:
            make_request(**{name: value})
        assert "filled in by the system" in error.value.message
        with pytest.raises(KeptValueError):
            requests().write([requests()(request.id)], {name: value})


@pytest.mark.parametrize('name', ['request', 'request_line'])
def test_users_cannot_change_numbers(doctor, name):
    request = make_request()
    with as_user(doctor):
        request = requests()(request.id)
        requests().write([request], {name: getattr(request, name)})
        with pytest.raises(KeptValueError):
            requests().write([request], {name: '1'})


# What may change


def clinical_values():
    return {
        'patient': make_patient("Eva").id,
        'requested_test': make_exam("Other").id,
        'doctor': make_professional(name="Hans").id,
        'context': Pool().get('gnuhealth.pathology').create(
            [{'name': "Fracture", 'code': 'S02'}])[0].id,
        'date': dt.datetime(2030, 5, 1, 9),
        'urgent': True,
        }


@pytest.mark.parametrize('name', [
        'patient', 'requested_test', 'doctor', 'context', 'date', 'urgent'])
def test_clinical_content_changes_in_draft_only(doctor, name):
    value = clinical_values()[name]
    draft, sent, canceled = [make_request() for _ in range(3)]
    requests().requested([sent])
    cancel("x", canceled)
    done = make_result().request
    with as_user(doctor):
        requests().write([requests()(draft.id)], {name: value})
        for request in [sent, canceled, done]:
            request = requests()(request.id)
            current = getattr(request, name)
            requests().write([request], {
                    name: getattr(current, 'id', current)})
            with pytest.raises(NotDraftError) as error:
                requests().write([request], {name: value})
            assert request.rec_name in error.value.message
    with pytest.raises(NotDraftError):
        requests().write([requests()(sent.id)], {name: value})


def test_views_lock_the_clinical_content_after_draft(transaction):
    view = requests().fields_view_get(view_type='form')
    for name in clinical_values():
        states = view['fields'][name]['states']
        assert '"draft"' in states and 'readonly' in states, name


def test_comment_can_always_change(doctor):
    request = make_result().request
    with as_user(doctor):
        requests().write([requests()(request.id)], {'comment': "Claims"})
    assert requests()(request.id).comment == "Claims"


@pytest.mark.parametrize('state', ['draft', 'requested', 'done', 'canceled'])
def test_sent_and_done_requests_cannot_be_deleted(doctor, state):
    request = make_request()
    if state in {'requested', 'done'}:
        requests().requested([request])
    if state == 'done':
        make_result(request)
    if state == 'canceled':
        cancel("x", request)
    with as_user(doctor):
        if state in {'draft', 'canceled'}:
            requests().delete([requests()(request.id)])
            assert not requests().search([('id', '=', request.id)])
        else:
            with pytest.raises(NotDraftError) as error:
                requests().delete([requests()(request.id)])
            assert "Cancel it instead" in error.value.message


def test_what_a_request_says_stays_in_the_database(transaction):
    """Whoever may delete conditions, not those that are a reason."""
    context, = Pool().get('gnuhealth.pathology').create(
        [{'name': "Fracture", 'code': 'S02'}])
    request = make_request(patient=make_patient(), context=context.id)
    for record in [context, request.patient, request.requested_test,
            request.doctor]:
        with pytest.raises((ForeignKeyError, AccessError)):
            type(record).delete([record])


def test_copy_starts_anew(doctor):
    done = make_result(make_requested(urgent=True)).request
    canceled = make_requested()
    cancel("x", canceled)
    with as_user(doctor):
        copies = requests().copy([done, canceled])
    for old, new in zip([done, canceled], copies):
        assert new.state == 'draft'
        assert new.request and new.request != old.request
        assert new.request_line == f'{new.request}-01-01'
        assert not new.results
        assert not any(getattr(new, name) for name in STAMPS)
        assert new.patient == old.patient
        assert new.requested_test == old.requested_test
        assert new.urgent == old.urgent


# Finding and listing


def test_rec_name(transaction):
    request = make_request(patient=make_patient("Ana", "Betz"),
        exam=make_exam("Head CT"), request='ORD9')
    assert request.rec_name == 'ORD9-01-01 Head CT - Betz, Ana'


def test_rec_name_without_number(transaction):
    request = make_request()
    table = requests().__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.request, table.request_line], [None, None],
            where=table.id == request.id))
    Transaction().counter += 1
    for cache in Transaction().cache.values():
        cache.clear()
    assert requests()(request.id).rec_name.startswith(f'#{request.id} ')


@pytest.mark.parametrize('text', [
        'ORD10', 'ord10-02', 'ORD10-02-01', 'quiroga', 'Remedios', 'PU-77',
        'Knee', 'KNEE4', 'quiroga knee', 'Quiroga, Remedios',
        'remedios quiroga', 'ORD10-02-01 Knee MR - Quiroga, Remedios'])
def test_search_finds(transaction, text):
    request = make_request(
        patient=make_patient("Remedios", "Quiroga", ref='PU-77'),
        exam=make_exam("Knee MR", 'KNEE4', 'mri'),
        request='ORD10', request_line='ORD10-02-01')
    other = make_request(patient=make_patient(), exam=make_exam())
    found = requests().search([('rec_name', 'ilike', f'%{text}%')])
    assert found == [request]
    not_found = requests().search([
            ('rec_name', 'not ilike', f'%{text.split()[0].strip(",")}%')])
    assert not_found == [other]


@pytest.mark.parametrize('text', ['Knee Betz', 'ORD11', 'nobody', ','])
def test_search_does_not_find(transaction, text):
    make_request(patient=make_patient("Remedios", "Quiroga"),
        exam=make_exam("Knee MR"), request='ORD10')
    assert not requests().search([('rec_name', 'ilike', f'%{text}%')])


@pytest.mark.parametrize('clause, found', [
        (('rec_name', 'ilike', None), False),
        (('rec_name', 'ilike', '%'), True),
        (('rec_name', 'ilike', '%%'), True),
        (('rec_name', 'ilike', '%50\\%%'), False),
        (('rec_name', 'like', 'ORD%'), True),
        (('rec_name', '!=', 'ORD12'), False),
        (('rec_name', 'not in', ['ORD12']), False),
        (('rec_name', 'in', []), False),
        ])
def test_odd_searches(transaction, clause, found):
    request = make_request(request='ORD12')
    assert requests().search([clause]) == [request] * found


def test_search_by_exact_number(transaction):
    request = make_request(request='ORD10')
    make_request(request='ORD100')
    assert requests().search([('rec_name', '=', 'ORD10')]) == [request]
    assert requests().search([
            ('rec_name', 'in', ['ORD10', 'ORD1'])]) == [request]


def test_modality_is_shown_and_searched(transaction):
    request = make_request(exam=make_exam(type_='mri'))
    make_request(exam=make_exam(type_='ultrasound'))
    assert request.modality == 'MR'
    assert requests().search([('modality', '=', 'MR')]) == [request]
    assert requests().search([('modality', 'in', ['MR', 'CT'])]) == [request]


def test_list_shows_work_before_history(transaction, monkeypatch):
    """What is urgent today, what is to be done, oldest first, and then the
    past, newest first."""
    monkeypatch.setattr(
        dashboard, 'today', lambda zone: dt.date(2026, 5, 10))
    days = [dt.datetime(2026, 5, day, 16) for day in range(20)[1:]]
    done = [make_result(make_requested(date=days[n])).request
        for n in [0, 2]]
    canceled = make_request(date=days[1], urgent=True)
    requests().cancel_for([canceled], "x")
    late, draft = make_requested(date=days[5]), make_request(date=days[9])
    urgent = make_requested(date=days[9], urgent=True)
    old_urgent = make_requested(date=days[8], urgent=True)
    next_week = make_requested(date=days[16], urgent=True)
    table = requests().__table__()
    unknown = make_request(date=days[6])
    Transaction().connection.cursor().execute(*table.update(
            [table.urgent], [None], where=table.id == unknown.id))
    assert requests().search([]) == [
        old_urgent, urgent, late, unknown, draft, next_week,
        done[1], canceled, done[0]]


def test_list_has_its_columns_and_marks_one_word(transaction):
    view = requests().fields_view_get(view_type='tree')
    arch = etree.fromstring(view['arch'])
    names = [field.get('name') for field in arch.iter('field')]
    assert {'urgency', 'date', 'time', 'request_line', 'patient',
        'requested_test', 'modality', 'report_state', 'state'} <= set(names)
    assert names[0] == 'urgency'
    assert 'danger' not in (arch.get('visual') or '')
    assert 'danger' in arch.find('field[@name="urgency"]').get('visual')
    assert view['fields']['time']['format'] == '"%H:%M"'
    for name in ['patient', 'requested_test']:
        column = arch.find(f'field[@name="{name}"]')
        # The other columns fit beside them on a laptop.
        assert column.get('expand') and int(column.get('width')) >= 160


@pytest.mark.parametrize('clause, found', [
        (('=', 'none'), 'n'), (('=', 'preliminary'), 'p'),
        (('=', 'final'), 'f'), (('=', 'amended'), 'a'),
        (('!=', 'none'), 'pfa'), (('in', ['none', 'final']), 'nf'),
        (('not in', ['preliminary', 'amended']), 'nf'), (('=', None), '')])
def test_report_is_shown_and_searched(transaction, clause, found):
    by = {
        'n': make_requested(),
        'p': make_result().request,
        'f': make_final(user('radiologist')).request,
        'a': make_final(user('radiologist')).request,
        }
    table = Pool().get('gnuhealth.imaging.test.result').__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.revision], [1], where=table.request == by['a'].id))
    with as_user(user('doctor')):
        rows = requests().read([r.id for r in by.values()], ['report_state'])
        assert [row['report_state'] for row in rows] == [
            'none', 'preliminary', 'final', 'amended']
        assert set(requests().search([('report_state', *clause)])) == {
            by[letter] for letter in found}


def test_urgent_is_searched_by_its_word(transaction):
    urgent, other = make_request(urgent=True), make_request()
    for clause, found in [
            (('=', 'urgent'), [urgent]), (('!=', 'urgent'), [other]),
            (('=', None), [other]), (('in', ['urgent', None]), None)]:
        assert set(requests().search([('urgency', *clause)])) == set(
            found or [urgent, other])


def test_tabs_have_counts(transaction):
    ModelData = Pool().get('ir.model.data')
    Action = Pool().get('ir.action.act_window')
    action = Action(ModelData.get_id(
            'health_imaging', 'act_imaging_test_request_view'))
    tabs = {d.name: d for d in action.act_window_domains}
    assert list(tabs) == [
        "To Do", "To Report", "Draft, not sent yet", "Done", "Canceled",
        "All"]
    assert all(d.count for d in tabs.values())


class Noted(str):
    "A text that notes how often texts are looked at."
    looks = 0

    def __eq__(self, other):
        Noted.looks += 1
        return super().__eq__(other)

    def __repr__(self):
        Noted.looks += 1
        return super().__repr__()

    __hash__ = str.__hash__


def looks_at(number):
    conditions = [[Noted('id'), '!=', n] for n in range(number // 2)]
    Noted.looks = 0
    assert once_each(conditions * 2) == conditions
    return Noted.looks


def test_work_for_repeated_conditions_grows_with_their_number():
    assert looks_at(8000) < 10 * looks_at(1000)


def test_conditions_that_clients_repeat_change_nothing(doctor):
    make_request()
    request = make_requested()
    condition = ['state', '=', 'requested']
    with as_user(doctor):
        for times in [1, 1000, 8000]:
            assert requests().search(
                [condition] * times, limit=100) == [request]
