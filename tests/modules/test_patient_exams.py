# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the doctor sees of his orders and of the exams of a patient."""
import datetime as dt

import pytest
from support.archive_rows import store_studies
from support.records import (
    PASSWORD, Rpc, as_user, commit, make_exam, make_final, make_hospital,
    make_institution, make_patient, make_professional, make_radiologist,
    make_request, make_requested, make_result, make_user, user)
from support.statements import counted

from trytond.model.exceptions import AccessError
from trytond.modules.health_orthanc.tables import set_values
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction, without_check_access

EXAM = 'gnuhealth.imaging.patient_exam'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'


@pytest.fixture
def hospital(transaction):
    "The doctor, who works, and his patient."
    make_hospital()
    doctor = user('doctor')
    company = doctor.company or Pool().get('company.company').search([])[0]
    with as_user(doctor, company=company.id):
        yield make_patient("Nils", "Holm")


def own():
    "The health professional of the doctor."
    Professional = Pool().get('gnuhealth.healthprofessional')
    with without_check_access():
        professional, = Professional.search(
            [('party.internal_user', '=', user('doctor').id)])
    return professional


def exams(patient):
    "Return the exams of a patient, as the page of his form asks for them."
    Patient = Pool().get('gnuhealth.patient')
    row, = Patient.read([patient.id], ['imaging_exams'])
    Exam = Pool().get(EXAM)
    return Exam.browse(row['imaging_exams'])


def tab(name, action='act_my_orders'):
    "Return what a tab of My Orders shows."
    window = Pool().get('ir.action.act_window').get(
        f'health_imaging.{action}')
    decoder = PYSONDecoder(Transaction().context)
    domain, = [
        decoder.decode(domain) if domain else []
        for title, domain, _ in window['domains'] if title == name]
    return Pool().get(EXAM).search(
        [decoder.decode(window['pyson_domain']), domain])


@without_check_access
def archive(patient, **values):
    "Store a study of a patient that nobody requested here."
    pool = Pool()
    Server = pool.get('gnuhealth.orthanc.config')
    Study = pool.get(STUDY)
    server, = Server.create([{
                'label': "PACS", 'domain': 'http://localhost:1',
                'user': 'user', 'password': 'password'}])
    store_studies([server.id], 1, [3, 2])
    study, = Study.search([])
    Study.write([study], {'patient': patient.id, **values})
    return study


@without_check_access
def signed(patient, comment, **values):
    "Return a report that the radiologist signed."
    request = make_requested(patient=patient, doctor=own(), **values)
    return make_final(user('radiologist'), request=request, comment=comment)


def test_the_state_of_each_exam_is_one_word(hospital):
    make_request(patient=hospital, date=dt.datetime(2026, 1, 1))
    make_requested(patient=hospital, date=dt.datetime(2026, 1, 2))
    with without_check_access():
        make_result(make_requested(
                patient=hospital, date=dt.datetime(2026, 1, 3)),
            date=dt.datetime(2026, 1, 3))
        make_result(make_requested(patient=hospital),
            comment="A shadow.", date=dt.datetime(2026, 1, 4))
        signed(hospital, "\n No fracture. \nSecond line.")
        amended = signed(hospital, "Broken.")
        type(amended).reopen([amended], "The other hand")
        with Transaction().set_user(user('radiologist').id):
            type(amended).finalize([amended])
        Result = Pool().get(RESULT)
        for place, result in enumerate(Result.search(
                    [('state', '=', 'final')], order=[('id', 'ASC')])):
            table = Result.__table__()
            Transaction().connection.cursor().execute(*table.update(
                    [table.date], [dt.datetime(2026, 1, 5 + place)],
                    where=table.id == result.id))
    found = exams(hospital)
    assert [(e.state, e.impression) for e in found] == [
        ('amended', "Broken."),
        ('final', "No fracture."),
        ('preliminary', None),
        ('reading', None),
        ('waiting', None),
        ('draft', None),
        ]
    assert [e.day.day for e in found][-1] == 31  # in Lima
    assert {e.title for e in found} == {"Head CT"}


def test_a_report_without_a_request(hospital):
    exam = make_exam("Old film")
    with without_check_access():
        Pool().get(RESULT).create([{
                    'patient': hospital.id, 'requested_test': exam.id}])
    found, = exams(hospital)
    assert (found.title, found.state, found.doctor) == (
        "Old film", 'reading', None)


def test_a_study_from_outside(hospital):
    study = archive(hospital)
    found, = exams(hospital)
    assert (found.study, found.state, found.number_of_images) == (
        study, 'images', 5)
    assert found.day == study.study_date
    assert found.title == 'CT Study 0'
    assert found.rec_name == study.rec_name


def test_images_are_counted_alike(hospital):
    """Of a request, of a report without one and of a study from outside:
    pictures, not what else is stored with them."""
    study = archive(hospital)
    pictures, report = study.series
    with without_check_access():
        set_values(type(report), [report.id], modality='SR')
    count = pictures.number_of_instances
    assert 0 < count < study.number_of_instances

    def link(**values):
        with without_check_access():
            Study = Pool().get(STUDY)
            Study.write([Study(study.id)], values)
        with_images, = [e for e in exams(hospital) if e.number_of_images]
        return with_images

    found, = exams(hospital)
    assert found.study and found.number_of_images == count
    request = make_requested(patient=hospital)
    found = link(request=request.id)
    assert found.request == request
    assert found.number_of_images == request.number_of_images == count
    with without_check_access():
        result, = Pool().get(RESULT).create([{
                    'patient': hospital.id,
                    'requested_test': make_exam("Old film").id}])
    found = link(request=None, imaging_test=result.id)
    assert found.result == result and not found.request
    assert found.number_of_images == count


