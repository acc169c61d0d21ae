# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day at the report desk: a patient who was here before, a report that is
written, signed and amended, and a critical finding that reaches somebody at
last.

Each step is a function, which acts as the role whose step it is.
"""
import datetime as dt

import pytest
from support.archive_rows import send_study
from support.printed import Printed
from support.records import (
    as_user, make_exam, make_hospital, make_patient, make_professional,
    make_request, make_requested, make_result, make_user, on, run_wizard, user)

from trytond import bus
from trytond.modules.health_imaging.exceptions import (
    CriticalFindingError, FinalResultError, InterpretationMissingError,
    PickOpenError, SameReaderError)
from trytond.modules.health_imaging.sections import SECTIONS
from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
EXAM = 'gnuhealth.imaging.patient_exam'
FINDING = 'gnuhealth.imaging.critical_finding'
MARCH = dt.datetime(2026, 3, 1, 15)


@pytest.fixture
def notices(transaction, monkeypatch):
    "What the clients show: login and title."
    notices = []
    monkeypatch.setattr(
        bus, 'notify', lambda title, text, priority, user: notices.append(
            (Pool().get('res.user')(user).login, title)))
    return notices


@pytest.fixture
def hospital(notices):
    """The hospital, its archive with OHIF, and the exam; the head physician is
    next in line."""
    pool = Pool()
    make_hospital()
    head = make_professional(
        make_user('head', 'health.group_health_doctor'), "Olga", "Head")
    make_professional(make_user('colleague', 'health.group_health_doctor',
            'health_imaging.group_health_imaging_reporting'), "Ines", "Paz")
    Configuration = pool.get('gnuhealth.imaging.configuration')
    Configuration.write([Configuration(1)], {
            'escalation': [('create', [{'professional': head.id}])]})
    # The patient of the first studies of the archive.
    make_patient(
        "Given", "Family0", 'f', dt.date(1970, 1, 1), ref='I0')
    make_exam("CT abdomen", 'CTABD')
    pool.get('gnuhealth.orthanc.config').create([{
                'label': "PACS", 'domain': 'http://127.0.0.1:9',
                'proxy_domain': 'https://pacs.example',
                'user': 'u', 'password': 'p', 'other_viewers': ['ohif']}])


def professional(login):
    Professional = Pool().get('gnuhealth.healthprofessional')
    found, = Professional.search([('party.internal_user.login', '=', login)])
    return found


def ordered(**values):
    "Return what an order of the exam says."
    patient, = Pool().get('gnuhealth.patient').search([
            ('party.ref', '=', 'I0')])
    exam, = Pool().get('gnuhealth.imaging.test').search([
            ('code', '=', 'CTABD')])
    return {'patient': patient, 'exam': exam,
        'doctor': professional('doctor'), **values}


def again(record):
    "Return a record as it is read now."
    return type(record)(record.id)


def was_here_before():
    "The patient has a signed report of another exam."
    request = make_requested(**ordered(date=MARCH))
    send_images(request, 0, 3)
    return sign(make_result(
            request, date=MARCH, impression="No free air.\nGallstones."))


def order():
    "The doctor orders an urgent exam, Health Imaging hears of it."
    with as_user(user('doctor')):
        request = make_request(**ordered(urgent=True))
        type(request).requested([request])
    return request


def send_images(request, number, *shape):
    """The modality sends images of a request, the archive passes them on."""
    server, = Pool().get('gnuhealth.orthanc.config').search([])
    send_study(server, number, shape, study={
            'study_instance_UID': request.merge_id,
            'study_date': request.date.date()})


def begin(request, login='radiologist'):
    "The radiologist takes the exam of a patient."
    Request = Pool().get(REQUEST)
    with as_user(user(login)):
        Request.report([Request(request.id)])
    result, = again(request).results
    return result


def read_before(result):
    """The radiologist reads the former report, looks at both and quotes it.

    :return: the texts he read, and the address of the viewer
    """
    Exam, Result = Pool().get(EXAM), Pool().get(RESULT)
    with as_user(
            user('radiologist'), imaging_result=result.id,
            imaging_state=result.state):
        row, = Exam.browse(again(result).before)
        seen = run_wizard(f'{EXAM}.read', [('start', {})], **on(row))
        address = Exam.compare([row])['url']
        # As a client: the button changes the row, the row the form.
        quoted = Exam(id=row.id)
        quoted.quote()
        form = Result(id=result.id, state='draft', comparison=None,
            before=[quoted])
        form.on_change_before()
        Result.write([again(result)], {'comparison': form.comparison})
    return seen['view']['defaults'], address


def opened_together():
    "Return what the access log says of the viewer, pairs of user and study."
    with as_user(user('admin')):
        lines = Pool().get('gnuhealth.orthanc.access_log').search([
                ('action', '=', 'viewer')])
        return {(line.user.login, line.study_instance_UID) for line in lines}


def prepare_texts():
    "The administration prepares a text, the radiologist has a macro."
    pool = Pool()
    with as_user(user('admin')):
        pool.get('gnuhealth.imaging.report.template').create([{
                    'name': "Abdomen", 'technique': "Dose [__ mGy].",
                    'text': "Free air: [none|some]."}])
    with as_user(user('radiologist')):
        pool.get('gnuhealth.imaging.macro').create([{
                    'code': '.perf', 'text': "Suspected perforation."}])


def insert_text(result):
    "The radiologist inserts the prepared text, and types a macro."
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')):
        template, = Pool().get('gnuhealth.imaging.report.template').search([
                ('name', '=', "Abdomen")])
        form = Result(template=template, **{
                name: getattr(again(result), name) for name in SECTIONS})
        form.on_change_template()
        form.impression = ".perf"
        Result.write([again(result)], {
                name: getattr(form, name) for name in SECTIONS})


def pick(result, *answers):
    "The radiologist resolves the pick lists."
    with as_user(user('radiologist')):
        window = run_wizard(f'{RESULT}.pick', [('start', {})], **on(result))
        lines = window['view']['defaults']['picks']
        for line, (name, answer) in zip(lines, answers, strict=True):
            line[name] = answer
        run_wizard(f'{RESULT}.pick', [
                ('fill', {'start': {'picks': lines}})], **on(result))


def sign(result, login='radiologist'):
    Result = Pool().get(RESULT)
    with as_user(user(login)):
        Result.finalize([Result(result.id)])
    return again(result)


def write(result, **texts):
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')):
        Result.write([Result(result.id)], texts)


def tell(result):
    "The radiologist tells the doctor of what cannot wait."
    with as_user(user('radiologist')):
        run_wizard(f'{FINDING}.report', [('report', {'start': {
                            'finding': "Free air.", 'urgency': 'minutes',
                            'tell': professional('doctor').id}})],
            **on(result))
    finding, = Pool().get(FINDING).search([('result', '=', result.id)])
    return finding


def call(finding, to):
    "The radiologist reaches somebody by phone."
    with as_user(user('radiologist')):
        run_wizard(f'{FINDING}.log_call', [('log', {'start': {
                            'to': professional(to).id, 'how': 'phone',
                            'at': dt.datetime.now(), 'read_back': True}})],
            **on(finding))


def wait(finding, minutes):
    "Time passes, and the scheduler runs."
    table = finding.__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.next_at],
            [finding.next_at - dt.timedelta(minutes=minutes)],
            where=table.id == finding.id))
    Transaction().cache.clear()
    with Transaction().set_user(0):
        type(finding).escalate()
    return again(finding)


def acknowledge(finding, login):
    Finding = Pool().get(FINDING)
    with as_user(user(login)):
        Finding.acknowledge([Finding(finding.id)])
    return again(finding)


def shown_red(login):
    "Return the critical findings on somebody's dashboard."
    with as_user(user(login)):
        return Pool().get(FINDING).search([
                ('state', '=', 'open'), ('for_me', '=', True)])


def new_images(login):
    "Return the requests that somebody finds under New Images."
    with as_user(user(login)):
        return Pool().get(REQUEST).search([('new_images', '=', True)])


def see_no_change(result):
    "The signer looked at the new images, which change nothing."
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')):
        Result.confirm_studies([Result(result.id)])
    return again(result)


def notes(result):
    "Return the notes of a result, pairs of login and text."
    with as_user(user('radiologist')):
        return [
            (note.create_uid.login, note.message)
            for note in Pool().get('ir.note').search(
                [('resource', '=', str(result))], order=[('id', 'ASC')])]


def amend(result, reason):
    "The radiologist amends what he signed."
    with as_user(user('radiologist')):
        run_wizard(f'{RESULT}.amend', [
                ('amend', {'start': {'reason': reason}})], **on(result))
    return again(result)


@pytest.fixture
def printed(tmp_path):
    "Return what the report says that the doctor prints."
    def run(result):
        Report = Pool().get('patient.imaging_report_results', type='report')
        with as_user(user('doctor')):
            _, content, _, _ = Report.execute([result.id], {})
        return Printed(content, tmp_path).text
    return run


def write_report(request, former):
    "The report is written beside the former one, and not signed too early."
    result = begin(request)
    with pytest.raises(InterpretationMissingError):
        sign(result)
    seen, address = read_before(result)
    assert seen['impression'] == former.impression
    assert seen['signed'] == "Luna, Rosa"
    assert address == (
        'https://pacs.example/ohif/viewer'
        f'?StudyInstanceUIDs={request.merge_id}'
        f'&StudyInstanceUIDs={former.request.merge_id}'
        '&hangingProtocolId=@ohif/hpCompare')
    assert opened_together() == {
        ('radiologist', request.merge_id),
        ('radiologist', former.request.merge_id)}
    insert_text(result)
    with pytest.raises(PickOpenError) as refused:
        sign(result)
    for place in ["Technique: Dose [__ mGy]",
            "Findings: Free air: [none|some]"]:
        assert place in refused.value.message
    assert again(result).state == 'draft'
    pick(result, ('value', "12"), ('choice', "some"))
    return again(result)


def test_a_day_at_the_report_desk(hospital, notices, printed):
    prepare_texts()
    former = was_here_before()
    notices.clear()
    request = order()
    assert {login for login, _ in notices} == {
        'admin', 'colleague', 'radiologist', 'secretary', 'technician'}
    send_images(request, 1, 2)
    result = write_report(request, former)
    assert {name: getattr(result, name) for name in SECTIONS} == {
        'technique': "Dose 12 mGy.",
        'comparison': "Compared with CT abdomen of 2026-03-01",
        'comment': "Free air: some.",
        'impression': "Suspected perforation."}
    # The finding cannot wait for the signature.
    finding = tell(result)
    assert notices[-1] == ('doctor', "Critical finding")
    assert shown_red('doctor') == [finding] and shown_red('head') == []
    result = sign(result)
    assert notices[-1] == ('doctor', "Imaging report signed")
    with pytest.raises(FinalResultError):
        write(result, comment="Normal.")
    # The doctor is not there: the head is told, and reached by phone.
    finding = wait(finding, 61)
    assert notices[-1] == ('head', "Critical finding")
    assert shown_red('head') == [finding]
    with pytest.raises(CriticalFindingError):
        acknowledge(finding, 'radiologist')
    call(finding, 'head')
    finding = acknowledge(finding, 'head')
    assert shown_red('doctor') == shown_red('head') == []
    assert [line.event for line in finding.calls] == [
        'reported', 'escalated', 'called', 'acknowledged']
    assert wait(finding, 600).step == 1
    # Images come after the signature, which change nothing.
    assert new_images('radiologist') == []
    send_images(request, 1, 2, 1)
    assert again(result).new_images_at
    assert new_images('radiologist') == [request]
    assert new_images('colleague') == []
    result = see_no_change(result)
    assert not result.new_images_at and new_images('radiologist') == []
    assert result.state == 'final'
    (_, came), (login, confirmed) = notes(result)[-2:]
    assert "arrived after the signature" in came
    assert login == 'radiologist' and "confirmed" in confirmed
    # The next ones do.
    send_images(request, 1, 2, 1, 4)
    assert new_images('radiologist') == [request]
    result = amend(result, "Seen on the late images.")
    write(result, impression="Perforation of the duodenum.")
    result = sign(result)
    assert notices[-1] == ('doctor', "Imaging report amended")
    assert not result.new_images_at and new_images('radiologist') == []
    assert len(result.former_reports) == 1
    text = printed(result)
    for part in [
            "Amended: Seen on the late images. "
            "Revision 1, it replaces revision 0, signed on ",
            "Compared with CT abdomen of 2026-03-01",
            "Perforation of the duodenum.",
            "Free air. Communicated to Head, Olga at ", "Phone, read back.",
            "Acknowledged by head at "]:
        assert part in text
    assert "Suspected perforation." not in text


def test_another_member_of_reporting_reads_a_second_time(
        hospital, notices, printed):
    "As the day above, of an exam that asks for it."
    exam = ordered()['exam']
    type(exam).write([exam], {'second_reader': True})
    request = order()
    result = begin(request)
    write(result, impression="No free air.")
    notices.clear()
    result = sign(result)
    assert result.state == 'draft' and not result.signed_by
    assert result.first_read_by == professional('radiologist')
    assert notices == []
    with pytest.raises(SameReaderError):
        sign(result)
    assert begin(request, 'colleague') == result
    result = sign(result, 'colleague')
    assert result.state == 'final'
    assert result.signed_by == professional('colleague')
    assert notices == [('doctor', "Imaging report signed")]
    text = printed(result)
    assert "Luna, Rosa" in text and "Signed by Paz, Ines on" in text
