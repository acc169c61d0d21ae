# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do with images, with a trytond, its worker and a PACS as
processes of their own: what others see meanwhile, and what a crash leaves."""
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager

import pytest
import seed
import story
from proteus import Model, Wizard
from proteus.config import set_xmlrpc_session
from pydicom.uid import generate_uid
from support.fault_server import FaultServer, delay, hang
from support.images import (
    INSTANCE, SERIES, STUDY, ct_series, read_file, variant)
from support.records import Rpc

from trytond.modules.health_orthanc.archive.orthanc import OrthancClient

CONFIG = 'gnuhealth.orthanc.config'


@pytest.fixture
def faults(orthanc):
    with FaultServer(orthanc.url) as faults:
        yield faults


class Office:
    "A trytond with the PACS and what people do there."

    def __init__(self, trytond, orthanc, faults):
        self.trytond = trytond
        self.orthanc = orthanc
        self.faults = faults

    @contextmanager
    def user(self, login='admin'):
        with set_xmlrpc_session(
                f'{self.trytond.url}/{self.trytond.database}/', login,
                seed.PASSWORD) as config:
            yield config

    def add_server(self):
        with self.user() as config:
            server = Model.get(CONFIG, config)(
                label="PACS", domain=self.faults.url,
                user=self.orthanc.user, password=self.orthanc.password,
                connect_timeout=5, read_timeout=20)
            server.save()
        self.sync()

    def sync(self):
        with self.user() as config:
            proxy = config.get_proxy(CONFIG)
            return proxy.sync_now(["PACS"], config.context)

    def store(self, *files):
        "Store files in the PACS, synchronize, return the study's Orthanc id."
        with OrthancClient(self.orthanc.url, self.orthanc.user,
                self.orthanc.password) as client:
            stored = [client.upload(file)[0] for file in files]
        self.sync()
        return stored[0].study

    def study(self, config, uid):
        study, = Model.get(STUDY, config).find([('orthanc_UID', '=', uid)])
        return study

    def log(self, action):
        with self.user() as config:
            Log = Model.get('gnuhealth.orthanc.access_log', config)
            return [line.details for line in Log.find(
                    [('action', '=', action)])]


@pytest.fixture
def office(trytond_server, orthanc, faults):
    office = Office(trytond_server, orthanc, faults)
    office.add_server()
    return office


def in_background(function):
    "Run a function in a thread; return what waits for its result."
    results = []

    def run():
        try:
            results.append(function())
        except Exception as error:
            results.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(60)
        assert not thread.is_alive()
        return results[0]
    return result


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def preview(office, uid):
    with office.user('radiologist') as config:
        study = office.study(config, uid)
        wizard = study.click('preview')
        return wizard.form.has_picture, wizard.form.message


def test_a_day_with_images(office):
    uid = office.store(*ct_series(3))
    with office.user('radiologist') as config:
        wizard = office.study(config, uid).click('preview')
        show, taken = wizard.form, ['session', 'instance', 'frame']
        first = show.picture
        show.click('next_', change=taken)
        assert show.position == "Image 2 of 3"
        assert show.picture
        show.click('previous', change=taken)
        assert show.picture == first
        wizard.execute('end')
        # Reading is a transaction in which nothing can be written.
        instance = Model.get(INSTANCE, config).find([])[0]
        assert bytes(instance.image).startswith(b'\x89PNG')
        assert bytes(instance.thumbnail).startswith(b'\x89PNG')
    assert len(office.log('view')) == 1


def test_others_can_write_while_a_picture_is_fetched(office, database):
    uid = office.store(*ct_series(1))
    office.faults.on('/frames/', delay(4))
    shown = in_background(lambda: preview(office, uid))
    wait_for(lambda: office.faults.count('/frames/'))
    connection = database.connect()
    start = time.monotonic()
    cursor = connection.cursor()
    for table in ['gnuhealth_imaging_orthanc_study', 'ir_session_wizard']:
        cursor.execute(f'UPDATE {table} SET write_date = create_date')
    connection.commit()
    connection.close()
    assert time.monotonic() - start < 2
    has_picture, _ = shown()
    assert has_picture


def test_a_crash_while_a_study_is_deleted(office):
    lost = office.store(*ct_series(2))
    kept = office.store(*ct_series(2))
    office.faults.on(f'/studies/{lost}', crash(office.trytond, deletes=True),
        method='DELETE')
    office.faults.on(f'/studies/{kept}', crash(office.trytond),
        method='DELETE')
    for uid in [lost, kept]:
        deletion = in_background(lambda: delete(office, uid))
        assert isinstance(deletion(), Exception)
        office.trytond.kill()
        office.trytond.start()
        with office.user() as config:
            assert office.study(config, uid).deleting_since
    office.sync()
    with office.user() as config:
        study, = Model.get(STUDY, config).find([])
        assert study.orthanc_UID == kept
        assert not study.deleting_since
    detail, = office.log('delete')
    assert "A test" in detail


def crash(trytond, deletes=False):
    "Kill the server that asked, before or after the study was deleted."
    def fault(exchange):
        if deletes:
            exchange.forward()
        trytond.kill()
        exchange.close()
    return fault


def delete(office, uid):
    with office.user() as config:
        wizard = office.study(config, uid).click('delete_study')
        wizard.form.reason = "A test"
        wizard.execute('remove')
        return wizard.form.outcome


def test_a_deletion_in_the_client(office):
    uid = office.store(
        *ct_series(1, '1.2.3.31', PatientID='D', SeriesNumber=1),
        variant('MR_small.dcm', '1.2.3.31', PatientID='D', SeriesNumber=2))
    with office.user() as config:
        series = Model.get(SERIES, config).find([('modality', '=', 'MR')])
        wizard = series[0].click('delete_series')
        wizard.form.reason = "A test"
        wizard.execute('remove')
        assert "was deleted" in wizard.form.outcome
        study = office.study(config, uid)
        assert study.modalities == 'CT'
    assert "was deleted" in delete(office, uid)


def test_an_upload_in_the_client(office, tmp_path):
    path = tmp_path / 'disk.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        for number, data in enumerate(ct_series(3)):
            archive.writestr(f'IMAGES/{number}', data)
    with office.user('radiologist') as config:
        wizard = Wizard(
            'gnuhealth.imaging_orthanc.upload_image_data', config=config)
        assert wizard.form.server_config.label == "PACS"
        wizard.form.data_to_upload = path.read_bytes()
        wizard.execute('upload')
        assert [f.state for f in wizard.form.files] == ['stored'] * 3
        assert [s.modalities for s in wizard.form.studies] == ['CT']
        wizard.execute('open_')
        (study,), = wizard.actions


MEASURE = '''
import io, resource, sys
from trytond.modules.health_orthanc.archive import container
from trytond.modules.health_orthanc.archive import orthanc as client
path, url, user, password = sys.argv[1:]
with open(path, 'rb') as file:
    data = file.read()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with client.OrthancClient(url, user, password) as server:
    server.system()
    before = peak()
    count = sum(
        one.status == 'stored'
        for part in container.parts(io.BytesIO(data))
        for one in server.upload(part.file))
print(count, peak() - before)
'''


def test_a_large_upload_takes_little_memory(orthanc, tmp_path):
    mib = 2 ** 20
    path = tmp_path / 'large.zip'
    frame = read_file('CT_small.dcm')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, True, 1) as archive:
        for number in range(2):
            file = variant('CT_small.dcm', InstanceNumber=number,
                PixelData=frame * (60 * mib // len(frame)))
            archive.writestr(f'{number}', file)
            assert len(file) > 55 * mib
    done = subprocess.run(
        [sys.executable, '-c', MEASURE, path, orthanc.url, orthanc.user,
            orthanc.password],
        capture_output=True, text=True)
    assert not done.returncode, done.stderr
    count, growth = map(int, done.stdout.split())
    assert count == 2
    assert growth < 40


@pytest.mark.postgresql
def test_a_worker_stores_the_report(make_trytond, database, orthanc, faults):
    office = Office(make_trytond(database, workers=1), orthanc, faults)
    office.add_server()
    with office.user() as config:
        server, = Model.get(CONFIG, config).find([])
        server.store_reports = True
        server.save()
    uid = office.store(variant('CT_small.dcm', generate_uid()))
    faults.on('^/instances$', hang(), times=1, method='POST')
    result = sign(office, uid)
    wait_for(lambda: faults.count('^/instances$', 'POST'))
    faults.stop()
    with office.user() as config:
        Report = Model.get('gnuhealth.orthanc.report', config)
        wait_for(lambda: Report.find([])[0].error)
        assert Report.find([])[0].state == 'waiting'
    faults.start()
    office.sync()
    with office.user() as config:
        Report = Model.get('gnuhealth.orthanc.report', config)
        report, = Report.find([])
        assert report.state == 'stored'
        assert report.result.id == result
    assert orthanc.rest('GET', '/statistics')['CountInstances'] == 2


def sign(office, uid):
    "Write and sign the result of a study, and return its id."
    with office.user('radiologist') as config:
        patient = Model.get('gnuhealth.patient', config).find([])[0]
        exam = Model.get('gnuhealth.imaging.test', config).find([])[0]
        result = Model.get('gnuhealth.imaging.test.result', config)(
            patient=patient, requested_test=exam, comment="No fracture.",
            impression="Normal.")
        result.save()
        # XML-RPC does not name the question that is to be answered.
        Rpc('radiologist', seed.PASSWORD,
            f'{office.trytond.url}/{office.trytond.database}/')(
                f'model.{STUDY}.write', [office.study(config, uid).id],
                {'patient': patient.id, 'imaging_test': result.id})
        story.sign(result)
        return result.id