def test_my_orders(hospital):
    other = make_requested(patient=hospital)
    mine = make_requested(patient=hospital, doctor=own())
    draft = make_request(patient=hospital, doctor=own())
    report = signed(hospital, "No fracture.")
    assert other.doctor != own()
    assert [e.request for e in tab("Waiting")] == [mine]
    assert [e.request for e in tab("Drafts")] == [draft]
    assert [e.result for e in tab("New Reports")] == [report]
    assert len(tab("All")) == 3
    for name in ["Waiting", "New Reports"]:
        assert tab(name, 'act_dashboard_my_orders') == tab(name)


def test_an_order_in_any_state_stands_in_its_tab(hospital):
    def order(**values):
        return make_requested(patient=hospital, doctor=own(), **values)
    make_request(patient=hospital, doctor=own())
    order()
    with without_check_access(), \
            Transaction().set_user(user('radiologist').id):
        Request, Result = Pool().get(REQUEST), Pool().get(RESULT)
        Request.cancel_for([order()], "Not needed")
        Request.claim([order()])
        archive(hospital, request=order().id)
        make_result(order())
        make_result(order(), comment="A shadow.")
        Result.give_back([make_result(order(), comment="A part")], "Too hard",
            True)
        signed(hospital, "No fracture.")
        amended, opened, reopened = (
            signed(hospital, text) for text in ["One", "Two", "Three"])
        Result.reopen([amended, reopened], "The other hand")
        Result.finalize([amended])
        with Transaction().set_user(user('doctor').id):
            Result.note_opened([opened.id])
        Request.report_in({
                order().id: result.id for result in [opened, reopened]})
        Request.report_in({
                order().id: make_result(order(), comment="A dot").id})
    found = {e: e.state for e in tab("All")}
    assert sorted(found.values()) == [
        'amended', 'canceled', 'draft', 'final', 'final', 'final', 'images',
        *['preliminary'] * 6, *['reading'] * 2, 'waiting']
    assert set(tab("Drafts")) == {
        e for e, state in found.items() if state == 'draft'}
    assert set(tab("Waiting")) == {
        e for e, state in found.items()
        if state in {'waiting', 'images', 'reading', 'preliminary'}}
    assert set(tab("New Reports")) == {
        e for e, state in found.items() if state in {'amended', 'final'}
        and e.result.id != opened.id}
    for name in ["Waiting", "New Reports"]:
        assert tab(name, 'act_dashboard_my_orders') == tab(name)


def test_a_report_is_new_until_it_is_opened(hospital):
    report = signed(hospital, "No fracture.")
    exam, = tab("New Reports")
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')):
        Result.note_opened([report.id])
    assert tab("New Reports") == [exam]
    Result.note_opened([report.id])
    assert tab("New Reports") == []

    with without_check_access():
        Result.reopen([Result(report.id)], "The other hand")
    assert tab("New Reports") == []
    with without_check_access(), \
            Transaction().set_user(user('radiologist').id):
        Result.finalize([Result(report.id)])
    assert tab("New Reports") == [exam]


def test_the_button_prints_the_report(hospital):
    report = signed(hospital, "No fracture.")
    exam, = exams(hospital)
    assert isinstance(type(exam).open_report([exam]), int)
    Wizard = Pool().get(
        'gnuhealth.imaging.patient_exam.report', type='wizard')
    with Transaction().set_context(
            active_model=EXAM, active_id=exam.id, active_ids=[exam.id]):
        session, start, _ = Wizard.create()
        (action, data), = Wizard.execute(session, {}, start)['actions']
    assert action['report_name'] == 'patient.imaging_report_results'
    assert data['ids'] == [report.id]
    assert data['model'] == RESULT


@pytest.mark.parametrize('login', ['stranger'])
def test_others_see_nothing(hospital, login):
    make_requested(patient=hospital)
    with as_user(user(login)):
        with pytest.raises(AccessError):
            Pool().get(EXAM).search([])


def test_a_long_history_in_few_queries(hospital):
    with without_check_access():
        for _ in range(30):
            make_requested(patient=hospital, doctor=own())
    with counted() as few:
        Pool().get(EXAM).read(
            [e.id for e in exams(hospital)],
            ['day', 'title', 'state', 'impression', 'number_of_images'])
    assert len(few) < 30


@pytest.mark.parametrize('login, shown', [('doctor', True), ('nurse', False)])
def test_the_page_of_the_patient(hospital, login, shown):
    with without_check_access():
        make_user('nurse', 'health.group_health_nursing')
    with as_user(user(login)):
        view = Pool().get('gnuhealth.patient').fields_view_get(
            Pool().get('ir.model.data').get_id(
                'health', 'gnuhealth_patient_view_form'))
    assert ('imaging_exams' in view['fields']) is shown
    assert ('name="imaging_exams"' in view['arch']) is shown


def test_the_doctor_prints_the_report(activated):
    "Reports are made in transactions that only read."
    def make():
        make_institution()
        doctor = make_professional(make_user(
                'printing', 'health.group_health_doctor', password=PASSWORD))
        request = make_requested(doctor=doctor)
        return make_final(
            make_radiologist(), request=request, comment="No fracture.").id
    id_ = commit(make)
    Rpc('printing')(
        'report.patient.imaging_report_results.execute', [id_], {})
    assert commit(lambda: Pool().get(RESULT)(id_).opened_at)
