# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewers that a hospital adds to a server: written by its administrator,
chosen by a doctor, at a real PACS."""
import datetime as dt

import pytest
from support.hospitals import with_pacs
from support.images import SERIES, STUDY, context_of, ct_series, variant
from support.records import RpcError

from trytond.pool import Pool

hospital = with_pacs

SERVER = 'gnuhealth.orthanc.config'
VIEWER = 'gnuhealth.orthanc.viewer'
WIZARD = 'gnuhealth.imaging_orthanc.open_viewer'
START = f'model.{WIZARD}.start'
URLS = {
    'study_url': 'https://viewer.example/{study}?id={study_id}',
    'series_url': '/dental/{series}'}


@pytest.fixture
def keeper(hospital):
    return hospital.rpc('keeper')


@pytest.fixture
def doctor(hospital):
    return hospital.rpc('radiologist')


@pytest.fixture
def viewer(hospital, keeper):
    "Return the id of a viewer that an administrator added to the server."
    keeper(f'model.{SERVER}.write', [hospital.server], {
            'own_viewers': [('create', [{'name': "Dental", **URLS}])]})
    id_, = hospital.ids(VIEWER, [('server', '=', hospital.server)])
    yield id_
    keeper(f'model.{SERVER}.write', [hospital.server], {
            'own_viewers': [('delete', hospital.ids(VIEWER, []))]})


@pytest.fixture
def study(hospital):
    return hospital.store(*ct_series(1))


def open_in(rpc, model, id_, code):
    "Choose a viewer, and return the address that it opens."
    (action, _), = rpc.run_wizard(
        WIZARD, [('open_', {'start': {'viewer': code}})],
        **context_of(model, id_))['actions']
    assert action['type'] == 'ir.action.url'
    return action['url']


def choices(rpc, model, id_):
    "Return what the form of the wizard offers."
    context = context_of(model, id_)
    view = rpc.run_wizard(WIZARD, [('start', {})], **context)['view']
    values = {
        name: value for name, value in view['defaults'].items()
        if name in {'study', 'series'}}
    found = rpc(f'{START}.get_viewers', values)
    assert view['defaults']['viewer'] == found[0][0]
    return [tuple(choice) for choice in found]


def test_a_doctor_chooses_among_all_viewers(hospital, doctor, viewer, study):
    series, = hospital.series(study)
    for model, id_ in [(STUDY, study), (SERIES, series)]:
        assert doctor(f'model.{model}.open_in', [id_])
        assert choices(doctor, model, id_) == [
            (str(viewer), "Dental"), ('explorer', "Orthanc Explorer")]
        row, = doctor(f'model.{model}.read', [id_], [
                'number_of_viewers', 'viewer_codes'])
        assert row['number_of_viewers'] == 2
        assert list(row['viewer_codes']) == ['explorer']
    assert not hospital.log(study=study)


def test_a_viewer_opens_studies_and_series(hospital, doctor, viewer, study):
    uids = hospital.read(STUDY, study, 'study_instance_UID', 'orthanc_UID')
    assert open_in(doctor, STUDY, study, str(viewer)) == (
        'https://viewer.example/{study_instance_UID}?id={orthanc_UID}'.format(
            **uids))
    series, = hospital.series(study)
    uid = hospital.read(SERIES, series, 'series_UID')['series_UID']
    assert open_in(doctor, SERIES, series, str(viewer)) == (
        f'{hospital.faults.url}/dental/{uid}')
    assert [
        (line['action'], line['user'], line['details'])
        for line in hospital.log(study=study)] == [
        ('viewer', doctor.user, "Dental")] * 2


def test_known_viewers_are_opened_as_well(hospital, doctor, viewer, study):
    url = open_in(doctor, STUDY, study, 'explorer')
    assert url == doctor(f'model.{STUDY}.open_viewer', [study])['url']
    assert [line['details'] for line in hospital.log(study=study)] == [
        "Orthanc Explorer"] * 2


def test_the_only_viewer_is_that_of_the_hospital(
        hospital, doctor, viewer, study):
    with hospital.transaction():
        Server = Pool().get(SERVER)
        server = Server(hospital.server)
        found = server.viewers
        Server.write([server], {'viewers': []})
    url = doctor(f'model.{STUDY}.open_viewer', [study])['url']
    assert url.startswith('https://viewer.example/')
    with pytest.raises(RpcError, match="No viewer"):
        doctor(f'model.{STUDY}.open_explorer', [study])
    hospital.write_server(viewers=found)


def test_no_series_where_a_viewer_has_no_address_of_one(
        hospital, keeper, doctor, viewer, study):
    keeper(f'model.{VIEWER}.write', [viewer], {'series_url': None})
    series, = hospital.series(study)
    assert choices(doctor, SERIES, series) == [
        ('explorer', "Orthanc Explorer")]
    with pytest.raises(RpcError, match="No viewer"):
        open_in(doctor, SERIES, series, str(viewer))


def test_a_shared_uid_opens_by_the_orthanc_id_only(
        hospital, keeper, doctor, viewer, study):
    uid = hospital.read(STUDY, study, 'study_instance_UID')
    hospital.store(variant('CT_small.dcm', uid['study_instance_UID']))
    assert choices(doctor, STUDY, study) == [
        ('explorer', "Orthanc Explorer")]
    with pytest.raises(RpcError, match="No viewer"):
        open_in(doctor, STUDY, study, str(viewer))
    assert not hospital.log(study=study)
    keeper(f'model.{VIEWER}.write', [viewer], {'study_url': '/{study_id}'})
    assert open_in(doctor, STUDY, study, str(viewer))


def test_what_the_server_lost_opens_nowhere(hospital, doctor, viewer, study):
    with hospital.transaction():
        Study = Pool().get(STUDY)
        Study.write([Study(study)], {'missing_since': dt.datetime.now()})
    with pytest.raises(RpcError, match="No viewer"):
        open_in(doctor, STUDY, study, str(viewer))
    row, = doctor(f'model.{STUDY}.read', [study], ['number_of_viewers'])
    assert row['number_of_viewers'] == 0


def test_a_viewer_of_another_server_opens_nothing(
        hospital, keeper, doctor, viewer, study):
    other, = keeper(f'model.{SERVER}.create', [{
                'label': "Other", 'domain': 'https://other.example',
                'user': 'u', 'password': 'p', 'active': False,
                'own_viewers': [('create', [{'name': "Dental", **URLS}])]}])
    foreign, = hospital.ids(VIEWER, [('server', '=', other)])
    for code in [str(foreign), 'ohif', 'x' * 10000, '', None]:
        with pytest.raises(RpcError, match="No viewer"):
            open_in(doctor, STUDY, study, code)
    keeper(f'model.{SERVER}.delete', [other])
    assert not hospital.ids(VIEWER, [('id', '=', foreign)])


@pytest.mark.parametrize('values, words', [
        ({'study_url': 'javascript:alert({study})'}, "must begin with"),
        ({'study_url': 'https://u:p@viewer.example/{study}'}, "must begin"),
        ({'study_url': 'https://{study}/'}, "in its host"),
        ({'study_url': '/{series}'}, "{study}, {study_id}"),
        ({'study_url': '/{study.__class__}'}, "{study}, {study_id}"),
        ({'series_url': '/{patient}'}, "{series}, {series_id}"),
        ({'series_url': '/x'}, "does not say what to open"),
        ({'name': "Dental"}, "same name"),
        ])
def test_what_is_refused(hospital, keeper, viewer, values, words):
    new = {'server': hospital.server, 'name': "New", **URLS, **values}
    for call in [
            lambda: keeper(f'model.{VIEWER}.create', [new]),
            lambda: keeper(f'model.{SERVER}.write', [hospital.server], {
                    'own_viewers': [('create', [{
                                    n: v for n, v in new.items()
                                    if n != 'server'}])]}),
            ]:
        with pytest.raises(RpcError) as error:
            call()
        assert error.value.kind == 'UserError'
        assert words in error.value.message
    assert hospital.ids(VIEWER, []) == [viewer]
    if 'name' not in values:
        with pytest.raises(RpcError) as error:
            keeper(f'model.{VIEWER}.write', [viewer], values)
        assert words in error.value.message


def test_addresses_in_the_clear_are_confirmed(hospital, keeper, viewer):
    with pytest.raises(RpcError) as error:
        keeper(f'model.{VIEWER}.write', [viewer], {
                'study_url': 'http://viewer.example/{study}'})
    assert error.value.kind == 'UserWarning'
    assert hospital.read(VIEWER, viewer, 'study_url')['study_url'] == (
        URLS['study_url'])


@pytest.mark.parametrize('login', ['desk', 'health_admin'])
def test_who_sees_no_studies_opens_none(hospital, viewer, study, login):
    rpc = hospital.rpc(login)
    for call in [
            lambda: open_in(rpc, STUDY, study, str(viewer)),
            lambda: rpc(f'model.{STUDY}.open_in', [study]),
            lambda: rpc(f'{START}.get_viewers', {'study': study})]:
        with pytest.raises(RpcError):
            call()
    assert not hospital.log(study=study)


def test_a_doctor_adds_no_viewer(hospital, doctor, viewer):
    for call in [
            lambda: doctor(f'model.{VIEWER}.create', [{
                        'server': hospital.server, 'name': "New", **URLS}]),
            lambda: doctor(f'model.{VIEWER}.write', [viewer], URLS),
            lambda: doctor(f'model.{VIEWER}.delete', [viewer])]:
        with pytest.raises(RpcError, match="not allowed"):
            call()


def test_a_copy_of_a_server_has_its_viewers(hospital, keeper, viewer):
    copy, = keeper(f'model.{SERVER}.copy', [hospital.server], {
            'label': "Copy", 'domain': 'https://copy.example',
            'active': False})
    assert len(hospital.ids(VIEWER, [('server', '=', copy)])) == 1
    keeper(f'model.{SERVER}.delete', [copy])
    assert hospital.ids(VIEWER, []) == [viewer]
