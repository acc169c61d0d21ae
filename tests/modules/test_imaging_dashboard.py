# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard: each role sees the parts that it may read, each part what it
promises, by the institution's day."""
import datetime as dt
import xml.etree.ElementTree as ET

import pytest
from support.archive_rows import have_images
from support.records import (
    as_user, make_final, make_request, make_result, make_user, user)

from trytond.modules.health_orthanc import tables
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder, PYSONEncoder
from trytond.transaction import Transaction, check_access

REQUEST = 'gnuhealth.imaging.test.request'
CRITICAL = 'health_imaging.act_dashboard_critical'
MY_ORDERS = 'health_imaging.act_dashboard_my_orders'
READING = 'health_imaging.act_dashboard_reading'
TO_SIGN = 'health_imaging.act_dashboard_result'
WORKLIST = 'health_imaging.act_dashboard_request_today'
STUDIES = 'health_orthanc.act_dashboard_study'
MISSING = 'health_orthanc.act_dashboard_missing'
SERVERS = 'health_orthanc.act_dashboard_server'
REPORTS = 'health_orthanc.act_dashboard_report'
ALL = [
    CRITICAL, READING, TO_SIGN, WORKLIST, MY_ORDERS, STUDIES, SERVERS,
    REPORTS]
ROLES = {
    'health.group_health_doctor': [CRITICAL, MY_ORDERS],
    'health_imaging.group_health_imaging': [
        CRITICAL, WORKLIST, STUDIES, MISSING],
    'health_imaging.group_health_imaging_reporting': [
        CRITICAL, READING, TO_SIGN, STUDIES],
    'health_imaging.group_health_imaging_admin': [
        CRITICAL, READING, TO_SIGN, WORKLIST, STUDIES, SERVERS, MISSING],
    'health_orthanc.group_imaging_orthanc': [STUDIES, SERVERS, REPORTS],
    'health_orthanc.group_imaging_orthanc_admin': [STUDIES, SERVERS, REPORTS],
    'health.group_health_admin': [SERVERS],
    }


@pytest.fixture
def hospital(hospital, transaction):
    "The hospital of the file, and a transaction for what a test makes."


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


def menu_tabs(name):
    """Return the records of each tab of a list in the menu, of which the
    action has the rest of the domain."""
    window = action(name)
    decoder = PYSONDecoder(Transaction().context)
    whole = decoder.decode(window['pyson_domain'])
    return {
        label: search(window, PYSONEncoder().encode(
                [whole, decoder.decode(domain or '[]') or []]))
        for label, domain, _ in window['domains']}


def test_the_worklist_counts_what_has_no_images(hospital, noon):
    day = dt.timedelta(days=1)
    late, now, urgent = Pool().get(REQUEST).browse([
            make_request(date=noon - day), make_request(date=noon),
            make_request(date=noon, urgent=True)])
    scanned = [
        make_request(date=date, urgent=urgent)
        for date in [noon - day, noon] for urgent in [True, False]]
    type(late).requested([late, now, urgent, *scanned])
    for request in scanned:
        have_images(request)
    make_request(date=noon)
    with as_user(user('technician')), check_access():
        with Transaction().set_context(preferences()):
            assert tabs(WORKLIST) == {
                "All": [urgent, late, now], "Urgent": [urgent],
                "Overdue": [late]}
            assert found(WORKLIST) == tabs(WORKLIST)["All"]
            worklist = menu_tabs('health_imaging.act_worklist')
            assert worklist["All"] == tabs(WORKLIST)["All"]


def test_the_reading_list_counts_what_waits_for_a_report(hospital, noon):
    first, mine, urgent, other = [
        make_request(date=noon, urgent=urgent)
        for urgent in [False, False, True, False]]
    type(first).requested([first, mine, urgent, other])
    for request in [first, mine, urgent]:
        have_images(request)
    radiologist = user('radiologist')
    tables.set_values(
        type(mine), [mine.id], claimed_by=radiologist.id)
    with as_user(radiologist), check_access():
        with Transaction().set_context(
                **preferences(), _user=radiologist.id):
            shown = tabs(READING)
            assert {label: set(some) for label, some in shown.items()} == {
                "Waiting": {first, mine, urgent}, "Mine": {mine},
                "Urgent": {urgent}}
            assert shown["Waiting"][0] == urgent
            assert found(READING) == shown["Waiting"]
            lists = menu_tabs('health_imaging.act_reading_list')
            assert lists["All"] == shown["Waiting"]
            assert lists["Mine"] == shown["Mine"]


def test_results_to_sign(hospital):
    result = make_result()
    make_final(user('radiologist'))
    assert found(TO_SIGN) == [result]
    final = make_final(user('radiologist'))
    tables.set_values(
        type(final), [final.id], studies_changed_at=dt.datetime.now())
    others = make_final(user('radiologist'))
    tables.set_values(
        type(final), [others.id], new_images_at=dt.datetime.now())
    # What somebody else signed is for him to look at.
    assert tabs(TO_SIGN) == {
        "Preliminary": [result], "New Images": [],
        "Studies Changed": [final]}


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


def test_reports_to_store(hospital):
    pool = Pool()
    Report = pool.get('gnuhealth.orthanc.report')
    server, = pool.get('gnuhealth.orthanc.config').create([{
                'label': "PACS", 'domain': 'http://127.0.0.1', 'user': 'a',
                'password': 'b',
                }])
    study, = pool.get('gnuhealth.imaging_orthanc.study').create([{
                'orthanc_server': server.id, 'orthanc_UID': 's',
                'study_instance_UID': '1.2',
                }])
    waiting, failed, misplaced, _ = Report.create([{
                'result': make_final(user('radiologist')).id, 'revision': 0,
                'study': study.id, 'state': state,
                } for state in ['waiting', 'failed', 'misplaced', 'stored']])
    assert tabs(REPORTS) == {
        "Waiting": [waiting], "Failed": [misplaced, failed]}
    assert found(REPORTS) == [misplaced, failed, waiting]
