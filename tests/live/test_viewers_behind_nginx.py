# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's nginx with the site of his-utils/nginx, before a real Orthanc and a
trytond: what comes through to whom, asked as a browser asks."""
import http.client
import statistics
import time

import pytest
import requests
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from support.gateway import SERVER, GuardedHospital
from support.images import STUDY


@pytest.fixture
def hospital(trytond_server, orthanc, tmp_path):
    root = tmp_path / 'root'
    (root / 'ohif').mkdir(parents=True)
    (root / 'ohif' / 'index.html').write_text('<html>OHIF</html>')
    hospital = GuardedHospital(
        tmp_path / 'nginx', trytond_server, orthanc, root)
    try:
        hospital.open()
        yield hospital
    finally:
        hospital.gateway.kill()


class Browser:
    "A browser: it keeps its cookies, and sends paths as they are typed."

    def __init__(self, gateway):
        self.gateway = gateway
        self.session = requests.Session()
        self.session.trust_env = False

    def open(self, url):
        "Follow an address to the viewer, return the last answer."
        return self.session.get(url, timeout=60)

    def get(self, path, method='GET', **headers):
        "Return status, body and headers of exactly this path."
        cookies = '; '.join(
            f'{c.name}={c.value}' for c in self.session.cookies)
        connection = http.client.HTTPConnection(
            self.gateway.url.partition('//')[2], timeout=60)
        connection.request(method, path, headers={
                'Cookie': cookies, 'Accept': '*/*', **headers})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body, answer.headers

    def status(self, path, method='GET', **headers):
        return self.get(path, method, **headers)[0]


def test_a_doctor_sees_what_was_opened_and_nothing_else(hospital, capsys):
    """One story, for the servers take long to start."""
    mine, former, other = hospital.uids
    doctor = hospital.user('doctor')
    browser, gateway = Browser(hospital.gateway), hospital.gateway
    whole = f'/dicom-web/studies/{mine}'
    for path in [whole, '/ohif/viewer', '/dicom-web/studies',
            '/stone-webviewer/index.html']:
        assert browser.status(path) == 401
    url = hospital.ticket(doctor)
    answer = browser.open(url)
    assert answer.text == '<html>OHIF</html>'
    assert answer.url == (
        f'{gateway.url}/ohif/viewer?StudyInstanceUIDs={mine}')
    assert 'Referer' not in answer.request.headers
    assert Browser(gateway).open(url).status_code == 403

    # Pixels and metadata, as they are in Orthanc.
    image = dcmread(DicomBytesIO(hospital.images[0][0]))
    instance = (f'{whole}/series/{image.SeriesInstanceUID}'
        f'/instances/{image.SOPInstanceUID}')
    status, body, headers = browser.get(f'{instance}/frames/1')
    assert status == 200 and image.PixelData in body
    assert headers['Content-Security-Policy'] == "default-src 'none'"
    status, body, _ = browser.get(
        f'{whole}/metadata', Accept='application/dicom+json')
    assert status == 200 and f'{gateway.url}{whole}/series'.encode() in body
    for query in [f'StudyInstanceUID={mine}', f'0020000d={mine}',
            f'PatientID={image.PatientID}&limit=100']:
        status, body, _ = browser.get(f'/dicom-web/studies?{query}')
        assert status == 200 and mine.encode() in body
        assert former.encode() not in body

    # Nothing of others, however it is asked.
    for path in [
            f'/dicom-web/studies/{other}', '/dicom-web/studies?limit=9',
            f'/dicom-web/studies/{former}/metadata', '/dicom-web/studies',
            f'/dicom-web/studies?studyinstanceuid={mine},{other}',
            f'/dicom-web/studies?StudyInstanceUID={mine}&0020000D={other}',
            f'{whole}/../{other}/metadata', f'{whole}/%2e%2e/{other}/metadata',
            f'{whole}/..%2f{other}/metadata', f'//dicom-web/studies/{other}',
            f'/ohif/../dicom-web/studies/{other}/metadata',
            f'/ohif/%2e%2e/dicom-web/studies/{mine}/metadata',
            f'/dicom-web/%2e/studies/{mine}', '/dicom-web/servers',
            '/dicom-web/../tools/find', '/dicom-web/%2e%2e/studies',
            '/stone-webviewer/../studies', '/imaging-authorize',
            '/studies', '/tools/find', '/app/explorer.html', '/ui/app/',
            '/instances', '/system', '/changes', '/wado?requestType=WADO',
            '/ohif/..%2f..%2fnginx/imaging-login.conf',
            f'/{hospital.trytond.database}/imaging/authorize',
            f'/{hospital.trytond.database}/imaging/view', '/']:
        status, body, headers = browser.get(path)
        assert status in {400, 401, 403, 404}, path
        assert b'00100020' not in body and 'WWW-Authenticate' not in headers
    for method in ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']:
        for path in [whole, '/dicom-web/studies', url, '/tools/find']:
            assert browser.status(path, method) in {403, 404, 405}
    # What tells the servers something is not the browser's.
    for name in ['X-Original-URI', 'X-Imaging-Path', 'X-Accel-Redirect']:
        assert browser.status(
            '/dicom-web/studies', **{name: whole}) == 403
    assert browser.status(whole, **{'X-Original-Method': 'GET'}) == 200
    assert browser.status(f'{whole}/metadata', Origin='https://evil.example',
        Authorization='Basic eDp5', **{'Content-Type': 'application/json'}
        ) == 200

    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        browser.status(f'{instance}/frames/1')
        seconds.append(time.perf_counter() - begin)
    with capsys.disabled():
        print(f"\none frame: {statistics.median(seconds) * 1000:.0f} ms")

    # No secret is told: neither in answers nor in logs.
    log = hospital.user('admin')(
        'model.gnuhealth.orthanc.access_log.search_read', [
            ('action', '=', 'viewer')], 0, None, None,
        ['user.login', 'study_instance_UID', 'details'])
    assert [(row['user.']['login'], row['study_instance_UID'], row['details'])
        for row in log] == [('doctor', mine, "OHIF")]
    logs = [gateway.folder / 'access.log', gateway.folder / 'nginx.log',
        hospital.trytond.log, hospital.trytond.folder / 'trytond.log']
    texts = ''.join(path.read_text(errors='replace') for path in logs)
    assert '/imaging/authorize' in texts and '/dicom-web/studies' in texts
    secrets = [url.rpartition('/')[2], hospital.orthanc.password,
        *(cookie.value for cookie in browser.session.cookies)]
    for secret in secrets:
        assert secret not in texts
    assert (gateway.folder / 'imaging-login.conf').stat().st_mode & 0o77 == 0

    # It is over at once.
    late = hospital.ticket(doctor, 1)
    doctor._call('common.db.logout', [])
    assert browser.status(whole) == 401
    assert browser.open(late).status_code == 403
    status, body, _ = browser.get(f'/ohif/viewer?StudyInstanceUIDs={mine}')
    assert status == 401 and b"Open the images in GNU Health again" in body
    doctor = hospital.user('doctor')
    browser.open(hospital.ticket(doctor))
    assert browser.status(whole) == 200
    admin = hospital.user('admin')
    id_, = admin('model.res.user.search', [('login', '=', 'doctor')], 0, None,
        None)
    admin('model.res.user.write', [id_], {'active': False})
    assert browser.status(whole) == 401
    # Without nginx, the link leads to Orthanc itself.
    admin(f'model.{SERVER}.write', [hospital.server], {'viewer_address': None})
    row, = admin(f'model.{STUDY}.read', [hospital.study(admin, 0)],
        ['ohif_viewer_link'])
    assert row['ohif_viewer_link'].startswith(hospital.orthanc.url)
    # trytond is gone: nobody is let in.
    hospital.trytond.stop()
    assert browser.status(whole) == 500
