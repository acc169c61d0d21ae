# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form on which a report is written: its sections and what stands beside
them."""
import datetime as dt

import pytest
from support.archive_rows import send_study, store_studies
from support.records import (
    PASSWORD, Rpc, RpcError, as_user, commit, make_exam, make_patient,
    make_professional, make_requested, make_result, make_user, on, user)
from support.statements import columns, counted

from trytond.modules.health_imaging.exceptions import (
    FinalResultError, InterpretationMissingError, KeptValueError,
    NoReportError, ResultNotEmptyError)
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.sections import SECTIONS
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.exceptions import NoViewerError
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

LOG = 'gnuhealth.orthanc.access_log'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
EXAM = 'gnuhealth.imaging.patient_exam'


def sign(result):
    "Sign a result as the user does who is asked and says yes."
    with Transaction().set_context(_skip_warnings=True):
        type(result).finalize([result])
    return again(result)


def again(record):
    "Return a record as it is read now."
    return type(record)(record.id)


def written(**values):
    "Return a result of the radiologist."
    return again(make_result(make_requested(), **values))


@pytest.mark.parametrize('section', SECTIONS)
def test_each_section_is_a_text_of_the_report(acting, section):
    result = written(**{section: "As before."})
    with pytest.raises(ResultNotEmptyError):
        type(result).delete([result])
    exam, = Pool().get(EXAM).search([('result', '=', result.id)])
    assert exam.state == 'preliminary'
    copied, = type(result).copy([result], default={'number': None})
    assert getattr(copied, section) == "As before."
    if section in {'technique', 'comparison'}:
        # They say nothing of the patient.
        with pytest.raises(InterpretationMissingError):
            sign(result)
        result.impression = "No change."
        result.save()
    result = sign(result)
    with pytest.raises(FinalResultError):
        type(result).write([result], {section: "Other."})


def test_former_exam_shows_the_impression_else_the_findings(acting):
    for values, shown in [
            ({'comment': " \nA shadow.\nMore.", 'impression': ' '},
                "A shadow."),
            ({'comment': "A shadow.", 'impression': "\nBenign.\n"},
                "Benign.")]:
        result = sign(written(date=dt.datetime(2026, 1, 4), **values))
        exam, = Pool().get(EXAM).search([('result', '=', result.id)])
        assert exam.impression == shown


# Beside the text

@without_check_access
def weigh(patient, *weights):
    "Note weights of a patient, the last one last."
    Evaluation = Pool().get('gnuhealth.patient.evaluation')
    Evaluation.create([{
                'patient': patient.id, 'weight': weight,
                'healthprof': make_professional().id,
                'evaluation_start': dt.datetime(2026, 1, day)}
            for day, weight in enumerate(weights, 1)])


def test_the_form_says_who_and_what_is_asked(acting):
    patient = make_patient("Ana", "Betz", ref='PU-1')
    with without_check_access():
        type(patient).write([patient], {'critical_info': "Pacemaker"})
        context, = Pool().get('gnuhealth.pathology').create([
                {'name': "Concussion", 'code': 'S06.0'}])
    weigh(patient, 70, 81.5)
    result = again(make_result(make_requested(
                patient=patient, context=context.id, comment="Bleeding?",
                date=dt.datetime(2026, 5, 4, 15))))
    row, = type(result).read([result.id], columns(RESULT, 'form'))
    assert {name: row[name] for name in [
            'patient_puid', 'patient_birth', 'patient_sex', 'computed_age',
            'patient_weight', 'asked', 'asked_line', 'image_count']} == {
        'patient_puid': 'PU-1', 'patient_birth': dt.date(1985, 10, 4),
        'patient_sex': 'f', 'computed_age': '40y 7m 0d',
        'patient_weight': '81.5 kg', 'asked': "Bleeding?",
        'asked_line': "S06.0 : Concussion - Bleeding?",
        'image_count': None}
    assert row['alert_line'].endswith(" - Pacemaker")
    assert row['alert_icon'] == 'tryton-warning'
    # Nothing is known of a patient who came without an order.
    bare, = type(result).create([{
                'patient': make_patient().id,
                'requested_test': result.requested_test.id,
                'doctor': make_professional().id}])
    row, = type(result).read([bare.id], columns(RESULT, 'form'))
    assert not (row['patient_weight'] or row['asked'] or row['alert_line'])


@pytest.fixture
def before(acting):
    """A result of today's CT of the head, and former exams by name."""
    patient = make_patient()
    head = make_exam("CT head", type_='ctscan')
    neck = make_exam("CT neck", type_='ctscan')
    xray = make_exam("Skull", type_='xray')

    def examined(exam, day, **values):
        request = make_requested(patient=patient, exam=exam, date=day)
        return again(make_result(
                request, date=day, impression=f"{exam.name}.", **values))
    found = {
        'xray': sign(examined(xray, dt.datetime(2026, 4, 1, 15))),
        'neck': sign(examined(neck, dt.datetime(2026, 3, 20, 15))),
        'old': sign(examined(head, dt.datetime(2025, 3, 1, 15))),
        'head': sign(examined(head, dt.datetime(2026, 3, 1, 15))),
        'later': sign(examined(head, dt.datetime(2026, 6, 1, 15))),
        'unread': examined(head, dt.datetime(2024, 3, 1, 15)),
        }
    make_requested(patient=patient, exam=head, date=dt.datetime(2026, 2, 1))
    found['today'] = again(make_result(
            make_requested(patient=patient, exam=head),
            date=dt.datetime(2026, 5, 4, 15)))
    return found


