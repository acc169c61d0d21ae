# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard: each role sees the parts that it may read, each part what it
promises, by the institution's day."""
import datetime as dt
import xml.etree.ElementTree as ET

import pytest
from support.records import (
    as_user, make_exam, make_final, make_hospital, make_request, make_result,
    make_user, user)

from trytond.modules.health_orthanc import tables
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
CRITICAL = 'health_imaging.act_dashboard_critical'
OF_IMAGING = [
    'health_imaging.act_dashboard_request_attention',
    'health_imaging.act_dashboard_request_today',
    'health_imaging.act_dashboard_result']
STUDIES = 'health_orthanc.act_dashboard_study'
SERVERS = 'health_orthanc.act_dashboard_server'
ALL = [CRITICAL, *OF_IMAGING, STUDIES, SERVERS]
ROLES = {
    'health.group_health_doctor': ALL,
    'health_imaging.group_health_imaging': ALL,
    'health_imaging.group_health_imaging_reporting': ALL,
    'health_imaging.group_health_imaging_admin': ALL,
    'health_orthanc.group_imaging_orthanc': [STUDIES, SERVERS],
    'health_orthanc.group_imaging_orthanc_admin': [STUDIES, SERVERS],
    'health.group_health_admin': [SERVERS],
    }


@pytest.fixture
def hospital(transaction):
    make_hospital()


def preferences():
    return Pool().get('res.user').get_preferences(context_only=True)


def parts():
    "Return the actions of the board, as a client asks for them."
    pool = Pool()
    View = pool.get('ir.ui.view')
    ModelData = pool.get('ir.model.data')
    board = View(ModelData.get_id('health_imaging', 'dashboard_view_board'))
    arch = board.view_get()['arch']
    return [action.get('name') for action in ET.fromstring(arch)]


def action(name):
    return Pool().get('ir.action.act_window').get(name)


def search(window, domain):
    decoder = PYSONDecoder(Transaction().context)
    return Pool().get(window['res_model']).search(
        decoder.decode(domain), order=decoder.decode(window['pyson_order']))


def found(name):
    "Return the records that a part shows, as the desktop client asks."
    window = action(name)
    return search(window, window['pyson_domain'])


def tabs(name):
    """Return the records of each tab of a part, as the web client asks: it
    leaves the domain of the part out."""
    window = action(name)
    return {
        label: search(window, domain)
        for label, domain, _ in window['domains']}


def finish(request):
    type(request).requested([request])
    make_result(request)


@pytest.mark.parametrize('group', ROLES)
def test_each_role_sees_what_it_may_read(hospital, group):
    Menu = Pool().get('ir.ui.menu')
    with as_user(make_user('someone', group)):
        with Transaction().set_context(preferences()):
            assert parts() == ROLES[group]
            for name in parts():
                found(name)
            assert Menu.search([('name', '=', "Dashboard"),
                    ('parent.name', '=', "Medical Imaging")])


def test_others_see_no_dashboard(hospital):
    Menu = Pool().get('ir.ui.menu')
    with as_user(user('stranger')):
        with Transaction().set_context(preferences()):
            assert not parts()
            assert not Menu.search([('name', '=', "Dashboard"),
                    ('parent.name', '=', "Medical Imaging")])


@pytest.mark.parametrize('name', ALL)
def test_parts_open_a_form(transaction, name):
    assert [kind for _, kind in action(name)['views']] == ['tree', 'form']


@pytest.mark.parametrize('at, due', [
        (dt.datetime(2025, 6, 10, 4, 59), 'overdue'),
        (dt.datetime(2025, 6, 10, 5), 'today'),
        (dt.datetime(2025, 6, 11, 4, 59), 'today'),
        (dt.datetime(2025, 6, 11, 5), 'later'),
        ])
