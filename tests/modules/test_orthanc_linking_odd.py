# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links in situations that are rare: studies that come back, patients who are
deleted or merged while something else happens, thousands at once."""
import datetime as dt

import pytest
from support.records import (
    as_user, make_attachment, make_exam, make_final, make_patient,
    make_professional, make_request, make_user, settle)
from support.statements import counted

from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.links import deciding, events, ledger
from trytond.pool import Pool
from trytond.transaction import without_check_access

BORN = dt.date(1985, 10, 4)
RESULT = 'gnuhealth.imaging.test.result'


def Study():
    return Pool().get('gnuhealth.imaging_orthanc.study')


@pytest.fixture
def server(acting):
    with without_check_access():
        server, = Pool().get('gnuhealth.orthanc.config').create([{
                    'label': "PACS", 'domain': 'http://127.0.0.1:9',
                    'user': 'u', 'password': 'p'}])
    return server


@pytest.fixture
def patient(server):
    return make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA')


@pytest.fixture
def request_(patient):
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    type(request).requested([request])
    return request


@pytest.fixture
def radiologist(acting):
    return acting


@without_check_access
def make_study(server, **values):
    number = Study().search_count([]) + 1
    study, = Study().create([{
                'orthanc_server': server.id,
                'orthanc_UID': f'orthanc-{number}',
                'study_instance_UID': f'1.2.3.{number}',
                'patient_name': 'Betz^Ana', 'patient_birth_date': BORN,
                'patient_sex': 'F', 'modalities': 'CT',
                'study_date': dt.date.today(), **values}])
    return study


def make_foreign(server, **values):
    "Make a study whose PatientID is nobody's here."
    return make_study(server, **{
            'patient_id': 'WRONG', 'patient_birth_date': None, **values})


def lose(study, lost=True):
    "Note that the server has a study no more, or again."
    tables.set_values(Study(), [study.id],
        missing_since=dt.datetime.now() if lost else None)


def decide(*studies):
    deciding.link_studies([s.id for s in studies])


def as_health_admin():
    return as_user(make_user('health_admin', 'health.group_health_admin'))


def now(record):
    return type(record)(record.id)


# A study that came again under another PatientID

def send_again(server, study, patient_id, **values):
    "Return the study that takes the place of another one."
    again = make_foreign(server, patient_id=patient_id,
        study_instance_UID=study.study_instance_UID, **values)
    lose(study)
    decide(again)
    return again


def test_a_study_that_comes_back_keeps_the_persons_link(server, patient):
    study = make_foreign(server)
    Study().write([study], {'patient': patient.id})
    mistake = send_again(server, study, 'MISTAKE')
    # Somebody takes the mistake back in the PACS.
    lose(study, False)
    lose(mistake)
    decide(study)
    assert now(study).patient == patient
    assert not now(mistake).candidates


def test_a_study_chosen_by_a_person_ends_the_link_of_the_missing_one(
        server, patient, request_):
    result, = type(request_).make_results([request_])
    study = make_foreign(server)
    Study().write([study], {'imaging_test': result.id})
    again = make_foreign(server, patient_id='AGAIN',
        study_instance_UID=study.study_instance_UID)
    Study().write([again], {'patient': patient.id})
    lose(study)
    decide(again, study)
    assert not now(study).imaging_test


def test_no_candidates_stay_beside_a_former_link(server, patient, request_):
    result, = type(request_).make_results([request_])
    study = make_foreign(server)
    Study().write([study], {'imaging_test': result.id})
    again = send_again(server, study, 'PUID-ANA', patient_birth_date=BORN)
    assert now(again).imaging_test == result
    assert not now(again).candidates


def test_a_signed_result_with_the_same_study_is_not_marked(
        server, patient, request_, radiologist):
    result = make_final(radiologist, request=request_)
    study = make_foreign(server)
    Study().write([study], {'imaging_test': result.id})
    tables.set_values(type(result), [result.id], studies_changed_at=None)
    send_again(server, study, 'PUID-ANA', patient_birth_date=BORN)
    assert not now(result).studies_changed_at


def test_a_missing_study_is_not_left_in_review(server, patient):
    study = make_foreign(server)
    Study().write([study], {'patient': patient.id})
    second = send_again(server, study, 'SECOND')
    third = send_again(server, second, 'THIRD')
    assert now(third).link_state == 'review'
    assert now(second).link_state == 'unlinked'
    assert not now(second).candidates


def test_an_inactive_person_is_no_former_link(server, patient):
    study = make_foreign(server)
    Study().write([study], {'patient': patient.id})
    again = send_again(server, study, 'AGAIN')
    Pool().get('party.party').write([patient.party], {'active': False})
    settle()
    assert not now(again).candidates


# Deleted

def test_undoing_to_a_deleted_patient_leads_nowhere(server, patient):
    eva = make_patient("Eva", "Rossi", 'f', dt.date(1970, 1, 1))
    study = make_foreign(server)
    for person in [patient, eva]:
        Study().write([study], {'patient': person.id})
    with as_health_admin():
        Pool().get('gnuhealth.patient').delete([patient])
    Study().undo_link([now(study)])
    assert now(study).link_state == 'unlinked'


def test_a_study_whose_picture_was_signed_can_be_deleted(
        server, patient, request_, radiologist):
    result, = type(request_).make_results([request_])
    study = make_foreign(server)
    Study().write([study], {'imaging_test': result.id})
    with without_check_access():
        picture = make_attachment(
            result, '1.2.3.png', imaging_study=study.id)
    type(result).write([result], {'comment': "Fine."})
    type(result).finalize([now(result)])
    # It was another person's, and the server has deleted it.
    Study().write([study], {'patient': None})
    with without_check_access():
        now(study)._drop('done')
    # It stays as missing, so that the picture goes when the result opens.
    assert now(study).missing_since
    with without_check_access():
        type(result).reopen([now(result)], "Another person's picture.")
    assert not type(picture).search([('id', '=', picture.id)])


# Merged and registered

def test_images_stored_while_people_were_merged_follow(server, patient):
    source = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-SOURCE')
    Pool().get('party.party').write([source.party], {
            'replaced_by': patient.party.id, 'active': False})
    settle()
    study = make_study(server, patient_id='PUID-SOURCE')
    # The run had read people before they were merged.
    link = ledger.read([study.id])[study.id]
    ledger.keep({study.id: link._replace(link_rule='patient_id',
                link_state='linked', patient=source.id)}, 'sync')
    events.decide([study.id], 'merge')
    assert now(study).patient == patient


def test_a_patient_registered_after_images_with_more_zeros(server):
    study = make_study(server, patient_id='0087231')
    decide(study)
    make_patient("Ana", "Betz", 'f', None, ref='87231')
    settle()
    assert now(study).link_state == 'review'


def test_a_patient_who_turns_out_to_be_another_person(server, patient):
    study = make_study(server, patient_id='PUID-ANA')
    decide(study)
    eva = make_patient("Eva", "Rossi", 'f', dt.date(1970, 1, 1))
    party = eva.party
    with as_health_admin():
        Pool().get('gnuhealth.patient').delete([eva])
        Pool().get('gnuhealth.patient').write(
            [patient], {'party': party.id})
    settle()
    assert now(study).patient != patient


def test_a_result_brings_its_patient(server, patient, request_):
    result, = type(request_).make_results([request_])
    study = make_foreign(server)
    Study().write([study], {'patient': None, 'imaging_test': result.id})
    assert now(study).patient == patient


# Many

def test_statements_do_not_grow_with_the_studies(server, patient):
    counts = []
    for number in [10, 60]:
        source = make_patient("Ana", "Betz", 'f', BORN, ref=f'S{number}')
        decide(*(make_study(server, patient_id=f'S{number}',
                    orthanc_UID=f'{number}-{i}') for i in range(number)))
        with counted() as statements:
            ledger.move(source.id, patient.id)
        # SQLite inserts each row alone.
        counts.append(sum('INSERT' not in s for s in statements))
    assert counts[1] - counts[0] < 10
