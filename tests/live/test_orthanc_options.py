# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What options of a real Orthanc change for those who use it: read only, no
patients, images that come again, users who may not see everything. Where a
version does not have an option, what it does is checked."""
import io
import os
from functools import partial

import pydicom
import pytest
from services import ServiceError
from support.fault_server import change
from support.hospitals import with_pacs
from support.images import STUDY, context_of, ct_series, variant
from support.records import make_patient
from support.synchronizing import with_queue

from trytond.pool import Pool
from trytond.tests.test_tryton import DB_NAME

hospital = with_pacs

SERVER = 'gnuhealth.orthanc.config'
UPLOAD = 'gnuhealth.imaging_orthanc.upload_image_data'
DELETE = 'gnuhealth.imaging_orthanc.delete'


@pytest.fixture
def restart(hospital):
    "Return a function that starts the PACS again, with more options."
    orthanc, before = hospital.orthanc, hospital.orthanc.extra

    def start(**options):
        orthanc.kill()
        orthanc.extra = {**before, **options}
        orthanc.start()
        return orthanc.rest('GET', '/system')
    yield start
    hospital.faults.clear()
    start()


@pytest.fixture
def press(hospital):
    """Return a function that synchronizes as the one who keeps the servers,
    or as the scheduler, and returns whether the server is valid, and what it
    tells."""
    def synchronize(how='sync'):
        Server = Pool(DB_NAME).get(SERVER)
        method = getattr(Server, how)
        with_queue(lambda: method([Server(hospital.server)]),
            hospital.users['keeper'], _check_access=True)
        with hospital.transaction():
            server = Server(hospital.server)
            return server.validated, server.last_error
    return synchronize


def upload(hospital, data):
    result = hospital.rpc('radiologist').run_wizard(UPLOAD, [
            ('start', {}),
            ('upload', {'start': {
                        'data_to_upload': data, 'file_name': 'ct.dcm',
                        'server_config': hospital.server}})])
    return result['view']['defaults']


def delete(hospital, study):
    result = hospital.rpc('keeper').run_wizard(DELETE, [
            ('start', {}), ('remove', {'start': {'reason': "Wrong"}}),
            ], **context_of(STUDY, study))
    return result['view']['defaults']['outcome']


def missing(hospital):
    return hospital.ids(STUDY, [('missing_since', '!=', None)])


def test_server_that_may_only_be_read(hospital, restart, press):
    study = hospital.store(*ct_series(1))
    read_only = restart(ReadOnly=True).get('ReadOnly')
    assert press('do_sync') == press('full_sync') == (True, None)
    uploaded = upload(hospital, *ct_series(1))
    outcome = delete(hospital, study)
    if read_only:
        assert "not read only" in uploaded['summary']
        assert "not read only" in outcome
    else:
        # Before 1.12.5 the option is not known.
        assert uploaded['files'][0]['state'] == 'stored'
    assert bool(hospital.read(STUDY, study, 'id')) == bool(read_only)
    assert not missing(hospital)


def test_server_without_patients(hospital, restart, press):
    system = restart(PatientLevelEnabled=False)
    study = hospital.store(*ct_series(1, PatientName='Level^No'))
    with hospital.transaction():
        record = Pool().get(STUDY)(study)
        assert record.orthanc_patient.name == record.patient_name == 'Level^No'
    if system.get('PatientLevelEnabled') is False:
        with pytest.raises(ServiceError, match='404'):
            hospital.orthanc.rest('GET', '/patients')
    else:
        # Since 1.13
        assert hospital.orthanc.rest('GET', '/patients')
    delete(hospital, study)
    assert not hospital.read(STUDY, study, 'id')
    assert press('full_sync') == (True, None)


@pytest.mark.parametrize('mode', ['Never', 'IfChanged', 'Always', True])
def test_study_that_is_corrected_and_sent_again(
        hospital, restart, press, mode):
    try:
        system = restart(OverwriteInstances=mode)
    except ServiceError:
        # Modes have names since 1.13.
        assert mode is not True
        return
    assert system.get('OverwriteInstancesMode', mode) in {mode, 'Always'}
    with hospital.transaction():
        patient = make_patient("Ana", "Betz")
        puid = patient.puid
    wrong = variant('CT_small.dcm', PatientID=puid, PatientName='Wong^Li',
        PatientBirthDate='19700101', AccessionNumber='WRONG')
    study = hospital.store(wrong)
    link = partial(
        hospital.read, STUDY, study, 'link_state', 'accession_number')
    assert link()['link_state'] == 'review'
    right = same(wrong, PatientName='Betz^Ana', PatientBirthDate='19851004',
        AccessionNumber='RIGHT')
    hospital.orthanc.rest('POST', '/instances', right)
    assert press() == (True, None)
    assert (link()['link_state'], link()['accession_number']) == (
        ('review', 'WRONG') if mode == 'Never' else ('linked', 'RIGHT'))


def same(data, **values):
    "Return an instance with other values and the same UIDs."
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    content = io.BytesIO()
    dataset.save_as(content)
    return content.getvalue()


LUA = '''
function IncomingHttpRequestFilter(method, uri, ip, username, headers)
    return not string.find(uri, '^/%s')
end
'''


@pytest.mark.parametrize('forbidden', ['studies$', 'statistics', 'changes'])
def test_user_who_may_not_ask(hospital, restart, press, tmp_path, forbidden):
    hospital.store(*ct_series(1))
    script = tmp_path / 'filter.lua'
    script.write_text(LUA % forbidden)
    restart(LuaScripts=[str(script)])
    valid, error = press('full_sync')
    assert not valid and "does not allow" in error
    assert not missing(hospital)
    restart()
    assert press() == (True, None)


PYTHON = '''
import json
import orthanc


def list_less(output, uri, **request):
    ids = json.loads(orthanc.RestApiGet('/studies'))
    output.AnswerBuffer(json.dumps(ids[:1]), 'application/json')


orthanc.RegisterRestCallback('/studies', list_less)
'''


def test_user_who_sees_fewer_studies(hospital, restart, press, tmp_path):
    "By a plugin of the server, by a proxy where there is none."
    for _ in range(3):
        hospital.store(*ct_series(1))
    plugin = hospital.orthanc.folder_of_plugins
    plugin = os.path.join(plugin, 'libOrthancPython.so')
    if os.path.exists(plugin):
        script = tmp_path / 'less.py'
        script.write_text(PYTHON)
        restart(PythonScript=str(script), Plugins=[
                *hospital.orthanc.configuration()['Plugins'], plugin])
    else:
        hospital.faults.on('^/studies$', change(lambda ids: ids[:1]))
    count = len(hospital.ids(STUDY, []))
    told = f"counts {count} studies, but lists only 1"
    for how in ['full_sync', 'do_sync', 'sync']:
        valid, error = press(how)
        assert valid and told in error
        assert not missing(hospital)
    hospital.faults.clear()
    restart()
    assert press() == (True, None)
    assert not missing(hospital)
