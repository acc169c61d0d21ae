# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiographer's worklist: what it lists, in which order, what it says of
the patient, arrival, and its tabs."""
import datetime as dt

import pytest
from lxml import etree
from support.archive_rows import have_images
from support.imaging_lists import REQUEST, read_page
from support.records import (
    as_user, make_exam, make_patient, make_patients, make_request,
    make_requested, make_result, make_user, user)

from trytond.model.exceptions import AccessButtonError
from trytond.modules.health_imaging.exceptions import KeptValueError
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

DAY = dt.timedelta(days=1)
ACTION = 'health_imaging.act_worklist'


@pytest.fixture
def radiographer(hospital, transaction):
    return user('technician')


def requests():
    return Pool().get(REQUEST)


def window():
    return Pool().get('ir.action.act_window').get(ACTION)


def listed(tab=None):
    "Return what the list shows, as the clients ask for it."
    action, decoder = window(), PYSONDecoder(Transaction().context)
    domain = [decoder.decode(action['pyson_domain'])]
    if tab:
        domain += [decoder.decode(d)
            for name, d, _ in action['domains'] if name == tab]
    return requests().search(
        domain, order=decoder.decode(action['pyson_order']))


def test_lists_what_is_to_be_done_until_tonight(radiographer, noon):
    hour = dt.timedelta(hours=1)
    today = make_requested(date=noon)
    tonight = make_requested(date=noon + 11 * hour)
    late = make_requested(date=noon - 3 * DAY)
    urgent = make_requested(date=noon + hour, urgent=True)
    make_requested(date=noon + 13 * hour, urgent=True)
    make_request(date=noon)
    seen = make_requested(date=noon)
    have_images(seen)
    canceled = make_requested(date=noon)
    requests().cancel_for([canceled], "x")
    with as_user(radiographer):
        assert listed() == [urgent, late, today, tonight]


def test_tabs_are_the_modalities_in_use(radiographer, noon):
    ct = make_requested(date=noon)
    mr = make_requested(date=noon, exam=make_exam(type_='mri'))
    make_exam(type_='ultrasound', active=False)
    with as_user(radiographer):
        domains = window()['domains']
        assert [name for name, _, _ in domains] == ["All", "CT", "MR"]
        assert all(count for _, _, count in domains)
        assert listed("CT") == [ct]
        assert listed("MR") == [mr]
        assert set(listed("All")) == {ct, mr}


def test_menu_opens_the_tabs_of_now(radiographer):
    pool = Pool()
    menu = pool.get('ir.model.data').get_id(
        'health_imaging', 'menu_worklist')

    def names():
        with as_user(radiographer):
            opened, = pool.get('ir.action.keyword').get_keyword(
                'tree_open', ('ir.ui.menu', menu))
        return [name for name, _, _ in opened['domains']]
    assert names() == ["All", "CT"]
    exam = make_exam(type_='mri')
    assert names() == ["All", "CT", "MR"]
    pool.get('gnuhealth.imaging.test').write([exam], {'active': False})
    assert names() == ["All", "CT"]


def test_row_says_who_and_what(radiographer, noon):
    patient = make_patient("Aya", "Kofi", 'm', dt.date(1990, 2, 3))
    exam = make_exam("X-ray hand, right", type_='cr', aetitle='CR1')
    request = make_requested(
        patient=patient, exam=exam, date=noon, urgent=True)
    with as_user(radiographer):
        row, = requests().read([request.id], [
                'urgency', 'time', 'patient_puid', 'patient_birth',
                'patient_sex', 'aetitle', 'alert', 'alert_icon'])
        assert row['patient_puid'] == patient.party.ref
        assert requests().search([('aetitle', 'ilike', 'cr%')]) == [request]
        assert requests().search([('aetitle', '=', 'CT')]) == []
    assert row['time'] == noon
    assert row['patient_birth'] == dt.date(1990, 2, 3)
    assert (row['urgency'], row['patient_sex'], row['aetitle']) == (
        'urgent', 'm', 'CR1')
    assert (row['alert'], row['alert_icon']) == ('', '')


@pytest.mark.parametrize('code, values, alert', [
        ('Z88', {'is_allergy': True}, "Allergy"),
        ('Z88', {'is_allergy': True, 'is_active': False}, ""),
        ('Z88', {'is_allergy': True,
                'diagnosed_date': dt.date(2019, 1, 1),
                'healed_date': dt.date(2020, 1, 1)}, ""),
        ('N18.3', {}, "Kidney disease"),
        ('Z33', {}, "Pregnant"),
        ('J45', {}, ""),
        ])
def test_alerts_of_diseases(radiographer, code, values, alert):
    pool = Pool()
    pathology, = pool.get('gnuhealth.pathology').create(
        [{'name': "Condition", 'code': code}])
    request = make_requested()
    pool.get('gnuhealth.patient.disease').create([{
                'patient': request.patient.id, 'pathology': pathology.id,
                **values}])
    with as_user(radiographer):
        row, = requests().read(
            [request.id], ['alert', 'alert_icon', 'alert_details'])
    assert row['alert'] == alert
    assert row['alert_icon'] == ('tryton-warning' if alert else '')
    assert row['alert_details'] == (pathology.rec_name if alert else '')


def test_alert_of_critical_information(radiographer):
    request = make_requested()
    Pool().get('gnuhealth.patient').write(
        [request.patient], {'critical_info': " Pacemaker \n"})
    with as_user(radiographer):
        row, = requests().read([request.id], ['alert', 'alert_details'])
    assert row['alert'] == "Critical information"
    assert row['alert_details'] == "Pacemaker"


def test_alert_of_an_allergic_patient(radiographer):
    "GNU Health marks those with known serious reactions."
    request = make_requested()
    Pool().get('gnuhealth.patient').write(
        [request.patient], {'crit_allergic': True})
    with as_user(radiographer):
        row, = requests().read([request.id], ['alert', 'alert_details'])
    assert (row['alert'], row['alert_details']) == ("Allergy", "")


def test_arrival_is_kept_and_can_be_undone(radiographer):
    request, draft = make_requested(), make_request()
    with as_user(radiographer):
        requests().arrive([request, draft])
        since = requests()(request.id).arrived_at
        assert since
        assert requests()(draft.id).arrived_at is None
        requests().arrive([request])
        assert requests()(request.id).arrived_at == since
        with pytest.raises(KeptValueError):
            requests().write([request], {'arrived_at': None})
        requests().undo_arrive([request])
        assert requests()(request.id).arrived_at is None


def test_front_desk_notes_arrival_but_a_doctor_does_not(radiographer):
    request = make_requested()
    desk = make_user('desk', 'health_imaging.group_health_imaging_front_desk')
    button, = Pool().get('ir.model.button').search([
            ('model.model', '=', REQUEST), ('name', '=', 'arrive')])
    assert {g.id for g in desk.groups} & {g.id for g in button.groups}
    with as_user(user('doctor')), pytest.raises(AccessButtonError):
        requests().arrive([request])


def test_waiting_counts_from_arrival_or_from_the_date(radiographer):
    now = dt.datetime.now().replace(microsecond=0)
    hour = dt.timedelta(hours=1)
    request = make_requested(date=now - 3 * hour)
    later = make_requested(date=now + hour)
    assert dt.timedelta(0) <= requests()(request.id).waiting - 3 * hour < hour
    assert requests()(later.id).waiting is None
    requests().arrive([later, request])
    requests().write([request], {'arrived_at': (
                now - hour).replace(second=0)})
    assert hour <= requests()(request.id).waiting < 2 * hour


def test_canceled_request_comes_back_without_arrival(radiographer):
    request = make_requested()
    requests().arrive([request])
    requests().cancel_for([request], "x")
    requests().draft([request])
    assert requests()(request.id).arrived_at is None


def test_images_open_those_of_the_patient(radiographer):
    request = make_requested()
    with as_user(radiographer):
        answer = requests().show_images([request])
    domain = PYSONDecoder({}).decode(answer['pyson_domain'])
    assert ['patient', 'in', [request.patient.id]] in domain


@pytest.mark.parametrize('clause, found', [
        (('>', 0), 'i'), (('=', 0), 'n'), (('!=', 0), 'i'), (('<', 3), 'n'),
        (('>=', 3), 'i'), (('<=', 3), 'in'), (('in', [0, 3]), 'in'),
        (('not in', [3]), 'n'), (('=', None), ''), (('!=', None), 'in'),
        ])
def test_number_of_images_is_searched(radiographer, clause, found):
    by = {'i': make_requested(), 'n': make_requested()}
    have_images(by['i'])
    with as_user(radiographer):
        assert set(requests().search([('number_of_images', *clause)])) == {
            by[letter] for letter in found}
        rows = requests().read(
            [r.id for r in by.values()], ['number_of_images', 'has_images'])
    assert [(r['number_of_images'], r['has_images']) for r in rows] == [
        (3, True), (0, False)]


@pytest.mark.parametrize('clause, found', [
        (('=', True), 'i'), (('=', False), 'n'), (('!=', True), 'n'),
        (('=', None), 'n'), (('in', [True, False]), 'in')])
def test_whether_there_are_images_is_searched(radiographer, clause, found):
    by = {'i': make_requested(), 'n': make_requested()}
    have_images(by['i'])
    assert set(requests().search([('has_images', *clause)])) == {
        by[letter] for letter in found}


def test_tabs_of_requests_tell_exam_from_report(radiographer):
    to_do, imaged = make_requested(), make_requested()
    have_images(imaged)
    preliminary = make_result().request
    action = Pool().get('ir.action.act_window').get(
        'health_imaging.act_imaging_test_request_view')
    tabs = {
        name: set(requests().search(PYSONDecoder({}).decode(domain)))
        for name, domain, _ in action['domains']}
    assert tabs["To Do"] == {to_do}
    assert tabs["To Report"] == {imaged, preliminary}
    assert tabs["Done"] == set()


def test_page_takes_few_queries(radiographer):
    start = dt.datetime(2025, 6, 10, 17)
    patients = make_patients(200)
    pathology, = Pool().get('gnuhealth.pathology').create(
        [{'name': "Latex allergy", 'code': 'Z91'}])
    Pool().get('gnuhealth.patient.disease').create([{
                'patient': p.id, 'pathology': pathology.id,
                'is_allergy': True} for p in patients])
    exam = make_exam()
    doctor, = Pool().get('gnuhealth.healthprofessional').search([], limit=1)
    made = requests().create([{
                'patient': p.id, 'requested_test': exam.id,
                'doctor': doctor.id, 'date': start} for p in patients])
    requests().requested(made)
    view = requests().fields_view_get(
        view_id=window()['views'][0][0], view_type='tree')
    names = [n for n in view['fields']]
    assert {'urgency', 'waiting', 'time', 'patient', 'patient_puid',
        'patient_birth', 'patient_sex', 'requested_test', 'aetitle',
        'alert', 'arrived_at'} <= set(names)
    names += ['patient.rec_name', 'requested_test.rec_name', 'rec_name',
        '_timestamp', '_write', '_delete']
    action, decoder = window(), PYSONDecoder(Transaction().context)
    domain = decoder.decode(action['pyson_domain'])
    with as_user(radiographer):
        # What trytond keeps for all transactions is read before.
        for _ in range(2):
            queries, rows = read_page(REQUEST, names, 0, 200, domain)
    assert {row['alert'] for row in rows} == {"Allergy"}
    assert len(queries) <= 30, '\n'.join(q[:200] for q in queries)


def test_form_has_buttons_on_top(radiographer):
    view = requests().fields_view_get(
        view_id=window()['views'][1][0], view_type='form')
    first = etree.fromstring(view['arch'])[0]
    assert [b.get('name') for b in first.iter('button')] == [
        'arrive', 'undo_arrive', 'show_images', 'next_machine', 'reschedule',
        'cancel']