def test_due_by_the_day_of_the_institution(hospital, noon, at, due):
    Request = Pool().get(REQUEST)
    request = make_request(date=at)
    assert request.due == due
    for value in ['overdue', 'today', 'later', None]:
        same = value == due
        assert (request in Request.search([('due', '=', value)])) == same
        assert (request in Request.search([('due', '!=', value)])) != same
        assert (request in Request.search([('due', 'in', [value])])) == same
        assert (request in Request.search(
                [('due', 'not in', [value])])) != same
    assert not Request.search([('due', 'in', [])])


def test_what_is_done_is_not_due(hospital, noon):
    request = make_request(date=noon)
    finish(request)
    assert request.due is None
    assert Pool().get(REQUEST).search([('due', '=', None)]) == [request]


def test_urgent_and_overdue_requests(hospital, noon):
    day = dt.timedelta(days=1)
    late = make_request(date=noon - day)
    urgent = make_request(date=noon + 3 * day, urgent=True)
    make_request(date=noon)
    done = make_request(date=noon - day, urgent=True)
    finish(done)
    assert found(OF_IMAGING[0]) == [late, urgent]
    assert tabs(OF_IMAGING[0]) == {"Urgent": [urgent], "Overdue": [late]}


def test_todays_worklist_by_modality(hospital, noon):
    hour = dt.timedelta(hours=1)
    mri = make_exam("MR knee", type_='mri')
    pet = make_exam("PET", type_='petscan')
    film = make_exam("Hand", type_='xray')
    Request = Pool().get(REQUEST)
    requests = [
        make_request(date=noon + hour),
        make_request(date=noon),
        make_request(date=noon + 2 * hour, urgent=True),
        make_request(date=noon, exam=mri),
        make_request(date=noon, exam=pet),
        make_request(date=noon, exam=film),
        ]
    Request.requested(requests)
    make_request(date=noon)
    name = OF_IMAGING[1]
    late, early, urgent, knee, body, hand = requests
    assert found(name) == [urgent, early, late, knee, body, hand]
    assert tabs(name) == {
        "All": found(name), "CT": [urgent, early, late], "MR": [knee],
        "X-Ray": [hand], "US": [], "Other": [body]}


def test_results_to_sign(hospital):
    result = make_result()
    make_final(user('radiologist'))
    assert found(OF_IMAGING[2]) == [result]
    final = make_final(user('radiologist'))
    tables.set_values(
        type(final), [final.id], studies_changed_at=dt.datetime.now())
    assert tabs(OF_IMAGING[2]) == {
        "Preliminary": [result], "Studies Changed": [final]}


def test_servers_with_trouble(hospital):
    Server = Pool().get('gnuhealth.orthanc.config')
    now = dt.datetime.now().replace(microsecond=0)
    good = {
        'user': 'a', 'password': 'b', 'validated': True, 'sync_time': now}
    names = {
        'fine': {}, 'silent': {'validated': False},
        'wrong': {'last_error': "Refused"}, 'new': {'sync_time': None},
        'late': {'sync_time': now - dt.timedelta(hours=3)},
        'retired': {'validated': False, 'active': False},
        }
    Server.create([
            {**good, 'label': name, 'domain': f'http://127.0.0.1/{name}',
                **values}
            for name, values in names.items()])
    assert [s.label for s in found(SERVERS)] == [
        'late', 'new', 'silent', 'wrong']
    assert tabs(SERVERS) == {"Trouble": found(SERVERS)}


def test_studies_to_review(hospital):
    pool = Pool()
    server, = pool.get('gnuhealth.orthanc.config').create([{
                'label': "PACS", 'domain': 'http://127.0.0.1', 'user': 'a',
                'password': 'b',
                }])
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    studies = Study.create([{
                'orthanc_server': server.id, 'orthanc_UID': state,
                'study_instance_UID': '1.2', 'link_state': state,
                } for state in ['review', 'unlinked']])
    assert found(STUDIES) == studies[:1]
    assert tabs(STUDIES) == {"To Review": studies[:1]}
