# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody looks at the images of a person by each way there is, and hopes
that the access log does not tell; at a real PACS."""
import datetime as dt

import pytest
from support.images import (
    INSTANCE, SERIES, STUDY, Hospital, Preview, ct_series)
from support.records import make_attachment, make_patient, make_result

from trytond.config import config
from trytond.modules.health_orthanc.links.access_log import SEEN
from trytond.pool import Pool
from trytond.transaction import Transaction

LOG = 'gnuhealth.orthanc.access_log'
RESULT = 'gnuhealth.imaging.test.result'
REPORT = 'patient.imaging_report_results'
PATIENT = 'gnuhealth.orthanc.patient'


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    hospital.write_server(other_viewers=['explorer2', 'ohif', 'stone'])
    yield hospital
    hospital.close()


@pytest.fixture
def study(hospital):
    return hospital.store(*ct_series(3))


@pytest.fixture
def doctor(hospital):
    return hospital.rpc('radiologist')


def actions(hospital, study):
    return [line['action'] for line in hospital.log(study=study)]


def test_page_through_a_series(hospital, study, doctor):
    person = Preview(hospital, 'radiologist', STUDY, study)
    for _ in hospital.instances(study):
        person.click('next_')
    for id_ in hospital.instances(study):
        doctor(f'model.{INSTANCE}.read', [id_], ['image'])
        doctor(f'model.{INSTANCE}.read', [id_], ['thumbnail'])
    line, = hospital.log(study=study)
    assert (line['action'], line['user']) == ('view', doctor.user)


def test_look_at_all_at_once(hospital, study, doctor):
    doctor(f'model.{INSTANCE}.read', hospital.instances(study),
        ['image', 'thumbnail', 'no_image'])
    assert actions(hospital, study) == ['view']


def test_look_again_later(hospital, study, doctor):
    id_, *_ = hospital.instances(study)
    doctor(f'model.{INSTANCE}.read', [id_], ['image'])
    turn_back(hospital, study, SEEN + dt.timedelta(seconds=1))
    doctor(f'model.{INSTANCE}.read', [id_], ['image'])
    doctor(f'model.{INSTANCE}.read', [id_], ['image'])
    hospital.rpc('keeper')(f'model.{INSTANCE}.read', [id_], ['image'])
    users = [line['user'] for line in hospital.log(study=study)]
    assert users == [hospital.users['keeper'], doctor.user, doctor.user]


def turn_back(hospital, study, by):
    "Make the lines of a study older."
    with hospital.transaction():
        table = Pool().get(LOG).__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.at], [dt.datetime.now() - by],
                where=table.study == study))


def test_put_pictures_into_the_report(hospital, study, doctor):
    hospital.link(study)
    doctor(f'model.{INSTANCE}.attach_image_to_imaging_test_report',
        hospital.instances(study))
    line, = hospital.log(study=study, action='attach')
    assert (line['user'], line['details']) == (doctor.user, "3 images")


@pytest.mark.parametrize('button', [
        'open_viewer', 'open_ohif', 'open_stone', 'open_explorer2',
        'open_explorer'])
def test_open_a_viewer(hospital, study, doctor, button):
    series, = hospital.series(study)
    for model, id_ in [(STUDY, study), (SERIES, series)]:
        action = doctor(f'model.{model}.{button}', [id_])
        assert action['url'].startswith(hospital.faults.url)
    assert actions(hospital, study) == ['viewer', 'viewer']
    detail = hospital.log(study=study)[0]['details']
    assert detail in {"OHIF", "Stone", "Orthanc Explorer 2",
        "Orthanc Explorer"}


@pytest.mark.parametrize('name', [
        'ohif_viewer_link', 'stone_viewer_link', 'orthanc_explorer_link',
        'orthanc_explorer2_link'])
def test_fetch_the_address_of_a_viewer(hospital, study, doctor, name):
    series, = hospital.series(study)
    for model, id_ in [(STUDY, study), (SERIES, series)]:
        row, = doctor(f'model.{model}.read', [id_], [name])
        assert row[name]
        row, = doctor(f'model.{model}.export_data', [id_], [name])
    assert actions(hospital, study) == ['viewer']


def test_open_the_patient_in_the_explorer(hospital, study, doctor):
    id_ = hospital.read(STUDY, study, 'orthanc_patient')['orthanc_patient']
    doctor(f'model.{PATIENT}.read', [id_], ['link'])
    assert doctor(f'model.{PATIENT}.open_explorer', [id_])['url']
    assert actions(hospital, study) == ['viewer', 'viewer']


def test_what_is_shown_of_a_study_opens_nothing(hospital, study, doctor):
    "The forms do not ask for addresses."
    for model, id_ in [(STUDY, study), (SERIES, hospital.series(study)[0])]:
        for kind in ['form', 'tree']:
            view = doctor(f'model.{model}.fields_view_get', None, kind)
            doctor(f'model.{model}.read', [id_], list(view['fields']))
    assert not actions(hospital, study)


@pytest.mark.parametrize('linked', [True, False])
def test_print_the_report(hospital, study, doctor, linked, monkeypatch):
    monkeypatch.setenv('HOME', '/tmp')
    if linked:
        result = hospital.link(study)
    else:
        with hospital.transaction():
            result = make_result().id
    doctor(f'report.{REPORT}.execute', [result], {})
    patient = hospital.read(RESULT, result, 'patient')['patient']
    line, *_ = hospital.log(action='print', patient=patient)
    assert line['study'] == (study if linked else None)
    assert line['details'] == hospital.read(RESULT, result, 'number')['number']


def test_fetch_an_attached_picture(hospital, study, doctor):
    result = hospital.link(study)
    with hospital.transaction():
        Result = Pool().get(RESULT)
        id_ = make_attachment(Result(result), imaging_study=study).id
    size = {'ir.attachment.data': 'size'}
    doctor('model.ir.attachment.read', [id_], ['data'], **size)
    assert 'download' not in actions(hospital, study)
    doctor('model.ir.attachment.read', [id_], ['data'])
    doctor('model.ir.attachment.search_read', [('id', '=', id_)], 0, 1, None,
        ['data'])
    assert actions(hospital, study).count('download') == 1
    turn_back(hospital, study, 2 * SEEN)
    doctor('model.ir.attachment.export_data', [id_], ['data'])
    assert actions(hospital, study).count('download') == 2


def test_undo_a_link(hospital, study, doctor):
    with hospital.transaction():
        ana, eva = make_patient().id, make_patient("Eva").id
    for patient in [ana, eva]:
        doctor(f'model.{STUDY}.write', [study], {'patient': patient})
    before = len(hospital.log(study=study))
    doctor(f'model.{STUDY}.undo_link', [study])
    lines = hospital.log(study=study)
    assert [(line['action'], line['patient'])
        for line in lines[:len(lines) - before]] == [
        ('undo', ana), ('unlink', eva)]
    doctor(f'model.{STUDY}.undo_link', [study])
    line = hospital.log(study=study)[0]
    assert (line['action'], line['patient']) == ('unlink', ana)


@pytest.fixture
def years():
    "Set how long the lines are kept."
    if not config.has_section('health_orthanc'):
        config.add_section('health_orthanc')
    yield lambda value: config.set(
        'health_orthanc', 'access_log_years', value)
    config.remove_option('health_orthanc', 'access_log_years')


def test_old_lines_are_forgotten_when_configured(
        hospital, study, doctor, years):
    doctor(f'model.{STUDY}.open_ohif', [study])
    turn_back(hospital, study, dt.timedelta(days=2 * 366))
    doctor(f'model.{STUDY}.open_ohif', [study])
    with hospital.transaction():
        # More than a block.
        table = Pool().get(LOG).__table__()
        cursor = Transaction().connection.cursor()
        old = dt.datetime(2000, 1, 1)
        for _ in range(5):
            cursor.execute(*table.insert(
                    [table.at, table.user, table.action],
                    [[old, 1, 'view']] * 500))
    for value, kept in [('0', 2), ('3', 2), ('2', 1), ('1', 1)]:
        years(value)
        with hospital.transaction():
            Cron = Pool().get('ir.cron')
            cron, = Cron.search([('method', '=', f'{LOG}|forget')])
            Cron.run_once([cron])
        assert len(hospital.log(study=study)) == kept
    assert not hospital.ids(LOG, [('at', '<', old + dt.timedelta(days=1))])