def rows_before(result, **context):
    "Return the former exams as the form lists them."
    Exam = Pool().get(EXAM)
    with Transaction().set_context(
            imaging_result=result.id, imaging_state=result.state, **context):
        return Exam.browse(again(result).before)


def test_former_exams_the_nearest_first(before):
    names = {r.id: name for name, r in before.items()}
    rows = rows_before(before['today'])
    assert [names[e.result.id] for e in rows] == [
        'head', 'old', 'unread', 'neck', 'xray']
    assert [(e.state, e.impression) for e in rows[:3]] == [
        ('final', "CT head."), ('final', "CT head."), ('preliminary', None)]


def test_read_shows_a_former_report(before):
    rows = rows_before(before['today'])
    Wizard = Pool().get('gnuhealth.imaging.patient_exam.read', type='wizard')
    session, _, _ = Wizard.create()
    with Transaction().set_context(**on(rows[0])):
        shown = Wizard.execute(session, {}, 'start')['view']['defaults']
    assert shown['impression'] == "CT head."
    assert shown['day'] == dt.date(2026, 3, 1)
    assert shown['signed'] == "Luna, Rosa"
    waiting, = Pool().get(EXAM).search([('state', '=', 'waiting')])
    with Transaction().set_context(**on(waiting)), \
            pytest.raises(NoReportError):
        Wizard.execute(session, {}, 'start')


def test_quote_names_a_former_exam_in_the_comparison(before):
    Exam, Result = Pool().get(EXAM), Pool().get(RESULT)
    first, second, *_ = rows_before(before['today'])
    # As a client: the button changes the row, the row changes the form.
    row = Exam(id=first.id)
    row.quote()
    form = Result(id=before['today'].id, state='draft', before=[
            Exam(id=first.id, quoted=row.quoted), Exam(id=second.id)],
        comparison="Seen at once.")
    form.on_change_before()
    assert form.comparison == (
        "Seen at once.\nCompared with CT head of 2026-03-01")
    form.on_change_before()
    assert form.comparison.count("Compared") == 1
    form.before = [
        Exam(id=first.id, quoted=row.quoted),
        Exam(id=second.id, quoted=row.quoted + 1)]
    form.comparison = None
    form.on_change_before()
    assert form.comparison == "Compared with CT head of 2025-03-01"
    signed = before['head']
    form = Result(id=signed.id, state='final', comparison=None, before=[
            Exam(id=second.id, quoted=row.quoted)])
    with pytest.raises(FinalResultError):
        form.on_change_before()
    # What a client sends with the text is stored nowhere.
    Result.write([before['today']], {
            'comparison': "As before.", 'before': [('add', [first.id])]})
    assert again(before['today']).comparison == "As before."


def test_quote_writes_in_the_language_of_the_hospital(before):
    pool = Pool()
    Language, Company = pool.get('ir.lang'), pool.get('company.company')
    with without_check_access():
        german, = Language.search([('code', '=', 'de')])
        Language.load_translations([german])
        company, = Company.search([])
        pool.get('party.party').write([company.party], {'lang': german.id})
    first, *_ = rows_before(before['today'])
    assert first.quotation() == "Verglichen mit CT head vom 2026-03-01"


