# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Critical findings, from the report to the acknowledgement, as those who are
told; and the notices of requests and reports."""
import datetime as dt

import pytest
from support.mail import mail_server
from support.records import (
    as_user, commit, make_exam, make_final, make_hospital, make_patient,
    make_professional, make_request, make_result, make_user, on, run_wizard,
    user)

from trytond import bus
from trytond.config import config
from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging import notices
from trytond.modules.health_imaging.exceptions import (
    CriticalFindingError, CriticalResultError, LedgerError)
from trytond.modules.health_imaging.minute import whole
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access, without_check_access

FINDING = 'gnuhealth.imaging.critical_finding'
REPORT = f'{FINDING}.report'
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def shown(transaction, monkeypatch):
    "The notifications: login, title and text."
    shown = []
    monkeypatch.setattr(
        bus, 'notify', lambda title, text, priority, user: shown.append(
            (Pool().get('res.user')(user).login, title, text)))
    return shown


@pytest.fixture
def hospital(line, shown):
    "The hospital of the file, and a transaction for what a test makes."


@pytest.fixture(scope='module')
def line(activated):
    commit(make_line)


def make_line():
    "Make a hospital with a head and a chief physician, next in line."
    make_hospital()
    for login in ['head', 'chief']:
        make_professional(
            make_user(login, 'health.group_health_doctor'), login, "Escalated")
    make_user('administrator', 'health_imaging.group_health_imaging_admin')
    escalate_to('head', 'chief')


def professional(login):
    Professional = Pool().get('gnuhealth.healthprofessional')
    found, = Professional.search([('party.internal_user.login', '=', login)])
    return found


@without_check_access
def configure(**values):
    Configuration = Pool().get('gnuhealth.imaging.configuration')
    Configuration.write([Configuration(1)], values)


def escalate_to(*people):
    "Put people at the end of the line: logins or health professionals."
    Escalation = Pool().get('gnuhealth.imaging.escalation')
    people = [professional(p) if isinstance(p, str) else p for p in people]
    begin = Escalation.search([], count=True)
    configure(escalation=[('create', [
                    {'professional': p.id, 'sequence': number}
                    for number, p in enumerate(people, begin)])])


def report(result=None, as_='radiologist', **values):
    "Report a finding of a result, to the doctor who requested it."
    Finding = Pool().get(FINDING)
    result = result or make_result(make_sent())
    start = {'finding': "Free air.", 'urgency': 'minutes',
        'tell': result.request.doctor.id, **values}
    with as_user(user(as_)):
        run_wizard(REPORT, [('report', {'start': start})], **on(result))
    return Finding.search([('result', '=', result.id)], order=[
            ('id', 'DESC')], limit=1)[0]


def make_sent(**values):
    request = make_request(doctor=professional('doctor'), **values)
    type(request).requested([request])
    return request


def acknowledge(finding, as_):
    Finding = type(finding)
    with as_user(user(as_)):
        Finding.acknowledge([Finding(finding.id)])
    return Finding(finding.id)


def age(finding, delta):
    "Let a finding be reported so much earlier."
    table = finding.__table__()
    finding = type(finding)(finding.id)
    Transaction().connection.cursor().execute(*table.update(
            [table.at, table.due, table.next_at],
            [finding.at - delta, finding.due - delta,
                finding.next_at - delta], where=table.id == finding.id))
    Transaction().cache.clear()
    return type(finding)(finding.id)


def escalate(finding, delta=None):
    "Run the scheduled task, as it is after so long."
    if delta:
        age(finding, delta)
    Finding = type(finding)
    with Transaction().set_user(0):
        Finding.escalate()
    return Finding(finding.id)


def log(finding):
    "Return event, how and last name or login of the lines of the log."
    return [(c.event, c.how, c.to and c.to.party.name)
        for c in type(finding)(finding.id).calls]


def mine(login, *domain):
    with as_user(user(login)), check_access():
        return Pool().get(FINDING).search([('for_me', '=', True), *domain])


def test_who_is_told_acknowledges(hospital, shown):
    shown.clear()
    finding = report()
    number = finding.result.number
    assert shown == [('doctor', "Critical finding", number)]
    assert log(finding) == [('reported', 'notice', 'Hugo')]
    assert finding.due - finding.at == 60 * MINUTE
    assert finding.author == user('radiologist')
    # On the dashboards of who is told and of the administration only.
    assert mine('doctor') == mine('administrator') == [finding]
    assert mine('head') == mine('radiologist') == mine('technician') == []
    with as_user(user('head')), check_access():
        assert type(finding).search([('for_me', '=', False)]) == [finding]
    for login, message in [
            ('radiologist', "Somebody else"), ('technician', "Meier, Hugo")]:
        with pytest.raises(CriticalFindingError, match=message):
            acknowledge(finding, login)
    with pytest.raises(AccessError):
        acknowledge(finding, 'stranger')
    finding = acknowledge(finding, 'doctor')
    assert finding.state == 'acknowledged'
    assert finding.acknowledged_by == user('doctor')
    assert log(finding)[1:] == [('acknowledged', None, None)]
    with pytest.raises(CriticalFindingError, match="Acknowledged by doctor"):
        acknowledge(finding, 'head')
    assert escalate(finding, 600 * MINUTE).step == 0
    assert mine('doctor', ('state', '=', 'open')) == []


def test_what_is_reported(hospital):
    result = make_result(make_sent())
    with as_user(user('radiologist')):
        Wizard = Pool().get(REPORT, type='wizard')
        with Transaction().set_context(**on(result)):
            session, *_ = Wizard.create()
            view = Wizard.execute(session, {}, 'start')['view']
    assert view['defaults']['tell'] == professional('doctor').id
    for values, message in [
            ({'finding': " "}, "Fill in"), ({'tell': None}, "Fill in"),
            ({'tell': professional('radiologist').id}, "somebody else")]:
        with pytest.raises(CriticalFindingError, match=message):
            report(result, **values)
    report(result)
    with pytest.raises(CriticalFindingError, match="open already"):
        report(result)
    report(result, finding="Tension pneumothorax.", urgency='days')
    for login in ['technician', 'doctor', 'administrator', 'stranger']:
        with pytest.raises(AccessError):
            report(result, as_=login, finding="Another")
    # A signed result, too.
    signed = make_final(user('radiologist'))
    assert report(signed, tell=professional('doctor').id).state == 'open'


def test_escalates_in_line_at_the_time_of_each_step(hospital, shown):
    finding = report()
    shown.clear()
    assert escalate(finding, 59 * MINUTE).step == 0
    finding = escalate(finding, 2 * MINUTE)
    assert [login for login, *_ in shown] == ['head']
    assert finding.step == 1
    assert whole(finding.next_at) - finding.due == 60 * MINUTE
    assert escalate(finding).step == 1
    assert mine('head') == [finding] and mine('chief') == []
    assert escalate(finding, 60 * MINUTE).step == 2
    assert [login for login, *_ in shown] == ['head', 'chief']
    assert log(finding)[1:] == [
        ('escalated', 'notice', 'head'), ('escalated', 'notice', 'chief')]
    # The line is over: nobody is told twice, whatever its order.
    assert escalate(finding, 600 * MINUTE).step == 2
    assert acknowledge(finding, 'chief').state == 'acknowledged'


def test_the_scheduler_stood_still(hospital, shown):
    "What was due goes at once, in its order, and the rest in its time."
    late, slow = report(), report(urgency='hours')
    shown.clear()
    age(slow, 25 * 60 * MINUTE)
    late = escalate(late, 9 * 60 * MINUTE)
    assert log(late)[1:] == [
        ('escalated', 'notice', 'head'), ('escalated', 'notice', 'chief')]
    assert log(slow)[1:] == [('escalated', 'notice', 'head')]
    assert len(shown) == 3
    # Whoever is added later is told of what is open still.
    make_professional(
        make_user('dean', 'health.group_health_doctor'), 'dean', "Z")
    escalate_to('dean')
    assert log(escalate(late))[-1] == ('escalated', 'notice', 'dean')
    assert escalate(slow).step == 1


def test_who_cannot_answer_is_passed_over(hospital):
    "Who has no user is noted, who reported it or was told is left out."
    Escalation = Pool().get('gnuhealth.imaging.escalation')
    Escalation.delete(Escalation.search([]))
    external = make_professional(name="External")
    escalate_to('doctor', 'radiologist', external, 'head', 'chief')
    finding = escalate(report(), 61 * MINUTE)
    assert log(finding) == [
        ('reported', 'notice', 'Hugo'), ('escalated', 'nobody', 'External'),
        ('escalated', 'notice', 'head')]


def run_tasks():
    "Send the e-mails that wait, and return how many."
    Queue = Pool().get('ir.queue')
    tasks = [t for t in Queue.search([('finished_at', '=', None)])
        if t.data['method'] in {'mail', 'mail_imaging'}]
    for task in tasks:
        task.run()
    return len(tasks)


@pytest.fixture
def mail(hospital):
    "The hospital wants e-mails, the doctor has an address."
    configure(mail_critical=True, mail_notices=True)
    User = Pool().get('res.user')
    User.write([user('doctor')], {'email': 'doctor@hospital.test'})
    before = config.get('email', 'uri'), config.get('email', 'from')
    config.set('email', 'from', 'imaging@hospital.test')
    yield lambda uri: config.set('email', 'uri', uri)
    config.set('email', 'uri', before[0])
    config.set('email', 'from', before[1] or '')


def test_mail_has_a_link_and_nothing_else(mail):
    run_tasks()
    with mail_server() as server:
        mail(server.uri)
        finding = report()
        assert server.messages == []
        assert run_tasks() == 1
    message, = server.messages
    assert message['To'] == 'doctor@hospital.test'
    text = message.get_payload(decode=True).decode() + str(message)
    assert finding.__href__.split('://')[1] in text
    assert 'Free' not in text and 'Betz' not in text and 'Ana' not in text
    assert log(finding)[1:] == [('mailed', None, 'Hugo')]


@pytest.mark.parametrize('server', ['refuses', 'is down', 'is no address'])
def test_mail_that_fails_undoes_nothing(mail, server):
    run_tasks()
    with mail_server(refuses=True) as refusing:
        mail({
                'refuses': refusing.uri,
                'is down': 'smtp://127.0.0.1:9',
                'is no address': 'smtp://',
                }[server])
        finding = report()
        assert run_tasks() == 1
    assert log(finding) == [
        ('reported', 'notice', 'Hugo'), ('mail_failed', None, 'Hugo')]
    assert acknowledge(finding, 'doctor').state == 'acknowledged'


def log_call(finding, as_='radiologist', **values):
    start = {'to': professional('doctor').id, 'how': 'phone',
        'at': dt.datetime(2026, 5, 4, 17, 30), 'read_back': True, **values}
    with as_user(user(as_)):
        run_wizard(f'{FINDING}.log_call', [('log', {'start': start})],
            **on(finding))


def test_calls_are_kept_and_printed(hospital):
    ImagingReport = Pool().get('patient.imaging_report_results', type='report')
    finding = report()
    log_call(finding)
    log_call(finding, as_='technician', how='person', read_back=False)
    with pytest.raises(CriticalFindingError, match="future"):
        log_call(finding, at=dt.datetime.now() + dt.timedelta(hours=1))
    with pytest.raises(CriticalFindingError, match="Fill in"):
        log_call(finding, to=None)
    with pytest.raises(AccessError):
        log_call(finding, as_='stranger')
    finding = acknowledge(finding, 'doctor')
    assert [c.user.login for c in finding.calls if c.event == 'called'] == [
        'radiologist', 'technician']
    with as_user(user('doctor')):
        context = ImagingReport.get_context([finding.result], {}, {})
    lines = context['critical'].replace('\u00a0', ' ').splitlines()
    assert lines[0] == "Free air."
    assert lines[1:3] == [
        "Communicated to Meier, Hugo at 05/04/2026 12:30: Phone, read back.",
        "Communicated to Meier, Hugo at 05/04/2026 12:30: In Person."]
    assert lines[3].startswith("Acknowledged by doctor at ")
    Call = Pool().get(f'{FINDING}.call')
    with as_user(user('administrator')), check_access():
        for write in [
                lambda: Call.write(list(finding.calls), {'text': "x"}),
                lambda: Call.delete(list(finding.calls)),
                lambda: type(finding).write([finding], {'state': 'open'}),
                lambda: type(finding).delete([finding])]:
            with pytest.raises(LedgerError, match="GNU Health writes them"):
                write()


def test_a_result_with_a_finding_is_kept(hospital):
    Request = Pool().get('gnuhealth.imaging.test.request')
    finding = report()
    result = finding.result
    with as_user(user('radiologist')), check_access():
        with pytest.raises(CriticalResultError, match="critical finding"):
            type(result).delete([result])
        copy, = type(result).copy([result])
        assert not copy.critical_findings
        Result = type(result)
        with pytest.raises(AccessError):
            Result.write([result], {
                    'critical_findings': [('delete', [finding.id])]})
    type(result).give_back([result], "Later", keep=False)
    with pytest.raises(CriticalResultError):
        Request.cancel_for([result.request], "Never")
    assert type(finding)(finding.id).result == result


def test_a_finding_moves_with_a_merged_patient(hospital):
    finding = report()
    source, other = finding.patient, make_patient("Ana", "Betz-Ruiz")
    with Transaction().set_user(1):
        run_wizard('party.replace', [('replace', {'ask': {
                            'source': source.party.id,
                            'destination': other.party.id}})],
            **on(source.party))
    finding = type(finding)(finding.id)
    assert finding.patient == other
    assert type(finding).search([('patient', '=', other.id)]) == [finding]
    assert acknowledge(finding, 'doctor').state == 'acknowledged'


def test_durations_are_those_of_the_configuration(hospital):
    configure(critical_minutes=30, critical_hours=8, critical_days=2)
    for urgency, minutes in [
            ('minutes', 30), ('hours', 8 * 60), ('days', 2 * 24 * 60)]:
        finding = report(urgency=urgency)
        assert finding.due - finding.at == minutes * MINUTE
    with as_user(user('administrator')), check_access():
        configure_as = Pool().get('gnuhealth.imaging.configuration')
        configure_as.write([configure_as(1)], {'critical_minutes': 45})
    assert report().due - report(
        make_result(make_sent())).at <= 46 * MINUTE


def test_statistics(hospital):
    Statistic = Pool().get('gnuhealth.imaging.statistics.critical')
    for minutes in [30, 90]:
        finding = acknowledge(age(report(), minutes * MINUTE), 'doctor')
    age(report(), 61 * MINUTE)
    report()
    report(urgency='days')
    mri = make_exam("MR knee", type_='mri')
    with as_user(user('doctor')), check_access():
        found = [
            (row.urgency, row.number, row.acknowledged,
                row.answer_median and round(row.answer_median, 1),
                row.answer_percentile and round(row.answer_percentile, 1),
                row.in_time and round(row.in_time, 1))
            for row in Statistic.search([])]
        with Transaction().set_context(type=mri.test_type.id):
            assert Statistic.search([]) == []
    assert found == [
        ('minutes', 4, 2, 1, 1.4, 33.3), ('days', 1, 0, None, None, None)]
    assert finding.acknowledged_at > finding.due
    with as_user(user('stranger')), check_access():
        with pytest.raises(AccessError):
            Statistic.search([])


def test_one_notice_for_the_urgent_requests_of_an_order(hospital, shown):
    Request = Pool().get('gnuhealth.imaging.test.request')
    doctor, exam = professional('doctor'), make_exam()
    requests = [make_request(
            request='ORD1', request_line=f'ORD1-20-{n:02}', exam=exam,
            doctor=doctor, urgent=n > 0) for n in range(20)]
    User = Pool().get('res.user')
    User.write([user('secretary')], {'imaging_mute_urgent': True})
    shown.clear()
    with as_user(user('doctor')), check_access():
        Request.requested(requests)
    assert sorted(shown) == [
        (login, "Urgent imaging request", 'ORD1')
        for login in ['admin', 'radiologist', 'technician']]
    # Who sends it himself knows, and what is not urgent is no news.
    shown.clear()
    request = make_request(doctor=doctor, urgent=True)
    quiet = make_request(doctor=doctor)
    with as_user(user('technician')), check_access():
        Request.requested([request, quiet])
    assert sorted(shown) == [
        (login, "Urgent imaging request", request.request)
        for login in ['admin', 'radiologist']]


def test_the_doctor_hears_of_signed_and_amended_reports(mail, shown):
    run_tasks()
    results = [make_result(make_sent(), comment="x") for _ in range(2)]
    numbers = ', '.join(r.number for r in results)
    Result = type(results[0])

    def sign(results):
        shown.clear()
        with as_user(user('radiologist')), check_access():
            Result.finalize(Result.browse(results))
        return shown[:]
    assert sign(results) == [('doctor', "Imaging report signed", numbers)]
    with mail_server() as server:
        mail(server.uri)
        assert run_tasks() == 1
    assert server.messages[0]['Subject'] == "Imaging report signed"
    Result._unsign(results[:1], "A typing error")
    assert sign(results[:1]) == [
        ('doctor', "Imaging report amended", results[0].number)]
    Result._unsign(results[:1], "Another")
    Pool().get('res.user').write(
        [user('doctor')], {'imaging_mute_reports': True})
    assert sign(results[:1]) == []
    assert notices.users_of([make_professional()]) == []
