# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading list: what is in it and in which order, who claims an exam, and
the way from its row to the signed report and on."""
import datetime as dt
import types

import pytest
from support.records import (
    as_asked, as_user, commit, make_exam, make_final, make_hospital,
    make_patient, make_professional, make_request, make_requested, make_result,
    make_user, on, run_wizard, user)
from support.statements import counted
from support.synchronizing import new_server

from trytond.model.exceptions import AccessButtonError
from trytond.modules.health_imaging import reading
from trytond.modules.health_imaging.exceptions import (
    ClaimedWarning, KeptValueError, NoImagesWarning, RequestNotReadyError,
    SignWarning)
from trytond.modules.health_orthanc.exceptions import NoViewerError
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction, without_check_access

pytestmark = pytest.mark.usefixtures('hospital')

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
DAY = dt.datetime(2026, 5, 4, 15)


def second_reader():
    reader = make_user('second', 'health_imaging.group_health_imaging',
        'health_imaging.group_health_imaging_reporting')
    make_professional(reader, "Noor", "Haddad")


@pytest.fixture(scope='module')
def hospital(activated):
    commit(make_hospital)
    commit(second_reader)


@pytest.fixture
def reader(transaction):
    return user('radiologist')


@pytest.fixture
def pacs(transaction):
    Server = Pool().get('gnuhealth.orthanc.config')
    server = Server(new_server('http://pacs.invalid'))
    Server.write([server], {'viewers': ['ohif']})
    return server


@without_check_access
def make_images(request, server, number=3, arrived=None, **values):
    "Make a linked study of a request."
    Study = Pool().get(STUDY)
    count = Study.search([], count=True)
    study, = Study.create([{
                'orthanc_server': server.id, 'orthanc_UID': f'o{count}',
                'study_instance_UID': f'2.999.{count}', 'modalities': 'CT',
                'number_of_instances': number, **values}])
    Study.write([study], {
            'patient': request.patient.id, 'request': request.id,
            'imaging_test': (
                request.results[0].id if request.results else None)})
    if arrived:
        table = Study.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.create_date], [arrived], where=table.id == study.id))
    return study


def again(record):
    return type(record)(record.id)


def action():
    return Pool().get('ir.action.act_window').get(
        'health_imaging.act_reading_list')


def decoded(text):
    return PYSONDecoder({'_user': Transaction().user}).decode(text)


def reading_list(tab="All"):
    "Return what a client shows in a tab of the list."
    act = action()
    domains = {name: domain for name, domain, _ in act['domains']}
    return Pool().get(REQUEST).search(
        [decoded(act['pyson_domain']), decoded(domains[tab])],
        order=[tuple(o) for o in decoded(act['pyson_order'])])


def press(name, *records):
    return getattr(type(records[0]), name)([again(r) for r in records])


def names(warning):
    return warning.value.message


# What is in the list


def test_images_without_a_report_are_in_the_list(reader, pacs):
    wanted = make_requested()
    make_images(wanted, pacs)
    begun = make_result()
    make_requested()
    signed, late = make_requested(), make_final(reader).request
    make_images(signed, pacs)
    make_final(reader, request=signed)
    canceled = make_requested()
    make_images(canceled, pacs)
    type(canceled).cancel_for([canceled], "x")
    draft = make_request()
    make_images(draft, pacs)
    with as_user(reader):
        assert set(reading_list()) == {wanted, begun.request}
        assert not reading_list("New Images")
    # Images after the signature are for the signer to look at.
    make_images(late, pacs)
    with as_user(reader):
        assert reading_list("New Images") == [late]
        assert set(reading_list()) == {wanted, begun.request, late}
        listed = {wanted.id, begun.request.id}
        for row in Pool().get(REQUEST).search_read([], fields_names=[
                    'to_read']):
            assert row['to_read'] == (row['id'] in listed)


@pytest.mark.parametrize('most', [reading._MOST_NAMED, 0])
@pytest.mark.parametrize('clause, found', [
        (('to_read', '!=', False), True), (('to_read', 'in', [True]), True),
        (('to_read', '=', False), False), (('to_read', '!=', True), False),
        (('to_read', 'not in', [True]), False)])
def test_search_of_what_is_to_be_read(
        reader, pacs, clause, found, most, monkeypatch):
    """Few requests are named in the statement, many are not."""
    monkeypatch.setattr(reading, '_MOST_NAMED', most)
    request, without = make_requested(), make_requested()
    make_images(request, pacs)
    with as_user(reader):
        requests = Pool().get(REQUEST).search([clause])
    assert (request in requests, without in requests) == (found, not found)


def test_what_is_to_be_read_is_looked_for_once(reader, pacs):
    Request = Pool().get(REQUEST)
    request = make_requested()
    make_images(request, pacs)
    with as_user(reader):
        count = Request.search_count([('to_read', '=', True)])
        with counted() as statements:
            assert Request.search_count(
                [('to_read', '=', True), ('urgent', '!=', True)]) == count
    assert len(statements) == 1
    type(request).cancel_for([request], "x")
    with as_user(reader):
        assert Request.search_count([('to_read', '=', True)]) == count - 1


def test_what_the_server_lost_and_reports_are_no_images(reader, pacs):
    for values in [{'missing_since': DAY}, {'modalities': 'SR'}]:
        make_images(make_requested(), pacs, **values)
    with as_user(reader):
        assert not reading_list()


def test_amended_result_is_in_the_list_again(reader):
    result = make_final(reader)
    type(result)._unsign([result], "x")
    with as_user(reader):
        assert reading_list() == [result.request]


def test_without_a_pacs_requests_wait_that_were_sent(reader, monkeypatch):
    Request = Pool().get(REQUEST)
    monkeypatch.setattr(Request, '_with_images', classmethod(lambda cls: []))
    request = make_requested()
    make_request()
    with as_asked(reader):
        assert reading_list() == [request]
        assert press('report', request)['res_id']


def test_urgent_first_then_oldest(reader, pacs):
    def made(day, arrived, **values):
        request = make_requested(date=DAY + dt.timedelta(days=day), **values)
        make_images(request, pacs, arrived=arrived)
        return request
    late = made(1, dt.datetime(2026, 5, 9))
    early = made(2, dt.datetime(2026, 5, 8))
    urgent = made(3, dt.datetime(2026, 5, 10), urgent=True)
    begun = make_result(make_requested(date=dt.datetime(2026, 5, 8, 1)))
    with as_user(reader):
        assert reading_list() == [urgent, early, begun.request, late]


@pytest.mark.parametrize('ago, shown', [
        (dt.timedelta(minutes=5), '0 h 05'),
        (dt.timedelta(hours=2, minutes=10), '2 h 10'),
        (dt.timedelta(days=3, hours=4, minutes=5), '3 d 4 h'),
        (-dt.timedelta(days=1), '')])
def test_waiting(reader, pacs, monkeypatch, ago, shown):
    now = dt.datetime.now().replace(second=30)

    class Clock(dt.datetime):
        @classmethod
        def now(cls):
            return now

    monkeypatch.setattr(reading, 'dt', types.SimpleNamespace(
            datetime=Clock, timedelta=dt.timedelta))
    since = now - ago
    arrived = make_requested(date=DAY)
    make_images(arrived, pacs, arrived=since)
    make_images(arrived, pacs, arrived=since + dt.timedelta(days=9))
    dated = make_requested(date=since)
    with as_user(reader):
        for row in Pool().get(REQUEST).read(
                [arrived.id, dated.id], ['reading_wait', 'waiting_since']):
            assert row['reading_wait'] == shown
            # That of a date is to the minute.
            assert abs(row['waiting_since'] - since) < dt.timedelta(minutes=1)


def test_columns_of_a_row(reader, pacs):
    patient = make_patient(gender='f', dob=dt.date(1986, 5, 4))
    request = make_requested(patient=patient, date=DAY,
        comment="Since Monday, after a fall.")
    make_images(request, pacs, 7)
    former = make_request(patient=patient)
    type(former).requested([former])
    make_result(former)
    Result = Pool().get(RESULT)
    Result.create([{
                'patient': patient.id, 'doctor': request.doctor.id,
                'requested_test': request.requested_test.id}])
    make_result(make_requested(patient=make_patient("Other", "Person")))
    ModelData = Pool().get('ir.model.data')
    view = ModelData.get_id('health_imaging', 'reading_list_view_list')
    with as_user(reader):
        fields = Pool().get(REQUEST).fields_view_get(view)['fields']
        row, = Pool().get(REQUEST).read([request.id], list(fields))
    assert row['priors'] == 2
    assert row['number_of_images'] == 7
    assert row['computed_age'] == '40y 0m 0d'
    assert row['patient_sex'] == 'f'
    assert row['modality'] == 'CT'
    assert row['comment'] == "Since Monday, after a fall."
    assert {'urgency', 'context', 'patient', 'requested_test'} <= set(fields)


# Tabs


def tabs():
    return [name for name, _, count in action()['domains'] if count]


def test_tabs_are_the_modalities_in_use(reader, pacs):
    make_exam("Knee MR", type_='mri')
    mammography = make_exam("Mammography", type_='mg')
    with as_user(reader):
        assert tabs() == ["All", "Mine", "New Images", *sorted(
                {e.test_type.code for e in Pool().get(
                        'gnuhealth.imaging.test').search([])})]
        assert 'MG' in tabs()
    type(mammography).write([mammography], {'active': False})
    with as_user(reader):
        assert 'MG' not in tabs()


def test_what_a_modality_tab_shows(reader, pacs):
    knee = make_requested(exam=make_exam("Knee MR", type_='mri'))
    head = make_requested(exam=make_exam("Head CT"))
    for request in [knee, head]:
        make_images(request, pacs)
    with as_user(reader):
        assert reading_list('MR') == [knee]
        assert reading_list('CT') == [head]


# Claims


def test_report_claims_the_exam_and_opens_the_form(reader, pacs):
    request = make_requested()
    study = make_images(request, pacs)
    with as_asked(reader):
        opened = press('report', request)
    request = again(request)
    result, = request.results
    assert opened['res_id'] == [result.id]
    assert [kind for _, kind in opened['views']] == ['form', 'tree']
    assert opened['res_model'] == RESULT
    assert request.state == 'done'
    assert request.claimed_by == reader
    assert dt.datetime.now() - request.claimed_at < dt.timedelta(minutes=2)
    assert again(study).imaging_test == result
    # A second time it opens the same.
    with as_asked(reader):
        assert press('report', request)['res_id'] == [result.id]
        assert reading_list("Mine") == [request]


def test_the_second_is_told_who_reports_since_when(reader):
    request = make_result().request
    with as_asked(reader):
        press('report', request)
    claimed = again(request).claimed_at
    with as_asked(user('second')) as second:
        with pytest.raises(ClaimedWarning) as warning:
            press('report', request)
        assert reader.name in names(warning)
        local = claimed - dt.timedelta(hours=5)
        assert f"{local:%H:%M}" in names(warning)
        assert reading_list("Mine") == []
        skip(warning.value)
        press('report', request)
        assert reading_list("Mine") == [request]
    assert again(request).claimed_by == second
    assert len(again(request).results) == 1
    note, = Pool().get('ir.note').search([('resource', '=', str(request))])
    assert reader.name in note.message and second.name in note.message


@without_check_access
def skip(warning, always=False):
    Pool().get('res.user.warning').skip(warning.name, always)


def claim(login, request):
    with as_user(user(login)), without_check_access():
        press('claim', request)


def test_write_report_asks_when_another_claimed_it(reader, pacs):
    request = make_requested()
    make_images(request, pacs)
    claim('second', request)
    with as_asked(reader):
        with pytest.raises(ClaimedWarning):
            press('generate_results', request)
    assert not again(request).results


def test_write_report_asks_when_no_images_arrived(reader, pacs):
    request, other = make_requested(), make_requested()
    make_images(other, pacs)
    with as_asked(reader):
        with pytest.raises(NoImagesWarning) as warning:
            press('generate_results', request, other)
        assert request.request_line in names(warning)
        assert other.request_line not in names(warning)
        assert not again(request).results
        skip(warning.value)
        press('generate_results', request, other)
    assert again(request).results and again(request).claimed_by == reader


@pytest.mark.parametrize('count', [1, 2])
def test_one_report_opens_as_form_several_as_list(reader, pacs, count):
    made = [make_requested() for _ in range(count)]
    for request in made:
        make_images(request, pacs)
    with as_asked(reader):
        (opened, _), = run_wizard(
            'wizard.generate.result', [('open_', {})], **on(*made))['actions']
    kinds = [kind for _, kind in opened['views']]
    assert kinds == (['form', 'tree'] if count == 1 else ['tree', 'form'])
    assert len(Pool().get(RESULT).search(
            decoded(opened['pyson_domain']))) == count


def test_users_cannot_write_a_claim(reader):
    request = make_requested()
    with as_user(reader):
        for values in [{'claimed_by': reader.id}, {'claimed_at': DAY}]:
            with pytest.raises(KeptValueError):
                type(request).write([again(request)], values)
            with pytest.raises(KeptValueError):
                type(request).create([{
                            'patient': request.patient.id,
                            'requested_test': request.requested_test.id,
                            'doctor': request.doctor.id, **values}])


def test_signature_ends_the_claim(reader):
    request = make_result(comment="No fracture.").request
    with as_user(reader):
        press('report', request)
        press('finalize', again(request).results[0])
    assert not again(request).claimed_by and not again(request).claimed_at


def test_who_amends_has_the_claim(reader, monkeypatch):
    result = make_final(reader)
    monkeypatch.setattr(type(result), '_print_revision', lambda result: {
            'name': 'x.pdf', 'resource': str(result), 'type': 'data',
            'data': b'%PDF', 'imaging_revision': 0})
    with as_user(reader):
        run_wizard('gnuhealth.imaging.test.result.amend',
            [('amend', {'start': {'reason': "x"}})], **on(result))
        assert reading_list("Mine") == [result.request]


def test_cancellation_and_copy_have_no_claim(reader):
    request = make_requested()
    claim('radiologist', request)
    copy, = type(request).copy([again(request)])
    assert not copy.claimed_by
    type(request).cancel_for([again(request)], "x")
    assert not again(request).claimed_by


@pytest.mark.parametrize('make', [
        make_request, lambda: make_final(user('radiologist')).request])
def test_what_cannot_be_reported(reader, make):
    request = make()
    with as_user(reader), pytest.raises(RequestNotReadyError):
        press('report', request)
    assert not again(request).claimed_by


def test_who_only_orders_neither_sees_the_list_nor_reports(transaction):
    request = make_requested()
    with as_user(user('doctor')):
        with pytest.raises(AccessButtonError):
            press('report', request)
        menu = Pool().get('ir.model.data').get_id(
            'health_imaging', 'menu_reading_list')
        assert not Pool().get('ir.ui.menu').search([('id', '=', menu)])


# Images


def test_images_open_in_the_viewer_and_are_logged(reader, pacs):
    request = make_requested()
    make_images(request, pacs, study_date=dt.date(2026, 5, 1))
    study = make_images(request, pacs, study_date=dt.date(2026, 5, 3))
    with as_user(reader):
        opened = press('open_images', request)
    assert opened['type'] == 'ir.action.url'
    assert study.study_instance_UID in opened['url']
    line, = Pool().get('gnuhealth.orthanc.access_log').search([
            ('action', '=', 'viewer')])
    assert line.study == study and line.user == reader


def test_images_that_are_gone(reader, pacs):
    request = make_requested()
    make_images(request, pacs, missing_since=DAY)
    with as_user(reader), pytest.raises(NoViewerError):
        press('open_images', request)


# The date of the exam


@pytest.mark.parametrize('time, date', [
        (dt.time(22, 30), dt.datetime(2026, 5, 4, 3, 30)),
        (None, dt.datetime(2026, 5, 3, 5))])
def test_date_of_a_result_is_that_of_its_study(reader, pacs, time, date):
    """Of the first one, in the time zone of Lima."""
    request = make_requested(date=DAY)
    make_images(request, pacs,
        study_date=dt.date(2026, 5, 3), study_time=time)
    make_images(request, pacs, study_date=dt.date(2026, 5, 6))
    make_images(request, pacs)
    make_images(request, pacs, study_date=dt.date(2020, 1, 1),
        missing_since=DAY)
    with as_user(reader):
        press('report', request)
        form = Pool().get(RESULT)(request=again(request))
        form.on_change_request()
    assert again(request).results[0].date == form.date == date


def test_date_of_a_result_without_a_study_is_that_of_the_request(reader):
    request = make_requested(date=DAY)
    with as_user(reader):
        press('generate_results', request)
    assert again(request).results[0].date == DAY


def test_date_that_a_person_gives_stays(reader):
    request, date = make_requested(date=DAY), dt.datetime(2026, 5, 1, 8)
    with as_user(reader):
        result, = Pool().get(RESULT).create([{
                    'request': request.id, 'date': date}])
    assert result.date == date


@pytest.mark.parametrize('date', [dt.date(1, 1, 1), dt.date(9999, 12, 31)])
def test_dates_at_the_ends_of_the_calendar(reader, pacs, date):
    request = make_requested()
    make_images(request, pacs, study_date=date, study_time=dt.time(23, 59))
    with as_user(reader):
        press('report', request)
    assert again(request).results[0].date.year == date.year


# Signing


def test_signing_asks_and_names_what_is_signed(reader):
    result = make_result(
        comment="No fracture.", impression="Normal.")
    with as_asked(reader):
        with pytest.raises(SignWarning) as warning:
            press('finalize', result)
        for word in [result.patient.rec_name, result.patient.puid,
                result.requested_test.rec_name, result.doctor.rec_name]:
            assert word in names(warning)
        assert again(result).state == 'draft'
        skip(warning.value)
        press('finalize', result)
    assert again(result).state == 'final'
    with as_asked(reader):
        press('finalize', result)


def test_each_revision_is_asked_for(reader):
    """Also who chose "always"."""
    result = make_result(
        comment="No fracture.", impression="Normal.")
    with as_asked(reader):
        with pytest.raises(SignWarning) as warning:
            press('finalize', result)
        skip(warning.value, always=True)
        press('finalize', result)
        with without_check_access():
            type(result)._unsign([again(result)], "x")
        with pytest.raises(SignWarning):
            press('finalize', result)


def sign_next(result):
    with as_user(user('radiologist')):
        assert isinstance(press('sign_next', result), int)
        return run_wizard('gnuhealth.imaging.test.result.sign_next',
            [('sign', {})], **on(result))


def test_sign_and_next_opens_and_claims_the_next_row(reader, pacs):
    result = make_result(comment="No fracture.")
    taken, wanted, later = [
        make_requested(date=DAY + dt.timedelta(days=day)) for day in range(3)]
    for day, request in enumerate([taken, wanted, later]):
        make_images(request, pacs, arrived=DAY + dt.timedelta(days=day))
    with as_user(user('second')):
        press('report', taken)
    (opened, _), = sign_next(result)['actions']
    assert again(result).state == 'final'
    assert opened['res_id'] == [again(wanted).results[0].id]
    assert opened['views'][0][1] == 'form'
    assert again(wanted).claimed_by == reader
    assert not again(later).claimed_by


def test_sign_and_next_says_that_the_list_is_empty(reader):
    result = make_result(comment="No fracture.")
    shown = sign_next(result)
    assert shown['view']['state'] == 'empty'
    assert "reading list" in shown['view']['fields_view']['arch']
    assert again(result).state == 'final'


def test_sign_and_next_asks(reader, pacs):
    result = make_result(comment="No fracture.")
    make_images(make_requested(), pacs)
    with as_asked(reader), pytest.raises(SignWarning):
        run_wizard('gnuhealth.imaging.test.result.sign_next',
            [('sign', {})], **on(result))
    assert again(result).state == 'draft'
