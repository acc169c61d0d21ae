# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies and the patients, requests and results they belong to: what rules
link, what people link, and what happens when something else changes."""
import datetime as dt

import pytest
from support.records import (
    as_user, make_attachment, make_exam, make_patient, make_professional,
    make_request, make_user, on, run_wizard, settle, shipped_reason)
from support.statements import counted

from trytond.exceptions import UserError
from trytond.model.exceptions import AccessError, ValidationError
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.exceptions import ForeignPictureError
from trytond.modules.health_orthanc.links import deciding, facts
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

BORN = dt.date(1985, 10, 4)


@pytest.fixture
def server(acting):
    return make_server("PACS", 'http://127.0.0.1:9')


@without_check_access
def make_server(label, domain):
    Server = Pool().get('gnuhealth.orthanc.config')
    server, = Server.create([{
                'label': label, 'domain': domain,
                'user': 'u', 'password': 'p'}])
    return server


@pytest.fixture
def patient(acting):
    return make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA')


@pytest.fixture
def request_(patient):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request = make_request(
        patient, make_exam("Head CT", type_='ctscan'), make_professional())
    Request.requested([request])
    return request


@without_check_access
def make_study(server, **values):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
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


@without_check_access
def make_orthanc_patient(server, **values):
    OrthancPatient = Pool().get('gnuhealth.orthanc.patient')
    record, = OrthancPatient.create([{
                'uuid': 'p-1', 'server': server.id, **values}])
    return record


@without_check_access
def access_lines(**values):
    "Return what the auditor reads in the access log, the oldest first."
    Log = Pool().get('gnuhealth.orthanc.access_log')
    return Log.search(
        [(n, '=', v) for n, v in values.items()], order=[('id', 'ASC')])


def link(*studies):
    count = deciding.link_studies([s.id for s in studies])
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    return count, Study.browse(studies)


def test_the_uid_of_a_request_links(server, request_):
    count, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    assert count == 1
    assert study.link_state == 'linked'
    assert study.link_rule == 'merge_id'
    assert study.patient == request_.patient
    assert study.request == request_
    assert not study.review_reason


def test_images_take_the_request_off_the_worklist(server, request_):
    assert request_.worklist_status == 'todo'
    link(make_study(server, study_instance_UID=request_.merge_id))
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert Request(request_.id).worklist_status == 'done'
    assert Request(request_.id).state == 'requested'


def test_a_result_gets_the_studies_that_wait(server, request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    result, = Request.make_results([request_])
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    assert Study(study.id).imaging_test == result
    assert list(result.orthanc_studies) == [study]


def test_the_accession_number_links_with_the_patient_id(server, request_):
    _, (study,) = link(make_study(
            server, accession_number=request_.request,
            patient_id='PUID-ANA'))
    assert study.link_rule == 'accession'
    assert study.request == request_


def test_the_puid_links_to_the_patient_only(server, patient):
    _, (study,) = link(make_study(server, patient_id='PUID-ANA '))
    assert study.link_rule == 'patient_id'
    assert study.patient == patient
    assert not study.request


def test_a_name_links_nothing(server, patient):
    _, (study,) = link(make_study(server))
    assert study.link_state == 'unlinked'
    assert not study.patient


def test_a_contradiction_is_shown_with_its_candidates(server, patient):
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA',
            patient_birth_date=dt.date(1990, 1, 1)))
    assert study.link_state == 'review'
    assert not study.patient
    assert '1990' in study.review_reason
    candidate, = study.candidates
    assert candidate.patient == patient
    assert 'birth_date' in candidate.differing
    assert 'name' not in candidate.differing


def test_one_click_links_and_is_kept(server, patient):
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA',
            patient_birth_date=dt.date(1990, 1, 1)))
    Candidate.link(study.candidates)
    study = Study(study.id)
    assert study.patient == patient
    assert (study.link_rule, study.link_state) == ('person', 'linked')
    assert not study.candidates
    assert study.link_log[0].action == 'link'
    assert study.link_log[0].user.id == Transaction().user
    assert study.link_log[0].patient == patient
    # No rule touches it again.
    deciding.link_studies([study.id])
    assert Study(study.id).patient == patient


def test_one_click_takes_the_only_candidate(server, patient):
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, studies = link(*[
            make_study(server, patient_id='PUID-ANA',
                patient_birth_date=dt.date(1990, 1, 1))
            for _ in range(2)])
    with without_check_access():
        Candidate.create([{
                    'study': studies[1].id, 'patient': make_patient().id}])
    Study.accept(Study.browse(studies))
    one, two = Study.browse(studies)
    assert (one.patient, one.link_rule) == (patient, 'person')
    # Among two a person has to choose.
    assert not two.patient and len(two.candidates) == 2


def test_one_click_says_no_and_is_kept(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA',
            patient_birth_date=dt.date(1990, 1, 1)))
    Study.reject([study])
    deciding.link_studies([study.id])
    study = Study(study.id)
    assert (study.link_rule, study.link_state) == ('person', 'unlinked')
    assert not study.patient and not study.candidates


def test_undo_brings_the_former_link_back(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    other = make_patient("Eva", "Other")
    _, (study,) = link(make_study(server, patient_id='PUID-ANA'))
    Study.write([study], {'patient': other.id})
    assert Study(study.id).patient == other
    Study.undo_link([Study(study.id)])
    study = Study(study.id)
    assert study.patient == patient
    assert study.link_rule == 'patient_id'
    assert [l.action for l in study.link_log] == ['undo', 'link', 'link']


def test_who_undoes_what_a_rule_did_has_the_last_word(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(server, patient_id='PUID-ANA'))
    assert study.patient == patient
    Study.undo_link([study])
    deciding.link_studies([study.id])
    study = Study(study.id)
    assert not study.patient
    assert (study.link_rule, study.link_state) == ('person', 'unlinked')


def test_undo_of_a_request_leaves_the_patient(server, request_):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(server, patient_id='PUID-ANA'))
    Study.write([study], {'patient': study.patient.id})
    with Transaction().set_context(_link_action=None):
        result, = type(request_).make_results([request_])
        Study.write([study], {'imaging_test': result.id})
    Study.undo_link([Study(study.id)])
    study = Study(study.id)
    assert study.patient == request_.patient
    assert not study.imaging_test and not study.request
    assert study.link_state == 'linked'


def test_undo_goes_back_step_by_step(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study = make_study(server)
    deciding.link_studies([study.id])
    one, two = make_patient("Eva", "Other"), make_patient("Ida", "Third")
    for other in [one, two]:
        Study.write([study], {'patient': other.id})
    seen = []
    for _ in range(2):
        Study.undo_link([Study(study.id)])
        seen.append(Study(study.id).patient)
    assert seen == [one, None]
    with pytest.raises(UserError, match="taken back"):
        Study.undo_link([Study(study.id)])


def test_a_study_that_stays_unlinked_has_no_history(server):
    study = make_study(server)
    # As the synchronization stores it.
    tables.set_values(type(study), [study.id], link_state=None)
    _, (study,) = link(study)
    assert study.link_state == 'unlinked'
    assert not study.link_log


def test_many_birthdays_are_looked_up_at_once(server):
    def count(number):
        ids = [
            make_study(server, patient_id=f'X{number}-{i}',
                patient_birth_date=BORN + dt.timedelta(days=i)).id
            for i in range(number)]
        with counted() as statements:
            deciding.link_studies(ids)
        return len([s for s in statements if '"party_party"' in s])
    # The institution is read once.
    count(1)
    assert count(40) <= count(3)


def test_a_birthday_of_thousands_hides_no_other(server, monkeypatch):
    monkeypatch.setattr(facts, '_MOST_BORN_ON_ONE_DAY', 2)
    next_day = BORN + dt.timedelta(days=1)
    for i in range(4):
        make_patient(f"Child{i}", "Unknown", dob=BORN)
    alone = make_patient("Ana", "Betz", 'f', next_day)
    study = make_study(server, patient_id='X1', patient_birth_date=next_day)
    makeshift = make_study(server, patient_id='X2')
    deciding.link_studies([study.id, makeshift.id])
    assert [c.patient for c in study.candidates] == [alone]


def test_candidates_stand_beside_the_study(server, patient):
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA', patient_name='Betz^Anne',
            patient_birth_date=dt.date(1990, 1, 1)))
    candidate, = study.candidates
    assert candidate.birth_date == '1985-10-04 \u2260 1990-01-01'
    assert candidate.name in {'Ana Betz', 'Ana Betz \u2260 Betz, Anne'}
    assert candidate.patient_id == 'PUID-ANA'


def test_a_result_gets_studies_that_are_chosen(server, request_):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    result, = type(request_).make_results([request_])
    own, nobodys = make_study(server, patient_id='PUID-ANA'), make_study(
        server, patient_name='X')
    deciding.link_studies([own.id, nobodys.id])
    name = 'gnuhealth.imaging_orthanc.link_studies'
    run_wizard(name, [
            ('link', {'start': {'studies': [own.id, nobodys.id]}})],
        **on(result))
    for study in Study.browse([own.id, nobodys.id]):
        assert study.imaging_test == result
        assert study.patient == result.patient
        assert study.request == request_
        assert study.link_rule == 'person'
    assert set(type(result)(result.id).orthanc_studies) == {own, nobodys}


def test_a_result_never_gets_the_study_of_another(server, request_):
    result, = type(request_).make_results([request_])
    make_patient("Eva", "Other", ref='PUID-EVA')
    _, (study,) = link(make_study(
            server, patient_id='PUID-EVA', patient_name='Other^Eva'))
    name = 'gnuhealth.imaging_orthanc.link_studies'
    with pytest.raises(ValidationError):
        run_wizard(name, [('link', {'start': {'studies': [study.id]}})],
            **on(result))


def test_names_are_shown_without_carets(server):
    study = make_study(
        server, patient_name='Wang^XiaoDong=王^小東',
        referring_physician_name='Lindqvist^Amélie')
    assert study.readable_name == 'Wang, XiaoDong (王 小東)'
    assert study.referring_physician == 'Lindqvist, Amélie'
    assert not study.performing_physician
    assert '^' not in study.rec_name


def test_another_patients_study_is_not_put_into_a_result(server, request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    other = make_patient("Eva", "Other", ref='PUID-EVA')
    _, (study,) = link(make_study(
            server, patient_id='PUID-EVA', patient_name='Other^Eva'))
    assert study.patient == other
    result, = Request.make_results([request_])
    with pytest.raises(ValidationError):
        Study.write([study], {'imaging_test': result.id})


def test_correcting_the_patient_lets_go_of_the_result(server, request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    Request.make_results([request_])
    other = make_patient("Eva", "Other")
    Study.write([Study(study.id)], {'patient': other.id})
    study = Study(study.id)
    assert study.patient == other
    assert not study.imaging_test and not study.request


def test_an_open_request_that_loses_its_images_is_to_do_again(
        server, request_):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Request = type(request_)
    uid = request_.merge_id
    _, studies = link(
        make_study(server, study_instance_UID=uid),
        make_study(server, study_instance_UID=uid))
    other = make_patient("Eva", "Other")
    seen = []
    for study in studies:
        assert study.request == request_
        Study.write([Study(study.id)], {'patient': other.id})
        seen.append(Request(request_.id).worklist_status)
    assert seen == ['done', 'todo']
    # Its images come after all.
    link(make_study(server, study_instance_UID=uid))
    assert Request(request_.id).worklist_status == 'done'


def test_a_reported_request_stays_off_the_worklist(server, request_):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    type(request_).make_results([request_])
    Study.write([Study(study.id)], {'patient': make_patient("Eva").id})
    assert type(request_)(request_.id).worklist_status == 'done'


@pytest.mark.parametrize('name, values', [
        ('gnuhealth.person_name', {
                'family': "Arce", 'given': "Ana", 'use': 'maiden'}),
        ('gnuhealth.person_alternative_identification', {
                'code': 'CARD-7', 'alternative_id_type': 'other'}),
        ])
def test_what_is_learned_of_a_person_links_studies(
        server, patient, name, values):
    pool = Pool()
    Study, Model = pool.get('gnuhealth.imaging_orthanc.study'), pool.get(name)
    _, (study,) = link(make_study(
            server, patient_id=(
                'CARD-7' if 'code' in values else 'PUID-ANA'),
            patient_name='Betz^Ana' if 'code' in values else 'Arce^Ana',
            patient_birth_date=BORN if 'code' in values else None))
    assert not study.patient
    record, = Model.create([{'party': patient.party.id, **{
                    n: v + 'x' if n in {'code', 'family'} else v
                    for n, v in values.items()}}])
    assert not Study(study.id).patient
    Model.write([record], values)
    settle()
    assert Study(study.id).patient == patient


def test_orthanc_patients_follow_a_merged_patient(server, patient):
    pool = Pool()
    OrthancPatient = pool.get('gnuhealth.orthanc.patient')
    record = make_orthanc_patient(
        server, name='Betz^Ana', ident='X', patient=patient.id)
    assert record.rec_name == 'Betz, Ana [X]'
    assert record.link.endswith('#patient?uuid=p-1')
    assert OrthancPatient.search([('rec_name', 'ilike', '%betz%')]) == [record]
    stays = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-STAYS')
    type(patient).merge_imaging(patient, stays)
    assert OrthancPatient(record.id).patient == stays


def test_a_picture_of_another_study_is_not_signed(server, request_):
    result, = type(request_).make_results([request_])
    Result = type(result)
    Result.write([result], {'comment': "Fine."})
    foreign = make_study(server, patient_name='Other^Eva')
    with without_check_access():
        # As when it came at the moment in which its study went.
        picture = make_attachment(
            result, '1.2.3.png', imaging_study=foreign.id)
    with pytest.raises(ForeignPictureError, match="1.2.3.png"):
        Result.finalize([Result(result.id)])
    assert Result(result.id).state == 'draft'
    type(picture).delete([picture])
    Result.finalize([Result(result.id)])
    assert Result(result.id).state == 'final'


def test_the_signer_is_told_which_study_left(server, request_):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Note = pool.get('ir.note')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    Request = type(request_)
    result, = Request.make_results([request_])
    Result = type(result)
    Result.write([result], {'comment': "Fine."})
    Result.finalize([Result(result.id)])
    Study.write([Study(study.id)], {'patient': make_patient("Eva").id})
    assert Result(result.id).studies_changed_at
    note, = Note.search([('resource', '=', str(result))])
    assert "left this result" in note.message
    assert Study(study.id).rec_name in note.message
    Result.confirm_studies([Result(result.id)])
    assert not Result(result.id).studies_changed_at


def test_the_other_line_does_not_get_a_study_to_review(server, patient):
    "The result of the first line may have been made from it."
    Request = Pool().get('gnuhealth.imaging.test.request')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    exam, doctor = make_exam(type_='ctscan'), make_professional()
    lines = [
        make_request(patient, exam, doctor, request='TWO',
            request_line=f'TWO-02-0{n}') for n in [1, 2]]
    Request.requested(lines)
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA', accession_number='TWO'))
    assert study.review_code == 'several_requests'
    Request.make_results(lines[:1])
    settle()
    assert Study(study.id).link_state == 'review'
    assert Request(lines[1].id).worklist_status == 'todo'


def test_images_may_come_before_the_order(server, patient):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA', accession_number='LATE-1'))
    assert not study.request
    request = make_request(
        patient, make_exam(type_='ctscan'), make_professional(),
        request='LATE-1', request_line='LATE-1-01-01')
    Request.requested([request])
    settle()
    assert Study(study.id).request == request


def test_images_may_come_before_the_patient(server):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(server, patient_id='PUID-NEW'))
    assert study.link_state == 'unlinked'
    patient = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-NEW')
    settle()
    assert Study(study.id).patient == patient


def test_a_corrected_birth_date_ends_the_review(server, patient):
    Party = Pool().get('party.party')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, patient_id='PUID-ANA',
            patient_birth_date=dt.date(1985, 4, 10)))
    assert study.link_state == 'review'
    Party.write([patient.party], {'dob': dt.date(1985, 4, 10)})
    settle()
    assert Study(study.id).patient == patient


def test_a_canceled_request_sends_its_studies_to_review(server, request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    run_wizard(f'{Request.__name__}.cancel', [
            ('cancel', {'start': {'choice': shipped_reason()}})],
        **on(request_))
    settle()
    study = Study(study.id)
    assert study.link_state == 'review'
    assert study.review_code == 'request_canceled'


@pytest.mark.parametrize('login, group', [
        ('keeper', 'health_orthanc.group_imaging_orthanc_admin'),
        ('health_admin', 'health.group_health_admin')])
def test_a_person_links_an_orthanc_patient(server, patient, login, group):
    OrthancPatient = Pool().get('gnuhealth.orthanc.patient')
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    orthanc_patient = make_orthanc_patient(server, name='Betz^Ana')
    fits = make_study(
        server, orthanc_patient=orthanc_patient.id, patient_id='OLD-7')
    differs = make_study(
        server, orthanc_patient=orthanc_patient.id, patient_id='OLD-7',
        patient_birth_date=dt.date(1950, 1, 1))
    pacs_user = make_user(login, group)
    with as_user(pacs_user):
        OrthancPatient.write([orthanc_patient], {'patient': patient.id})
        row, = OrthancPatient.read([orthanc_patient.id], ['study_patients'])
    assert row['study_patients'] == patient.rec_name
    assert Study(fits.id).patient == patient
    assert not Study(differs.id).patient
    # It was another one.
    other = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-OTHER')
    with as_user(pacs_user):
        OrthancPatient.write([orthanc_patient], {'patient': other.id})
    assert Study(fits.id).patient == other


def merge(source, destination):
    "Merge two patients, as somebody who may."
    merger = make_user('merger', 'party.group_party_admin',
        'health.group_health_admin')
    with as_user(merger, _skip_warnings=True):
        run_wizard('party.replace', [('replace', {'ask': {
                            'source': source.party.id,
                            'destination': destination.party.id}})],
            **on(source.party))


def test_merging_two_people_moves_studies_and_requests(server, request_):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    Request = pool.get('gnuhealth.imaging.test.request')
    _, (study,) = link(make_study(
            server, study_instance_UID=request_.merge_id))
    stays = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-STAYS')
    merge(request_.patient, stays)
    settle()
    assert Study(study.id).patient == stays
    assert Request(request_.id).patient == stays


def test_linking_is_kept_in_the_access_log(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    user = make_user('linker', 'health_imaging.group_health_imaging',
        'health.group_health_doctor')
    other = make_patient("Eva", "Other", ref='PUID-EVA')
    _, (study,) = link(make_study(server, patient_id='PUID-ANA'))
    # A rule is nobody.
    assert not access_lines()
    with as_user(user):
        Study.write([Study(study.id)], {'patient': other.id})
        Study.write([Study(study.id)], {'patient': None})
        Study.write([Study(study.id)], {'notes': "x"})
    lines = access_lines()
    assert [(l.action, l.patient, l.user) for l in lines] == [
        ('unlink', patient, user), ('link', other, user),
        ('unlink', other, user)]
    assert 'PUID-EVA' in lines[1].patient_text


def test_ids_are_not_turned_around_by_names(server):
    "The id of a patient behind an Arabic name reads from its first part."
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    Patient = Pool().get('gnuhealth.orthanc.patient')
    patient = make_patient("محمد", "العربي", ref='12-34-56')
    person = make_orthanc_patient(
        server, name="العربي^محمد", ident='12-34-56')
    _, (study,) = link(make_study(server, patient_id='12-34-56'))
    Study.write([Study(study.id)], {'patient': patient.id})
    line, = access_lines(patient=patient.id)
    isolated = '\u2068العربي, محمد\u2069 [12-34-56]'
    assert line.patient_text == isolated
    assert type(person)(person.id).rec_name == isolated
    assert Patient.search([('rec_name', 'ilike', "%العربي%")]) == [person]
    assert Patient.search([('rec_name', 'ilike', "%12-34%")]) == [person]


def test_words_of_a_study_are_found_in_several_fields(server):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study = make_study(server, patient_id='12-34', description='Thorax CT')
    for text in ['ana thorax', 'Thorax, 12-34', 'Betz, Ana', 'CT']:
        assert Study.search([
                ('rec_name', 'ilike', f'%{text}%')]) == [Study(study.id)]
    for text in ['ana skull', 'ct thorax eva']:
        assert not Study.search([('rec_name', 'ilike', f'%{text}%')])


COLUMNS = {
    'study_date': [('=', dt.date(2020, 5, 4)), ('<', dt.date(2020, 6, 1))],
    'readable_name': [
        ('ilike', '%XiaoDong%'), ('ilike', '%Wang, Xiao%'),
        ('ilike', '%王 小東%'), ('=', 'Wang, XiaoDong (王 小東)'),
        ('ilike', 'Wang, XiaoDong (王 小東)')],
    'patient': [('ilike', '%Betz%')],
    'patient.rec_name': [('ilike', '%Betz%')],
    'description': [('ilike', '%thorax%')],
    'modalities': [('ilike', '%MR%')],
    'number_of_series': [('=', 3)],
    'number_of_instances': [('>', 100)],
    'orthanc_server.rec_name': [('ilike', '%second%')],
    'link_state': [('=', 'linked')],
    'rec_name': [('ilike', '%王%'), ('ilike', '%thorax%'),
        ('ilike', '%ACC-9%'), ('ilike', '%PID-9%')],
    }


@pytest.mark.parametrize('name', COLUMNS)
def test_lists_are_searched_by_their_columns(server, patient, name):
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    second = make_server("Second", 'http://127.0.0.1:8')
    make_study(server, study_date=dt.date(2021, 1, 1))
    wanted = make_study(
        second, study_date=dt.date(2020, 5, 4), description="CT Thorax",
        patient_name='Wang^XiaoDong=王^小東', modalities='CT, MR',
        number_of_series=3, number_of_instances=212,
        accession_number='ACC-9', patient_id='PID-9')
    Study.write([wanted], {'patient': patient.id})
    for operator, value in COLUMNS[name]:
        assert Study.search([(name, operator, value)]) == [wanted], operator
    if not name.endswith('rec_name'):
        assert len(Study.search([], order=[(name, 'ASC')])) == 2


def test_the_history_cannot_be_changed_over_rpc(server, patient):
    LinkLog = Pool().get('gnuhealth.orthanc.link_log')
    _, (study,) = link(make_study(server, patient_id='PUID-ANA'))
    line, = study.link_log
    user = make_user('orthanc_admin',
        'health_orthanc.group_imaging_orthanc_admin',
        'health.group_health_admin')
    with as_user(user):
        assert LinkLog.read([line.id], ['action'])
        with pytest.raises(AccessError):
            LinkLog.write([LinkLog(line.id)], {'action': 'unlink'})
        with pytest.raises(AccessError):
            LinkLog.delete([LinkLog(line.id)])
        with pytest.raises(AccessError):
            LinkLog.create([{'study': study.id}])


def test_nobody_links_without_rights(server, patient):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study = make_study(server)
    user = make_user('stranger')
    with as_user(user):
        with pytest.raises(AccessError):
            Study.read([study.id], ['patient_name'])
        with pytest.raises(AccessError):
            Study.write([Study(study.id)], {'patient': patient.id})
        with pytest.raises(AccessError):
            Study.reject([Study(study.id)])
