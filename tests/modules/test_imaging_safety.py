# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders that may harm the patient, with the gynaecology and the laboratory of
GNU Health."""
import datetime as dt
from types import SimpleNamespace

import pytest
from support.databases import activate
from support.records import (
    as_asked, as_user, commit, make_exam, make_hospital, make_patient,
    make_patients, make_person, make_user, run_wizard, user)
from support.statements import counted

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.exceptions import (
    DeceasedError, KeptValueError, NotDraftError, OrderIncompleteError,
    QuestionMissingError, ReasonMissingError, SafetyWarning)
from trytond.modules.health_imaging.patient_facts import PatientFacts, sex_of
from trytond.modules.health_imaging.safety_finding import Checks
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

MODULES = ('health_imaging', 'health_gyneco', 'health_lab')
ORDER = 'gnuhealth.patient.imaging.test.request'
NOW = dt.datetime.now().replace(microsecond=0)
TODAY = NOW.date()


@pytest.fixture(scope='module')
def activated(templates, files):
    templates.need(MODULES)
    activate(MODULES)
    commit(make_hospital)


@pytest.fixture
def doctor(transaction):
    with as_asked(user('doctor')):
        yield


@without_check_access
def make_ct(**values):
    return make_exam(**{
            'name': "Head CT with contrast", 'contrast': 'iodinated',
            'unchecked_rules': [], 'question_optional': False, **values})


@without_check_access
def make(model, **values):
    record, = Pool().get(model).create([values])
    return record


def make_allergy(patient, name, code, **values):
    pathology = make('gnuhealth.pathology', name=name, code=code)
    return make('gnuhealth.patient.disease', patient=patient.id,
        pathology=pathology.id, is_allergy=True, **values)


@without_check_access
def make_creatinine(patient, value, unit='mgdl0', days=1):
    ModelData = Pool().get('ir.model.data')
    test = ModelData.get_id(
        'health_lab', 'gnuhealth_test_renalfunctiontest0')
    shipped = Pool().get('gnuhealth.lab.test.critearea')(ModelData.get_id(
            'health_lab', 'gnuhealth_test_critearea_creatinine0'))
    lab = make('gnuhealth.lab', test=test, patient=patient.id,
        date_requested=NOW, date_analysis=NOW - dt.timedelta(days=days))
    return make('gnuhealth.lab.test.critearea', name=shipped.name,
        code=shipped.code, result=value, gnuhealth_lab_id=lab.id,
        units=shipped.units.id)


@without_check_access
def man(**values):
    return make_patient("Tom", gender='m', dob=dt.date(1956, 1, 1), **values)


def window(patient, *exams, question="Bleeding?", date=NOW, side=None):
    return {
        'patient': patient.id, 'date': date, 'urgent': False,
        'doctor': Pool().get('gnuhealth.healthprofessional').search(
            [('party.internal_user', '=', Transaction().user)])[0].id,
        'clinical_question': question, 'context': None,
        'tests': [exam.id for exam in exams], 'side': side}


def order(patient, *exams, state='order_and_request', reason=None, **values):
    states = [
        ('start', {}),
        (state, {'start': window(patient, *exams, **values)})]
    if reason is not None:
        states.append(('order_anyway', {'safety': {'reason': reason}}))
    return run_wizard(ORDER, states)


def asked(answer):
    return answer['view']['defaults']


def requests(patient):
    return Pool().get('gnuhealth.imaging.test.request').search(
        [('patient', '=', patient.id)], order=[('id', 'ASC')])


def test_stop_needs_a_reason_that_is_kept(doctor):
    patient, exam = man(), make_ct()
    make_allergy(
        patient, "Allergy to iodinated contrast medium", 'Z91.041')
    make_creatinine(patient, 1.0)
    answer = asked(order(patient, exam))
    assert answer['is_stopped']
    assert "Allergy to iodinated contrast medium" in answer['findings']
    assert not requests(patient)
    with pytest.raises(ReasonMissingError):
        order(patient, exam, reason="  ")
    assert not requests(patient)

    order(patient, exam, reason="Life-threatening, premedicated.")

    request, = requests(patient)
    assert request.state == 'requested'
    assert request.clinical_question == "Bleeding?"
    finding, = request.safety_findings
    assert (finding.kind, finding.rule, finding.reason, finding.user.login) \
        == ('stop', 'contrast_allergy', "Life-threatening, premedicated.",
            'doctor')
    assert "Allergy to iodinated contrast medium" in finding.text


def test_nothing_is_asked_of_who_is_safe(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 1.0)
    assert 'actions' in order(patient, exam)
    request, = requests(patient)
    assert request.state == 'requested' and not request.safety_findings


def test_pregnancy_is_read_from_the_gynaecology(doctor):
    with without_check_access():
        patient = make_patient(dob=dt.date(1998, 1, 1))
        exam = make_ct(contrast=None)
    answer = asked(order(patient, exam))
    assert not answer['is_stopped'] and "pregnant?" in answer['findings']
    make('gnuhealth.patient.menstrual_history', patient=patient.id,
        evaluation_date=TODAY, lmp=TODAY - dt.timedelta(days=4), lmp_length=4)
    assert 'actions' in order(patient, exam)
    make('gnuhealth.patient.pregnancy', patient=patient.id, gravida=1,
        fetuses=1, current_pregnancy=True, lmp=TODAY - dt.timedelta(days=70))
    assert asked(order(patient, exam))['is_stopped']


def test_kidneys_are_read_from_the_laboratory(doctor):
    patient, exam = man(), make_ct()
    assert "unknown" in asked(order(patient, exam))['findings']
    make_creatinine(patient, 1.0, days=90)
    assert "is old" in asked(order(patient, exam))['findings']
    make_creatinine(patient, 3.5)
    answer = asked(order(patient, exam))
    assert answer['is_stopped'] and "too weak" in answer['findings']


def test_window_shows_who_it_is_and_what_to_know(doctor):
    patient, exam = man(), make_ct(body_part='HEAD')
    make_allergy(patient, "Latex", 'Z91.040')
    make_creatinine(patient, 3.5)
    order(patient, exam, reason="Bleeding")
    with without_check_access():
        make_exam("MRI", 'MRI1', body_part='HEAD', type_='mri')
        other = make_exam("Head CT plain", 'CTPLAIN', body_part='HEAD')
        foot = make_exam("Foot CT", 'CTFOOT', body_part='FOOT')
    Start = Pool().get(f'{ORDER}.start')
    start = Start(patient=patient, tests=[other])
    assert patient.party.ref in start.on_change_with_identity()
    assert "Latex" in start.on_change_with_alerts()
    assert "Kidney" in start.on_change_with_alerts()
    assert exam.name in start.on_change_with_recent()
    start.tests = [foot]
    assert not start.on_change_with_recent()


def test_completion_tells_people_of_one_name_apart(doctor):
    with without_check_access():
        patients = [
            make_patient("Maria", "Garcia", dob=dt.date(year, 2, 3))
            for year in [1950, 1990]]
    Patient = Pool().get('gnuhealth.patient')
    with Transaction().set_context(imaging_identity=True):
        names = [p.rec_name for p in Patient.browse(patients)]
    assert len(set(names)) == 2
    for name, patient in zip(names, patients):
        assert patient.party.ref in name
        assert str(patient.party.dob.year) in name


def test_who_is_dead_is_not_examined(doctor):
    with without_check_access():
        patient = man()
        patient.party.deceased = True
        patient.party.save()
        exam = make_ct()
    with pytest.raises(DeceasedError):
        order(patient, exam)
    assert not requests(patient)


def test_clinical_question_is_needed_to_order_not_for_a_draft(doctor):
    patient, exam = man(), make_ct(contrast=None)
    with pytest.raises(QuestionMissingError):
        order(patient, exam, question=" ")
    order(patient, exam, question=None, state='request')
    request, = requests(patient)
    assert request.state == 'draft'
    with pytest.raises(QuestionMissingError):
        send(request)
    request.clinical_question = "Stroke?"
    request.save()
    send(request)
    assert request.state == 'requested'


def send(*records, reason=None):
    states = [('look', {})]
    if reason is not None:
        states.append(('send', {'ask': {'reason': reason}}))
    return run_wizard('gnuhealth.imaging.test.request.send', states,
        active_model='gnuhealth.imaging.test.request',
        active_id=records[0].id, active_ids=[r.id for r in records])


def test_draft_is_asked_about_when_it_is_sent(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 3.5)
    order(patient, exam, state='request')
    request, = requests(patient)
    assert asked(send(request))['is_stopped']
    assert request.state == 'draft'
    with pytest.raises(ReasonMissingError):
        send(request, reason='')
    send(request, reason="Dialysis follows.")
    assert request.state == 'requested'
    assert request.safety_findings[0].reason == "Dialysis follows."


def test_program_is_warned_and_goes_on(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 3.5)
    order(patient, exam, state='request')
    request, = requests(patient)
    Request = type(request)
    with pytest.raises(SafetyWarning, match="too weak"):
        Request.requested([request])
    with as_user(user('doctor')):
        Request.requested([request])
    assert request.state == 'requested'
    assert [f.kind for f in request.safety_findings] == ['stop']
    assert request.safety_findings[0].reason is None


def test_findings_are_nobodys_to_write(doctor):
    patient, exam = man(), make_ct()
    order(patient, exam, reason="")
    request, = requests(patient)
    finding, = request.safety_findings
    Finding = type(finding)
    for change in [
            lambda: Finding.write([finding], {'reason': "Other"}),
            lambda: Finding.delete([finding]),
            lambda: Finding.create([{'request': request.id}]),
            lambda: type(request).write(
                [request], {'safety_findings': [('delete', [finding.id])]})]:
        with pytest.raises((AccessError, KeptValueError)):
            change()


def test_two_windows_at_once_order_once(doctor):
    patient, exam = man(), make_ct()
    Wizard = Pool().get(ORDER, type='wizard')
    values = {'start': window(patient, exam)}
    # As the dispatcher calls wizards.
    with without_check_access():
        session, _, _ = Wizard.create()
        Wizard.execute(session, values, 'order_and_request')
        for _ in range(2):
            Wizard.execute(session, {
                    **values, 'safety': {'reason': "Now"}}, 'order_anyway')
    request, = requests(patient)
    assert request.state == 'requested'


def test_same_exam_again_is_told(doctor):
    patient, exam = man(), make_ct(contrast=None)
    order(patient, exam)
    answer = asked(order(patient, exam))
    assert exam.code in answer['findings'] and not answer['is_stopped']


def test_facts_of_many_are_read_with_few_statements(doctor):
    exam = make_ct()
    patients = make_patients(40, gender='m', dob=dt.date(1960, 1, 1))
    counts = []
    for some in [patients[:2], patients]:
        with counted() as statements:
            Checks([(p.id, p, exam, None, NOW, None) for p in some])
        counts.append(len(statements))
    assert counts[1] <= counts[0] + 4


def test_person_without_anything_is_unknown_not_safe(doctor):
    with without_check_access():
        person = make_person("Nemo", "Nobody", gender='u', is_patient=True)
        patient = make('gnuhealth.patient', party=person.id)
    answer = asked(order(patient, make_ct()))
    assert "pregnant?" in answer['findings']
    assert "unknown" in answer['findings']


def reschedule(request, reason, **context):
    values = {'date': NOW + dt.timedelta(days=2), 'reason': reason}
    return run_wizard('gnuhealth.imaging.test.request.reschedule',
        [('start', {}), ('reschedule', {'start': values})],
        active_model=type(request).__name__, active_id=request.id,
        active_ids=[request.id], **context)


def test_request_is_checked_again_when_it_is_rescheduled(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 1.8)
    order(patient, exam, reason="")
    request, = requests(patient)
    reschedule(request, "Machine is broken")
    assert [f.finding for f in request.safety_findings] == ['kidney_lowered']
    make_creatinine(patient, 3.5, days=0)
    with pytest.raises(SafetyWarning, match="too weak"):
        reschedule(request, "Again")
    reschedule(request, "Again", _skip_warnings=True)
    assert {f.finding for f in request.safety_findings} == {
        'kidney_lowered', 'kidney_low'}


def test_request_that_was_canceled_is_asked_about_again(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 3.5)
    order(patient, exam, reason="First")
    request, = requests(patient)
    with without_check_access():
        type(request).cancel_for([request], "Not today")
    type(request).draft([request])
    assert asked(send(request))['is_stopped']
    send(request, reason="Second")
    assert {f.reason for f in request.safety_findings} == {"First", "Second"}


@without_check_access
def kidneys(patient):
    "Return what is known of the kidneys of a patient: value and unit."
    known = PatientFacts([patient]).of(patient, TODAY).creatinine
    return known and (known.value, known.unit)


@pytest.mark.parametrize('values, lab, known', [
    ({'result': None, 'result_text': '3,5'}, {}, (3.5, 'mg/dl')),
    ({'result': None, 'result_text': 'hemolytic'}, {}, None),
    ({'result': 3.5, 'excluded': True}, {}, None),
    ({'result': 3.5, 'code': 'UCREA'}, {}, None),
    ({'result': 3.5, 'code': None, 'name': 'Kreatinin'}, {}, (3.5, 'mg/dl')),
    ({'result': 3.5, 'units': None}, {}, (3.5, '')),
    ({'result': 90}, {'specimen_type': "24 h Urine"}, None),
    ({'result': 3.5}, {'date_analysis': NOW + dt.timedelta(days=400)}, None),
    ])
def test_creatinine_is_that_of_serum(doctor, values, lab, known):
    patient = man()
    with without_check_access():
        analyte = make_creatinine(patient, 1.0)
        type(analyte).write([analyte], values)
        Lab = type(analyte.gnuhealth_lab_id)
        Lab.write([analyte.gnuhealth_lab_id], lab)
    found = kidneys(patient)
    assert (found and (found[0], found[1].lower())) == known


def test_allergy_that_nobody_marked_counts(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 1.0)
    allergy = make_allergy(
        patient, "Radiographic dye allergy status", 'Z91.041')
    with without_check_access():
        type(allergy).write([allergy], {'is_allergy': False})
    assert asked(order(patient, exam))['is_stopped']


def test_medicine_of_several_components_is_seen(doctor):
    patient, exam = man(), make_ct()
    with without_check_access():
        template = make('product.template', name="Januvia plus",
            default_uom=Pool().get('product.uom').search([])[0].id)
        medicament = make('gnuhealth.medicament',
            product=make(
                'product.product', template=template.id,
                is_medicament=True).id,
            active_component="Sitagliptin",
            composition="Sitagliptin 50 mg, metformin 1000 mg")
        taken = make('gnuhealth.patient.medication', patient=patient.id,
            medicament=medicament.id)
    assert "Stop it" in asked(order(patient, exam))['findings']
    with without_check_access():
        type(taken).write([taken], {'is_active': False})
    assert "Stop it" not in asked(order(patient, exam))['findings']


@pytest.mark.parametrize('biological, gender, sex', [
    ('f', 'm', 'f'), ('m', 'f', 'm'), (None, 'f-m', 'f'), (None, 'm-f', 'm'),
    (None, 'nb', 'o'), (None, 'other', 'o'), (None, 'u', ''),
    (None, None, '')])
def test_sex_that_counts_is_that_of_birth(biological, gender, sex):
    patient = SimpleNamespace(
        biological_sex=biological, party=SimpleNamespace(gender=gender))
    assert sex_of(patient) == sex


def test_side_is_asked_for_and_in_the_name(doctor):
    patient, exam = man(), make_ct(
        name="Hand", contrast=None, side='ask', question_optional=True)
    Start = Pool().get(f'{ORDER}.start')
    start = Start(tests=[exam])
    assert start.on_change_with_asks_side()
    with pytest.raises(OrderIncompleteError, match="side"):
        order(patient, exam)
    order(patient, exam, state='request')
    request, = requests(patient)
    with pytest.raises(OrderIncompleteError, match="side"):
        send(request)
    with pytest.raises(SafetyWarning, match="side"):
        type(request).requested([request])
    request.side = 'left'
    request.save()
    send(request)
    with pytest.raises(NotDraftError):
        type(request).write([request], {'side': 'right'})
    answer = order(patient, exam, side='right')
    assert exam.code in answer['actions'][0][0]['name']
    assert [r.exam_title() for r in requests(patient)] == [
        "Hand (left)", "Hand (right)"]
    assert "Hand (right)" in requests(patient)[1].rec_name
    exams = Pool().get('gnuhealth.imaging.patient_exam').search(
        [('patient', '=', patient.id)])
    assert {e.title for e in exams} == {"Hand (left)", "Hand (right)"}


def test_the_day_of_a_former_exam_is_that_of_the_hospital(doctor):
    patient, exam = man(), make_ct(contrast=None)
    # Nine in the evening of the day before, in Lima.
    order(patient, exam, date=dt.datetime.combine(
            TODAY - dt.timedelta(days=2), dt.time(2)))
    day = TODAY - dt.timedelta(days=3)
    assert f'{day:%m/%d/%Y}' in asked(order(patient, exam))['findings']


@pytest.mark.parametrize('name, side, title', [
    ("Hand", 'left', "Hand (left)"), ("Left hand", 'left', "Left hand"),
    ("Mano derecha", 'right', "Mano derecha"), ("Knee", None, "Knee"),
    ("Knees", 'both', "Knees (both sides)"), ("Foot", 'ask', "Foot")])
def test_name_with_a_fixed_side(doctor, name, side, title):
    assert make_ct(name=name, side=side).title() == title


def test_machine_bears_what_its_module_says(doctor, monkeypatch):
    patient, exam = man(), make_ct(contrast=None)
    make('gnuhealth.patient.evaluation', patient=patient.id, weight=210,
        evaluation_start=NOW)
    assert 'actions' in order(patient, exam)
    monkeypatch.setattr(type(exam), 'greatest_weight', lambda *of: 200)
    with without_check_access():
        type(exam).write([exam], {'unchecked_rules': ['duplicate']})
    assert "210 kg" in asked(order(patient, exam))['findings']


def test_allergy_found_later_is_asked_about(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 1.0)
    make_allergy(patient, "Iohexol", 'X1')
    order(patient, exam, reason="Premedicated")
    request, = requests(patient)
    reschedule(request, "Machine is broken")
    make_allergy(patient, "Iopromide", 'X2')
    with pytest.raises(SafetyWarning, match="Iopromide"):
        reschedule(request, "Again")


def test_front_desk_reschedules_without_reading_findings(doctor):
    patient, exam = man(), make_ct()
    make_creatinine(patient, 1.0)
    order(patient, exam)
    request, = requests(patient)
    make_creatinine(patient, 3.5, days=0)
    with without_check_access():
        desk = make_user(
            'front', 'health_imaging.group_health_imaging_front_desk')
    with as_asked(desk):
        reschedule(request, "Patient is late")
        assert not type(request)(request.id).safety
        with pytest.raises(AccessError):
            type(request).read([request.id], ['safety_findings.text'])
    assert "too weak" in request.safety


def test_request_that_was_asked_about_stays(doctor):
    patient, exam = man(), make_ct()
    order(patient, exam, reason="")
    request, = requests(patient)
    with without_check_access():
        type(request).cancel_for([request], "Not today")
    with pytest.raises(NotDraftError):
        type(request).delete([request])


def test_nobody_goes_on_for_who_is_dead(doctor):
    patient, exam = man(), make_ct()
    order(patient, exam, state='request')
    request, = requests(patient)
    with without_check_access():
        patient.party.deceased = True
        patient.party.save()
        other = make_ct()
    order(man(), other, state='request')
    draft = Pool().get('gnuhealth.imaging.test.request').search(
        [('state', '=', 'draft'), ('requested_test', '=', other.id)])
    for act in [
            lambda: type(request).requested([request, *draft]),
            lambda: send(request),
            lambda: send(request, reason="Post mortem")]:
        with as_user(user('doctor')), pytest.raises(
                DeceasedError, match="Tom"):
            act()
    assert request.state == 'draft'


def test_exam_reported_without_a_request_is_a_former_one(doctor):
    patient, exam = man(), make_ct(contrast=None)
    with without_check_access():
        make('gnuhealth.imaging.test.result', patient=patient.id,
            requested_test=exam.id, date=NOW - dt.timedelta(days=3),
            doctor=user_professional().id)
    assert exam.code in asked(order(patient, exam))['findings']


def user_professional():
    return Pool().get('gnuhealth.healthprofessional').search([], limit=1)[0]
