# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of studies in the hands of those who merge, activate, delete and
choose in an unusual order."""
import datetime as dt

import pytest
from support.hospitals import with_company
from support.records import (
    as_user, make_attachment, make_exam, make_patient, make_professional,
    make_request, make_user, on, run_wizard, settle)
from support.statements import counted

from trytond.modules.health_orthanc.links import deciding, ledger
from trytond.modules.health_orthanc.links.link import Link
from trytond.pool import Pool
from trytond.transaction import Transaction

hospital = with_company

BORN = dt.date(1985, 10, 4)
STUDY = 'gnuhealth.imaging_orthanc.study'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'


@pytest.fixture
def server(hospital):
    Server = Pool().get('gnuhealth.orthanc.config')
    server, = Server.create([{
                'label': "PACS", 'domain': 'http://127.0.0.1:9',
                'user': 'u', 'password': 'p'}])
    return server


@pytest.fixture
def patient(hospital):
    return make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA')


@pytest.fixture
def request_(patient):
    Request = Pool().get(REQUEST)
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    Request.requested([request])
    return request


@pytest.fixture
def radiologist(hospital):
    user = make_user('radiologist', 'health.group_health_doctor',
        'health_imaging.group_health_imaging_reporting')
    make_professional(user, "Rosa", "Luna")
    return user


@pytest.fixture
def merger(hospital):
    return make_user('merger', 'party.group_party_admin',
        'health.group_health_admin')


def make_study(server, **values):
    Study = Pool().get(STUDY)
    number = Study.search_count([]) + 1
    study, = Study.create([{
                'orthanc_server': server.id,
                'orthanc_UID': f'orthanc-{number}',
                'study_instance_UID': f'1.2.3.{number}',
                'patient_name': 'Betz^Ana',
                'patient_birth_date': BORN,
                'patient_sex': 'F',
                'modalities': 'CT',
                'study_date': dt.date.today(),
                **values}])
    return study


def link(study):
    deciding.link_studies([study.id])
    return again(study)


def again(record):
    return type(record)(record.id)


def merge(merger, source, destination):
    "Merge a party into another one, as the merger."
    Warning_ = Pool().get('res.user.warning')
    Warning_.create([{
                'user': merger.id,
                'name': f'party.replace name {source.id} {destination.id}',
                'always': False}])
    with as_user(merger):
        run_wizard('party.replace', [('replace', {'ask': {
                            'source': source.id,
                            'destination': destination.id}})], **on(source))


def make_other(puid):
    "Make another record of Ana."
    return make_patient("Ana", "Betz", 'f', BORN, ref=puid)


def test_a_run_that_read_who_is_merged_gives_him_nothing(
        server, patient, merger):
    "It stores what it decided after the merge was decided on."
    stays = make_other('PUID-TWO')
    merge(merger, patient.party, stays.party)
    settle()
    study = make_study(server, patient_id='PUID-ANA')
    ledger.keep(
        {study.id: Link('patient_id', 'linked', patient.id)}, 'sync')
    assert link(study).patient == stays


def test_the_record_of_who_was_no_patient_gets_the_images(
        server, patient, merger):
    "Images of the record that goes are his when he becomes a patient."
    Patient = Pool().get('gnuhealth.patient')
    Party = Pool().get('party.party')
    stays = make_other('PUID-TWO')
    party = stays.party
    Patient.delete([stays])
    study = link(make_study(server, patient_id='PUID-ANA'))
    merge(merger, patient.party, party)
    settle()
    assert again(study).patient == patient
    stays, = Patient.create([{'party': Party(party.id)}])
    settle()
    assert again(study).patient == stays


def test_merged_into_somebody_who_was_merged_before(
        server, request_, merger):
    patient = request_.patient
    two, three, four = map(make_other, ['P2', 'P3', 'P4'])
    study = link(make_study(server, study_instance_UID=request_.merge_id))
    merge(merger, three.party, four.party)
    merge(merger, patient.party, two.party)
    merge(merger, two.party, three.party)
    settle()
    assert again(study).patient == four
    assert again(request_).patient == four
    assert again(study).request == request_


def test_who_is_activated_again_is_himself_again(server, patient, merger):
    "So a merge by mistake is taken back: the field cannot be emptied."
    Party = Pool().get('party.party')
    other = make_other('PUID-TWO')
    merge(merger, patient.party, other.party)
    with as_user(merger):
        Party.write([patient.party], {'active': True})
    settle()
    for puid, owner in [('PUID-ANA', patient), ('PUID-TWO', other)]:
        study = link(make_study(
                server, patient_id=puid, patient_birth_date=None))
        assert study.patient == owner


def test_a_candidate_may_be_merged_before_he_is_chosen(
        server, patient, merger, radiologist):
    "Decisions on what he was offered may not have run yet."
    stays = make_other('PUID-TWO')
    study = link(make_study(
            server, patient_id='PUID-ANA', patient_sex='M'))
    merge(merger, patient.party, stays.party)
    with as_user(radiologist):
        run_wizard('gnuhealth.imaging_orthanc.choose_candidate',
            [('choose', {})], **on(next(
                    c for c in study.candidates if c.patient == patient)))
    assert again(study).patient == stays


def test_undo_leads_to_nobody_who_was_deleted(server, patient, radiologist):
    Study, Patient = Pool().get(STUDY), Pool().get('gnuhealth.patient')
    eva = make_patient("Eva", "Other", ref='EVA')
    study = make_study(server, patient_id='PUID-ANA')
    with as_user(radiologist):
        for someone in [eva, patient]:
            Study.write([study], {'patient': someone.id})
    Patient.delete([eva])
    settle()
    with as_user(radiologist):
        Study.undo_link([again(study)])
    study = again(study)
    # Rules decide again, as his choice is gone.
    assert (study.link_rule, study.link_state) == ('patient_id', 'linked')
    assert study.patient == patient


def make_signed(server, request_, radiologist):
    "Return a study and the signed result with its picture."
    Request, Result = Pool().get(REQUEST), Pool().get(RESULT)
    study = link(make_study(server, study_instance_UID=request_.merge_id))
    with as_user(radiologist):
        result, = Request.make_results([request_])
    make_attachment(result, imaging_study=study.id)
    with as_user(radiologist):
        Result.write([result], {'comment': "Fine."})
        Result.finalize([result])
    return again(study), again(result)


def test_a_deleted_study_leaves_its_picture_to_be_found(
        server, request_, radiologist):
    """The server has deleted the study, so it must not fail here; the picture
    goes when the result is amended."""
    Study = Pool().get(STUDY)
    study, result = make_signed(server, request_, radiologist)
    eva = make_patient("Eva", "Other", ref='EVA')
    with as_user(radiologist):
        Study.write([study], {'patient': eva.id})
    again(study)._drop('done')
    study = again(study)
    assert study.missing_since and not study.patient
    assert not study.deleting_since
    with as_user(radiologist):
        run_wizard(f'{RESULT}.amend',
            [('amend', {'start': {'reason': "x"}})], **on(result))
    assert not again(result).images


def test_a_report_waits_again_for_a_study_that_came_back(
        server, request_, radiologist):
    Server = Pool().get('gnuhealth.orthanc.config')
    Study = Pool().get(STUDY)
    Report = Pool().get('gnuhealth.orthanc.report')
    Server.write([server], {'store_reports': True})
    study, _ = make_signed(server, request_, radiologist)
    report, = Report.search([])
    eva = make_patient("Eva", "Other", ref='EVA')
    with as_user(radiologist):
        Study.write([study], {'patient': eva.id})
    assert not report._claim()
    assert again(report).state == 'superseded'
    with as_user(radiologist):
        Study.undo_link([again(study)])
    assert again(report).state == 'waiting'
    assert again(report)._claim()


@pytest.mark.parametrize('modality, status', [
        ('sr', 'todo'), ('Pr', 'todo'), ('ct', 'done'), ('XX', 'done')])
def test_modalities_may_be_written_in_small_letters(
        server, request_, modality, status):
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    study = make_study(server, study_instance_UID=request_.merge_id,
        modalities=modality)
    Series.create([{
                'study': study.id, 'modality': modality,
                'orthanc_UID': 'series', 'series_UID': '1.2.3.4'}])
    link(study)
    assert again(request_).worklist_status == status


def test_a_correction_asks_as_much_for_many_studies(server, patient):
    "What is inserted may cost a statement each, but not what is read."
    Study, Party = Pool().get(STUDY), Pool().get('party.party')
    desk = make_user('desk', 'health.group_health_frontdesk')
    numbers, asked = iter(range(1000)), []
    for born in [dt.date(1980, 1, 1), BORN]:
        studies = Study.create([{
                    'orthanc_server': server.id, 'orthanc_UID': f'o{n}',
                    'study_instance_UID': f'1.2.4.{n}',
                    'patient_name': 'Betz^Ana', 'patient_sex': 'F',
                    'patient_birth_date': patient.party.dob,
                    'patient_id': 'PUID-ANA', 'modalities': 'CT',
                    } for n in (next(numbers) for _ in range(40))])
        deciding.link_studies([s.id for s in studies])
        Transaction().counter += 1
        with as_user(desk):
            Party.write([patient.party], {'dob': born})
        with counted() as statements:
            settle()
        asked.append(sum(s.startswith('SELECT') for s in statements))
    assert asked[1] < asked[0] + 20


def test_names_in_a_review_turn_nothing_around(server, hospital):
    make_patient("A\u202ena", "Be\u2066tz", 'f', BORN, ref='PUID-ANA')
    study = link(make_study(
            server, patient_id='PUID-ANA', patient_name='\u202eX^Y\u2067'))
    candidate, = study.candidates
    assert candidate.name == 'Ana Betz \u2260 X, Y'
    assert study.review_code == 'name_differs'
    for control in ['\u202e', '\u2066', '\u2067']:
        assert control not in study.review_reason


def test_zeros_may_be_lost_before_the_patient_is_registered(server):
    study = link(make_study(server, patient_id='0077441',
            patient_name='Kowalska^Zofia', patient_birth_date=None))
    assert study.link_state == 'unlinked'
    make_patient("Zofia", "Kowalska", 'f', dt.date(1950, 1, 1), ref='77441')
    settle()
    assert again(study).review_code == 'patient_id_not_exact'


def test_who_asked_for_a_deletion_may_be_gone(server):
    Study = Pool().get(STUDY)
    study = make_study(server)
    asked = dt.datetime.now() - dt.timedelta(hours=1)
    Study.write([study], {'deleting_since': asked, 'missing_since': asked})
    Study.settle_deletions(server.id, dt.datetime.now(), True)
    assert not Study.search([])


def test_undo_of_what_a_rule_took_away_holds(server, patient, radiologist):
    Study = Pool().get(STUDY)
    Card = Pool().get('gnuhealth.person_alternative_identification')
    card, = Card.create([{
                'party': patient.party.id, 'code': 'CARD-7',
                'alternative_id_type': 'other'}])
    study = link(make_study(server, patient_id='CARD-7'))
    assert study.patient == patient
    desk = make_user('desk', 'health.group_health_frontdesk')
    with as_user(desk):
        Card.delete([card])
    settle()
    assert not again(study).patient
    with as_user(radiologist):
        Study.undo_link([again(study)])
    settle()
    study = link(again(study))
    assert (study.patient, study.link_rule) == (patient, 'person')


def test_undo_is_caused_by_a_person(server, patient, radiologist):
    Study = Pool().get(STUDY)
    Party = Pool().get('party.party')
    study = link(make_study(server, patient_id='PUID-ANA'))
    eva = make_patient("Eva", "Other", ref='EVA')
    with as_user(radiologist):
        Study.write([study], {'patient': eva.id})
        Party.write([patient.party], {'dob': dt.date(1950, 1, 1)})
        Study.undo_link([again(study)])
    assert again(study).link_state == 'review'
    assert {l.cause for l in again(study).link_log[:2]} == {'person'}


def test_a_review_ends_with_the_request_that_was_offered(
        server, patient, radiologist):
    Request = Pool().get(REQUEST)
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    study = link(make_study(
            server, accession_number=request.request, patient_birth_date=None))
    assert study.review_code == 'accession_no_id'
    settle()
    with as_user(radiologist):
        Request.delete([again(request)])
    settle()
    study = again(study)
    assert (study.link_state, study.review_code) == ('unlinked', None)


def test_a_review_ends_with_the_patient_who_was_offered(server, patient):
    Patient = Pool().get('gnuhealth.patient')
    study = link(make_study(server, patient_id='PUID-ANA', patient_sex='M'))
    assert study.review_code == 'sex_differs'
    settle()
    admin = make_user('admin_of_health', 'health.group_health_admin')
    with as_user(admin):
        Patient.delete([patient])
    settle()
    study = again(study)
    assert (study.link_state, study.review_code) == ('unlinked', None)


def test_an_order_is_offered_images_whose_patient_was_chosen(
        server, patient, radiologist):
    Study, Request = Pool().get(STUDY), Pool().get(REQUEST)
    exam = make_exam("Head CT", type_='ctscan')
    study = link(make_study(server, patient_name='Unknown^Unknown',
            patient_id='NOTFALL 17', patient_birth_date=None))
    with as_user(radiologist):
        Study.write([study], {'patient': patient.id})
        request, = Request.create([{
                    'patient': patient.id, 'requested_test': exam.id}])
    settle()
    offered, = again(request).candidates
    assert offered.study == study
    assert again(study).patient == patient and not again(study).request
    with as_user(radiologist):
        Study.accept([again(study)])
    settle()
    assert again(study).request == request
    assert again(request).worklist_status == 'done'
    assert not again(study).candidates


def test_changes_are_forgotten_where_nothing_is_synchronized(hospital):
    Event = Pool().get('gnuhealth.orthanc.link_event')
    Party = Pool().get('party.party')
    patient = make_patient()
    settle()
    long_ago = dt.datetime.now() - dt.timedelta(days=8)
    Event.write(Event.search([]), {'decided_at': long_ago})
    Party.write([patient.party], {'lastname': "Other"})
    settle()
    assert Event.search([])
    assert all(e.decided_at > long_ago for e in Event.search([]))


def test_what_rules_take_at_night_is_in_the_access_log(server, patient):
    "A scheduled synchronization is done by the user root."
    Study = Pool().get(STUDY)
    Log = Pool().get('gnuhealth.orthanc.access_log')
    study = link(make_study(server, patient_id='PUID-ANA'))
    Study.write([study], {'patient_birth_date': dt.date(1950, 1, 1)})
    with Transaction().set_user(0):
        deciding.link_studies([study.id])
    line, = Log.search([])
    assert (line.action, line.patient, line.user.id) == ('unlink', patient, 0)


def test_undo_leaves_to_others_what_was_moved_to_them(
        server, patient, radiologist):
    Study, Request = Pool().get(STUDY), Pool().get(REQUEST)
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    study = link(make_study(server, study_instance_UID=request.merge_id,
            patient_id='PUID-ANA'))
    eva, zoe = (make_patient(name, "Other", ref=name) for name in ['E', 'Z'])
    with as_user(radiologist):
        Study.write([study], {'patient': eva.id})
        Request.write([again(request)], {'patient': zoe.id})
        Study.undo_link([again(study)])
    # Its UID is that of a request of Zoe now.
    assert again(study).review_code == 'other_patient_id'


def test_undo_leaves_a_moved_result(server, patient, radiologist):
    Study, Result = Pool().get(STUDY), Pool().get(RESULT)
    eva = make_patient("Eva", "Other", ref='EVA')
    exam = make_exam("Head CT", type_='ctscan')
    study = link(make_study(server, patient_id='PUID-ANA'))
    with as_user(radiologist):
        result, = Result.create([{
                    'patient': patient.id, 'requested_test': exam.id}])
        Study.write([study], {'imaging_test': result.id})
        Result.write([result], {'patient': eva.id})
        Study.undo_link([again(study)])
    study = again(study)
    assert (study.patient, study.imaging_test) == (patient, None)
