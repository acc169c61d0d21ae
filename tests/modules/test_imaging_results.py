# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results: one for each request, the signature, the amendment, and what stays
as it was signed."""
import datetime as dt

import pytest
from support.records import (
    as_user, make_attachment, make_exam, make_final, make_institution,
    make_patient, make_professional, make_request, make_requested, make_result,
    on, run_wizard, user)

from trytond.model.exceptions import (
    AccessError, DomainValidationError, ForeignKeyError,
    RequiredValidationError, SQLConstraintError)
from trytond.modules.health_imaging.exceptions import (
    FinalResultError, InterpretationMissingError, KeptReportError,
    KeptValueError, MissingSequenceError, NoHealthProfessionalError,
    NothingSelectedError, ReasonMissingError, RequestNotReadyError,
    ResultExistsError, ResultMismatchError, ResultNotEmptyError,
    ResultNotFinalError, StateError)
from trytond.modules.health_imaging.institution import age
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction, without_check_access

pytestmark = pytest.mark.usefixtures('hospital')

NAME = 'gnuhealth.imaging.test.result'


@pytest.fixture
def radiologist(transaction):
    return user('radiologist')


def results():
    return Pool().get(NAME)


def attachments():
    return Pool().get('ir.attachment')


def requests():
    return Pool().get('gnuhealth.imaging.test.request')


def finalize(user, result):
    with as_user(user):
        results().finalize([results()(result.id)])
    return results()(result.id)


def amend(reason, *records):
    return run_wizard('gnuhealth.imaging.test.result.amend',
        [('start', {}), ('amend', {'start': {'reason': reason}})],
        **on(*records))


def generate(*records):
    return run_wizard(
        'wizard.generate.result', [('open_', {})], **on(*records))


# One result for each request


def test_result_has_what_the_request_has(transaction):
    request = make_requested(date=dt.datetime(2026, 5, 4, 15))
    result = make_result(request)
    assert result.patient == request.patient
    assert result.requested_test == request.requested_test
    assert result.order == request.request
    assert result.request_date == request.date
    assert result.number
    assert result.state == 'draft'
    assert result.revision == 0
    assert result.date == request.date


@pytest.mark.parametrize('login, name', [
        ('radiologist', "Rosa"), ('secretary', "Marcela")])
def test_evaluated_by_the_user_else_the_requester(transaction, login, name):
    request = make_requested()
    assert request.doctor.party.name == "Marcela"
    with as_user(user(login)):
        requests().generate_results([requests()(request.id)])
    result, = requests()(request.id).results
    assert result.doctor.party.name == name


def test_wizard_makes_and_opens_one_result_for_each_request(radiologist):
    made = [make_requested() for _ in range(3)]
    with as_user(radiologist):
        (action, _), = generate(*made, made[0])['actions']
    found = results().search(
        PYSONDecoder({}).decode(action['pyson_domain']))
    assert {r.request for r in found} == set(made)
    assert len(found) == len(results().search([])) == 3


@pytest.mark.parametrize('how', ['button', 'wizard', 'model'])
def test_second_result_is_refused(radiologist, how):
    request = make_requested()
    make_result(request)
    with as_user(radiologist):
        request = requests()(request.id)
        with pytest.raises(RequestNotReadyError) as error:
            if how == 'button':
                requests().generate_results([request])
            elif how == 'wizard':
                generate(request)
            else:
                results().create([{'request': request.id}])
    assert request.request_line in error.value.message
    assert "already has its result" in error.value.message
    assert len(results().search([])) == 1


def test_one_done_request_among_others_makes_no_result(radiologist):
    request, done = make_requested(), make_result().request
    with as_user(radiologist), pytest.raises(RequestNotReadyError):
        generate(request, done)
    assert not requests()(request.id).results


@pytest.mark.parametrize('state', ['draft', 'canceled'])
@pytest.mark.parametrize('how', ['button', 'model'])
def test_results_come_from_requests_that_were_sent(radiologist, state, how):
    request = make_request()
    if state == 'canceled':
        requests().cancel_for([request], "x")
    with as_user(radiologist):
        with pytest.raises(RequestNotReadyError) as error:
            if how == 'button':
                requests().generate_results([requests()(request.id)])
            else:
                results().create([{'request': request.id}])
    assert "send the request" in error.value.message


def test_two_results_of_one_request_at_once_are_refused(transaction):
    request = make_requested()
    with pytest.raises(ResultExistsError):
        results().create([{'request': request.id}] * 2)


def test_request_of_a_result_is_its_own(transaction):
    first, second = make_result(), make_result()
    with pytest.raises((SQLConstraintError, ResultMismatchError)):
        results().write([second], {
                'request': first.request.id,
                'patient': first.patient.id,
                'requested_test': first.requested_test.id})


def test_result_by_hand_makes_the_request_done(radiologist):
    request = make_requested()
    with as_user(radiologist):
        result, = results().create([{'request': request.id}])
    assert result.patient == request.patient
    assert requests()(request.id).state == 'done'


@pytest.mark.parametrize('name', ['patient', 'requested_test'])
@pytest.mark.parametrize('when', ['create', 'write'])
def test_patient_and_exam_are_those_of_the_request(radiologist, name, when):
    other = {'patient': make_patient, 'requested_test': make_exam}[name]().id
    request = make_requested()
    with as_user(radiologist):
        with pytest.raises(ResultMismatchError) as error:
            if when == 'create':
                results().create([{'request': request.id, name: other}])
            else:
                result, = results().create([{'request': request.id}])
                results().write([result], {name: other})
    assert request.request_line in error.value.message


def test_order_number_and_date_are_those_of_the_request(radiologist):
    request = make_requested()
    with as_user(radiologist):
        result, = results().create([{
                    'request': request.id, 'order': 'OTHER',
                    'request_date': dt.datetime(2000, 1, 1)}])
    assert result.order == request.request
    assert result.request_date == request.date


def test_result_without_a_request(radiologist):
    patient, exam = make_patient(), make_exam()
    with as_user(radiologist):
        result, = results().create([{
                    'patient': patient.id, 'requested_test': exam.id}])
    assert result.number
    assert result.doctor.party.internal_user == radiologist
    assert not result.request and not result.order
    assert result.rec_name == f'{result.number} Head CT - Betz, Ana'


@pytest.mark.parametrize('name', ['patient', 'requested_test', 'doctor'])
def test_result_without_a_request_needs(radiologist, name):
    values = {
        'patient': make_patient().id, 'requested_test': make_exam().id,
        'doctor': make_professional().id}
    values[name] = None
    with as_user(radiologist), pytest.raises(RequiredValidationError):
        results().create([values])


def test_choosing_a_request_fills_in_the_form(transaction):
    request = make_requested()
    result = results()(request=request)
    result.on_change_request()
    assert result.patient == request.patient
    assert result.requested_test == request.requested_test
    assert result.order == request.request
    assert result.request_date == request.date
    assert result.doctor == request.doctor
    result.doctor = doctor = make_professional(name="Hans")
    result.on_change_request()
    assert result.doctor == doctor
    result.request = None
    result.on_change_request()
    assert result.patient == request.patient


def test_form_offers_requests_that_wait(transaction):
    waiting = make_requested()
    make_request()
    make_result()
    field = results().fields_view_get(view_type='form')['fields']['request']
    domain = PYSONDecoder({'id': -1}).decode(field['domain'])
    assert requests().search(domain) == [waiting]


def test_missing_sequence_has_its_message(transaction):
    request = make_requested()
    ModelData = Pool().get('ir.model.data')
    ModelData.delete(ModelData.search([
                ('module', '=', 'health_imaging'),
                ('fs_id', '=', 'seq_gnuhealth_imaging_test'),
                ]))
    with pytest.raises(MissingSequenceError) as error:
        make_result(request)
    assert "Imaging Result Sequence" in error.value.message


def test_numbers_are_unique(transaction):
    result = make_result()
    with pytest.raises(SQLConstraintError) as error:
        make_result(number=result.number)
    assert "same number" in error.value.message


# The age


@pytest.mark.parametrize('birth, at, expected', [
        (dt.date(2026, 5, 4), dt.date(2026, 5, 4), '0y 0m 0d'),
        (dt.date(2026, 5, 4), dt.date(2026, 5, 5), '0y 0m 1d'),
        (dt.date(2026, 4, 30), dt.date(2026, 5, 29), '0y 0m 29d'),
        (dt.date(2026, 4, 30), dt.date(2026, 5, 30), '0y 1m 0d'),
        (dt.date(2024, 2, 29), dt.date(2025, 2, 28), '1y 0m 0d'),
        (dt.date(2024, 2, 29), dt.date(2025, 2, 27), '0y 11m 29d'),
        (dt.date(2024, 2, 29), dt.date(2028, 2, 29), '4y 0m 0d'),
        (dt.date(1985, 10, 4), dt.date(2026, 5, 4), '40y 7m 0d'),
        (dt.date(1985, 10, 4), dt.date(2026, 10, 3), '40y 11m 29d'),
        (dt.date(1900, 1, 1), dt.date(2026, 1, 1), '126y 0m 0d'),
        (dt.date(2026, 5, 5), dt.date(2026, 5, 4), ''),
        (None, dt.date(2026, 5, 4), ''),
        (dt.date(1985, 10, 4), None, ''),
        ])
def test_age(transaction, birth, at, expected):
    assert age(birth, at) == expected
    if at:
        assert age(birth, dt.datetime.combine(at, dt.time(23, 59))) == expected


def test_age_is_of_the_local_day_of_the_exam(transaction):
    make_institution(timezone='America/Lima')
    result = make_result(
        make_requested(patient=make_patient(dob=dt.date(2026, 5, 3))),
        date=dt.datetime(2026, 5, 4, 4, 59))
    assert result.computed_age == '0y 0m 0d'
    results().write([result], {'date': dt.datetime(2026, 5, 4, 5)})
    assert results()(result.id).computed_age == '0y 0m 1d'


@pytest.mark.parametrize('date, expected', [
        (dt.datetime(1, 1, 1), ''),
        (dt.datetime(9999, 12, 31, 23, 59), '8014y 2m 27d'),
        ])
@pytest.mark.parametrize('zone', ['America/Lima', 'Asia/Kathmandu'])
def test_age_at_the_ends_of_the_calendar(transaction, zone, date, expected):
    """A slip of the keys leaves a list that opens."""
    make_institution(timezone=zone)
    assert make_result(date=date).computed_age == expected


def test_age_is_in_the_language_of_the_user(transaction):
    Translation = Pool().get('ir.translation')
    Translation.create([{
                'lang': 'es', 'type': 'model', 'name': 'ir.message,text',
                'module': 'health_imaging', 'fuzzy': False,
                'res_id': Pool().get('ir.model.data').get_id(
                    'health_imaging', 'msg_age'),
                'src': '%(years)sy %(months)sm %(days)sd',
                'value': '%(years)sa %(months)sm %(days)sd',
                }])
    result = make_result(date=dt.datetime(2026, 10, 4, 15))
    with Transaction().set_context(language='es'):
        assert results()(result.id).computed_age == '41a 0m 0d'


@pytest.mark.parametrize('name', ['patient', 'date'])
def test_age_of_an_unfinished_form_is_empty(transaction, name):
    result = results()(
        patient=make_patient(), date=dt.datetime(2026, 5, 4))
    assert result.on_change_with_computed_age()
    setattr(result, name, None)
    assert result.on_change_with_computed_age() == ''


# The signature


def test_signing_stamps_who_and_when(radiologist):
    result = finalize(radiologist, make_result(comment="No fracture."))
    assert result.state == 'final'
    assert result.signed_by.party.internal_user == radiologist
    assert abs(result.signed_at - dt.datetime.now()) < dt.timedelta(0, 60)
    assert result.revision == 0


@pytest.mark.parametrize('comment', [None, '', '  \n\t '])
def test_signing_needs_an_interpretation(radiologist, comment):
    result = make_result(comment=comment)
    with pytest.raises(InterpretationMissingError) as error:
        finalize(radiologist, result)
    assert result.number in error.value.message
    assert results()(result.id).state == 'draft'


def test_signing_needs_a_health_professional(transaction):
    result = make_result(comment="No fracture.")
    with pytest.raises(NoHealthProfessionalError):
        finalize(user('secretary'), result)


def test_professional_who_left_does_not_sign(radiologist):
    Professional = Pool().get('gnuhealth.healthprofessional')
    own, = Professional.search([('party.internal_user', '=', radiologist.id)])
    Professional.write([own], {'active': False})
    with pytest.raises(NoHealthProfessionalError):
        finalize(radiologist, make_result(comment="No fracture."))


def test_signing_twice_keeps_the_first_signature(radiologist):
    result = make_final(radiologist)
    other = user('secretary')
    make_professional(other)
    again = finalize(other, result)
    assert again.signed_by.party.internal_user == radiologist
    assert again.signed_at == result.signed_at


@pytest.mark.parametrize('state', ['draft', 'final'])
def test_users_cannot_write_the_state(radiologist, state):
    draft, final = make_result(comment="x"), make_final(radiologist)
    result = final if state == 'draft' else draft
    with as_user(radiologist), pytest.raises(StateError):
        results().write([results()(result.id)], {'state': state})


def test_users_cannot_create_final_results(radiologist):
    values = {'patient': make_patient().id, 'requested_test': make_exam().id,
        'comment': "No fracture.", 'state': 'final'}
    with as_user(radiologist), pytest.raises(StateError):
        results().create([values])


@pytest.mark.parametrize('name', [
        'signed_by', 'signed_at', 'revision', 'amend_reason'])
def test_users_cannot_fill_in_stamps(radiologist, name):
    own, *_ = Pool().get('gnuhealth.healthprofessional').search([])
    value = {'signed_by': own.id, 'revision': 3,
        'signed_at': dt.datetime(2020, 1, 1)}.get(name, "x")
    values = {'patient': make_patient().id, 'requested_test': make_exam().id}
    with as_user(radiologist):
        result, = results().create([values])
        with pytest.raises(KeptValueError):
            results().create([{**values, name: value}])
        with pytest.raises(KeptValueError):
            results().write([result], {name: value})


@pytest.mark.parametrize('name', [
        'number', 'request', 'order', 'request_date'])
def test_users_cannot_change_what_a_result_is_of(radiologist, name):
    value = {'request': make_requested().id,
        'request_date': dt.datetime(2020, 1, 1)}.get(name, "x")
    result = make_result()
    with as_user(radiologist):
        for change in [value, None]:
            with pytest.raises(KeptValueError):
                results().write([results()(result.id)], {name: change})


# What is final stays


def content():
    return {
        'patient': make_patient("Eva").id,
        'requested_test': make_exam("Other").id,
        'date': dt.datetime(2030, 5, 1, 9),
        'doctor': make_professional(name="Hans").id,
        'comment': "Fracture.",
        'report_style': 'no_images',
        }


@pytest.mark.parametrize('name', [
        'patient', 'requested_test', 'date', 'doctor', 'comment',
        'report_style'])
@pytest.mark.parametrize('checked', [True, False])
def test_final_result_is_read_only(radiologist, name, checked):
    result = make_final(radiologist)
    value = content()[name]
    with as_user(radiologist), Transaction().set_context(
            _check_access=checked):
        with pytest.raises(FinalResultError) as error:
            results().write([results()(result.id)], {name: value})
    assert result.number in error.value.message
    assert "amend it first" in error.value.message


def test_views_lock_a_final_result(transaction):
    fields = results().fields_view_get(view_type='form')['fields']
    for name in [*content(), 'images']:
        assert '"final"' in fields[name]['states'], name


def test_images_of_a_final_result_stay(radiologist):
    draft = make_result(comment="No fracture.")
    image = make_attachment(draft)
    final = finalize(radiologist, draft)
    other = make_attachment(make_result())
    image_values = {
        'name': 'x', 'type': 'data', 'data': b'x', 'resource': str(final)}
    with as_user(radiologist):
        final, image, other = [
            type(r)(r.id) for r in [final, image, other]]
        for change in [
                lambda: attachments().create([image_values]),
                lambda: attachments().write([image], {'name': 'x'}),
                lambda: attachments().write([image], {'data': b'x'}),
                lambda: attachments().write(
                    [image], {'resource': str(other.resource)}),
                lambda: attachments().write(
                    [other], {'resource': str(final)}),
                lambda: attachments().delete([image]),
                lambda: attachments().copy([image]),
                lambda: results().write([final], {
                        'images': [('create', [image_values])]}),
                lambda: results().write([final], {
                        'images': [('write', [image.id], {'name': 'x'})]}),
                lambda: results().write([final], {
                        'images': [('delete', [image.id])]}),
                lambda: results().write([final], {
                        'images': [('remove', [image.id])]}),
                lambda: results().write([final], {
                        'former_reports': [('delete', [image.id])]}),
                lambda: requests().write([final.request], {
                        'results': [('write', [final.id], {
                                    'comment': "x"})]}),
                ]:
            with pytest.raises((FinalResultError, KeptValueError)):
                change()
    with as_user(radiologist), Transaction().set_context(
            resource=str(final)), pytest.raises(FinalResultError):
        attachments().create([{'name': 'x', 'type': 'data'}])


def test_images_are_listed_in_the_order_of_the_report(radiologist):
    result = make_result()
    made = [make_attachment(result, f'{n}.png') for n in [2, 3, 1]]
    assert results()(result.id).images == tuple(made)


def test_images_of_a_draft_change(radiologist):
    result = make_result()
    with as_user(radiologist):
        image, = attachments().create([{
                    'name': 'x', 'type': 'data', 'data': b'x',
                    'resource': str(result)}])
        attachments().write([image], {'name': 'y'})
        assert results()(result.id).images == (image,)
        attachments().delete([image])
        assert results()(result.id).images == ()


def test_attachments_of_other_records_are_no_matter_of_ours(transaction):
    party = make_patient().party
    image = make_attachment(party)
    attachments().write([image], {'name': 'y', 'imaging_revision': None})
    attachments().delete([image])


@pytest.mark.parametrize('content', ['comment', 'image', 'former'])
def test_results_with_something_in_them_are_not_deleted(
        radiologist, content):
    if content == 'former':
        result = make_final(radiologist)
        results().reopen([result], "x")
        results().write([result], {'comment': None})
    else:
        result = make_result()
        if content == 'comment':
            results().write([result], {'comment': "x"})
        else:
            make_attachment(result)
    with as_user(radiologist):
        with pytest.raises(ResultNotEmptyError):
            results().delete([results()(result.id)])


def test_final_results_are_not_deleted(radiologist):
    final = make_final(radiologist)
    with as_user(radiologist), pytest.raises(FinalResultError):
        results().delete([results()(final.id)])
    with pytest.raises(FinalResultError):
        results().delete([final])


def test_an_empty_result_is_deleted_and_its_request_is_open_again(
        radiologist):
    request = make_requested()
    sent = request.requested_by, request.requested_at
    result = make_result(request)
    with as_user(radiologist):
        results().delete([results()(result.id)])
        request = type(request)(request.id)
        assert request.state == 'requested' and not request.done_at
        assert (request.requested_by, request.requested_at) == sent
        # It can be reported again.
        type(request).generate_results([request])
    assert type(request)(request.id).state == 'done'


def test_who_is_named_by_a_result_stays_in_the_database(radiologist):
    Result = results()
    result = make_final(radiologist, request=make_requested(
            patient=make_patient(), doctor=make_professional()))
    for record in [result.patient, result.signed_by, result.doctor,
            result.requested_test, result.request]:
        with pytest.raises((AccessError, ForeignKeyError)):
            type(record).delete([record])
    assert Result(result.id).patient


def test_request_of_a_result_stays(radiologist):
    result = make_result()
    with as_user(radiologist):
        with pytest.raises(KeptValueError):
            requests().write([result.request], {
                    'results': [('remove', [result.id])]})


def test_copy_starts_anew(radiologist):
    result = make_final(radiologist)
    with without_check_access():
        copied, = results().copy([result])
    assert copied.state == 'draft'
    assert copied.number != result.number
    assert copied.revision == 0
    assert not copied.images and not copied.former_reports
    for name in ['request', 'order', 'request_date', 'signed_by',
            'signed_at', 'amend_reason']:
        assert getattr(copied, name) is None, name
    assert copied.comment == result.comment


# The amendment


def test_amending_keeps_the_former_report(radiologist):
    result = make_final(radiologist)
    with as_user(radiologist):
        amend(" Wrong side. ", result)
    result = results()(result.id)
    assert result.state == 'draft'
    assert result.revision == 1
    assert result.amend_reason == "Wrong side."
    assert not result.signed_by and not result.signed_at
    assert result.comment == "No fracture."
    report, = result.former_reports
    assert report.name == f'{result.number}-0.pdf'
    assert report.imaging_revision == 0
    assert report.data.startswith(b'%PDF')
    assert not result.images


def test_each_revision_is_kept(radiologist):
    result = make_final(radiologist)
    for revision in [1, 2]:
        with as_user(radiologist):
            amend("Again", result)
            result = results()(result.id)
            results().write([result], {'comment': f"Reading {revision}."})
        result = finalize(radiologist, result)
    assert result.revision == 2
    assert {a.imaging_revision for a in result.former_reports} == {0, 1}
    assert result.state == 'final'


def test_former_reports_stay(radiologist):
    result = make_final(radiologist)
    with as_user(radiologist):
        amend("Wrong side.", result)
        result = results()(result.id)
        report, = result.former_reports
        for change in [
                lambda: attachments().write([report], {'data': b'x'}),
                lambda: attachments().write([report], {'resource': None}),
                lambda: attachments().write(
                    [report], {'imaging_revision': None}),
                lambda: attachments().delete([report]),
                lambda: results().write([result], {
                        'images': [('delete', [report.id])]}),
                ]:
            with pytest.raises(KeptReportError) as error:
                change()
            assert report.name in error.value.message
        with pytest.raises(KeptReportError):
            attachments().create([{
                        'name': 'x', 'type': 'data', 'imaging_revision': 7,
                        'resource': str(result)}])


@pytest.mark.parametrize('start', [{}, {'reason': None}, {'reason': ' \n'}])
def test_amending_needs_a_reason(radiologist, start):
    result = make_final(radiologist)
    with as_user(radiologist), pytest.raises(ReasonMissingError):
        run_wizard('gnuhealth.imaging.test.result.amend',
            [('amend', {'start': start})], **on(result))
    assert results()(result.id).state == 'final'


def test_preliminary_result_is_not_amended(radiologist):
    final, draft = make_final(radiologist), make_result()
    with as_user(radiologist), pytest.raises(ResultNotFinalError) as error:
        amend("x", final, draft)
    assert draft.number in error.value.message
    assert not attachments().search([])


def test_amending_needs_a_selection(radiologist):
    with as_user(radiologist):
        for context in [{}, {'active_model': NAME}]:
            with pytest.raises(NothingSelectedError):
                run_wizard('gnuhealth.imaging.test.result.amend',
                    [('amend', {'start': {'reason': "x"}})], **context)


def test_amending_without_office_changes_nothing(radiologist, monkeypatch):
    from trytond.modules.health_imaging.exceptions import OfficeError
    result = make_final(radiologist)
    monkeypatch.setenv('PATH', '')
    with as_user(radiologist), pytest.raises(OfficeError):
        amend("Wrong side.", result)
    assert results()(result.id).state == 'final'


# Finding, listing, prepared texts


@pytest.mark.parametrize('text', [
        'quiroga', 'Remedios', 'PU-77', 'Knee', 'Quiroga, Remedios',
        'ORD10 knee'])
def test_search_finds(transaction, text):
    result = make_result(make_requested(
            patient=make_patient("Remedios", "Quiroga", ref='PU-77'),
            exam=make_exam("Knee MR"), request='ORD10'))
    make_result(make_requested(patient=make_patient()))
    for text in [text, result.number, result.rec_name]:
        assert results().search(
            [('rec_name', 'ilike', f'%{text}%')]) == [result]


def test_rec_name_without_patient(transaction):
    """Results of former releases may have none."""
    result = make_result()
    without = results()(
        number='T1', requested_test=result.requested_test, patient=None,
        request=None, former_request=None)
    assert without.get_rec_name('rec_name') == 'T1 Head CT -'


def test_list_shows_latest_first(transaction):
    old = make_result(date=dt.datetime(2026, 5, 1))
    new = make_result(date=dt.datetime(2026, 5, 2))
    assert results().search([]) == [new, old]
    assert 'warning' in results().fields_view_get(view_type='tree')['arch']


def test_prepared_texts_of_the_exam_are_offered(transaction):
    Template = Pool().get('gnuhealth.imaging.report.template')
    knee, head = make_exam("Knee"), make_exam("Head")
    general, of_knee, of_head, old = Template.create([
            {'name': "General", 'text': "Technique:"},
            {'name': "Knee", 'text': "Knee.", 'exams': [('add', [knee.id])]},
            {'name': "Head", 'text': "Head.", 'exams': [('add', [head.id])]},
            {'name': "Old", 'text': "Old.", 'active': False},
            ])
    field = results().fields_view_get(view_type='form')['fields']['template']
    domain = PYSONDecoder({'requested_test': knee.id}).decode(field['domain'])
    assert set(Template.search(domain)) == {general, of_knee}


def test_prepared_text_is_added_to_the_interpretation(transaction):
    Template = Pool().get('gnuhealth.imaging.report.template')
    technique, impression = Template.create([
            {'name': "Technique", 'text': "Technique: plain."},
            {'name': "Impression", 'text': "Impression: normal."},
            ])
    result = results()(comment=None, template=technique)
    result.on_change_template()
    assert result.template is None
    result.template = impression
    result.on_change_template()
    assert result.comment == "Technique: plain.\n\nImpression: normal."
    result.on_change_template()
    assert result.comment.count("Impression") == 1


def test_choosing_a_text_is_not_stored(radiologist):
    Template = Pool().get('gnuhealth.imaging.report.template')
    template, = Template.create([{'name': "x", 'text': "x"}])
    result = make_result()
    with as_user(radiologist):
        results().write([results()(result.id)], {'template': template.id})
    assert results()(result.id).template is None


def test_thumbnails(radiologist):
    result = make_result()
    picture = make_attachment(result)
    document = make_attachment(result, 'a.pdf', b'%PDF-1.4')
    empty = make_attachment(result, 'b.png', b'')
    link, = attachments().create([{
                'name': 'l', 'type': 'link', 'link': 'https://example.com',
                'resource': str(result)}])
    ids = [a.id for a in [picture, document, empty, link]]
    with as_user(radiologist):
        rows = attachments().read(ids, ['imaging_thumbnail'])
        with Transaction().set_context({
                    'ir.attachment.imaging_thumbnail': 'size',
                    'ir.attachment.data': 'size'}):
            sizes = attachments().read(ids, ['imaging_thumbnail'])
    first, *others = [row['imaging_thumbnail'] for row in rows]
    assert first.startswith(b'\x89PNG')
    assert others == [None] * 3
    assert [row['imaging_thumbnail'] for row in sizes] == [
        len(first), None, None, None]


def test_large_files_are_not_opened(transaction, monkeypatch):
    from trytond.modules.health_imaging import attachment_picture
    result = make_result()
    picture = make_attachment(result)
    assert picture.imaging_picture == 'kept'
    assert picture.picture_to_print()
    monkeypatch.setattr(attachment_picture, 'PICTURE_BYTES', 10)
    picture = make_attachment(result)
    assert picture.imaging_picture == 'large'
    assert not picture.picture_to_print()
    assert not picture.imaging_thumbnail
    assert picture.data


def test_domain_of_the_request_holds_for_saved_results(transaction):
    """The domain of new results does not stop later changes."""
    result = make_result()
    try:
        results().write([result], {'request': result.request.id})
    except DomainValidationError:
        pytest.fail("the request is done and that is right")