def test_200_former_exams_in_few_statements(acting):
    patient, exam = make_patient(), make_exam("CT head", type_='ctscan')
    Result = Pool().get(RESULT)
    many, few, doctor = patient, make_patient(), make_professional()
    for someone, count in [(many, 200), (few, 20)]:
        Result.create([{
                    'patient': someone.id, 'requested_test': exam.id,
                    'date': dt.datetime(2025, 1, 1) + dt.timedelta(n),
                    'comment': "Fine.", 'doctor': doctor.id,
                    } for n in range(count + 1)])
    taken = {}
    for someone in [few, many]:
        result, = Result.search([('patient', '=', someone.id)], limit=1)
        for cache in Transaction().cache.values():
            cache.clear()
        with counted() as statements:
            row, = Result.read([result.id], columns(RESULT, 'form'))
            with Transaction().set_context(imaging_result=result.id):
                Pool().get(EXAM).read(row['before'], columns(EXAM, 'tree'))
        taken[someone] = len(row['before']), len(statements)
    assert [n for n, _ in taken.values()] == [20, 200]
    assert taken[many][1] <= taken[few][1] + 4
    assert taken[many][1] < 80


# Images

@pytest.fixture
def archive(before):
    """A server with OHIF, that has the studies of today and of March."""
    with without_check_access():
        server, = Pool().get('gnuhealth.orthanc.config').create([{
                    'label': "PACS", 'domain': 'http://127.0.0.1:9',
                    'proxy_domain': 'https://pacs.example',
                    'user': 'u', 'password': 'p', 'other_viewers': ['ohif']}])
        store_studies([server.id], 2, [3])
        Study = Pool().get(STUDY)
        for study, name in zip(
                Study.search([], order=[('id', 'ASC')]), ['today', 'head']):
            Study.write([study], {'imaging_test': before[name].id})
    return server


def test_compare_opens_both_studies(before, archive):
    Exam = Pool().get(EXAM)
    head, old, *_ = rows_before(before['today'])
    assert (head.comparable, old.comparable) == (True, False)
    with Transaction().set_context(imaging_result=before['today'].id):
        action = Exam.compare([head])
        with pytest.raises(NoViewerError):
            Exam.compare([old])
    assert action['url'] == (
        'https://pacs.example/ohif/viewer?StudyInstanceUIDs=2.999.0'
        '&StudyInstanceUIDs=2.999.1&hangingProtocolId=@ohif/hpCompare')
    with without_check_access():
        seen = Pool().get(LOG).search([('action', '=', 'viewer')])
        assert {s.study_instance_UID for s in seen} == {'2.999.0', '2.999.1'}
    # The form of another patient, or none at all.
    for result in [make_result(), None]:
        with Transaction().set_context(
                imaging_result=result.id if result else 'x'), \
                pytest.raises(NoViewerError):
            Exam.compare([head])
    with without_check_access():
        type(archive).write([archive], {'other_viewers': ['stone']})
    assert not rows_before(before['today'])[0].comparable


def test_the_body_part_of_the_images_counts(before, archive):
    Series = Pool().get('gnuhealth.imaging_orthanc.study_series')
    with without_check_access():
        study = again(before['head']).orthanc_studies[0]
        type(study).write([study], {'imaging_test': before['neck'].id})
        tables.set_values(
            Series, [s.id for s in Series.search([])], body_part='HEAD')
    names = {r.id: name for name, r in before.items()}
    assert [names[e.result.id] for e in rows_before(before['today'])] == [
        'neck', 'head', 'old', 'unread', 'xray']


def test_the_form_opens_its_images(before, archive):
    result = again(before['today'])
    assert result.image_count == '3'
    assert type(result).open_images([result])['url'].endswith('2.999.0')


def marked():
    "Return the results that the user finds under New Images."
    Request = Pool().get(REQUEST)
    return {
        q.results[0].id
        for q in Request.search([('new_images', '=', True)])}


