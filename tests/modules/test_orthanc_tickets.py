# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets that open studies in a viewer, and what the web server before it is
told about who comes with one: doctors over RPC, browsers by the routes."""
import datetime as dt
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from support.images import LOGINS, SERIES, STUDY, context_of
from support.records import (
    PASSWORD, Rpc, RpcError, commit, make_institution, make_patient,
    make_requested, make_result, make_user)
from werkzeug.test import Client

from trytond.modules.health_orthanc import viewing
from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction
from trytond.wsgi import app

SERVER = 'gnuhealth.orthanc.config'
VIEWING = 'gnuhealth.orthanc.viewing'
WIZARD = 'gnuhealth.imaging_orthanc.open_viewer'
ADDRESS, OTHER = 'https://viewer.example', 'http://127.0.0.1:1'
UIDS = ['1.2.1', '1.2.2', '1.2.3', '1.2.4']


def make():
    "Make two servers, three studies of one patient and one of another."
    pool = Pool()
    Study, Server, Series = map(pool.get, [STUDY, SERVER, SERIES])
    make_institution()
    for login, groups in LOGINS.items():
        make_user(login, *groups, password=PASSWORD)
    make_user('colleague', *LOGINS['radiologist'], password=PASSWORD)
    guarded, other = Server.create([{
                'label': address, 'domain': f'http://127.0.0.1:{port}',
                'viewer_address': address, 'user': 'u', 'password': 'p',
                'other_viewers': ['ohif', 'stone', 'explorer2'],
                } for port, address in [(2, ADDRESS), (3, OTHER)]])
    studies = []
    ana, eva = make_patient(), make_patient("Eva")
    for uid, server, patient in zip(
            UIDS, [guarded, guarded, guarded, other], [ana, ana, eva, ana]):
        result = make_result(make_requested(patient=patient))
        study, = Study.create([{
                    'orthanc_server': server.id, 'orthanc_UID': f'o{uid}',
                    'study_instance_UID': uid, 'patient_id': "P1"}])
        Study.write([study], {'patient': patient.id})
        Study.write([study], {'imaging_test': result.id})
        studies.append(study)
    Series.create([{'study': studies[0].id, 'modality': 'CT',
                'orthanc_UID': 's', 'series_UID': '1.5'}])
    return [s.id for s in studies]


@pytest.fixture(scope='module')
def studies(activated):
    return commit(make)


@pytest.fixture
def doctor(studies):
    return Rpc('radiologist')


class Browser:
    "A browser at the web server before the viewers."

    def __init__(self, address=ADDRESS):
        self.address = address
        self.cookies = {}

    def _get(self, route, method='GET', **headers):
        cookies = '; '.join(f'{n}={v}' for n, v in self.cookies.items())
        return Client(app, use_cookies=False).open(
            f'/{DB_NAME}/imaging/{route}', method=method, headers={
                'X-Imaging-Viewer': self.address, 'Cookie': cookies,
                **headers})

    def open(self, url, **options):
        "Open a ticket, and return the answer."
        ticket = url.rpartition('/')[2]
        answer = self._get('view', **options, **{'X-Imaging-Ticket': ticket})
        for text in answer.headers.getlist('Set-Cookie'):
            name, value = text.partition(';')[0].split('=')
            self.cookies[name] = value
        return answer

    def ask(self, target, method='GET'):
        "Return status and rewritten target of what the viewer asks."
        answer = self._get('authorize', **{
                'X-Original-URI': target, 'X-Original-Method': method})
        return answer.status_code, answer.headers.get('X-Imaging-Path')

    def sees(self):
        "Return the studies whose data it gets, by their last numbers."
        return ''.join(uid[-1] for uid in UIDS if self.ask(
                f'/dicom-web/studies/{uid}/metadata') == (
                204, f'/studies/{uid}/metadata'))


@pytest.fixture
def browser():
    return Browser()


def opened(rpc, study, button='open_viewer', model=STUDY):
    return rpc(f'model.{model}.{button}', [study])['url']


def log(study):
    with Transaction().start(DB_NAME, 1):
        return [(line.user.login, line.details)
            for line in Pool().get('gnuhealth.orthanc.access_log').search(
                [('study', '=', study), ('action', '=', 'viewer')])]


def write(model, domain, **values):
    with Transaction().start(DB_NAME, 1, context={'_skip_warnings': True}):
        Model = Pool().get(model)
        Model.write(Model.search(domain), values)
        some_seconds_pass()


def some_seconds_pass():
    Pool().get(VIEWING)._opened.clear()


def test_a_ticket_opens_one_study_once(studies, doctor, browser, caplog):
    before = log(studies[0])
    with caplog.at_level(logging.INFO):
        url = opened(doctor, studies[0])
        assert re.fullmatch(
            rf'{ADDRESS}/{quote(DB_NAME)}/imaging/view/[\w-]{{43}}', url)
        assert log(studies[0]) == before
        answer = browser.open(url)
    assert answer.status_code == 303
    assert answer.headers['Location'] == (
        f'{ADDRESS}/ohif/viewer?StudyInstanceUIDs={UIDS[0]}')
    assert answer.headers['Referrer-Policy'] == 'no-referrer'
    assert answer.headers['Cache-Control'] == 'no-store'
    cookie = answer.headers['Set-Cookie']
    assert re.fullmatch(
        r'__Host-imaging-\w+=[\w-]{43}; Expires=[^;]+; Max-Age=28800; Secure; '
        'HttpOnly; Path=/; SameSite=Lax', cookie)
    assert log(studies[0]) == [('radiologist', "OHIF"), *before]
    assert browser.sees() == '1'
    stranger = Browser()
    assert stranger.open(url).status_code == 403
    assert stranger.sees() == ''
    assert log(studies[0]) == [('radiologist', "OHIF"), *before]
    # Neither a log nor the database has a secret.
    secrets = [url.rpartition('/')[2], *browser.cookies.values()]
    table = Pool(DB_NAME).get(VIEWING).__table__()
    with Transaction().start(DB_NAME, 1) as transaction:
        cursor = transaction.connection.cursor()
        cursor.execute(*table.select(table.ticket, table.cookie))
        kept = str(cursor.fetchall())
    for secret in secrets:
        assert secret not in kept
        assert secret not in caplog.text


def test_what_a_viewer_may_ask(studies, doctor, browser):
    assert browser.ask('/ohif/viewer') == (401, None)
    browser.open(opened(doctor, studies[0]))
    assert browser.ask('/ohif/viewer') == (204, '/viewer')
    assert browser.ask('/dicom-web/studies?PatientID=P1') == (
        204, f'/studies?StudyInstanceUID={UIDS[0]}')
    for target in ['/dicom-web/studies', f'/dicom-web/studies/{UIDS[1]}', '',
            '/dicom-web/studies?StudyInstanceUID=' + ','.join(UIDS[:2])]:
        assert browser.ask(target) == (403, None)
    target = f'/dicom-web/studies/{UIDS[0]}/metadata'
    assert browser.ask(target, 'HEAD')[0] == 204
    for method in ['POST', 'PUT', 'DELETE', 'get', '']:
        assert browser.ask(target, method) == (403, None)


def test_several_studies(studies, doctor, browser):
    "A second one does not close the first; each is logged."
    series = doctor(f'model.{SERIES}.search', [
            ('study', '=', studies[0])], 0, None, None)
    url = opened(doctor, series[0], model=SERIES)
    assert browser.open(url).headers['Location'].endswith(
        'SeriesInstanceUIDs=1.5')
    first = dict(browser.cookies)
    browser.open(opened(doctor, studies[1], 'open_stone'))
    assert browser.cookies == first
    assert browser.sees() == '12'
    # That of somebody else takes its place.
    assert browser.open(opened(Rpc('keeper'), studies[2])).status_code == 303
    assert browser.cookies != first
    assert browser.sees() == '3'
    other = Browser(OTHER)
    answer = other.open(opened(doctor, studies[3]))
    assert answer.headers['Location'].startswith(f'{OTHER}/ohif')
    assert 'Secure' not in answer.headers['Set-Cookie']
    assert other.sees() == '4'


def test_compare_opens_both(studies, doctor, browser):
    with Transaction().start(DB_NAME, doctor.user):
        Study = Pool().get(STUDY)
        both = Study.browse(studies[:2])
        url = Study.open_compared(both[:1], both[1:], both[0])['url']
    location = browser.open(url).headers['Location']
    assert all(uid in location for uid in UIDS[:2])
    assert browser.sees() == '12'
    for study in studies[:2]:
        assert log(study)[0] == ('radiologist', "OHIF")


@pytest.mark.parametrize('former, seen', [(True, '12'), (False, '1')])
def test_former_studies_of_the_patient(
        studies, doctor, browser, former, seen):
    before = len(log(studies[1]))
    states = [('open_', {'start': {'viewer': 'ohif', 'former': former}})]
    (action, _), = doctor.run_wizard(
        WIZARD, states, **context_of(STUDY, studies[0]))['actions']
    browser.open(action['url'])
    assert browser.sees() == seen
    assert len(log(studies[1])) == before + former
    view = doctor.run_wizard(
        WIZARD, [('start', {})], **context_of(STUDY, studies[0]))['view']
    assert view['defaults']['takes_ticket']


def test_only_viewers_that_can_be_limited(studies, doctor):
    row, = doctor(f'model.{STUDY}.read', [studies[0]], [
            'viewer_codes', 'ohif_viewer_link', 'orthanc_explorer2_link'])
    assert list(row['viewer_codes']) == ['ohif', 'stone']
    assert not row['ohif_viewer_link'] and not row['orthanc_explorer2_link']
    with pytest.raises(RpcError, match="No viewer"):
        opened(doctor, studies[0], 'open_explorer2')


def test_a_result_opens_its_images(studies, doctor, browser):
    result = doctor(f'model.{STUDY}.read', studies[:1], ['imaging_test'])[0]
    browser.open(opened(doctor, result['imaging_test'], 'open_images',
        'gnuhealth.imaging.test.result'))
    assert browser.sees() == '1'


@pytest.mark.parametrize('login', ['desk', 'health_admin'])
def test_who_may_not_see_studies_gets_no_ticket(studies, login):
    rpc = Rpc(login)
    for button in ['open_viewer', 'open_ohif']:
        with pytest.raises(RpcError):
            opened(rpc, studies[0], button)
    for call in ['read', 'search', 'create', 'redeem', 'issue', 'export_data']:
        with pytest.raises(RpcError, match='403'):
            Rpc('keeper')(f'model.{VIEWING}.{call}', [1], ['user'])


@contextmanager
def hidden(study):
    "A hospital keeps the studies of a patient from everybody."
    with Transaction().start(DB_NAME, 1):
        pool = Pool()
        Group, Model, Study = map(
            pool.get, ['ir.rule.group', 'ir.model', STUDY])
        model, = Model.search([('model', '=', STUDY)])
        patient = Study(study).patient.id
        group, = Group.create([{
                    'name': "Rule", 'model': model.id, 'global_p': True,
                    'rules': [('create', [{
                                    'domain': f'[["patient","!=",{patient}]]',
                                    }])]}])
        id_ = group.id
        some_seconds_pass()
    yield
    with Transaction().start(DB_NAME, 1):
        Group = Pool().get('ir.rule.group')
        Group.delete([Group(id_)])
        some_seconds_pass()


def test_a_study_that_a_rule_hides(studies, doctor, browser):
    early, late = [opened(doctor, studies[2]) for _ in range(2)]
    browser.open(early)
    assert browser.sees() == '3'
    with hidden(studies[2]):
        assert browser.sees() == ''
        assert browser.open(late).status_code == 403
        with pytest.raises(RpcError):
            opened(doctor, studies[2])
    assert browser.sees() == '3'


def age(by):
    "Make all that is open older."
    with Transaction().start(DB_NAME, 1):
        Viewing = Pool().get(VIEWING)
        for record in Viewing.search([]):
            Viewing.write([record], {'expires': record.expires - by})
        some_seconds_pass()


def test_time_is_over(studies, doctor, browser):
    url = opened(doctor, studies[0])
    age(viewing.TICKET)
    assert browser.open(url).status_code == 403
    browser.open(opened(doctor, studies[0]))
    age(viewing.COOKIE - dt.timedelta(seconds=30))
    assert browser.sees() == '1'
    # What is opened now does not prolong it.
    browser.open(opened(doctor, studies[1]))
    assert browser.sees() == '12'
    # One more, for times are kept to the second.
    age(dt.timedelta(seconds=31))
    assert browser.sees() == '2'


@pytest.mark.parametrize('end', ['logout', 'inactive', 'password', 'rights'])
def test_a_user_who_is_out(studies, end):
    rpc, browser = Rpc('colleague'), Browser()
    browser.open(opened(rpc, studies[0]))
    url = opened(rpc, studies[1])
    assert browser.sees() == '1'
    me = [('login', '=', 'colleague'), ('active', 'in', [True, False])]
    with Transaction().start(DB_NAME, 1):
        user, = Pool().get('res.user').search(me)
        groups = [g.id for g in user.groups]
    if end == 'logout':
        rpc._call('common.db.logout', [])
    elif end == 'inactive':
        write('res.user', me, active=False)
    elif end == 'password':
        write('res.user', me, password=PASSWORD + 'x')
    else:
        write('res.user', me, groups=[('remove', groups)])
    assert browser.sees() == ''
    assert browser.open(url).status_code == 403
    write('res.user', me, active=True, password=PASSWORD,
        groups=[('add', groups)])
    assert browser.sees() == ''


@pytest.mark.parametrize('change', [
        {'viewer_address': None}, {'viewer_address': 'https://new.example'},
        {'active': False}])
def test_a_server_that_changed(studies, doctor, browser, change):
    url = opened(doctor, studies[1])
    browser.open(opened(doctor, studies[0]))
    domain = [('label', '=', ADDRESS), ('active', 'in', [True, False])]
    write(SERVER, domain, **change)
    try:
        assert browser.sees() == ''
        assert browser.open(url).status_code == 403
    finally:
        write(SERVER, domain, viewer_address=ADDRESS, active=True)


@pytest.mark.postgresql
def test_one_use_of_many_at_once(studies, doctor):
    for _ in range(3):
        url, before = opened(doctor, studies[0]), len(log(studies[0]))
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: Browser().open(url), range(4)))
        assert sorted(a.status_code for a in answers) == [303, 403, 403, 403]
        assert len(log(studies[0])) == before + 1


def test_what_opens_nothing(studies, doctor, browser):
    url = opened(doctor, studies[0])
    # Not by another web server, not by a look ahead.
    assert Browser(OTHER).open(url).status_code == 403
    assert Browser('').open(url).status_code == 403
    assert browser.open(url, method='HEAD').status_code == 405
    assert browser.open(url, method='POST').status_code == 405
    for ticket in ['', 'x', 'ä', 'x' * 5000, url.rpartition('/')[2][:-1]]:
        assert browser.open(ticket).status_code == 403
    answer = browser.open('x', **{'Accept-Language': 'de-CH, en;q=0.5'})
    assert answer.text.startswith("This address of images was used")
    # A cookie that somebody else put there is not taken over.
    browser.open(url)
    (name, mine), = browser.cookies.items()
    browser.cookies[name] = 'x' * 43
    assert browser.sees() == ''
    browser.open(opened(doctor, studies[0]))
    assert browser.cookies[name] not in {mine, 'x' * 43}
    # A ticket is no cookie, and a cookie no ticket.
    ticket = opened(doctor, studies[0])
    browser.cookies[name] = ticket.rpartition('/')[2]
    assert browser.sees() == ''
    assert browser.open(mine).status_code == 403
    # That of one web server is none at another.
    other = Browser(OTHER)
    other.open(opened(doctor, studies[3]))
    browser.cookies[name] = next(iter(other.cookies.values()))
    assert browser.sees() == ''


@pytest.mark.parametrize('address, words', [
        ('https://viewer.example/x', "may have no path"),
        ('ftp://viewer.example', "Viewer Address"), (OTHER, "Another server"),
        ('https://u:p@viewer.example', "Viewer Address")])
def test_addresses_that_are_refused(studies, address, words):
    keeper = Rpc('keeper')
    id_, = keeper(
        f'model.{SERVER}.search', [('label', '=', ADDRESS)], 0, None, None)
    with pytest.raises(RpcError) as error:
        keeper(f'model.{SERVER}.write', [id_], {'viewer_address': address})
    assert words in error.value.message
    with pytest.raises(RpcError, match="not allowed"):
        Rpc('radiologist')(
            f'model.{SERVER}.write', [id_], {'viewer_address': None})


def test_the_form_says_which_way_viewers_are_opened(studies):
    keeper = Rpc('keeper')
    id_, = keeper(
        f'model.{SERVER}.search', [('label', '=', ADDRESS)], 0, None, None)
    row, = keeper(f'model.{SERVER}.read', [id_], ['viewer_way'])
    assert row['viewer_way'].startswith("Through GNU Health")
    changed = keeper(f'model.{SERVER}.on_change_with', {
            'id': id_, 'viewer_address': None}, ['viewer_way'])
    assert "not logged by GNU Health" in changed['viewer_way']
