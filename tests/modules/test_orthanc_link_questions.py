# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is asked before he links a study or takes a link back, what is
kept of it, and the studies that are offered to a request."""
import datetime as dt

import pytest
from support.records import (
    as_asked, as_user, make_attachment, make_exam, make_final, make_patient,
    make_patients, make_requested, make_result, make_user, on, run_wizard,
    settle)
from support.statements import counted

from trytond.model.exceptions import AccessButtonError, AccessError
from trytond.modules.health_imaging.dashboard import today
from trytond.modules.health_orthanc.exceptions import (
    LinkDiffersWarning, SignedLinkError, UndoLinkWarning)
from trytond.modules.health_orthanc.links import deciding
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction, without_check_access

BORN, OTHER = dt.date(1981, 2, 3), dt.date(1961, 5, 5)
# The same name in Arabic, and another one
ARABIC, UNLIKE = 'بتس^آنا', 'خوري^مري'
IMAGING = 'health_imaging.group_health_imaging'
STUDY = 'gnuhealth.imaging_orthanc.study'
WARNINGS = LinkDiffersWarning, UndoLinkWarning
_numbers = iter(range(1, 10000))


def get(name):
    return Pool().get(name)


def now(record):
    return type(record)(record.id)


@pytest.fixture
def server(acting):
    with without_check_access():
        server, = get('gnuhealth.orthanc.config').create([{
                    'label': "PACS", 'domain': 'http://127.0.0.1:9',
                    'user': 'u', 'password': 'p'}])
    return server


@pytest.fixture
def technician(server):
    "A radiographer, who is asked."
    user = make_user('technician', IMAGING)
    with as_asked(user):
        yield user


@pytest.fixture
def patient(server):
    return make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA')


@without_check_access
def make_study(server, **values):
    number = next(_numbers)
    study, = get(STUDY).create([{
                'orthanc_server': server.id, 'orthanc_UID': f'o-{number}',
                'study_instance_UID': f'1.2.9.{number}',
                'patient_name': 'Betz^Ana', 'patient_birth_date': BORN,
                'patient_sex': 'F', 'modalities': 'CT',
                'study_date': today(), **values}])
    deciding.link_studies([study.id])
    return now(study)


@without_check_access
def make_ct(patient, **values):
    "Make a request for a CT that was sent."
    request = make_requested(
        patient=patient, exam=make_exam(type_='ctscan'), **values)
    settle()
    return request


@without_check_access
def say_yes(asked):
    "Agree to a warning, and return its text."
    get('res.user.warning').skip(asked.value.name)
    return asked.value.message


def agree(work):
    """Do what asks, say yes and do it again, as clients do.

    :return: what was asked
    """
    with pytest.raises(WARNINGS) as asked:
        work()
    text = say_yes(asked)
    # A client sends it again.
    Transaction().check_warnings.clear()
    work()
    Transaction().check_warnings.clear()
    return text


# Choosing by hand

def doors(study, patient):
    "Return the ways to link a study to a patient, by name."
    Candidate = get('gnuhealth.imaging_orthanc.link_candidate')
    with without_check_access():
        result = make_result(make_ct(patient))
        request = make_ct(patient)
        Candidate.delete(study.candidates)
        candidate, = Candidate.create([{
                    'study': study.id, 'patient': patient.id,
                    'request': request.id}])
    wizard = 'gnuhealth.imaging_orthanc.'
    Study = get(STUDY)
    return {
        'patient': lambda: Study.write([now(study)], {'patient': patient.id}),
        'result': lambda: Study.write(
            [now(study)], {'imaging_test': result.id}),
        'candidate': lambda: run_wizard(
            f'{wizard}choose_candidate', [('choose', {})], **on(candidate)),
        'only candidate': lambda: Study.accept([now(study)]),
        'studies of a result': lambda: run_wizard(
            f'{wizard}link_studies',
            [('link', {'start': {'studies': [study.id]}})], **on(result)),
        'request': without_check_access(lambda: Study.write(
                [now(study)], {'request': request.id})),
        }


@pytest.mark.parametrize('door', [
        'patient', 'result', 'candidate', 'only candidate',
        'studies of a result', 'request'])
def test_what_differs_is_confirmed_and_kept(
        technician, server, patient, door):
    study = make_study(server, patient_id='X1', patient_birth_date=OTHER,
        patient_sex='M', patient_name='Smith^John')
    link = doors(study, patient)[door]
    text = agree(link)
    for shown in ['1981-02-03 \u2260 1961-05-05', 'F \u2260 M',
            'Ana Betz \u2260 Smith, John', "Date of Birth", "Sex", "Name"]:
        assert shown in text
    study = now(study)
    assert study.patient == patient and study.link_rule == 'person'
    line = study.link_log[0]
    assert line.user == technician
    assert 'Date of Birth: 1981-02-03 \u2260 1961-05-05' in line.in_spite_of
    assert 'Sex: F \u2260 M' in line.in_spite_of


@pytest.mark.parametrize('door', [
        'patient', 'result', 'candidate', 'only candidate',
        'studies of a result', 'request'])
def test_nothing_is_asked_when_all_agrees(technician, server, patient, door):
    study = make_study(server, patient_id='X1', patient_name='BETZ^ANA^^Dr')
    doors(study, patient)[door]()
    assert now(study).patient == patient
    assert not now(study).link_log[0].in_spite_of


@pytest.mark.parametrize('values, differing', [
        # Cannot be compared, and the date of birth and sex agree.
        ({'patient_name': ARABIC}, []),
        ({'patient_name': ARABIC, 'patient_birth_date': None}, ["Name"]),
        ({'patient_birth_date': None}, []),
        (dict.fromkeys(
            ['patient_birth_date', 'patient_sex', 'patient_name']), []),
        ({'patient_sex': 'O'}, []),
        ({'patient_name': UNLIKE}, []),
        ({'patient_name': 'Betz^Eva'}, ["Name"]),
        ({'patient_name': 'Smith^Ana'}, ["Name"]),
        ({'patient_birth_date': dt.date(1981, 3, 2)}, ["Date of Birth"]),
        ])
def test_what_counts_as_different(
        technician, server, patient, values, differing):
    study = make_study(server, patient_id='X1', **values)

    def link():
        get(STUDY).write([study], {'patient': patient.id})
    if not differing:
        link()
    else:
        text = agree(link)
        _, *lines, _ = text.splitlines()
        assert [line.split(': ')[0] for line in lines] == differing
    assert now(study).patient == patient


def test_agreeing_holds_for_what_was_shown(technician, server, patient):
    """Between question and answer a colleague corrects the record, and the
    same answer does not do for another patient or another study."""
    one, two = (
        make_study(server, patient_id='X1', patient_birth_date=OTHER)
        for _ in 'ab')
    twin = make_patient("Ana", "Betz", 'f', BORN)
    with pytest.raises(LinkDiffersWarning) as asked:
        get(STUDY).write([one, two], {'patient': patient.id})
    assert asked.value.message.count('1961-05-05') == 2
    say_yes(asked)
    with as_user(make_user('clerk', 'health.group_health_frontdesk')):
        get('party.party').write(
            [patient.party], {'dob': dt.date(1982, 1, 1)})
    for studies, someone in [([one, two], patient), ([one], twin)]:
        with pytest.raises(LinkDiffersWarning):
            get(STUDY).write(studies, {'patient': someone.id})
    assert not now(one).patient and not now(two).patient


def test_programs_are_not_asked_and_leave_a_trace(
        technician, server, patient):
    study = make_study(server, patient_id='X1', patient_birth_date=OTHER)
    with Transaction().set_context(_skip_warnings=True):
        get(STUDY).write([study], {'patient': patient.id})
    assert '1961-05-05' in now(study).link_log[0].in_spite_of
    # Who empties the field chooses nobody.
    get(STUDY).write([now(study)], {'patient': None})
    assert not now(study).link_log[0].in_spite_of


def test_who_was_merged_is_compared_as_who_stays(
        technician, server, patient):
    former = make_patient("Ana", "Betz", 'f', OTHER)
    with without_check_access():
        get('party.party').write([former.party], {
                'active': False, 'replaced_by': patient.party.id})
    study = make_study(server, patient_id='X1', patient_birth_date=OTHER)
    agree(lambda: get(STUDY).write([study], {'patient': former.id}))
    assert now(study).patient == patient


# Undoing

def make_linked(server, patient):
    "Return a study that has request and result, with a picture."
    request = make_ct(patient)
    study = make_study(server, patient_id='X1')
    with without_check_access():
        result = make_result(request, comment="Fine.")
    get(STUDY).write([study], {'imaging_test': result.id})
    make_attachment(result, imaging_study=study.id)
    return now(study), now(result)


def test_undo_says_what_it_takes_away(technician, server, patient):
    with without_check_access():
        study, result = make_linked(server, patient)
    names = [study.rec_name, patient.rec_name, result.rec_name,
        study.request.rec_name, "report: 1"]
    text = agree(lambda: get(STUDY).undo_link([now(study)]))
    for name in names:
        assert name in text
    study = now(study)
    assert not (study.patient or study.request or study.imaging_test)
    assert study.link_log[0].user == technician
    assert not now(result).images
    with pytest.raises(UndoLinkWarning, match="gets back"):
        get(STUDY).write([study], {'patient': patient.id})
        get(STUDY).write([study], {'patient': None})
        get(STUDY).undo_link([now(study)])


def test_undo_is_refused_while_the_result_is_signed(
        technician, server, patient, acting):
    with without_check_access():
        study, result = make_linked(server, patient)
    with as_user(acting):
        type(result).finalize([result])
    for skip in [False, True]:
        with Transaction().set_context(_skip_warnings=skip), \
                pytest.raises(SignedLinkError, match="Amend"):
            get(STUDY).undo_link([now(study)])
    assert now(study).imaging_test == result
    with as_user(acting):
        run_wizard(f'{type(result).__name__}.amend',
            [('amend', {'start': {'reason': "Wrong side."}})], **on(result))
    agree(lambda: get(STUDY).undo_link([now(study)]))
    assert not now(study).imaging_test


def test_two_people_do_not_undo_two_steps_by_one_answer(
        technician, server, patient):
    eva = make_patient("Eva", "Betz", 'f', BORN)
    study = make_study(server, patient_id='X1', patient_name=None)
    for someone in [eva, patient]:
        get(STUDY).write([study], {'patient': someone.id})
    with pytest.raises(UndoLinkWarning) as asked:
        get(STUDY).undo_link([now(study)])
    say_yes(asked)
    with as_user(make_user('colleague', IMAGING)):
        get(STUDY).undo_link([now(study)])
    with pytest.raises(UndoLinkWarning, match="Eva"):
        get(STUDY).undo_link([now(study)])
    assert now(study).patient == eva


def test_a_doctor_does_not_link_by_a_button(technician, server, patient):
    study, request = make_study(server, patient_id='PUID-ANA'), make_ct(
        patient)
    assert [c.request for c in now(study).candidates] == [request]
    candidate, = study.candidates
    with as_user(make_user('doctor', 'health.group_health_doctor')):
        Study, Candidate = get(STUDY), type(candidate)
        for model, name, record in [
                (Study, 'undo_link', study), (Study, 'accept', study),
                (Study, 'reject', study), (Candidate, 'choose', candidate)]:
            with pytest.raises(AccessButtonError):
                getattr(model, name)([model(record.id)])
        with pytest.raises(AccessError):
            run_wizard('gnuhealth.imaging_orthanc.choose_candidate',
                [('choose', {})], **on(candidate))
        assert now(request).offer


# Studies without request

def without_request():
    "Return the studies of the tab, of which it shows the number."
    Domain = get('ir.action.act_window.domain')
    ModelData = get('ir.model.data')
    with without_check_access():
        tab = Domain(ModelData.get_id('health_orthanc',
                'act_imaging_orthanc_study_domain_without_request'))
        assert tab.count
        domain = PYSONDecoder().decode(tab.domain)
    return get(STUDY).search(domain)


def test_a_study_without_request_gets_it_by_one_click(
        technician, server, patient):
    nobodys = make_study(server, patient_id='X1')
    study = make_study(server, patient_id='PUID-ANA')
    # Two lines of one order, another modality and another day.
    first, second = [
        make_ct(patient, request='R1', request_line=f'R1-{n}') for n in '12']
    with without_check_access():
        make_requested(patient=patient, exam=make_exam(type_='mri'))
    old = make_ct(
        patient, date=dt.datetime.now() - dt.timedelta(days=9))
    assert without_request() == [study]
    assert [c.request for c in now(study).candidates] == [first, second]
    for request in [first, second]:
        assert now(request).offer == (
            "1 study of this patient, today, CT: is it this one?")
    assert not now(old).offer
    candidate, = now(second).candidates
    run_wizard('gnuhealth.imaging_orthanc.choose_candidate',
        [('choose', {})], **on(candidate))
    study = now(study)
    assert (study.request, study.patient) == (second, patient)
    assert study.link_log[0].user == technician
    assert not study.candidates and not now(first).offer
    assert not without_request() and not now(nobodys).patient
    # A colleague has the offer on the screen still.
    with pytest.raises(AccessError):
        run_wizard('gnuhealth.imaging_orthanc.choose_candidate',
            [('choose', {})], **on(candidate))
    assert now(study).request == second


def test_a_study_of_a_signed_result_is_offered_no_more(
        technician, server, patient, acting):
    with without_check_access():
        result = make_final(acting, request=make_ct(patient))
    study = make_study(server, patient_id='PUID-ANA')
    assert without_request() == [study]
    assert now(result.request).offer
    get(STUDY).accept([now(study)])
    study = now(study)
    assert study.imaging_test == result and now(result).studies_changed_at
    assert not without_request()


def test_offers_take_no_query_for_each_request(technician, server, patient):
    def offers(count):
        with without_check_access():
            people = make_patients(count, dob=BORN)
            exam = make_exam(type_='ctscan')
            requests = [
                make_requested(patient=p, exam=exam) for p in people]
            settle()
        for person in people:
            make_study(server, patient_id=person.puid, patient_name=None)
        with counted() as found:
            rows = type(requests[0]).read(
                [r.id for r in requests], ['offer', 'candidates'])
            studies = get(STUDY).read(
                [s.id for s in without_request()], ['rec_name', 'candidates'])
        assert all(row['offer'] for row in rows)
        assert len(studies) >= count
        return found
    offers(2)
    few, many = offers(5), offers(50)
    assert len(many) <= len(few) + 4, '\n'.join(sorted(many))