def test_images_after_the_signature_are_shown_until_confirmed(
        before, archive):
    pool = Pool()
    Note, Result = pool.get('ir.note'), pool.get(RESULT)
    head = before['head']
    # A study that was linked after the signature counts too.
    assert again(head).new_images_at
    Result.confirm_studies([head])
    assert not marked()
    # The same, less, or what is no picture, such as the stored report.
    send_study(archive, 1, [3])
    send_study(archive, 1, [2])
    send_study(archive, 1, [2, 1], modality='DOC')
    # Draft reports are not marked.
    send_study(archive, 0, [9])
    assert not again(head).new_images_at
    assert not again(before['today']).new_images_at
    send_study(archive, 1, [3, 1], modality='DOC')
    assert again(head).new_images_at
    assert marked() == {head.id}
    request = again(head).request
    assert request.new_images
    assert type(request).report([request])['res_id'] == [head.id]
    with as_user(make_user('colleague', 'health.group_health_doctor',
                'health_imaging.group_health_imaging_reporting')):
        assert not marked()
    Result.confirm_studies([again(head)])
    assert not again(head).new_images_at
    came, confirmed = Note.search(
        [('resource', '=', str(head))], order=[('id', 'ASC')])[-2:]
    assert "arrived after the signature" in came.message
    assert confirmed.create_uid.id == Transaction().user
    with pytest.raises(KeptValueError):
        Result.write([again(head)], {'new_images_at': now()})


def test_another_study_of_the_request_marks_the_report(before, archive):
    Result = Pool().get(RESULT)
    old, signed = before['old'], before['old'].signed_at
    send_study(archive, 7, [2])
    with without_check_access():
        study, = Pool().get(STUDY).search([('orthanc_UID', '=', 's7')])
        type(study).write([study], {'request': old.request.id})
    assert again(old).new_images_at
    with without_check_access():
        Result.reopen([again(old)], "New images.")
    assert not again(old).new_images_at
    assert again(old).former_signed_at == signed.replace(second=0)


def test_a_new_study_is_noted_once(acting, archive):
    # As the images of the study say.
    patient = make_patient(
        "Given", "Family4", 'f', dt.date(1970, 1, 1), ref='I4')
    request = make_requested(patient=patient, date=dt.datetime(2020, 1, 9, 15))
    result = sign(again(make_result(request, impression="Normal.")))
    send_study(archive, 8, [2], {'study_instance_UID': request.merge_id})
    assert again(result).new_images_at
    note, = Pool().get('ir.note').search([('resource', '=', str(result))])
    assert "after it was signed" in note.message


# Two at one report

def made_earlier(result):
    "Let a result be made a minute ago: SQLite tells whole seconds apart."
    table = Pool().get(RESULT).__table__()
    tables.execute(table.update(
            [table.create_date, table.write_date],
            [now() - dt.timedelta(minutes=1)] * 2, where=table.id == result))


def test_the_second_of_two_keeps_his_text_and_is_told(practice):
    result = commit(lambda: make_result().id)
    commit(lambda: made_earlier(result))
    commit(lambda: make_professional(make_user('second',
                'health.group_health_doctor',
                'health_imaging.group_health_imaging_reporting',
                password=PASSWORD)))
    commit(lambda: Pool().get('res.user').write(
            [user('radiologist')], {'password': PASSWORD}))
    first, second = Rpc('radiologist'), Rpc('second')

    def opened(rpc):
        row, = rpc(f'model.{RESULT}.read', [result], [*SECTIONS, '_timestamp'])
        return row, {f'{RESULT},{result}': row['_timestamp']}
    _, seen_first = opened(first)
    _, seen_second = opened(second)
    first(f'model.{RESULT}.write', [result], {'comment': "A shadow."},
        _timestamp=seen_first)
    # The client asks the second one then, and keeps what he typed.
    with pytest.raises(RpcError) as error:
        second(f'model.{RESULT}.write', [result], {'comment': "Nothing."},
            _timestamp=seen_second)
    assert error.value.kind == 'ConcurrencyException'
    # What he has not read he does not sign.
    for button in ['finalize', 'sign_next']:
        with pytest.raises(RpcError) as error:
            second(f'model.{RESULT}.{button}', [result],
                _timestamp=seen_second)
        assert error.value.kind == 'UserError'
        assert "Reload it and read it" in error.value.message
    row, seen_second = opened(second)
    assert row['comment'] == "A shadow."
    second(f'model.{RESULT}.write', [result], {'impression': "Benign."},
        _timestamp=seen_second)
    _, seen_second = opened(second)
    second(f'model.{RESULT}.finalize', [result], _timestamp=seen_second)
    assert opened(first)[0] == {
        **opened(second)[0], 'comment': "A shadow.", 'impression': "Benign."}
