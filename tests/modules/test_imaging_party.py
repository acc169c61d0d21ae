# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two records of one person are merged: requests and results follow, whatever
their state."""
import pytest
from support.records import (
    as_user, make_final, make_institution, make_patient, make_person,
    make_professional, make_request, make_requested, make_result, make_user,
    merge, run_wizard)

from trytond.modules.health_imaging.exceptions import PatientMergedError
from trytond.pool import Pool


@pytest.fixture
def radiologist(transaction):
    make_institution()
    user = make_user(
        'radiologist', 'health_imaging.group_health_imaging_reporting')
    make_professional(user, "Rosa", "Luna")
    return user


def test_requests_and_results_follow(radiologist):
    source, destination = make_patient("Ana"), make_patient("Ana")
    draft = make_request(patient=source)
    sent = make_requested(patient=source)
    final = make_final(
        radiologist, request=make_requested(patient=source))
    other = make_result(make_requested(patient=make_patient("Eva")))
    merge(source.party, destination.party)
    for record in [draft, sent, final.request, final]:
        record = type(record)(record.id)
        assert record.patient == destination
        assert record.write_uid.id == 1
    assert type(final)(final.id).state == 'final'
    assert type(other)(other.id).patient == other.patient != destination


def test_lines_of_an_order_stay_together(radiologist):
    source, destination = make_patient("Ana"), make_patient("Ana")
    first = make_request(patient=source, request='7', request_line='7-02-01')
    make_request(patient=source, request='7', request_line='7-02-02')
    merge(source.party, destination.party)
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert {r.patient for r in Request.search([('request', '=', '7')])} == {
        destination}
    Request.write([Request(first.id)], {'patient': destination.id})


def test_inactive_patients_count(radiologist):
    source, destination = make_patient("Ana"), make_patient("Ana")
    request = make_request(patient=source)
    type(source).write([source], {'active': False})
    merge(source.party, destination.party)
    assert type(request)(request.id).patient == destination


def test_nothing_is_ordered_for_who_was_merged(radiologist):
    source, destination = [
        make_patient("Ana", ref=puid) for puid in ['OLD', 'NEW']]
    request = make_request(patient=source)
    merge(source.party, destination.party)
    order = [('order_and_request', {'start': {
                    'patient': source.id, 'date': request.date,
                    'doctor': request.doctor.id, 'clinical_question': "Why?",
                    'tests': [request.requested_test.id]}})]
    for attempt in [
            lambda: run_wizard(
                'gnuhealth.patient.imaging.test.request', order),
            lambda: make_request(patient=source),
            lambda: type(request).write([request], {'patient': source.id})]:
        with pytest.raises(PatientMergedError, match=r"OLD.*NEW"):
            attempt()
    # What he had goes on, and so does who stays.
    type(request).requested([type(request)(request.id)])
    assert make_request(patient=destination)


def test_professional_who_is_merged_keeps_his_requests_and_signs(
        radiologist):
    Professional = Pool().get('gnuhealth.healthprofessional')
    own, = Professional.search(
        [('party.internal_user', '=', radiologist.id)])
    request = make_requested(doctor=own)
    final = make_final(radiologist, request=request)
    merge(own.party, make_professional(name="Rosa", lastname="Luna").party)
    request = type(request)(request.id)
    assert request.doctor.rec_name == "Luna, Rosa"
    assert type(request).search(
        [('doctor.rec_name', 'ilike', '%luna%')]) == [request]
    final = type(final)(final.id)
    assert final.signed_by.rec_name == "Luna, Rosa"
    later = make_final(radiologist, request=make_requested(doctor=own))
    assert later.signed_by.rec_name == "Luna, Rosa"
    with as_user(radiologist):
        type(final).amend([final, later])


def test_requests_of_an_inactive_patient_are_found_and_done(radiologist):
    patient = make_patient("Zoe", "Quispe")
    request = make_requested(patient=patient)
    for record in [patient, patient.party]:
        type(record).write([record], {'active': False})
    with as_user(radiologist):
        Request = type(request)
        assert Request.search([('rec_name', 'ilike', '%quispe%')]) == [request]
        row, = Request.read([request.id], ['patient.rec_name', 'rec_name'])
        assert row['patient.']['rec_name'] == "Quispe, Zoe"
        Request.generate_results([Request(request.id)])
        result, = Request(request.id).results
        assert result.patient == patient


def test_people_who_are_no_patients_are_merged_as_ever(transaction):
    source, destination = make_person("Ana"), make_person("Ana")
    merge(source, destination)
    assert not Pool().get('party.party')(source.id).active
