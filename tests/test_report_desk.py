# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day at the report desk: a patient who was here before, a report that is
written and signed, and a critical finding that reaches somebody at last.

Each step is a function, which acts as the role whose step it is.
"""
import datetime as dt

import pytest
from support.records import (
    as_user, make_final, make_hospital, make_professional, make_requested,
    make_user, on, run_wizard, user)

from trytond import bus
from trytond.modules.health_imaging.exceptions import (
    CriticalFindingError, FinalResultError, InterpretationMissingError)
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
FINDING = 'gnuhealth.imaging.critical_finding'
TEXT = "Free air under the right diaphragm.\n\nImpression: perforation."


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
    "The hospital; the head physician is next in line."
    make_hospital()
    head = make_professional(
        make_user('head', 'health.group_health_doctor'), "Olga", "Head")
    Configuration = Pool().get('gnuhealth.imaging.configuration')
    Configuration.write([Configuration(1)], {
            'escalation': [('create', [{'professional': head.id}])]})


def professional(login):
    Professional = Pool().get('gnuhealth.healthprofessional')
    found, = Professional.search([('party.internal_user.login', '=', login)])
    return found


def was_here_before():
    "The patient has a signed report of another exam."
    return make_final(user('radiologist'))


def order():
    "The doctor orders an urgent exam, Health Imaging hears of it."
    with as_user(user('doctor')), check_access():
        return make_requested(doctor=professional('doctor'), urgent=True)


def begin(request):
    "The radiologist takes the exam of a patient who was here before."
    Request = Pool().get(REQUEST)
    with as_user(user('radiologist')), check_access():
        request = Request(request.id)
        assert request.priors == 1
        Request.report([request])
    result, = Pool().get(REQUEST)(request.id).results
    return result


def sign(result):
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')), check_access():
        Result.finalize([Result(result.id)])
    return Result(result.id)


def write(result, text):
    Result = Pool().get(RESULT)
    with as_user(user('radiologist')), check_access():
        Result.write([Result(result.id)], {'comment': text})


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
    return type(finding)(finding.id)


def acknowledge(finding, login):
    Finding = Pool().get(FINDING)
    with as_user(user(login)), check_access():
        Finding.acknowledge([Finding(finding.id)])
    return Finding(finding.id)


def shown_red(login):
    "Return the critical findings on somebody's dashboard."
    with as_user(user(login)), check_access():
        return Pool().get(FINDING).search([
                ('state', '=', 'open'), ('for_me', '=', True)])


def printed(result):
    "Return what the report says of critical findings."
    Report = Pool().get('patient.imaging_report_results', type='report')
    with as_user(user('doctor')):
        return Report.get_context([result], {}, {})['critical']


def test_a_day_at_the_report_desk(hospital, notices):
    was_here_before()
    notices.clear()
    request = order()
    assert {login for login, _ in notices} == {
        'admin', 'radiologist', 'secretary', 'technician'}
    result = begin(request)
    with pytest.raises(InterpretationMissingError):
        sign(result)
    # The finding cannot wait for the signature.
    finding = tell(result)
    assert notices[-1] == ('doctor', "Critical finding")
    assert shown_red('doctor') == [finding] and shown_red('head') == []
    write(result, TEXT)
    result = sign(result)
    assert notices[-1] == ('doctor', "Imaging report signed")
    with pytest.raises(FinalResultError):
        write(result, "Normal.")
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
    lines = printed(result).splitlines()
    assert lines[0] == "Free air."
    assert lines[1].startswith("Communicated to Head, Olga at ")
    assert lines[1].endswith("Phone, read back.")
    assert lines[2].startswith("Acknowledged by head at ")
    assert wait(finding, 600).step == 1
