# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people linked by hand before 5.0 is carried over to the studies of
today, and no other link is replaced."""
import datetime as dt

import pytest
from support.hospitals import with_company
from support.records import (
    as_user, make_exam, make_patient, make_professional, make_request,
    make_user)

from trytond.model.exceptions import AccessError
from trytond.pool import Pool

hospital = with_company

COMMENT = 'NEED TO VERIFY!'


@pytest.fixture
def servers(hospital):
    return Pool().get('gnuhealth.orthanc.config').create([{
                'label': label, 'domain': f'http://127.0.0.1:{port}',
                'user': 'u', 'password': 'p'}
            for label, port in [("PACS", 9), ("Other", 10)]])


@pytest.fixture
def patient(hospital):
    return make_patient(
        "Ana", "Betz", 'f', dt.date(1985, 10, 4), ref='PUID-ANA')


@pytest.fixture
def other(hospital):
    return make_patient("Tom", "Orr", 'm', dt.date(1950, 1, 1), ref='PUID-TOM')


def make_result(patient):
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    Request = Pool().get('gnuhealth.imaging.test.request')
    Request.requested([request])
    result, = Request.make_results([request])
    return result


def make_study(server, number, **values):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study, = Study.create([{
                'orthanc_server': server.id, 'orthanc_UID': f'id-{number}',
                'study_instance_UID': f'1.2.{number}', 'patient_id': 'A',
                **values}])
    return study


def make_former(server, number, patient=None, result=None, **values):
    pool = Pool()
    person, = pool.get('gnuhealth.orthanc.patient').create([{
                'server': server.id if server else None,
                'uuid': f'person-{number}', 'ident': 'A',
                'patient': patient.id if patient else None}])
    former, = pool.get('gnuhealth.orthanc.study').create([{
                'server': server.id if server else None,
                'uuid': f'id-{number}', 'instance_uid': f'1.2.{number}',
                'patient': person.id,
                'imaging_test': result.id if result else None, **values}])
    return former


def carry_over(kind='study', dry_run=False, limit=500):
    Former = Pool().get('gnuhealth.orthanc.study')
    after, outcomes = 0, []
    while after is not None:
        answer = Former.carry_over_links(kind, after, limit, dry_run)
        after = answer['next']
        outcomes += [row['outcome'] for row in answer['rows']]
    return outcomes


def again(study):
    return type(study)(study.id)


def test_links_are_carried_over_and_marked(servers, patient):
    result = make_result(patient)
    study = make_study(servers[0], 1, merge_comment="CT")
    make_former(servers[0], 1, patient, result)
    assert carry_over() == ['linked']
    study = again(study)
    assert (study.patient, study.imaging_test) == (patient, result)
    assert study.request == result.request
    assert (study.link_rule, study.link_state) == ('person', 'linked')
    assert study.merge_comment == f"CT; {COMMENT}"
    line, = study.link_log
    assert (line.action, line.rule, line.result) == ('link', 'person', result)


def test_done_again_it_changes_nothing(servers, patient):
    study = make_study(servers[0], 1)
    make_former(servers[0], 1, patient)
    assert carry_over() == ['linked']
    written = again(study).write_date
    assert carry_over() == ['already']
    assert again(study).write_date == written
    assert again(study).merge_comment == COMMENT


def test_a_dry_run_changes_nothing(servers, patient):
    study = make_study(servers[0], 1)
    make_former(servers[0], 1, patient)
    assert carry_over(dry_run=True) == ['linked']
    assert not again(study).patient and not again(study).merge_comment


def test_all_blocks_are_done(servers, patient):
    for number in range(5):
        make_study(servers[0], number)
        make_former(servers[0], number, patient)
    assert carry_over(limit=2) == ['linked'] * 5


def test_another_link_is_not_replaced(servers, patient, other):
    linked = make_study(servers[0], 1, patient=other.id)
    make_former(servers[0], 1, patient)
    filed = make_study(servers[0], 2, patient=patient.id,
        imaging_test=make_result(patient).id)
    make_former(servers[0], 2, patient, make_result(patient))
    asked = make_study(
        servers[0], 3, request=make_result(patient).request.id)
    make_former(servers[0], 3, patient, make_result(patient))
    before = [s.merge_comment for s in [linked, filed, asked]]
    assert carry_over() == ['conflict'] * 3
    assert again(linked).patient == other
    assert [again(s).merge_comment for s in [linked, filed, asked]] == before


def test_what_a_person_left_unlinked_stays_so(servers, patient):
    study = make_study(servers[0], 1)
    type(study).reject([study])
    make_former(servers[0], 1, patient)
    assert carry_over() == ['rejected']


def test_a_result_is_added_to_the_patient_of_a_rule(servers, patient):
    result = make_result(patient)
    study = make_study(servers[0], 1, patient=patient.id,
        link_rule='patient_id', link_state='linked')
    make_former(servers[0], 1, patient, result)
    assert carry_over() == ['linked']
    assert again(study).imaging_test == result


def test_the_study_uid_finds_what_has_another_orthanc_id(servers, patient):
    study = make_study(servers[0], 1)
    make_study(servers[1], 1, orthanc_UID='elsewhere')
    make_former(servers[0], 1, patient, uuid='before')
    assert carry_over() == ['linked']
    assert again(study).patient == patient


def test_the_study_uid_of_another_person_is_not_taken(servers, patient):
    make_study(servers[0], 1, patient_id='B')
    make_former(servers[0], 1, patient, uuid='before')
    assert carry_over() == ['not_there']


def test_several_candidates_are_not_guessed(servers, patient):
    make_study(servers[0], 1)
    make_study(servers[1], 1)
    make_former(None, 1, patient)
    assert carry_over() == ['several']


def test_what_is_not_there_or_was_not_linked_is_told(servers, patient, other):
    make_former(servers[0], 1, patient)
    make_former(servers[0], 2)
    make_former(servers[0], 3, other, make_result(patient))
    assert carry_over() == ['not_there', 'not_linked', 'contradiction']


def test_studies_of_a_linked_patient_follow(servers, patient, other):
    former = make_former(servers[0], 1, patient)
    make_study(servers[0], 1, orthanc_patient=former.patient.id)
    newer = make_study(servers[0], 2, orthanc_patient=former.patient.id)
    wrong = make_study(servers[0], 3, orthanc_patient=former.patient.id,
        patient_birth_date=dt.date(1950, 1, 1))
    assert carry_over() == ['linked']
    assert carry_over('patient') == ['linked', 'contradiction']
    assert again(newer).patient == patient and not again(wrong).patient
    assert again(newer).merge_comment == COMMENT


def test_servers_that_were_never_compared_are_named(servers, patient):
    pool = Pool()
    Former = pool.get('gnuhealth.orthanc.study')
    make_former(servers[0], 1, patient)
    make_former(servers[1], 2, patient)
    pool.get('gnuhealth.orthanc.sync_run').create([{
                'server': servers[1].id, 'full': True, 'state': 'done'}])
    assert Former.missing_synchronizations() == ["PACS"]


def test_it_is_for_administrators(servers, patient):
    make_former(servers[0], 1, patient)
    user = make_user('doctor', 'health.group_health_doctor')
    Former = Pool().get('gnuhealth.orthanc.study')
    with as_user(user), pytest.raises(AccessError):
        Former.carry_over_links('study')
