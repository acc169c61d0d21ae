# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results that are released before they are signed: what is kept, and what
becomes of the request."""
import pytest
from support.records import (
    as_user, make_attachment, make_final, make_patient, make_requested, on,
    run_wizard, shipped_reason, user)
from support.synchronizing import new_server

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.exceptions import (
    FinalResultError, KeptValueError, ReasonMissingError, ReleaseError,
    RequestNotReadyError)
from trytond.pool import Pool
from trytond.transaction import without_check_access

RESULT = 'gnuhealth.imaging.test.result'


@pytest.fixture
def reader(hospital, transaction):
    return user('radiologist')


def again(record):
    return type(record)(record.id)


def make_begun(reader, **values):
    "Make a result that a reader began, with a picture."
    request = make_requested()
    with as_user(reader):
        type(request).report([request])
        result, = again(request).results
        type(result).write([result], {
                'comment': "No fracture seen.", **values})
    make_attachment(result)
    return again(result)


def release(result, **start):
    return run_wizard('gnuhealth.imaging.test.result.release', [
            ('start', {}), ('release', {'start': start})], **on(result))


@pytest.mark.parametrize('keep', [True, False])
def test_text_and_images_are_kept_or_deleted(reader, keep):
    result = make_begun(reader)
    request = result.request
    sent = request.requested_by, request.requested_at
    with as_user(reader):
        release(result, reason="Wrong side, comes again.", keep=keep)
    request, result = again(request), again(result)
    assert request.state == 'requested' and not request.done_at
    assert (request.requested_by, request.requested_at) == sent
    assert not request.claimed_by
    assert request.worklist_status == 'todo'
    assert request.results == (result,)
    assert result.comment == ("No fracture seen." if keep else None)
    assert len(result.images) == keep
    assert result.released_by == reader and result.released_at
    assert result.release_reason == "Wrong side, comes again."


@pytest.mark.parametrize('how', ['report', 'generate_results'])
def test_who_reports_next_goes_on_with_it(reader, how):
    result = make_begun(reader)
    with as_user(reader):
        release(result, reason="x", keep=True)
        opened = getattr(type(result.request), how)([again(result.request)])
    assert opened['res_id'] == [result.id]
    request = again(result.request)
    assert request.state == 'done' and request.claimed_by == reader
    assert request.worklist_status == 'done'
    assert again(result).comment == "No fracture seen."


def test_it_is_kept_unless_it_is_said(reader):
    result = make_begun(reader)
    with as_user(reader):
        release(result, reason="x")
    assert again(result).comment


def test_signed_where_it_is(reader):
    """From the list of results, without the reading list."""
    result = make_begun(reader)
    with as_user(reader):
        release(result, reason="x", keep=True)
        type(result).finalize([again(result)])
    assert again(result.request).state == 'done'
    assert again(result).state == 'final'


def test_request_with_a_kept_text_is_not_canceled(reader):
    result = make_begun(reader)
    request = result.request
    with as_user(reader):
        release(result, reason="x", keep=True)
        with pytest.raises(RequestNotReadyError) as error:
            cancel(request)
        assert request.request_line in error.value.message
        # Not a second time unless it is emptied.
        release(again(result), reason="y", keep=False)
        cancel(request)
    assert again(request).state == 'canceled'
    assert not again(request).results


def cancel(request):
    return run_wizard('gnuhealth.imaging.test.request.cancel',
        [('cancel', {'start': {'choice': shipped_reason()}})], **on(request))


def test_what_is_not_released(reader):
    signed = make_final(reader)
    amended = make_final(reader)
    type(amended)._unsign([amended], "x")
    patient = make_patient()
    walk_in, = Pool().get(RESULT).create([{
                'patient': patient.id,
                'requested_test': signed.requested_test.id,
                'doctor': signed.doctor.id}])
    for result, error in [
            (signed, FinalResultError), (amended, ReleaseError),
            (walk_in, ReleaseError)]:
        with as_user(reader), pytest.raises(error) as refused:
            release(again(result), reason="x", keep=False)
        assert result.number in refused.value.message


def test_release_needs_a_reason(reader):
    result = make_begun(reader)
    with as_user(reader), pytest.raises(ReasonMissingError):
        release(result, reason=" ", keep=True)
    assert again(result.request).state == 'done'


def test_who_does_not_report_does_not_release(reader):
    result = make_begun(reader)
    for login in ['doctor', 'technician', 'stranger']:
        with as_user(user(login)), pytest.raises(AccessError):
            release(result, reason="x", keep=True)
    assert again(result.request).state == 'done'


@pytest.mark.parametrize('name', ['released_by', 'release_reason'])
def test_users_cannot_say_that_it_was_released(reader, name):
    result = make_begun(reader)
    values = {'released_by': reader.id, 'release_reason': "x"}
    with as_user(reader), pytest.raises(KeptValueError):
        type(result).write([result], {name: values[name]})


def test_copy_was_not_released(reader):
    result = make_begun(reader)
    with as_user(reader):
        release(result, reason="x", keep=True)
    copy, = type(result).copy([again(result)])
    assert not copy.released_at and not copy.release_reason


def test_studies_and_worklist_of_a_released_result(reader):
    """The images are there: the modality is not told again."""
    result = make_begun(reader)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    with without_check_access():
        study, = Study.create([{
                    'orthanc_server': new_server('http://pacs.invalid'),
                    'orthanc_UID': 'o', 'study_instance_UID': '2.999.1',
                    'modalities': 'CT', 'number_of_instances': 3}])
        Study.write([study], {
                'patient': result.patient.id, 'request': result.request.id,
                'imaging_test': result.id})
    with as_user(reader):
        release(result, reason="x", keep=False)
    assert again(study).imaging_test == result
    assert again(result.request).worklist_status == 'done'
    with as_user(reader):
        assert again(result.request).to_read
